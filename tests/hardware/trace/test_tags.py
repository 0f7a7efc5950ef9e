"""Where time lies in a tensor's shape."""

from __future__ import annotations

import pytest

from hqsearch.hardware.trace.tags import TensorTag, bits_for, locate, outer_of


@pytest.mark.parametrize(
    ("shape", "outer", "expected"),
    [
        ((4, 8, 3), 1, (0, 1)),  # [T, N, C]
        ((8, 4, 3), 8, (1, 1)),  # [N, T, C]
        ((32, 3), 1, (0, 1)),  # [T·N, C]
        ((32, 3), 8, (0, 8)),  # [N·T, C]
        ((2, 8, 4, 3), 16, (2, 1)),  # [A, B, T, C]
        ((2, 32, 3), 16, (1, 8)),  # [A, B·T, C]
    ],
)
def test_locate_and_its_inverse(
    shape: tuple[int, ...], outer: int, expected: tuple[int, int]
) -> None:
    assert locate(shape, outer) == expected
    assert outer_of(shape, *expected) == outer


def test_widths_of_values() -> None:
    assert [bits_for(levels) for levels in (0, 1, 2, 3, 4, 15)] == [1, 1, 2, 2, 3, 4]
    assert TensorTag("real", "other", 3).bits == 32
    assert TensorTag("integer", "spikes", 3, levels=5).bits == 3
