"""Arguments of methods, checked as a person gave them."""

from __future__ import annotations

import math
import re
from typing import Any

from hqsearch.api.describing import plain
from hqsearch.errors import DefinitionError
from hqsearch.wording import option

_PLACES: dict[str, tuple[str, ...]] = {
    "device": ("auto", "cpu", "cuda"),
    "executor": ("auto", "in-process", "ray"),
    "clock": ("wall", "cpu"),
}
#: Seconds.
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TIME = r"(\d+(?:\.\d+)?)\s*(seconds?|sec|s|minutes?|min|m|hours?|h|days?|d)(?![a-z])"


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


def seconds(value: Any, name: str) -> float | None:
    """A time in seconds, from their number or a text such as ``20m``, or None.

    >>> [seconds(v, "time_limit") for v in (90, "90s", "1h30m", "1.5 h", "2 d")]
    [90.0, 90.0, 5400.0, 5400.0, 172800.0]

    Raises:
        DefinitionError: it is none, or not above 0.
    """
    value = plain(value)
    if value is None:
        return None
    total = math.nan
    if isinstance(value, str):
        parts = re.findall(_TIME, value)
        if parts and re.fullmatch(f"\\s*(?:{_TIME}\\s*)+", value):
            total = sum(float(number) * _UNITS[unit[0]] for number, unit in parts)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        total = float(value)
    if not (math.isfinite(total) and total > 0):
        raise DefinitionError(
            f"{option(name)}: expected a time above 0 such as 90s, 20m, 1h30m or 2d, or a number "
            f"of seconds in Python (given: {value!r})"
        )
    return total


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
