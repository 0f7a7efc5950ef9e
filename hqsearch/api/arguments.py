"""Arguments of methods, checked as a person gave them."""

from __future__ import annotations

from typing import Any

from hqsearch.api.describing import plain
from hqsearch.errors import DefinitionError

_PLACES: dict[str, tuple[str, ...]] = {
    "device": ("auto", "cpu", "cuda"),
    "executor": ("auto", "in-process", "ray"),
    "clock": ("wall", "cpu"),
}


def whole(value: Any, name: str, least: int | None) -> int | None:
    """A whole number, or None.

    Raises:
        DefinitionError: it is none, or smaller than ``least``.
    """
    value = plain(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise DefinitionError(f"{name}: expected a whole number (given: {value!r})")
    if least is not None and value < least:
        raise DefinitionError(f"{name}: at least {least} is needed (given: {value})")
    return value


def number_of(value: Any, name: str) -> int:
    """A number from 0.

    Raises:
        DefinitionError: it is none.
    """
    number = whole(value, name, 0)
    if number is None:
        raise DefinitionError(f"{name}: a whole number is needed")
    return number


def one_of(value: Any, name: str) -> None:
    if value not in _PLACES[name]:
        listed = ", ".join(_PLACES[name])
        raise DefinitionError(f"{name}: expected one of {listed} (given: {value!r})")
