"""Storage of a quantized network in bits, exactly what a deployed file must hold.

Weight codes; a scale for each output channel (a 32-bit float or an 8-bit exponent, as the scheme
says; fp32 has none); biases; normalisation. Where a layer's output goes only to a neuron,
scale, normalisation and bias are absorbed exactly into a threshold and a bias of the neuron for
each channel. Codebooks follow from the choice and take no bits. Names, shapes and the layout of
a container are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hqsearch.hardware.workload import Operation, Workload
from hqsearch.schemes.choice import Choice

THRESHOLD_BITS: Final = 32
BIAS_BITS: Final = 32
MULTIPLIER_BITS: Final = 32
FLOAT_BITS: Final = 32


@dataclass(frozen=True, slots=True)
class LayerStorage:
    """Bits of one weight layer; ``norm`` holds thresholds or multipliers, with their biases."""

    path: str
    choice: str
    weights: int
    codes: int
    scales: int
    bias: int
    norm: int

    @property
    def total(self) -> int:
        """Sum of the columns, bits."""
        return self.codes + self.scales + self.bias + self.norm


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
    scales, bias, norm = op.channels * choice.scheme.scale_bits, op.bias * BIAS_BITS, 0
    if op.neuron is not None and (op.norm is not None or quantized):
        shifted = op.norm is not None or op.bias > 0
        norm = op.channels * (THRESHOLD_BITS + BIAS_BITS * shifted)
        scales = bias = 0
    elif op.norm is not None:
        norm, bias = op.channels * (MULTIPLIER_BITS + BIAS_BITS), 0
    return LayerStorage(
        op.path, choice.text, op.weights, op.weights * choice.bits, scales, bias, norm
    )


def storage_report(workload: Workload, choices: Mapping[str, Choice]) -> StorageReport:
    """Storage of ``workload`` with one choice for each of its weight layers."""
    layers = tuple(layer_storage(op, choices[path]) for path, op in workload.layers.items())
    return StorageReport(layers, unquantized_bits(workload))


def unquantized_bits(workload: Workload) -> int:
    """Bits of the parameters outside the weight layers."""
    return FLOAT_BITS * sum(count for _, count in workload.unquantized)
