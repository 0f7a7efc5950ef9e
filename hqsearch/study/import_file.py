"""Reading results that were measured elsewhere: a CSV or JSON file, or rows of Python.

What is wrong with a file is told all at once, by row, before anything is written.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hqsearch.errors import ImportRefused, InputError, UnknownName
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import Objective
from hqsearch.problem.space import Space

#: Ending of the column of an objective's standard error in a CSV file.
ERROR = "_se"
#: What ``hqsearch trials`` prints of a trial beside its values and choices.
_TOLD = frozenset({
    "number", "state", "run", "strategy", "kind", "copy_of", "average_bits", "seconds", "details",
})  # fmt: skip
_KEYS = frozenset({"choices", "values", "standard_errors", "source", "seed"})


@dataclass(frozen=True)
class ImportedRow:
    """One result.

    Attributes:
        place: where it stands, for messages.
        candidate: of the study's space.
        values: by objective; those that can be computed may be missing.
        errors: standard errors, by objective.
        source: where it was measured.
        seed: of its training; None where it is not told.
    """

    place: str
    candidate: Candidate
    values: dict[str, float]
    errors: dict[str, float] = field(default_factory=dict)
    source: str = ""
    seed: int | None = None


@dataclass(frozen=True)
class ImportedFile:
    """What a file holds: its rows, how many were left out, and the SHA-256 of its content."""

    name: str
    sha256: str
    rows: tuple[ImportedRow, ...]
    left_out: int = 0


Raw = tuple[str, Mapping[str, Any]]
"""A row's place, and what it says: ``choices``, ``values``, …"""


def read_results(
    given: Path | Sequence[Mapping[str, Any]],
    space: Space,
    objectives: tuple[Objective, ...],
    computed: Collection[str] = (),
    source: str | None = None,
) -> ImportedFile:
    """Results from a ``.csv`` or ``.json`` file, or as dictionaries.

    Args:
        given: the file, or rows as a JSON file has them.
        space: of the study.
        objectives: of the study.
        computed: those that rows may leave out, for the study's cost model gives them.
        source: of rows that say none; the file's name by default.

    Raises:
        ImportRefused: with everything that is wrong.
        InputError: a file that cannot be read, or is neither CSV nor JSON.
    """
    if isinstance(given, Path):
        content, name = _content(given), given.name
        csv_file = given.suffix.lower() == ".csv"
        raw, problems, missing = (
            _csv_rows(content, name, space, objectives)
            if csv_file
            else (_json_rows(content, name), [], [])
        )
    else:
        name, problems, missing = "rows", [], []
        raw = [(f"row {place}", row) for place, row in enumerate(given, 1)]
        content = _as_json(given)
    kept = [(place, row) for place, row in raw if not _without_result(row)]
    if not kept and not problems:
        raise ImportRefused(name, ["there is no result in it"])
    rows = []
    reader = _Reader(space, objectives, computed, missing, source or name)
    for place, row in kept:
        read, found = reader.row(place, row)
        problems += [f"{place}: {problem}" for problem in found]
        if read is not None:
            rows.append(read)
    problems += _repeated(rows)
    if problems:
        raise ImportRefused(name, problems)
    told = f"{source or ''}\n{content}"
    digest = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
    return ImportedFile(name, digest, tuple(rows), len(raw) - len(kept))


def _content(path: Path) -> str:
    if path.suffix.lower() not in (".csv", ".json"):
        raise InputError(f"{path}: results are read from a .csv or a .json file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ImportRefused(
            path.name,
            [f"line {line} is not UTF-8 (byte {data[error.start]:#04x}); save it as such"],
        ) from None


def _as_json(rows: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(list(rows), default=str, sort_keys=True)


def _without_result(row: Mapping[str, Any]) -> bool:
    """Whether it is a line of ``hqsearch trials`` that holds no result of its own: a trial that
    failed or goes on, a copy, a replicate on the test split."""
    state = row.get("state", "COMPLETE") if isinstance(row, Mapping) else "COMPLETE"
    if state not in ("COMPLETE", "", None):
        return True
    return isinstance(row, Mapping) and (
        row.get("copy_of") not in ("", None) or row.get("kind") == "replicate"
    )


def _json_rows(content: str, name: str) -> list[Raw]:
    try:
        rows = json.loads(content)
    except RecursionError:
        raise ImportRefused(name, ["it is nested too deeply"]) from None
    except ValueError as error:
        raise ImportRefused(name, [f"it is no JSON: {error}"]) from None
    if not isinstance(rows, list):
        what = "expected a list of objects with choices and values"
        raise ImportRefused(name, [f"{what}, and it is {_kind(rows)}"])
    return [(f"row {place}", row) for place, row in enumerate(rows, 1)]


def _csv_rows(
    content: str, name: str, space: Space, objectives: tuple[Objective, ...]
) -> tuple[list[Raw], list[str], list[str]]:
    """Rows of a table: a column for each dimension and objective, ``<objective>_se``, …

    Returns:
        The rows, what is wrong with the table as such, and the dimensions without a column.
    """
    try:
        lines = list(csv.reader(io.StringIO(content, newline=""), strict=True))
    except csv.Error as error:
        raise ImportRefused(name, [f"it is no CSV: {error}"]) from None
    if not lines:
        raise ImportRefused(name, ["it is empty"])
    head = [cell.strip() for cell in lines[0]]
    names = [o.name for o in objectives]
    errors = {f"{n}{ERROR}": n for n in names}
    known = {*space.names, *names, *errors, *_TOLD, "source", "seed"}
    problems = [f"column {column!r} is there twice" for column in _twice(head)]
    listed = [*space.names, *names, *errors, "source", "seed"]
    problems += [_unknown("column", column, listed) for column in head if column not in known]
    missing = [column for column in space.names if column not in head]
    problems += [f"there is no column {column!r}" for column in missing]
    rows: list[Raw] = []
    for number, cells in enumerate(lines[1:], 2):
        if not any(cell.strip() for cell in cells):
            continue
        place = f"line {number}"
        if len(cells) != len(head):
            problems.append(f"{place}: {len(cells)} cells under {len(head)} columns")
            continue
        row = {k: v.strip() for k, v in zip(head, cells, strict=True)}
        rows.append((place, {
            **{k: row[k] for k in _TOLD if k in row},
            "choices": {n: row[n] for n in space.names if n in row},
            "values": {n: row[n] for n in names if row.get(n)},
            "standard_errors": {n: row[c] for c, n in errors.items() if row.get(c)},
            **{k: row[k] for k in ("source", "seed") if row.get(k)},
        }))  # fmt: skip
    return rows, problems, missing


def _twice(names: Sequence[str]) -> Iterator[str]:
    yield from sorted({name for name in names if names.count(name) > 1})


class _Reader:
    """Reads rows of one file.

    Args:
        missing: dimensions of which the file has no column, which is told already.
    """

    def __init__(
        self,
        space: Space,
        objectives: tuple[Objective, ...],
        computed: Collection[str],
        missing: Collection[str],
        source: str,
    ) -> None:
        self._space, self._objectives, self._computed = space, objectives, computed
        self._missing, self._source = missing, source

    def row(self, place: str, row: Any) -> tuple[ImportedRow | None, list[str]]:
        """One row, and what is wrong with it; None where something is."""
        if not isinstance(row, Mapping):
            return None, [f"expected an object with choices and values, and it is {_kind(row)}"]
        told = [_unknown("key", key, sorted(_KEYS)) for key in row if key not in _KEYS | _TOLD]
        choices = _table(row, "choices", told)
        values = _table(row, "values", told)
        errors = _table(row, "standard_errors", told, needed=False) or {}
        candidate = self._candidate(choices, told) if choices is not None else None
        numbers = _numbers(values or {}, self._objectives, "", told)
        bounds = _numbers(errors, self._objectives, "standard error of ", told)
        if values is not None:
            told += [
                f"no value of {o.name}"
                for o in self._objectives
                if o.name not in values and o.name not in self._computed
            ]
            told += [
                f"a standard error of {name} without its value"
                for name in bounds
                if name not in values
            ]
        bounds |= _told_error(row.get("details"), numbers, bounds)
        seed = _seed(row.get("seed"), told)
        given = row.get("source")
        if given is not None and (not isinstance(given, str) or not given.isprintable()):
            told.append(f"source is {given!r}, and no line of text")
        if told or candidate is None:
            return None, told
        return ImportedRow(place, candidate, numbers, bounds, str(given or self._source), seed), []

    def _candidate(self, choices: Mapping[str, Any], told: list[str]) -> Candidate | None:
        """The candidate of an assignment, every name and value of which is looked at."""
        space, before = self._space, len(told)
        told += [_unknown("layer", n, space.names) for n in choices if n not in space.names]
        for dimension in space.dimensions:
            if dimension.name in self._missing:
                continue
            if dimension.name not in choices:
                told.append(f"no choice for {dimension.name!r}")
                continue
            value = choices[dimension.name]
            if value not in dimension.values:
                told.append(f"{dimension.name}: {_unknown('choice', value, dimension.values)}")
        whole = len(told) == before and not self._missing
        return space.candidate(dict(choices)) if whole else None


def _told_error(
    details: Any, numbers: Mapping[str, float], bounds: Mapping[str, float]
) -> dict[str, float]:
    """The standard error of the accuracy that ``hqsearch trials --json`` tells."""
    error = details.get("accuracy_se") if isinstance(details, Mapping) else None
    if "accuracy" not in numbers or "accuracy" in bounds:
        return {}
    if isinstance(error, bool) or not isinstance(error, int | float):
        return {}
    return {"accuracy": float(error)} if 0 <= error < math.inf else {}


def _table(
    row: Mapping[str, Any], key: str, told: list[str], needed: bool = True
) -> Mapping[str, Any] | None:
    found = row.get(key)
    if found is None and not needed:
        return {}
    if found is None:
        told.append(f"{key} are missing")
        return None
    if not isinstance(found, Mapping):
        told.append(f"{key} are {_kind(found)}, and not an object")
        return None
    return found


def _numbers(
    given: Mapping[str, Any], objectives: tuple[Objective, ...], what: str, told: list[str]
) -> dict[str, float]:
    """Numbers by objective that are what they must be."""
    by_name = {o.name: o for o in objectives}
    found: dict[str, float] = {}
    for name, value in given.items():
        objective = by_name.get(name)
        if objective is None:
            told.append(f"{what}{_unknown('objective', name, by_name)}")
            continue
        number = _number(value)
        if number is None:
            told.append(f"{what}{name} is {value!r}, and no number")
        elif not math.isfinite(number):
            told.append(f"{what}{name} is {number}")
        elif objective.unit == "fraction" and not 0.0 <= number <= 1.0:
            told.append(f"{what}{name} is {number:g}, and a fraction lies in 0 … 1 (0.912: 91.2 %)")
        elif number < 0.0 and (what or objective.cheap):
            told.append(f"{what}{name} is {number:g}, and cannot be negative")
        else:
            found[name] = number
    return found


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _seed(value: Any, told: list[str]) -> int | None:
    if value is None:
        return None
    try:
        seed = int(value) if isinstance(value, int | str) and not isinstance(value, bool) else -1
    except ValueError:
        seed = -1
    if not 0 <= seed < 2**63:
        told.append(f"seed is {value!r}, and no whole number from 0")
        return None
    return seed


def _repeated(rows: Sequence[ImportedRow]) -> list[str]:
    """Rows of the same candidate and seed; of one result there is one row."""
    first: dict[tuple[str, int | None, str], str] = {}
    problems = []
    for row in rows:
        key = (row.candidate.key, row.seed, row.source)
        if key in first:
            problems.append(f"{row.place}: the assignment, seed and source of {first[key]} again")
        first.setdefault(key, row.place)
    return problems


def _unknown(what: str, name: Any, known: Any) -> str:
    return str(UnknownName(what, name if isinstance(name, str) else repr(name), list(known)))


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "text",
        type(None): "null",
        bool: "a truth value",
    }
    return names.get(
        type(value), "a number" if isinstance(value, int | float) else "something else"
    )
