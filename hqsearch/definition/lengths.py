"""Lengths of time with their unit, and patterns with one group: texts that ``[data]`` may hold."""

from __future__ import annotations

import re

from hqsearch.errors import DefinitionError

#: Unit -> microseconds.
_MICROSECONDS = {"us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6}
_LENGTH = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zµ]+)\s*")
#: Shortest and longest window, in microseconds.
_SHORTEST, _LONGEST = 1_000, 3_600_000_000


def window_microseconds(text: str) -> int:
    """Whole microseconds of a text such as ``"400 ms"``.

    >>> window_microseconds("400 ms"), window_microseconds("1.5 s")
    (400000, 1500000)

    Raises:
        DefinitionError: it is none, or not 1 ms to an hour.
    """
    match = _LENGTH.fullmatch(text)
    if match is None or match[2] not in _MICROSECONDS:
        raise DefinitionError(
            f"[data] window must be a length of time with its unit (us, ms or s), such as "
            f'"400 ms"; {text!r} was given.'
        )
    length = round(float(match[1]) * _MICROSECONDS[match[2]])
    if not _SHORTEST <= length <= _LONGEST:
        raise DefinitionError(f"[data] window must be 1 ms to 3600 s; {text!r} was given.")
    return length


def check_pattern(pattern: str) -> None:
    """A regular expression with one group.

    Raises:
        DefinitionError: it is none.
    """
    hint = "such as 'subject(\\d+)'; what the group matches in a recording's path is its group"
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise DefinitionError(
            f"[data] group is no regular expression ({error}); {pattern!r} was given, {hint}."
        ) from None
    if groups != 1:
        raise DefinitionError(
            f"[data] group needs one group in parentheses, {hint}; {pattern!r} has {groups}."
        )
