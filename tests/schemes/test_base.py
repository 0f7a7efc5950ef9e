"""What a scheme has that says no more than it must."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hqsearch.schemes import IntegerAdder, Scheme, parse_choice
from hqsearch.schemes.base import LARGEST_WEIGHT, SMALLEST_SCALE, Choice


class Plain(Scheme):
    """Codes are levels, of 2 and 3 bits."""

    name, letter, widths = "plain", "p", range(2, 4)

    def code_range(self, bits: int) -> tuple[int, int]:
        return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def ratio_to_code(self, ratio: torch.Tensor, bits: int) -> torch.Tensor:
        return ratio.round().clamp(*self.code_range(bits))

    def code_to_level(self, codes: torch.Tensor, bits: int) -> torch.Tensor:
        return codes

    def adder(self, bits: int) -> IntegerAdder:
        return IntegerAdder(bits)


PLAIN = Plain()


def test_its_choices_are_its_widths_and_its_letter() -> None:
    assert [str(choice) for choice in PLAIN.choices()] == ["2p", "3p"]
    assert PLAIN.parse("3p") == Choice("3p", 3, PLAIN)
    for text in ("1p", "4p", "3q", "03p", ""):
        assert PLAIN.parse(text) is None
    assert PLAIN.describe() == "<bits>p (plain, 2 to 3 bits)"
    assert parse_choice("1b").scheme.describe() == "1b (binary)"
    assert (repr(PLAIN), PLAIN.needless(2)) == ("<plain>", "")


def test_one_object_per_scheme() -> None:
    assert PLAIN == PLAIN
    assert Plain() != PLAIN
    assert hash(PLAIN) == hash("plain")
    with pytest.warns(DeprecationWarning, match="compare scheme.name with 'plain'"):
        assert PLAIN == "plain"
    with pytest.warns(DeprecationWarning, match="'uniform'"):
        assert PLAIN != "uniform"


def test_levels_are_codes_unless_it_says_otherwise() -> None:
    assert PLAIN.level_range(3) == (-4.0, 3.0)
    assert (PLAIN.gradient_divisor(2), PLAIN.gradient_divisor(3)) == (1.0, 3.0)
    codes = torch.tensor([[-4, 3]], dtype=torch.int8)
    integers = PLAIN.integers(codes, 3)
    assert (integers.dtype, integers.tolist()) == (torch.int32, [[-4, 3]])
    scale = torch.tensor([0.5])
    assert PLAIN.integer_unit(scale, 3) is scale


def test_codes_are_packed_in_twos_complement_from_the_lowest_bit() -> None:
    codes = np.array([[1, -1], [-4, 3]], np.int8)
    packed = PLAIN.pack(codes, 3)
    assert packed == (0b001 | 0b111 << 3 | 0b100 << 6 | 0b011 << 9).to_bytes(2, "little")
    assert PLAIN.unpack(packed, 3, 4).tolist() == [1, -1, -4, 3]
    with pytest.raises(ValueError, match="4"):
        PLAIN.pack([4], 3)
    for bad in (packed[:1], packed + b"\0"):
        with pytest.raises(ValueError, match="bytes"):
            PLAIN.unpack(bad, 3, 4)


def test_the_scale_is_the_learned_step_and_never_zero() -> None:
    step = torch.tensor([0.5, -0.25, 0.0], requires_grad=True)
    scale = PLAIN.scale(step)
    assert scale.tolist() == [0.5, 0.25, SMALLEST_SCALE]
    scale.sum().backward()
    assert step.grad is not None
    assert step.grad[:2].tolist() == [1.0, -1.0]
    assert PLAIN.parameter_of(scale) is scale
    assert PLAIN.parameter_range == (-math.inf, math.inf)


def test_scales_to_start_from() -> None:
    """LSQ's first, then 37 parts of the one that clips nothing; of nothing, the smallest."""
    weight = torch.tensor([[3.0, -1.0], [0.0, 0.0]])
    scales = PLAIN.initial_scales(weight, 3)
    assert len(scales) == 38
    assert scales[0][0].item() == pytest.approx(2 * 2.0 / math.sqrt(3.0))
    ratios = [(scale[0] / (3.0 / 3.0)).item() for scale in scales[1:]]
    assert ratios == pytest.approx([k / 40 for k in range(6, 43)])
    assert all(0 < scale[1].item() <= 2 * SMALLEST_SCALE for scale in scales)


def test_the_nominal_error_halves_by_bits() -> None:
    assert PLAIN.nominal_error(2) == 1.0
    assert PLAIN.nominal_error(7) == pytest.approx(2.0**-6)


def test_limits_leave_room_for_squares_in_float32() -> None:
    top = torch.tensor(LARGEST_WEIGHT, dtype=torch.float32)
    assert bool(torch.isfinite(top**2 * 2**20))
    assert float(torch.tensor(SMALLEST_SCALE, dtype=torch.float32)) > 0
