"""A user's own scheme, from outside the package: the choice ``2t``, codes -1, 0 and 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hqsearch.schemes import IntegerAdder, Scheme

if TYPE_CHECKING:
    from torch import Tensor


class Ternary(Scheme):
    """Levels -1, 0 and 1 times a learned step."""

    name, letter, widths = "ternary", "t", range(2, 3)

    def code_range(self, bits: int) -> tuple[int, int]:
        return -1, 1

    def ratio_to_code(self, ratio: Tensor, bits: int) -> Tensor:
        return ratio.round().clamp_(-1, 1)

    def code_to_level(self, codes: Tensor, bits: int) -> Tensor:
        return codes

    def adder(self, bits: int) -> IntegerAdder:
        return IntegerAdder(bits)


class Half(Scheme):
    """Not finished."""

    name, letter, widths = "half", "h", range(2, 3)

    def code_range(self, bits: int) -> tuple[int, int]:
        return -1, 1


class Nameless(Ternary):
    """Lacks nothing, but for a choice of its own."""

    name, letter = "nameless", "u"


class Wide(Ternary):
    """More bits than a code can have."""

    name, letter, widths = "wide", "w", range(2, 10)


class Loud(Ternary):
    """A letter that would end a key."""

    name, letter = "loud", ";"


nothing = 3
