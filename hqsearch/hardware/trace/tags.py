"""What the trace knows about a tensor: its values' kind, its time axis, where it comes from.

Shapes are followed through views by the number of elements that lie outside the time axis
(``outer``), which reshaping does not change: [T, N, C] and [T·N, C] have outer = 1, [N, T, C]
has outer = N.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hqsearch.hardware.workload import InputKind, InputSource


@dataclass(frozen=True, slots=True)
class TensorTag:
    """Facts about one tensor.

    levels: largest number of unit spikes (or frame counts) of an element; 0 if real.
    unit: size of one unit spike. steps: timesteps it holds, T or 1.
    layer: weight layer whose output it is, up to views, normalisation and constant factors.
    neuron: neuron whose output it is, up to views and constant factors.
    """

    kind: InputKind
    source: InputSource
    steps: int
    outer: int = 1
    levels: int = 0
    unit: float = 1.0
    layer: str | None = None
    neuron: str | None = None

    def read_as(self, shape: Sequence[int], timesteps: int, samples: int) -> TensorTag:
        """The tag of memory that step after step was written into, read as a tensor of a shape.

        Its first axis is taken for time where it is as long.
        """
        whole = len(shape) > 0 and shape[0] in (timesteps, timesteps * samples)
        steps = timesteps if whole else self.steps
        return replace(self, steps=steps, outer=1, layer=None)

    def with_written(self, other: TensorTag) -> TensorTag:
        """The least special tag of memory that both were written into."""
        if (self.kind, self.unit, self.source) == (other.kind, other.unit, other.source):
            same = self if self.neuron == other.neuron else replace(self, neuron=None)
            return replace(same, levels=max(self.levels, other.levels))
        return TensorTag("real", "other", max(self.steps, other.steps))

    @property
    def bits(self) -> int:
        """Width of the values as integers (real: fp32)."""
        return 32 if self.kind == "real" else bits_for(self.levels)


def bits_for(levels: int) -> int:
    """Bits that hold 0 … ``levels``."""
    return max(int(levels).bit_length(), 1)


def locate(shape: Sequence[int], outer: int) -> tuple[int, int]:
    """The dimension that holds the time axis, and time's offset within it.

    >>> locate((4, 8, 3), 1), locate((8, 4, 3), 8), locate((32, 3), 8)
    ((0, 1), (1, 1), (0, 8))
    """
    dim, before, product = 0, 1, 1
    for index, size in enumerate(shape):
        if product > outer:
            break
        dim, before = index, product
        product *= size
    return dim, max(outer // max(before, 1), 1)


def outer_of(shape: Sequence[int], dim: int, offset: int) -> int:
    """The inverse of :func:`locate`."""
    return math.prod(shape[:dim]) * offset
