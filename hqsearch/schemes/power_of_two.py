"""Power-of-two codes with zero, and a power-of-two scale: choices ``2l`` to ``5l`` (log).

Codes -(2^(b-1)-1) … 2^(b-1)-1, weight = sign · 2^(|code| - 2^(b-1) + 1) · scale and 0 for code
0, so 4 bits are {0, ±2^0 … ±2^-6} and 2 bits are ternary. The scale is a power of two as well,
so that a layer needs no multiplier; its logarithm is learned and rounded, straight through.
That rounding lets a scale move only after its logarithm has travelled half a unit, which a short
training (0.001 a step) never does: there, scales stay as they were chosen, once, by least error.
Choosing them again while weights move is no better (tests/benchmarks/power_of_two_scales.py).
SpikeHQ (arXiv 2412.05505) does not publish its equations; this codebook is a reconstruction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hqsearch.schemes.adders import ShiftAdder
from hqsearch.schemes.base import EXPONENT_SCALE_BITS, SMALLEST_SCALE, Scheme

if TYPE_CHECKING:
    from torch import Tensor


class PowerOfTwo(Scheme):
    """Levels 0 and ±2^-k."""

    name, letter, widths = "power-of-two", "l", range(2, 6)
    scale_bits, exponent_scale = EXPONENT_SCALE_BITS, True
    feature = -1.0
    parameter, unset, parameter_range = "log2_scale", 0.0, (-60.0, 60.0)

    def needless(self, bits: int) -> str:
        """5 bits: no coarse level gets finer, and next to zero there is nothing to gain."""
        if bits < 5:
            return ""
        return (
            "5l errs as much as 4l and costs a bit more: all its further levels lie between 0 and "
            "1/64 of the largest weight"
        )

    def code_range(self, bits: int) -> tuple[int, int]:
        high = 2 ** (bits - 1) - 1
        return -high, high

    def level_range(self, bits: int) -> tuple[float, float]:
        return -1.0, 1.0

    def ratio_to_code(self, ratio: Tensor, bits: int) -> Tensor:
        """Ties go outwards."""
        _, high = self.code_range(bits)
        magnitude = ratio.abs()
        # Nearest level: [0.75, 1.5) * 2^-k goes to 2^-k. frexp is exact where log2 is not; it
        # leaves the exponents of infinity and NaN open.
        mantissa, exponent = (magnitude / 0.75).clamp_max_(2.0).frexp()
        code = exponent.to(ratio.dtype).add_(high - 1).clamp_(1, high)
        code.masked_fill_(magnitude < 0.5 * 2.0 ** (1 - high), 0.0)
        # Adds nothing but NaN, cheaper than looking for it.
        code.add_(mantissa, alpha=0.0)
        return code.copysign_(ratio)

    def code_to_level(self, codes: Tensor, bits: int) -> Tensor:
        _, high = self.code_range(bits)
        return (codes.abs() - high).exp2() * codes.sign()

    def integers(self, codes: Tensor, bits: int) -> Tensor:
        """±2^(|code| - 1), and 0."""
        wide = codes.int()
        shifted = wide.sign() << (wide.abs() - 1).clamp_min(0)
        return shifted.masked_fill_(wide == 0, 0)

    def integer_unit(self, scale: Tensor, bits: int) -> Tensor:
        """The smallest level."""
        _, high = self.code_range(bits)
        return scale * 2.0 ** (1 - high)

    def scale(self, parameter: Tensor) -> Tensor:
        rounded = parameter + (parameter.round() - parameter).detach()
        return rounded.clamp(*self.parameter_range).exp2()

    def parameter_of(self, scale: Tensor) -> Tensor:
        return scale.log2()

    def initial_scales(self, weight: Tensor, bits: int) -> list[Tensor]:
        """The five powers of two from above the largest weight downwards."""
        largest = weight.abs().flatten(1).amax(1).clamp_min(SMALLEST_SCALE)
        top = largest.frexp().exponent.to(weight.dtype)
        return [(top - k).exp2() for k in range(5)]

    def adder(self, bits: int) -> ShiftAdder:
        return ShiftAdder((1 << (bits - 1)) - 2)
