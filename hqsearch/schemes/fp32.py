"""Weights left as they are: the choice ``fp32``, without codes and scales."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hqsearch.schemes.adders import FloatAdder
from hqsearch.schemes.base import Scheme

if TYPE_CHECKING:
    from torch import Tensor

FP32 = "fp32"


class Float32(Scheme):
    """No quantization."""

    name, letter, widths = "float", "", range(32, 33)
    has_codes = has_integers = False
    scale_bits = 0

    def text(self, bits: int) -> str:
        return FP32

    def describe(self) -> str:
        return FP32

    def code_range(self, bits: int) -> tuple[int, int]:
        raise ValueError("fp32 has no codes; leave the layer alone.")

    def ratio_to_code(self, ratio: Tensor, bits: int) -> Tensor:
        raise ValueError("fp32 has no codes; leave the layer alone.")

    def code_to_level(self, codes: Tensor, bits: int) -> Tensor:
        raise ValueError("fp32 has no codes; leave the layer alone.")

    def adder(self, bits: int) -> FloatAdder:
        return FloatAdder()

    def nominal_error(self, bits: int) -> float:
        return 0.0
