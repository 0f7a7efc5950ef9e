"""Uniform codes with a learned step per output channel: choices ``2u`` to ``8u``.

LSQ (Esser et al., ICLR 2020, arXiv 1902.08153), per output channel and with the codes of
QSD-Transformer (arXiv 2501.13492): codes -2^(b-1) … 2^(b-1)-1, weight = code · scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hqsearch.schemes.adders import IntegerAdder
from hqsearch.schemes.base import Scheme

if TYPE_CHECKING:
    from torch import Tensor


class Uniform(Scheme):
    """Evenly spaced levels; the code is the level."""

    name, letter, widths = "uniform", "u", range(2, 9)
    feature = 1.0

    def code_range(self, bits: int) -> tuple[int, int]:
        high = 2 ** (bits - 1) - 1
        return -high - 1, high

    def ratio_to_code(self, ratio: Tensor, bits: int) -> Tensor:
        """Ties go to even."""
        return ratio.round().clamp_(*self.code_range(bits))

    def code_to_level(self, codes: Tensor, bits: int) -> Tensor:
        return codes

    def adder(self, bits: int) -> IntegerAdder:
        return IntegerAdder(bits)
