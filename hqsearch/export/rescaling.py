"""Real values in fixed point: sums that no neuron has fired on, with their scales and offsets.

A residual stream that is added up before a neuron fires, and a layer that reads such sums, have no
units of their own. A :class:`hqsearch.export.graph.Rescale` gives them one, 2^-digits, with one
multiplication for each element; what comes of it is within half a unit of the real value.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from hqsearch.errors import ExportError
from hqsearch.export.bounds import SUM_LIMIT, SumsTooLarge, check_sums
from hqsearch.export.capture import Capture
from hqsearch.export.graph import Rescale
from hqsearch.export.neurons import LIMITS
from hqsearch.export.values import Captured, Floats, Integers, Tag

#: Of a stream; coarser ones are tried where its sums do not fit into 32 bits.
STREAM_DIGITS: Final = (16, 14, 12, 10)
#: A layer's input has at most so many bits, and an fp32 layer's so many.
INPUT_BITS: Final = 20
REAL_INPUT_BITS: Final = 12
#: Bits of the largest factor.
_FACTOR_BITS: Final = 30


def rescaled(capture: Capture, tag: Tag, digits: int) -> Tag:
    """``tag`` in units of 2^-digits; the same node for the same values and units.

    Raises:
        ExportError: 32 bits do not hold it.
    """
    value = tag.value
    key = (value.number, tag.scale.tobytes(), tag.offset.tobytes(), digits)
    if key not in capture.rescaled:
        path = capture.operation("rescale", value.layout.shape or (value.layout.size,))
        made = _rescaled_value(capture, tag, digits, path)
        capture.rescaled[key] = Tag(made, tag.index, np.full(1, 2.0**-digits))
    found = capture.rescaled[key]
    return Tag(found.value, tag.index, found.scale)


def input_digits(tag: Tag, weights: Integers | None) -> int:
    """Digits behind the point with which a layer reads real values.

    Args:
        tag: what it reads.
        weights: integers of the layer ``[O, …]``; None: of an fp32 layer, which are chosen after.

    Raises:
        ExportError: nothing is read but zeros.
    """
    low, high = real_limits(tag)
    reach = float(np.maximum(np.abs(low), np.abs(high)).max())
    if not reach:
        raise ExportError("a layer reads nothing but zeros; it has no integer form.")
    bits: float = REAL_INPUT_BITS if weights is None else INPUT_BITS
    if weights is not None:
        total = float(np.abs(weights.reshape(len(weights), -1)).sum(1).max())
        # One bit for rounding.
        bits = min(bits, math.log2(SUM_LIMIT / max(total, 1.0)) - 1)
    return math.floor(bits - math.log2(reach))


def real_limits(tag: Tag) -> tuple[Floats, Floats]:
    """Lowest and highest real value, ``[C]`` or one for all."""
    ends = [tag.scale * part + tag.offset for part in (tag.value.low, tag.value.high)]
    return np.minimum(*ends), np.maximum(*ends)


def _rescaled_value(capture: Capture, tag: Tag, digits: int, path: str) -> Captured:
    value = tag.value
    scale, offset = np.ldexp(tag.scale, digits), np.ldexp(tag.offset, digits)
    limits = [np.ldexp(part, digits) for part in real_limits(tag)]
    largest = max(float(np.abs(part).max()) for part in limits)
    if largest > SUM_LIMIT:
        raise SumsTooLarge(
            f"what is read at {path!r} can reach {largest:.3g} units of 2^-{digits}, beyond the "
            f"{SUM_LIMIT:,} that 32 bits hold; give the layers before it fewer bits or inputs."
        )
    widest = float(np.abs(scale).max())
    room = 60 - math.log2(max(widest * value.levels, float(np.abs(offset).max()), 1.0))
    shift = math.floor(min(_FACTOR_BITS - math.log2(widest), room)) if widest else 1
    if not 1 <= shift <= 62:
        raise ExportError(
            f"factors at {path!r} are as large as {widest:.3g}; no fixed point here holds them."
        )
    highest = float(np.ldexp(np.abs(offset).max(), shift))
    offset_shift = max(0, math.frexp(highest)[1] - 31)
    factors = np.rint(np.ldexp(scale, shift)).astype(np.int32)
    offsets = np.clip(np.rint(np.ldexp(offset, shift - offset_shift)), *LIMITS).astype(np.int32)
    # Rounded factors and offsets may go a unit further.
    low, high = (np.floor(limits[0]) - 1, np.ceil(limits[1]) + 1)
    made = capture.new_value(value.layout, low.astype(np.int64), high.astype(np.int64), value.steps)
    check_sums(path, made.low, made.high)
    capture.nodes.append(Rescale(path, (value.number,), made.number, shift, offset_shift))
    capture.constants[made.number] = factors, offsets
    return made
