"""How one weight layer is stored: ``<bits><letter of a scheme>``, such as ``4u``, or ``fp32``.

Pure vocabulary: no torch here, so that every command may use it. Which schemes there are, and
so which choices, says :mod:`hqsearch.schemes.registry`.
"""

from __future__ import annotations

import copyreg
from collections.abc import Callable
from functools import lru_cache

from hqsearch.errors import DefinitionError, closest
from hqsearch.schemes.base import Choice
from hqsearch.schemes.fp32 import FP32
from hqsearch.schemes.registry import find_choice, schemes

__all__ = ["FP32", "Choice", "all_choices", "parse_choice"]


@lru_cache(maxsize=1024)
def parse_choice(text: str) -> Choice:
    """Read a choice.

    >>> parse_choice("4l")
    Choice(text='4l', bits=4, scheme=<power-of-two>)

    Raises:
        DefinitionError: ``text`` is no choice, or a width that its scheme does not have.
    """
    choice = find_choice(text)
    if choice is not None:
        return choice
    near = closest(text, all_choices())
    hint = f"; did you mean {near!r}?" if near else ""
    *most, last = (scheme.describe() for scheme in schemes())
    raise DefinitionError(f"unknown choice {text!r}{hint} A choice is {', '.join(most)} or {last}.")


def all_choices() -> list[str]:
    """Every choice that exists, cheapest first."""
    every = [choice for scheme in schemes() for choice in scheme.choices()]
    return [c.text for c in sorted(every, key=lambda c: (c.bits, c.text))]


def _by_text(choice: Choice) -> tuple[Callable[[str], Choice], tuple[str]]:
    """A copy, or one in another process, has the very scheme that is registered there."""
    return parse_choice, (choice.text,)


copyreg.pickle(Choice, _by_text)
