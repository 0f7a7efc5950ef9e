"""A neuron with everything before it taken in, as integers.

In units of a layer's sums a neuron charges towards ``sum + bias`` and fires at a threshold, below
it where that is negative (see :mod:`hqsearch.quant.absorb`). With a time constant of 2^k, T steps
divide by 2^k at most T times: in units of 2^-(k·T + f) the membrane is an integer throughout, and
comparing with the threshold, rounded away from zero, is exact. Only the bias is rounded, to f bits.
An integer neuron keeps nothing and compares with odd multiples of its threshold, which are as fine
as that is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hqsearch.export.bounds import SUM_LIMIT, WIDE_LIMIT, check_wide

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: Bits of the bias behind the point: no more than these are kept.
FRACTION: Final = 16
#: 64 bits are taken for the membrane before a bias is rounded more coarsely than 2^-14 of the
#: median threshold.
DIGITS: Final = 14
#: Odd multiples of a threshold, up to 2 · 255 - 1, have to fit, too.
MULTIPLES_LIMIT: Final = 2**52
#: What is stored in 32 bits.
LIMITS: Final = (1 - 2**31, 2**31 - 1)


@dataclass(frozen=True)
class FixedPoint:
    """Constants of :class:`hqsearch.export.graph.Neuron`; arrays int32, one for each channel, or
    one for all.
    """

    fraction: int
    threshold_shift: int
    bias_shift: int
    bits: int
    thresholds: npt.NDArray[np.int32]
    biases: npt.NDArray[np.int32]

    def shape(self) -> tuple[int, int, int, int]:
        """Fraction, shift of the thresholds, shift of the biases, bits."""
        return self.fraction, self.threshold_shift, self.bias_shift, self.bits


def fixed_point(
    path: str,
    leak: int,
    timesteps: int,
    threshold: Floats,
    bias: Floats,
    reach: Integers,
    *,
    counting: bool = False,
) -> FixedPoint:
    """Constants of a neuron that charges towards ``sum + bias``.

    Args:
        path: for messages.
        leak: k of the time constant 2^k.
        timesteps: T.
        threshold: [C] or [1], in units of the sums; of a channel that fires below it, negative.
        bias: alike.
        reach: largest magnitude of the sums, [C] or [1]; 0 where they are always 0.
        counting: whether it counts odd multiples of its threshold.

    Raises:
        ExportError: 64 bits do not hold the membrane.
    """
    threshold, bias, reach = np.broadcast_arrays(threshold, bias, reach)
    silent = reach == 0
    if silent.any():
        # Any unit serves where there are no sums: one that leaves the most digits.
        top = float(2**10 if silent.all() else (reach + np.abs(bias))[~silent].max())
        larger = np.exp2(np.floor(np.log2(top / np.maximum(np.abs(bias), np.abs(threshold)))))
        threshold, bias = (np.where(silent, part * larger, part) for part in (threshold, bias))
    reached = reach + np.abs(bias)
    highest = float(reached.max()) + 1.0
    rooms = {
        bits: math.floor(math.log2(limit / highest)) - leak * timesteps
        for bits, limit in ((32, SUM_LIMIT), (64, MULTIPLES_LIMIT if counting else WIDE_LIMIT))
    }
    needed = DIGITS - math.floor(math.log2(np.median(np.abs(threshold))))
    bits = 32 if rooms[32] >= min(max(needed, 0), FRACTION) else 64
    fraction = max(min(rooms[bits], FRACTION), 0)
    whole = leak * timesteps + fraction
    check_wide(path, int(highest) << whole, "the membrane")
    bias_shift = _excess(float(np.abs(bias).max()) * 2.0**fraction)
    # A threshold that nothing reaches may as well lie just beyond what is reached.
    beyond = np.ceil(np.ldexp(reached, whole)) + 2.0**leak
    outwards = np.minimum(np.ceil(np.ldexp(np.abs(threshold), whole)), beyond)
    shift = _excess(float(outwards.max()))
    thresholds = np.copysign(np.ceil(np.ldexp(outwards, -shift)), threshold)
    biases = np.rint(np.ldexp(bias, fraction - bias_shift))
    return FixedPoint(fraction, shift, bias_shift, bits, _narrow(thresholds), _narrow(biases))


def has_gain(threshold: float, scale: Floats, offset: Floats, reach: Integers) -> bool:
    """Whether sums are seen behind ``scale * sum + offset`` in every channel that has some.

    A factor of 0, or one beyond float32's digits, leaves nothing of them.
    """
    scale, offset, reach = np.broadcast_arrays(scale, offset, reach)
    unseen = np.abs(scale) * reach <= 2.0**-25 * np.maximum(np.abs(offset), threshold)
    return not (unseen & (reach > 0)).any()


def in_units(
    threshold: float, scale: Floats, offset: Floats, reach: Integers
) -> tuple[Floats, Floats]:
    """Threshold and bias of a neuron that reads ``scale * sum + offset``, in units of the sums.

    Channels must have a gain; see :func:`has_gain`.
    """
    scale, offset, reach = np.broadcast_arrays(scale, offset, reach)
    unit = np.where(reach == 0, 1.0, scale)
    return threshold / unit, offset / unit


def _excess(largest: float) -> int:
    """Bits by which ``largest`` must be shifted right to be stored."""
    return math.frexp(largest / LIMITS[1])[1] if largest > LIMITS[1] else 0


def _narrow(values: Any) -> npt.NDArray[np.int32]:
    return np.asarray(np.clip(values, *LIMITS), np.int32)
