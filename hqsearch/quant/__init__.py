"""Quantization: codebooks, fake quantizers, the modules that use them, absorbed normalization."""

from __future__ import annotations

from hqsearch.quant.absorb import Absorbed, absorb, fire_absorbed
from hqsearch.quant.codebooks import (
    code_range,
    decode,
    encode,
    exponents,
    integer_unit,
    integers,
    levels,
    scale_of,
)
from hqsearch.quant.fake import FakeQuantizer, make_quantizer
from hqsearch.quant.modules import LayerCodes, quantize_model, quantizer_of, read_codes

__all__ = [
    "Absorbed",
    "FakeQuantizer",
    "LayerCodes",
    "absorb",
    "code_range",
    "decode",
    "encode",
    "exponents",
    "fire_absorbed",
    "integer_unit",
    "integers",
    "levels",
    "make_quantizer",
    "quantize_model",
    "quantizer_of",
    "read_codes",
    "scale_of",
]
