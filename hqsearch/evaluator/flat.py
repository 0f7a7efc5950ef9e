"""Records whose JSON is flat: the fields that this version reads, and whatever else there is.

The log holds JSON objects that evaluators fill as they like. A record names the keys that the
product itself reads, with their types; every other key is kept in ``extra``, as is a key without
a value, so that what is read is written again the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

#: Turns a JSON value into a field's; raises :class:`WrongType` where it is something else.
Reader = Callable[[Any], Any]
R = TypeVar("R", bound="FlatRecord")


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
    shown = repr(value)
    return WrongType(f"expected {what}, not {shown if len(shown) < 60 else type(value).__name__}")


def _named(key: str, reader: Reader, value: Any) -> Any:
    try:
        return reader(value)
    except WrongType as error:
        raise WrongType(f"{key}: {error}") from None


def plain(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table as JSON values: numpy's scalars and arrays, tuples and records are converted.

    Raises:
        WrongType: naming the key: a number that is not finite, or what JSON does not have.
    """
    try:
        return dict(json.loads(json.dumps(table, allow_nan=False)))
    except (TypeError, ValueError):  # slower, and it knows where
        return {str(key): _plain(value, str(key)) for key, value in table.items()}


def _plain(value: Any, key: str) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise WrongType(f"{key}: {value} is not a finite number")
        return value
    if isinstance(value, FlatRecord):
        value = value.to_json()
    if isinstance(value, Mapping):
        return {str(k): _plain(v, f"{key}.{k}") for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, f"{key}[{i}]") for i, v in enumerate(value)]
    raise WrongType(f"{key}: a {type(value).__name__} cannot be stored as JSON")
