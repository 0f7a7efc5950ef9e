"""Which trials are shown, and in which order: ``energy <= 3 uJ``, ``state = FAIL``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hqsearch.errors import DefinitionError, InputError, UnknownName
from hqsearch.problem.budgets import UNITS
from hqsearch.problem.objective import Objective
from hqsearch.store.records import TrialRow
from hqsearch.wording import option

_CONDITION = re.compile(r"\s*(\S.*?)\s*(<=|>=|!=|==|=|<|>|≤|≥)\s*(.*?)\s*")
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S*)")
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "==": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt,
    "<=": operator.le, ">=": operator.ge, "≤": operator.le, "≥": operator.ge,
}  # fmt: skip
#: Columns of every study, and whether they are numbers.
_COLUMNS = {
    "number": True, "run": True, "average_bits": True, "seed": True, "seconds": True,
    "copy_of": True, "attempts": True, "violation": True, "state": False, "strategy": False,
    "kind": False, "origin": False, "failure": False,
}  # fmt: skip


@dataclass(frozen=True)
class TrialColumns:
    """What conditions and orders may name in a study: fixed columns, objectives, dimensions."""

    objectives: Sequence[Objective]
    dimensions: Sequence[str]

    def known(self, name: str) -> None:
        """Refuse what is no column.

        Raises:
            UnknownName: with the nearest one.
        """
        names = [*_COLUMNS, *(o.name for o in self.objectives), *self.dimensions]
        if name not in names:
            raise UnknownName("column", name, names)

    def is_number(self, name: str) -> bool:
        return any(o.name == name for o in self.objectives) or _COLUMNS.get(name, False)

    def value(self, row: TrialRow, name: str) -> Any:
        """Of a trial; None where it has none."""
        if any(o.name == name for o in self.objectives):
            return (row.values or {}).get(name)
        return getattr(row, name) if name in _COLUMNS else row.choices.get(name)

    def number(self, name: str, text: str) -> float:
        """A number with the units of ``[constraints]``; fractions also in %.

        Raises:
            DefinitionError: it is none, or its unit is unknown.
        """
        fraction = any(o.name == name and o.unit == "fraction" for o in self.objectives)
        units = {"": 1.0, "%": 0.01} if fraction else {"": 1.0, **UNITS.get(name, {})}
        match = _NUMBER.fullmatch(text)
        if match is None or match[2] not in units:
            listed = ", ".join(unit for unit in units if unit) or "none"
            raise DefinitionError(
                f"{name}: expected a number (units: {listed}), and {text!r} was given"
            )
        return float(match[1]) * units[match[2]]


def selected(
    rows: Sequence[TrialRow],
    columns: TrialColumns,
    where: Sequence[str] = (),
    sort: str | None = None,
    limit: int | None = None,
) -> list[TrialRow]:
    """Trials that meet every condition, in order.

    Args:
        where: conditions, ``COLUMN OPERATOR VALUE`` with ``= != < <= > >=``; trials that have no
            such value meet none.
        sort: a column; with ``-`` before it the largest first. Trials without a value come last.
        limit: how many at most.

    Raises:
        UnknownName: a column that there is not.
        DefinitionError: a condition that cannot be read.
        InputError: a limit below 0.
    """
    if limit is not None and limit < 0:
        raise InputError(f"{option('limit', limit)}: at least 0")
    tests = [_test(text, columns) for text in where]
    kept = [row for row in rows if all(test(row) for test in tests)]
    if sort is not None:
        descending, name = sort.startswith("-"), sort.removeprefix("-")
        columns.known(name)
        having = [row for row in kept if columns.value(row, name) is not None]
        having.sort(key=lambda row: columns.value(row, name), reverse=descending)
        kept = having + [row for row in kept if columns.value(row, name) is None]
    return kept if limit is None else kept[:limit]


def _test(text: str, columns: TrialColumns) -> Callable[[TrialRow], bool]:
    match = _CONDITION.fullmatch(text)
    if match is None or not match[3]:
        raise DefinitionError(
            f"{option('where', repr(text))}: expected COLUMN OPERATOR VALUE, such as "
            "'energy <= 3 uJ', 'state = FAIL' or 'head = 4u'"
        )
    name, how, given = match[1], match[2], match[3]
    columns.known(name)
    compare = _OPERATORS[how]
    wanted: Any = columns.number(name, given) if columns.is_number(name) else given
    if isinstance(wanted, str) and compare not in (operator.eq, operator.ne):
        raise DefinitionError(
            f"{option('where', repr(text))}: {name} is a text; only = and != go with it"
        )
    if name == "state":
        wanted = wanted.upper()

    def test(row: TrialRow) -> bool:
        value = columns.value(row, name)
        return value is not None and compare(value, wanted)

    return test
