"""Bounds that prove that nothing overflows, and the refusals where something would.

Sums are built in any order, so every partial sum lies between the sum of all negative terms and
the sum of all positive ones. A membrane never leaves what its input reaches: charging is an
average of both, and reset is to 0.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from hqsearch.errors import ExportError

Integers = npt.NDArray[np.int64]

#: Largest sums and counts, and largest membranes and logits. One bit below what would fit: a
#: threshold may lie one beyond what is reached.
SUM_LIMIT: Final = 2**31 - 2
WIDE_LIMIT: Final = 2**62


class SumsTooLarge(ExportError):
    """32 bits do not hold them; where they are in fixed point, fewer digits may do."""


def input_limits(levels: int, signed: bool) -> tuple[Integers, Integers]:
    """Lowest and highest input, [1] each, of a value of this magnitude; 0 may always occur."""
    high = np.array([levels], np.int64)
    return -high if signed else high * 0, high


def sum_limits(weights: Integers, low: Integers, high: Integers) -> tuple[Integers, Integers]:
    """Lowest and highest partial sum of each output channel.

    Args:
        weights: [O, n]. low, high: of the inputs, [n] or one for all; low at most 0, high at
            least 0, since an input may be absent.

    Returns:
        low [O] and high [O].
    """
    positive, negative = np.maximum(weights, 0), np.minimum(weights, 0)
    highest = (positive * high + negative * low).sum(1)
    lowest = (positive * low + negative * high).sum(1)
    return lowest, highest


def check_sums(path: str, low: Integers, high: Integers) -> None:
    """Refuse sums that 32 bits do not hold.

    Raises:
        SumsTooLarge: with the layer and its bound.
    """
    largest = int(max(np.abs(low).max(), np.abs(high).max()))
    if largest > SUM_LIMIT:
        raise SumsTooLarge(
            f"sums of {path!r} can reach {largest:,}, beyond the {SUM_LIMIT:,} that 32 bits hold; "
            "give the layer fewer bits or fewer inputs."
        )


def check_wide(path: str, largest: int, what: str) -> None:
    """Refuse what 64 bits do not hold.

    Raises:
        ExportError: with the node and its bound.
    """
    if largest > WIDE_LIMIT:
        raise ExportError(
            f"{what} of {path!r} can reach {largest:.3g}, beyond the 2^62 that 64 bits hold "
            "safely; use fewer timesteps or fewer bits."
        )
