"""The size of frames: one number where they are square, else height and width."""

from __future__ import annotations

from collections.abc import Sequence

#: Pixels: one side of a square, or (height, width).
Size = int | tuple[int, int]


def sides(size: int | Sequence[int]) -> tuple[int, int]:
    """(height, width) of frames of a :data:`Size`, which JSON may have made a list.

    >>> sides(32), sides([24, 32])
    ((32, 32), (24, 32))
    """
    if not isinstance(size, Sequence):
        return size, size
    height, width = size
    return height, width


def as_size(height: int, width: int) -> Size:
    """The shortest form of it.

    >>> as_size(32, 32), as_size(24, 32)
    (32, (24, 32))
    """
    return height if height == width else (height, width)
