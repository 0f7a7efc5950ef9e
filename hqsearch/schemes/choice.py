"""How one weight layer is stored: ``<bits><scheme>`` or ``fp32``.

Scheme ``u`` is uniform, ``l`` is power-of-two (log), after the figure labels of SpikeHQ
(arXiv 2412.05505). Pure vocabulary: no torch here, so that every command may use it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from hqsearch.errors import DefinitionError, closest

Scheme = Literal["uniform", "power-of-two", "float"]

#: Bit widths that exist, per scheme.
WIDTHS: dict[Scheme, range] = {"uniform": range(2, 9), "power-of-two": range(2, 6)}
FP32 = "fp32"
_PATTERN = re.compile(r"([1-9]\d*)([ul])")


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to store a layer: ``bits`` per weight (codes only) and the scheme."""

    text: str
    bits: int
    scheme: Scheme

    def __str__(self) -> str:
        return self.text


@lru_cache
def parse_choice(text: str) -> Choice:
    """Read a choice.

    >>> parse_choice("4l")
    Choice(text='4l', bits=4, scheme='power-of-two')

    Raises:
        DefinitionError: ``text`` is no choice, or a width that its scheme does not have.
    """
    if text == FP32:
        return Choice(FP32, 32, "float")
    match = _PATTERN.fullmatch(text)
    if match:
        bits = int(match[1])
        scheme: Scheme = "uniform" if match[2] == "u" else "power-of-two"
        if bits in WIDTHS[scheme]:
            return Choice(text, bits, scheme)
    known = all_choices()
    near = closest(text, known)
    hint = f"; did you mean {near!r}?" if near else ""
    raise DefinitionError(
        f"unknown choice {text!r}{hint} A choice is <bits>u (uniform, 2 to 8 bits), "
        f"<bits>l (power-of-two, 2 to 5 bits) or fp32."
    )


def all_choices() -> list[str]:
    """Every choice that exists, cheapest first."""
    names = [f"{b}u" for b in WIDTHS["uniform"]] + [f"{b}l" for b in WIDTHS["power-of-two"]]
    return [*sorted(names, key=lambda c: (int(c[:-1]), c)), FP32]
