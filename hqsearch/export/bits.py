"""Thresholds and biases as 32-bit integers: a number is its integer times 2^-shift.

All thresholds of a layer share a shift, and so do its biases: the largest at which every one of
them fits. A threshold is rounded away from zero, which for whole numbers of units changes no
comparison: ``u >= t`` is ``u >= ceil(t)``, and of a flipped channel, whose threshold is negative,
``u <= t`` is ``u <= floor(t)``. Code that keeps fewer fractional bits rounds them off the same
way and compares alike, for a ceiling of a ceiling is the ceiling. A bias is rounded to nearest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

#: Largest magnitude of a 32-bit integer of either sign.
LARGEST: Final = 2**31 - 1
#: No more fractional bits than these: numbers below 2 gain nothing that float32 would keep.
MOST_SHIFT: Final = 30

Rounding = Literal["nearest", "outwards"]


@dataclass(frozen=True)
class Constants:
    """One number per output channel ``[C]``.

    Attributes:
        values: ``int32``, in units of 2^-shift; or ``float32``.
        shift: fractional bits of integers, negative for very large numbers; None for floats.
    """

    values: npt.NDArray[Any]
    shift: int | None = None

    def real(self) -> npt.NDArray[np.float64]:
        """What they stand for, ``[C]``."""
        values = self.values.astype(np.float64)
        return values if self.shift is None else np.ldexp(values, -self.shift)


def fixed_point(values: npt.ArrayLike, rounding: Rounding) -> Constants:
    """Finite real ``values`` ``[C]`` as integers with the largest shift that fits.

    >>> fixed_point([1.5, -3.0], "nearest")
    Constants(values=array([  805306368, -1610612736], dtype=int32), shift=29)

    Raises:
        ValueError: a value that is NaN or infinite.
    """
    real = np.asarray(values, np.float64)
    if not np.isfinite(real).all():
        raise ValueError("thresholds and biases must be finite.")
    largest = float(np.abs(real).max(initial=0.0))
    exponent = int(np.frexp(largest)[1]) if largest else 1
    shift = min(MOST_SHIFT, 31 - exponent)
    if _rounded(real, shift, rounding).max(initial=0.0) > LARGEST:
        shift -= 1
    return Constants((np.sign(real) * _rounded(real, shift, rounding)).astype(np.int32), shift)


def float_point(values: npt.ArrayLike) -> Constants:
    """Real ``values`` ``[C]`` as 32-bit floats."""
    return Constants(np.asarray(values, np.float32))


def _rounded(real: npt.NDArray[np.float64], shift: int, rounding: Rounding) -> Any:
    """Magnitudes in units of 2^-shift, whole."""
    magnitude = np.ldexp(np.abs(real), shift)
    return np.ceil(magnitude) if rounding == "outwards" else np.rint(magnitude)
