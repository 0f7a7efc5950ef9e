"""One bit a weight, ±1 times a learned step per output channel: the choice ``1b``.

Codes 0 and 1 stand for -1 and +1; there is no zero. The step starts at mean|w| of its channel,
which is the one of least squared error (XNOR-Net, Rastegari et al., ECCV 2016,
arXiv 1603.05279), and learns as in LSQ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hqsearch.schemes.adders import Number, Rules, Values, addition
from hqsearch.schemes.base import SMALLEST_SCALE, Scheme

if TYPE_CHECKING:
    from torch import Tensor


class Binary(Scheme):
    """Levels -1 and +1."""

    name, letter, widths = "binary", "b", range(1, 2)

    def code_range(self, bits: int) -> tuple[int, int]:
        return 0, 1

    def level_range(self, bits: int) -> tuple[float, float]:
        return -1.0, 1.0

    def ratio_to_code(self, ratio: Tensor, bits: int) -> Tensor:
        """The sign; 0 counts as positive."""
        code = (ratio >= 0).to(ratio.dtype)
        return code.masked_fill_(ratio.isnan(), float("nan"))

    def code_to_level(self, codes: Tensor, bits: int) -> Tensor:
        return 2.0 * codes - 1.0

    def integers(self, codes: Tensor, bits: int) -> Tensor:
        """+1 and -1."""
        return 2 * codes.int() - 1

    def initial_scales(self, weight: Tensor, bits: int) -> list[Tensor]:
        return [weight.abs().flatten(1).mean(1).clamp_min(SMALLEST_SCALE)]

    def adder(self, bits: int) -> SignAdder:
        return SignAdder()


@dataclass(frozen=True, slots=True)
class SignAdder:
    """Weights are +1 and -1: inputs are added or subtracted, never multiplied."""

    def accumulate(self, c: Values, rules: Rules) -> Number:
        # Both signs in two's complement take two bits, as those of ternary codes do.
        return addition(c, 2 if rules["adder"] == "weight" else c["accumulator_bits"])

    def multiply_accumulate(self, input_bits: int | None, c: Values, rules: Rules) -> Number:
        if input_bits is None:
            return c["float_add"]
        return addition(c, input_bits + 1 if rules["adder"] == "weight" else c["accumulator_bits"])
