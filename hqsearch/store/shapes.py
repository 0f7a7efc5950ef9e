"""What the log's JSON must be before anything is made of it.

A damaged or foreign database may hold any JSON in any column. What is read is compared with the
types that its record declares, so that a wrong one is told where it is read, not where it is
used.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

R = TypeVar("R")
_Check = Callable[[Any], bool]

#: States that Optuna gives a trial.
STATES = frozenset({"RUNNING", "WAITING", "COMPLETE", "PRUNED", "FAIL"})


def checked(record: R) -> R:
    """A record that was made of JSON.

    Raises:
        ValueError: a field is not what its type says, naming it.
    """
    kind: Any = type(record)
    for name, check in _checks(kind):
        if not check(getattr(record, name)):
            raise ValueError(f"{name} is {_short(getattr(record, name))}")
    return record


def check_attributes(attributes: Mapping[str, Any]) -> None:
    """Compare the attributes that hqsearch gives a study with what they must be.

    Raises:
        ValueError: naming the first one that is something else.
    """
    for path, (check, needed) in _ATTRIBUTES.items():
        *parents, key = path.split(".")
        table: Any = attributes
        for parent in parents:
            table = None if table is None else table.get(parent)
        if table is None:
            continue
        if needed and key not in table:
            raise ValueError(f"{path} is missing")
        if key in table and not check(table[key]):
            raise ValueError(f"{path} is {_short(table[key])}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


@cache
def _checks(kind: type) -> tuple[tuple[str, _Check], ...]:
    assert is_dataclass(kind)
    hints = get_type_hints(kind)
    return tuple((f.name, _check_of(hints[f.name])) for f in fields(kind))


def _check_of(hint: Any) -> _Check:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return lambda value: True
    if hint is float:
        return lambda value: type(value) in (float, int)
    if origin in (Union, types.UnionType):
        checks = tuple(_check_of(a) for a in arguments)
        return lambda value: any(check(value) for check in checks)
    if origin is tuple:
        item = _check_of(arguments[0])
        return lambda value: type(value) in (tuple, list) and all(map(item, value))
    if origin is list:
        item = _check_of(arguments[0])
        return lambda value: type(value) is list and all(map(item, value))
    if origin is dict:
        content = _check_of(arguments[1])
        return lambda value: type(value) is dict and all(map(content, value.values()))
    if origin is Literal:
        return lambda value: value in arguments
    return lambda value: type(value) is hint


def _is_objectives(value: Any) -> bool:
    wanted = {"name": str, "unit": str, "direction": str, "cheap": bool}
    added = {"resolution": float, "modelled": bool}
    return (
        type(value) is list
        and bool(value)
        and all(
            type(o) is dict
            # Before 0.3 fronts told every difference, as it was measured.
            and wanted.keys() <= o.keys() <= wanted.keys() | added.keys()
            and all(type(o[k]) is {**wanted, **added}[k] for k in o)
            and o["direction"] in ("min", "max")
            for o in value
        )
        and len({o["name"] for o in value}) == len(value)
    )


def _is_names(value: Any) -> bool:
    return _check_of(list[str])(value) and len(set(value)) == len(value)


def _within(low: float, high: float) -> _Check:
    return lambda value: type(value) in (float, int) and low <= value <= high


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


#: Attribute of a study → its check, and whether it is there wherever its table is.
_ATTRIBUTES: Mapping[str, tuple[_Check, bool]] = {
    "study": (_check_of(dict[str, Any]), False),
    "study.name": (_check_of(str), True),
    "study.token": (_check_of(str), False),
    "study.title": (_check_of(str), False),
    "study.objectives": (_is_objectives, True),
    "study.dimensions": (_is_names, True),
    "study.notes": (_check_of(list[str]), False),
    "study.margin": (_within(0.0, 100.0), False),
    "study.rules": (_check_of(int), False),
    "study.parent": (_check_of(dict[str, Any]), False),
    "study.parent.accuracy": (_within(0.0, 1.0), True),
    "study.parent.samples": (_is_count, True),
    "study.parent.chance": (_within(0.0, 1.0), True),
    "prepared": (_check_of(dict[str, str]), False),
    "definition": (_check_of(dict[str, Any]), False),
    "fingerprint": (_check_of(dict[str, Any]), False),
    "fingerprint.evaluator": (_check_of(str), True),
    "fingerprint.device": (_check_of(Literal["cpu", "cuda"]), True),
    "fingerprint.recipe": (_check_of(int), False),
    "free": (_check_of(dict[str, Any]), False),
    "free.data_path": (_check_of(str | None), True),
    "free.evaluation": (_check_of(dict[str, Any]), True),
}
