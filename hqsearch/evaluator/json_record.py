"""Records whose JSON is flat: the fields that this version reads, and whatever else there is.

The log holds JSON objects that evaluators fill as they like. A record names the keys that the
product itself reads, with their types; every other key is kept in ``extra``, as is a key without
a value, so that what is read is written again the same.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from hqsearch.wording import storable

#: Turns a JSON value into a field's; raises :class:`WrongType` where it is something else.
Reader = Callable[[Any], Any]
R = TypeVar("R", bound="FlatRecord")

#: How deep tables and lists may be nested; readers of JSON have limits of their own.
DEEPEST = 100
#: In JSON text: what may be an integer of more than 64 bits, or half a character.
_SUSPECT = re.compile(r"\d{19}|\\ud[89a-f]")


class WrongType(ValueError):
    """A value that is not what its key holds."""


@dataclass(frozen=True, kw_only=True)
class FlatRecord:
    """Base of the records; a field that is None is not there."""

    #: Key → its reader, for every field but ``extra``.
    readers: ClassVar[Mapping[str, Reader]] = {}

    extra: dict[str, Any] = field(default_factory=dict)
    """Keys that the product does not read, or that hold nothing: JSON values."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any], strict: bool = False) -> Self:
        """Read an object of the log; what is not of its key's type is kept, but not as a field.

        Args:
            data: JSON values, as :func:`plain` makes them.
            strict: refuse what is not of its key's type.

        Raises:
            WrongType: naming the key.
        """
        read: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for key, value in data.items():
            reader = cls.readers.get(key)
            if reader is None or value is None:
                extra[key] = value
                continue
            try:
                read[key] = reader(value)
            except WrongType as error:
                if strict:
                    raise WrongType(f"{key}: {error}") from None
                extra[key] = value
        return cls(**read, extra=extra)

    def to_json(self) -> dict[str, Any]:
        """As it is stored: one flat object."""
        stored: dict[str, Any] = {}
        for key in self.readers:
            value = getattr(self, key)
            if value is not None:
                stored[key] = _stored(value)
        return {**stored, **self.extra}


def _stored(value: Any) -> Any:
    if isinstance(value, FlatRecord):
        return value.to_json()
    if isinstance(value, tuple):
        return [_stored(v) for v in value]
    return value


# Readers


def number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong("a number", value)
    return value


def measured_number(value: Any) -> float:
    """What stands for one number: Python's, numpy's, a tensor of one element.

    Raises:
        WrongType: it is no number, or too large for a float.
    """
    if not isinstance(value, str | bytes | bytearray | bool):
        try:
            return float(value.item() if hasattr(value, "item") else value)
        except OverflowError:
            raise WrongType("the number is too large") from None
        except (TypeError, ValueError, RuntimeError):
            pass
    raise _wrong("a number", value)


def integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong("an integer", value)
    return value


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong("a text", value)
    return value


def table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong("a table", value)
    return value


def numbers(value: Any) -> dict[str, float]:
    """A table of numbers."""
    return {key: _named(key, number, v) for key, v in table(value).items()}


def tables_of_numbers(value: Any) -> dict[str, dict[str, float]]:
    return {key: _named(key, numbers, v) for key, v in table(value).items()}


def texts(value: Any) -> dict[str, str]:
    """A table of texts."""
    return {key: _named(key, text, v) for key, v in table(value).items()}


def rows_of(kind: type[R]) -> Callable[[Any], tuple[R, ...]]:
    """A list of records."""

    def read(value: Any) -> tuple[R, ...]:
        if not isinstance(value, list):
            raise _wrong("a list", value)
        return tuple(
            _named(str(i), lambda v: kind.from_json(table(v), strict=True), row)
            for i, row in enumerate(value)
        )

    return read


def _wrong(what: str, value: Any) -> WrongType:
    try:
        shown = repr(value)
    except Exception:  # a user's object, or an integer with thousands of digits
        shown = ""
    short = 0 < len(shown) < 60
    return WrongType(f"expected {what}, not {shown if short else f'a {type(value).__name__}'}")


def _named(key: str, reader: Reader, value: Any) -> Any:
    try:
        return reader(value)
    except WrongType as error:
        raise WrongType(f"{key}: {error}") from None


def plain(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table as JSON values: numpy's scalars and arrays, tuples and records are converted.

    Raises:
        WrongType: naming the key: a number that is not finite or has more than 64 bits, what
            JSON does not have, or what is nested too deeply; or that it is no table.
    """
    if not isinstance(table, Mapping):
        raise _wrong("a table", table)
    try:
        text = json.dumps(table, allow_nan=False)
        if not _SUSPECT.search(text):
            return dict(json.loads(text))
    except (TypeError, ValueError, RecursionError):
        pass
    # Slower, and it knows where.
    return {_key(key): _plain(value, _key(key), 1) for key, value in table.items()}


def _key(key: Any) -> str:
    return str(storable(str(key)))


def _plain(value: Any, key: str, depth: int) -> Any:
    if depth > DEEPEST:
        raise WrongType(f"{key[:60]}…: nested deeper than {DEEPEST} levels")
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return storable(str(value))
    if isinstance(value, int):
        if value.bit_length() > 63:
            raise WrongType(f"{key}: an integer of {value.bit_length()} bits; 64 can be stored")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise WrongType(f"{key}: {value} is not a finite number")
        return value
    if isinstance(value, FlatRecord):
        value = value.to_json()
    if isinstance(value, Mapping):
        return {_key(k): _plain(v, f"{key}.{_key(k)}", depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, f"{key}[{i}]", depth + 1) for i, v in enumerate(value)]
    raise WrongType(f"{key}: a {type(value).__name__} cannot be stored as JSON")
