"""A neuron with everything before it taken in, as integers.

With sums z, ``scale * z + offset`` is what the neuron reads, so in units of the scale it charges
towards ``z + offset / scale`` and fires at ``threshold / scale`` (see :mod:`hqsearch.quant.absorb`).
With a time constant of 2^k, T steps divide by 2^k at most T times: in units of 2^-(k·T + f) the
membrane is an integer throughout, and comparing with the threshold, rounded away from zero, is
exact. Only offset / scale is rounded, to f bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hqsearch.export.bounds import SUM_LIMIT, check_wide

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: Bits of the bias behind the point: as many as fit, at least; what 64 bits are taken for; at most.
LEAST_FRACTION: Final = 8
FRACTION: Final = 16
#: A channel whose sums move the membrane by less than this part of the rest sees a constant:
#: float32 would not see them either.
NEGLIGIBLE: Final = 2.0**-25
_LARGEST_STORED: Final = 2**31 - 1


@dataclass(frozen=True)
class FixedPoint:
    """Constants of :class:`hqsearch.export.graph.Neuron`.

    thresholds, biases: int32, one for each channel or one for all; a negative threshold is that of
    a channel which fires below it. constant: channels that must not see their sums.
    """

    fraction: int
    threshold_shift: int
    bias_shift: int
    bits: int
    thresholds: npt.NDArray[np.int32]
    biases: npt.NDArray[np.int32]
    constant: npt.NDArray[np.bool_]


def fixed_point(
    path: str,
    leak: int,
    timesteps: int,
    threshold: float,
    scale: Floats,
    offset: Floats,
    reach: Integers,
) -> FixedPoint:
    """Constants of a neuron that reads ``scale * sum + offset``.

    Args:
        path: for messages.
        leak: k of the time constant 2^k.
        timesteps: T.
        threshold: of the neuron, positive.
        scale: [C] or [1], of any sign. offset: alike.
        reach: largest magnitude of the sums, [C] or [1].

    Raises:
        ExportError: 64 bits do not hold the membrane.
    """
    scale, offset, reach = np.broadcast_arrays(scale, offset, reach)
    rest = np.maximum(np.abs(offset), threshold)
    constant = np.abs(scale) * reach <= NEGLIGIBLE * rest
    unit = np.where(constant, 1.0, scale)
    level, bias = threshold / unit, offset / unit
    reached = np.where(constant, 0, reach) + np.abs(bias)
    if constant.any():
        # Any unit serves where no sum is seen: one that leaves the most digits.
        top = reached[~constant].max() if not constant.all() else 2.0**10
        larger = np.exp2(np.floor(np.log2(max(top, 1.0) / rest)))
        level, bias = (np.where(constant, part * larger, part) for part in (level, bias))
        reached = np.where(constant, np.abs(bias), reached)
    highest = float(reached.max()) + 1.0
    room = math.floor(math.log2(SUM_LIMIT / highest)) - leak * timesteps
    bits, fraction = (32, min(room, FRACTION)) if room >= LEAST_FRACTION else (64, FRACTION)
    whole = leak * timesteps + fraction
    check_wide(path, int(highest) << whole, "the membrane")
    bias_shift = _excess(float(np.abs(bias).max()) * 2.0**fraction)
    biases = np.rint(np.ldexp(bias, fraction - bias_shift))
    # A threshold that nothing reaches may as well lie just beyond what is reached.
    beyond = np.ceil(np.ldexp(reached, whole)) + 2.0**leak
    exact = np.ldexp(level, whole)
    exact = np.where(
        exact > 0, np.minimum(np.ceil(exact), beyond), np.maximum(np.floor(exact), -beyond)
    )
    shift = _excess(float(np.abs(exact).max()))
    outwards = np.ldexp(np.abs(exact), -shift)
    thresholds = np.copysign(np.ceil(outwards), exact)
    return FixedPoint(
        fraction=fraction,
        threshold_shift=shift,
        bias_shift=bias_shift,
        bits=bits,
        thresholds=_narrow(thresholds),
        biases=_narrow(biases),
        constant=np.array(constant),
    )


def _excess(largest: float) -> int:
    """Bits by which ``largest`` must be shifted right to be stored."""
    return max(0, math.frexp(largest / _LARGEST_STORED)[1] if largest > _LARGEST_STORED else 0)


def _narrow(values: Any) -> npt.NDArray[np.int32]:
    stored: npt.NDArray[np.int32] = np.clip(values, -_LARGEST_STORED, _LARGEST_STORED).astype(
        np.int32
    )
    return stored
