"""Storage of a quantized network in bits, exactly what a deployed file must hold.

Weight codes; a scale for each output channel (a 32-bit float or an 8-bit exponent, as the scheme
says; fp32 has none); biases; normalisation. Where a layer's output goes only to a neuron,
scale, normalisation and bias are absorbed exactly into a threshold and a bias of the neuron for
each channel, which a quantized layer keeps as 32-bit integers with one 8-bit shift for all
thresholds and one for all biases (:mod:`hqsearch.export`). Every tensor takes whole bytes
(:func:`hqsearch.schemes.packing.whole_bytes`). Codebooks follow from the choice and take no bits.
Names, shapes and the layout of a container are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hqsearch.hardware.workload import Operation, Workload
from hqsearch.schemes.choice import Choice
from hqsearch.schemes.packing import whole_bytes

THRESHOLD_BITS: Final = 32
BIAS_BITS: Final = 32
MULTIPLIER_BITS: Final = 32
FLOAT_BITS: Final = 32
#: How far the binary point of all thresholds, or all biases, of a layer is moved.
SHIFT_BITS: Final = 8


@dataclass(frozen=True, slots=True)
class LayerStorage:
    """Bits of one weight layer.

    ``norm`` holds thresholds or multipliers, with their biases and shifts; ``padding`` fills the
    last byte of the codes.
    """

    path: str
    choice: str
    weights: int
    codes: int
    scales: int
    bias: int
    norm: int
    padding: int = 0

    @property
    def total(self) -> int:
        """Sum of the columns, bits; whole bytes."""
        return self.codes + self.padding + self.scales + self.bias + self.norm


@dataclass(frozen=True)
class StorageReport:
    """Bits of a whole network."""

    layers: tuple[LayerStorage, ...]
    unquantized: int

    @property
    def bits(self) -> int:
        """Everything a deployed file must hold."""
        return sum(layer.total for layer in self.layers) + self.unquantized

    @property
    def kib(self) -> float:
        """KiB (1024 bytes)."""
        return self.bits / 8192

    @property
    def average_bits(self) -> float:
        """Bits per weight over all weight layers; scales are not counted."""
        return sum(s.codes for s in self.layers) / max(sum(s.weights for s in self.layers), 1)

    @property
    def compression_of_codes(self) -> float:
        """32 / average bits: what SpikeHQ (arXiv 2412.05505) calls compression."""
        return 32 / self.average_bits


def layer_storage(op: Operation, choice: Choice) -> LayerStorage:
    """Storage of one weight layer, in bits."""
    quantized = choice.scheme.has_codes
    weights = 0 if op.shared else op.weights
    scales, bias, norm = op.channels * choice.scheme.scale_bits, op.bias * BIAS_BITS, 0
    if op.neuron is not None and (op.norm is not None or quantized):
        shifted = op.norm is not None or op.bias > 0
        norm = op.channels * (THRESHOLD_BITS + BIAS_BITS * shifted)
        norm += SHIFT_BITS * (1 + shifted) * quantized
        scales = bias = 0
    elif op.norm is not None:
        norm, bias = op.channels * (MULTIPLIER_BITS + BIAS_BITS), 0
    if op.shared:
        scales = 0
    codes = weights * choice.bits
    padding = 8 * whole_bytes(codes) - codes
    return LayerStorage(op.path, choice.text, weights, codes, scales, bias, norm, padding)


def storage_report(workload: Workload, choices: Mapping[str, Choice]) -> StorageReport:
    """Storage of ``workload`` with one choice for each of its weight layers."""
    layers = tuple(layer_storage(op, choices[path]) for path, op in workload.layers.items())
    return StorageReport(layers, unquantized_bits(workload))


def unquantized_bits(workload: Workload) -> int:
    """Bits of the parameters outside the weight layers."""
    return FLOAT_BITS * sum(count for _, count in workload.unquantized)
