"""``results.db``: the log as tables that are made to be browsed.

A projection: it is caught up from the log before every use and may be deleted at any time.
One that turns out to be damaged is made anew; where none can be written, it is made in memory.
``trials`` has one column per dimension and per objective; ``layers`` the per-layer costs;
``fronts`` the front after every catch-up that changed it; ``runs`` and ``study`` the rest;
:mod:`hqsearch.store.views` answers the usual questions.
"""

from __future__ import annotations

import gc
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from sqlite_utils import Database

from hqsearch.errors import HqsearchError, StudyDamaged
from hqsearch.problem.budgets import Budget
from hqsearch.problem.objective import Objective
from hqsearch.store.agreement import (
    FRONTS_KEY,
    SCHEMA_KEY,
    disagreements,
    fronts_text,
    schema_text,
    tell,
    told,
)
from hqsearch.store.database import is_server, shown
from hqsearch.store.fronts import front_of
from hqsearch.store.lock import DriverLock
from hqsearch.store.log_reader import DAMAGE, LogReader, damaged, said
from hqsearch.store.model_record import ModelRecord
from hqsearch.store.reading import is_unwritable
from hqsearch.store.records import FINISHED, RunRecord, TrialRecord, TrialRow
from hqsearch.store.shapes import STATES
from hqsearch.store.views import quoted, view_statements

T = TypeVar("T")

SCHEMA = 4
_FIXED = (
    "number", "state", "run", "strategy", "kind", "copy_of", "average_bits", "seed", "seconds",
    "violation", "failure", "reason", "attempts", "origin", "stopped_at", "details",
)  # fmt: skip
#: Column → types of what it holds; every other one holds text.
_KINDS: Mapping[str, set[type]] = {
    **{key: {int} for key in ("number", "run", "seed", "attempts")},
    **{key: {int, type(None)} for key in ("copy_of", "stopped_at")},
    **{key: {float, int, type(None)} for key in ("average_bits", "seconds", "value")},
    "violation": {float, int},
}


class Results:
    """The tables of one study, caught up from its log."""

    def __init__(self, folder: Path, reader: LogReader, in_memory: bool = False) -> None:
        self.path = folder / "results.db"
        self._url, self._name = reader.url, reader.name
        self.attributes = reader.attributes()
        self.study: dict[str, Any] = self.attributes.get("study", {})
        self.prepared: dict[str, str] = self.attributes.get("prepared", {})
        self.runs: list[RunRecord] = reader.runs()
        self.models: dict[int, ModelRecord] = reader.models()
        self.budgets: tuple[Budget, ...] = self.runs[-1].budgets if self.runs else ()
        """The front is filtered by them: the latest run's, unless set otherwise."""
        self.objectives = tuple(Objective(**o) for o in self.study.get("objectives", []))
        self.dimensions: list[str] = list(self.study.get("dimensions", []))
        self._columns = _column_names(self.dimensions, [o.name for o in self.objectives])
        self._trials: list[TrialRow] | None = None
        self._db: Database
        self.rebuilt = False
        """Whether the tables that were there were damaged, or of another log or version."""
        self.in_memory = False
        """Whether results.db cannot be written, or was not asked for."""
        if in_memory:
            self._open_in_memory(reader)
            return
        there = self.path.exists()
        try:
            self._open(reader)
        except StudyDamaged:
            self._close()
            if not there:
                self._unlink()
            raise

    def _open(self, reader: LogReader) -> None:
        """The tables on disk, made anew where they are damaged; in memory where there is no
        writing.

        Raises:
            StudyDamaged: the log cannot be read.
        """
        try:
            self._connect()
            if self._is_of_this_log():
                self._catch_up(reader)
                return
        except (sqlite3.DatabaseError, *DAMAGE) as error:
            if is_unwritable(error):
                self._open_in_memory(reader)
                return
        self._make_anew(reader)

    def _make_anew(self, reader: LogReader) -> None:
        self._trials = None
        self._close()
        self.rebuilt = True
        try:
            self._unlink()
            self._connect()
            self._catch_up(reader)
        except (OSError, sqlite3.DatabaseError, *DAMAGE):
            self._open_in_memory(reader)

    def _open_in_memory(self, reader: LogReader) -> None:
        self._trials = None
        self._close()
        self._db = Database(sqlite3.connect(":memory:"))
        self.in_memory = True
        try:
            self._catch_up(reader)
        except (sqlite3.Error, *DAMAGE) as error:
            what = f"its records make no table: {said(error)}"
            raise damaged(self._url, self._name, what) from None

    def _connect(self) -> None:
        connection = sqlite3.connect(self.path, timeout=60)
        self._db = Database(connection)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    def _unlink(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def _close(self) -> None:
        if "_db" in vars(self):
            with suppress(sqlite3.Error):
                self._db.close()

    def _read(self, read: Callable[[], T]) -> T:
        """What the tables hold; they are made anew from the log where they turn out damaged."""
        try:
            return read()
        except (sqlite3.DatabaseError, *DAMAGE):
            self.rebuild()
            return read()

    def rebuild(self) -> None:
        """Make the tables anew from the log."""
        reader = LogReader(self._url, self._name)
        try:
            self._make_anew(reader)
        finally:
            reader.close()

    def _log(self) -> str:
        """What tells this log from another: its making and, on a server, its place."""
        return json.dumps([self.study, shown(self._url) if is_server(self._url) else ""])

    def _is_of_this_log(self) -> bool:
        """Whether the tables are new, or were made from this very log by this version."""
        made = self._db["trials"].exists()
        # In this order, for another process may make them in between.
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if not made:
            return version in (0, SCHEMA)
        if version != SCHEMA:
            return False
        made_from = self._db.execute("SELECT value FROM study WHERE key = 'log'").fetchone()
        return made_from is not None and bool(made_from[0] == self._log())

    @property
    def driver(self) -> str:
        """Who drives the study now; empty where nobody does."""
        return DriverLock.holder(self.path.parent, self._url, self._name)

    def _catch_up(self, reader: LogReader) -> None:
        db = self._db
        with db.conn:
            # One process at a time makes the tables, or finds them whole.
            db.conn.execute("BEGIN IMMEDIATE")
            known = db["trials"].exists()
            if known and schema_text(db) != told(db, SCHEMA_KEY):
                raise ValueError("tables that this version did not make")
            # A log whose facts were not there yet when they were read has nothing to show; trials
            # that its driver has added since are for the next reader.
            fresh = reader.trials(self._start() if known else 0) if self.study else []
            db.execute(f"PRAGMA user_version = {SCHEMA}")
            if not known:
                self._create_tables()
            self._put("trials", self._rows(fresh))
            if known and self.study:
                self._require_every_trial(reader)
            before = set(self._db["layers"].columns_dict)
            self._put("layers", _layer_rows(fresh))
            if not known or before != set(self._db["layers"].columns_dict):
                self._make_views()
            db["runs"].upsert_all(
                (
                    {**r.as_json(), "options": json.dumps(r.options), "ordinal": r.ordinal}
                    for r in self.runs
                ),
                pk="ordinal",
            )
            facts = {k: json.dumps(v) for k, v in self.study.items()}
            db["study"].upsert_all(
                ({"key": k, "value": v} for k, v in {**facts, "log": self._log()}.items()),
                pk="key",
            )
            if not known:
                tell(db, FRONTS_KEY, fronts_text(db))
            tell(db, SCHEMA_KEY, schema_text(db))
            if any(t.state == "COMPLETE" for t in fresh):
                self._snapshot()

    def _require_every_trial(self, reader: LogReader) -> None:
        """Look whether the table has the trials that the log has.

        Raises:
            ValueError: one is missing, or there under another number.
        """
        count, total, last = self._db.execute(
            "SELECT count(*), coalesce(sum(number), 0), coalesce(max(number), -1) FROM trials"
        ).fetchone()
        # A driver may have gone on since.
        if not 0 <= last + 1 < 2**31 or (count, total) != reader.numbered(last):
            raise ValueError("table trials")

    def _start(self) -> int:
        """The first trial that is not there yet, or was not finished when it was last seen."""
        waiting, last = self._db.execute(
            "SELECT min(number) FILTER (WHERE state NOT IN (?, ?, ?)), max(number) FROM trials",
            FINISHED,
        ).fetchone()
        if waiting is not None:
            return int(waiting)
        return 0 if last is None else int(last) + 1

    def _put(self, table: str, rows: Sequence[dict[str, Any]]) -> None:
        """Insert or replace rows; columns that are new are added.

        In one statement, for 10,000 trials of 20 layers are too many for one dict at a time.
        """
        kinds: dict[str, type] = {}
        for name in dict.fromkeys(chain.from_iterable(rows)):
            first = next((row[name] for row in rows if row.get(name) is not None), None)
            if first is not None:
                kinds[name] = type(first)
        columns = set(self._db[table].columns_dict)
        for name, kind in kinds.items():
            if name not in columns:
                self._db[table].add_column(name, kind)
        if not kinds:
            return
        names = ", ".join(quoted(name) for name in kinds)
        marks = ", ".join("?" * len(kinds))
        self._db.conn.executemany(
            f"INSERT OR REPLACE INTO {quoted(table)} ({names}) VALUES ({marks})",
            zip(*(_column(rows, name) for name in kinds), strict=True),
        )

    def _create_tables(self) -> None:
        columns: dict[str, Any] = dict.fromkeys(_FIXED, str)
        columns.update(
            dict.fromkeys(("number", "run", "copy_of", "seed", "attempts", "stopped_at"), int)
        )
        columns.update(dict.fromkeys(("average_bits", "seconds", "violation"), float))
        columns.update({self._columns[d]: str for d in self.dimensions})
        columns.update({self._columns[o.name]: float for o in self.objectives})
        self._db["trials"].create(columns, pk="number")
        self._db["fronts"].create({"finished": int, "trial": int}, pk=("finished", "trial"))
        self._db["layers"].create(
            {"trial": int, "position": int, "layer": str}, pk=("trial", "layer")
        )

    def _make_views(self) -> None:
        """The views anew, over the columns that there are by now."""
        objectives = [(self._columns[o.name], o.direction == "max") for o in self.objectives]
        dimensions = [self._columns[name] for name in self.dimensions]
        layers = set(self._db["layers"].columns_dict)
        for name, statement in view_statements(objectives, dimensions, layers).items():
            self._db.execute(f"DROP VIEW IF EXISTS {name}")
            self._db.execute(statement)

    def _rows(self, trials: Sequence[TrialRecord]) -> list[dict[str, Any]]:
        """Rows of trials.

        Raises:
            StudyDamaged: a trial is none of this study's dimensions and objectives.
        """
        rows = []
        for trial in trials:
            try:
                rows.append(self._row(trial))
            except (HqsearchError, *DAMAGE) as error:
                what = f"trial {trial.number}: {said(error)}"
                raise damaged(self._url, self._name, what) from None
        return rows

    def _row(self, trial: TrialRecord) -> dict[str, Any]:
        row = TrialRow.of(trial, self.objectives)
        columns = {name: getattr(row, name) for name in _FIXED if name != "details"}
        columns |= {self._columns[d]: row.choices[d] for d in self.dimensions}
        columns |= {self._columns[o]: v for o, v in (row.values or {}).items()}
        return {**columns, "details": row.details_json}

    def _snapshot(self) -> None:
        trials = self._trials = self._read_trials()
        front = front_of(trials, self.objectives, self.budgets)
        last = self._db.execute(
            "SELECT trial FROM fronts WHERE finished = (SELECT max(finished) FROM fronts)"
        ).fetchall()
        if {t.number for t in front} != {number for (number,) in last}:
            if fronts_text(self._db) != told(self._db, FRONTS_KEY):
                raise ValueError("table fronts")
            finished = sum(t.state in FINISHED for t in trials)
            self._db["fronts"].upsert_all(
                ({"finished": finished, "trial": t.number} for t in front),
                pk=("finished", "trial"),
            )
            tell(self._db, FRONTS_KEY, fronts_text(self._db))

    def trials(self) -> list[TrialRow]:
        """Every trial, in order."""
        if self._trials is None:
            with _uncollected():
                self._trials = self._read(self._read_trials)
        return list(self._trials)

    def _read_trials(self) -> list[TrialRow]:
        own = [name for name in _FIXED if name != "details"]
        values = [o.name for o in self.objectives]
        columns = [*own, "details", *(self._columns[n] for n in (*values, *self.dimensions))]
        rows = self._db.execute(
            f"SELECT {', '.join(map(quoted, columns))} FROM trials ORDER BY number"
        ).fetchall()
        first, second = len(own) + 1, len(own) + 1 + len(values)
        _check_columns([*own, "details", *("value" for _ in values)], rows)
        return [
            TrialRow(
                **dict(zip(own, row[: len(own)], strict=True)),
                details_json=row[len(own)],
                values=None
                if None in row[first:second]
                else dict(zip(values, row[first:second], strict=True)),
                choices=dict(zip(self.dimensions, row[second:], strict=True)),
            )
            for row in rows
        ]

    def finished(self) -> Counter[int]:
        """Finished trials by ordinal of their run."""
        query = "SELECT run, count(*) FROM trials WHERE state IN (?, ?, ?) GROUP BY run"
        return self._read(
            lambda: Counter({int(r): int(n) for r, n in self._db.execute(query, FINISHED)})
        )

    def front(self) -> list[TrialRow]:
        """The front under :attr:`budgets`."""
        return front_of(self.trials(), self.objectives, self.budgets)

    def layers(self, number: int) -> list[dict[str, Any]]:
        """The per-layer rows of a trial."""
        # The table is looked up inside: a damaged database is closed and another one made.
        rows = self._read(
            lambda: list(self._db["layers"].rows_where("trial = ?", [number], order_by="position"))
        )
        return [{k: v for k, v in r.items() if k not in ("trial", "position")} for r in rows]

    def disagreements(self, fresh: Results, numbers: Collection[int]) -> list[str]:
        """What these tables hold otherwise than the log, in words; empty where nothing.

        Args:
            fresh: tables that were made from the log just now.
            numbers: trials that had finished by then.
        """
        try:
            return list(disagreements(self._db, fresh._db, numbers))
        except (sqlite3.DatabaseError, *DAMAGE) as error:
            return [said(error)]

    def close(self) -> None:
        self._close()


@contextmanager
def _uncollected() -> Iterator[None]:
    """No search for cycles, which costs a third of the time where rows are made by the 10,000."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _check_columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Compare what the table holds with what is written there; all columns after the named ones
    hold choices.

    Raises:
        ValueError: a value of another type, or a text that is not whole.
    """
    for place, column in enumerate(zip(*rows, strict=True)):
        name = names[place] if place < len(names) else "choice"
        kinds = set(map(type, column))
        if not kinds <= _KINDS.get(name, {str}):
            raise ValueError(f"column {name}")
        if name == "state" and not STATES.issuperset(column):
            raise ValueError("column state")
        if name == "details" and any("\0" in text or text[-1:] != "}" for text in column):
            raise ValueError("column details")


def _column(rows: Sequence[dict[str, Any]], name: str) -> list[Any]:
    """One column of rows, None where a row has none; what SQLite cannot hold as JSON."""
    values = [row.get(name) for row in rows]
    if {list, dict, tuple}.isdisjoint(set(map(type, values))):
        return values
    return [json.dumps(v) if isinstance(v, list | dict | tuple) else v for v in values]


def _layer_rows(trials: Iterable[TrialRecord]) -> list[dict[str, Any]]:
    return [
        {"trial": t.number, "position": position, **row.to_json()}
        for t in trials
        if t.outcome is not None
        for position, row in enumerate(t.outcome.details.layers or ())
    ]


def _column_names(dimensions: Sequence[str], objectives: Sequence[str]) -> dict[str, str]:
    """Column of each dimension and objective; prefixed where SQL would see the same name."""
    columns: dict[str, str] = {}
    taken = {name.lower() for name in _FIXED}
    for name in (*objectives, *dimensions):
        column = name
        while column.lower() in taken:
            column = f"layer:{column}"
        taken.add(column.lower())
        columns[name] = column
    return columns
