"""What capturing knows of the tensors of a running network.

Every tensor that is followed has a :class:`Tag`: which value of the graph it shows, and an index
that says, element by element, which element. Views and copies of any kind are followed by doing
the same to the index, so what a reader reads is known exactly, however the network reshapes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass
class Layout:
    """Where the elements of a value lie, for all values that are alike element by element.

    size: elements in one timestep. shape: channels first; None until a reader needs one.
    order: number that an element was made with → its place in ``shape``; None: the same.
    """

    size: int
    shape: tuple[int, ...] | None = None
    order: Integers | None = None

    def fix(self, shape: tuple[int, ...], order: Integers | None) -> None:
        """Decide where everything lies."""
        self.shape = shape
        same = order is None or bool((order == np.arange(self.size)).all())
        self.order = None if same else order

    @property
    def channels(self) -> int:
        """Channels of the shape, 1 while there is none."""
        return self.shape[0] if self.shape else 1

    def memory(self, places: Integers) -> Integers:
        """Where elements lie in memory, all channels of a position together.

        places: in the shape, rows last.
        """
        positions = self.size // self.channels
        return places % positions * self.channels + places // positions


@dataclass
class Captured:
    """A value: its layout and limits, which are one for each channel, or one for all.

    steps: timesteps that it has, T or 1. layer: weight layer that made it, as its path.
    """

    number: int
    layout: Layout
    low: Integers
    high: Integers
    steps: int
    layer: str | None = None

    @property
    def levels(self) -> int:
        """Largest magnitude."""
        return int(max(np.abs(self.low).max(), np.abs(self.high).max()))

    @property
    def signed(self) -> bool:
        """Whether there may be values below zero."""
        return bool((self.low < 0).any())


@dataclass(frozen=True)
class Tag:
    """A tensor's elements are ``scale * integer + offset`` of a captured value.

    index: like the tensor; ``step * size + number of the element``. scale, offset: one for each
    channel of the value, or one for all.
    """

    value: Captured
    index: Tensor
    scale: Floats = field(default_factory=lambda: np.ones(1))
    offset: Floats = field(default_factory=lambda: np.zeros(1))

    @property
    def plain(self) -> bool:
        """Whether the elements are integers in one unit."""
        return not self.offset.any() and bool((self.scale == self.scale[0]).all())

    def places(self) -> Integers:
        """The index with every element's place in its shape, ``[*tensor shape]``."""
        index: Integers = self.index.numpy()
        order, size = self.value.layout.order, self.value.layout.size
        return index if order is None else index // size * size + order[index % size]

    def per_step(self) -> Integers | None:
        """Places within a step, ``[size]``, of a tensor that holds all of it, step by step."""
        size, steps = self.value.layout.size, self.value.steps
        if self.index.numel() != size * steps:
            return None
        places = self.places().reshape(steps, size)
        first = places[0]
        even = (places == first + size * np.arange(steps)[:, None]).all()
        whole = even and np.array_equal(np.sort(first), np.arange(size))
        return first if whole else None


def strides_of(offsets: Integers) -> tuple[int, int, int] | None:
    """One stride for each of three axes of ``offsets``, which begin at 0; None: not regular."""
    strides = tuple(
        int(offsets.take(1, axis).flat[0] - offsets.flat[0]) if size > 1 else 0
        for axis, size in enumerate(offsets.shape)
    )
    grids: Any = np.indices(offsets.shape)
    regular = sum(grid * stride for grid, stride in zip(grids, strides, strict=True))
    first, second, third = strides
    return (first, second, third) if np.array_equal(regular, offsets) else None


def prod(sizes: Any) -> int:
    """Product of sizes."""
    return math.prod(int(size) for size in sizes)
