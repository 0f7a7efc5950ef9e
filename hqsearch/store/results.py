"""``results.db``: the log as tables that are made to be browsed.

A projection: it is caught up from the log before every use and may be deleted at any time.
``trials`` has one column per dimension and per objective; ``layers`` the per-layer costs;
``fronts`` the front after every catch-up that changed it; ``runs`` and ``study`` the rest.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from hqsearch.problem.budgets import Budget
from hqsearch.problem.objective import Objective
from hqsearch.store.database import is_server, shown
from hqsearch.store.lock import DriverLock
from hqsearch.store.log import LogReader
from hqsearch.store.records import FINISHED, RunRecord, TrialRecord, TrialRow, front_of

SCHEMA = 2
_FIXED = (
    "number", "state", "run", "strategy", "kind", "copy_of", "average_bits", "seed", "seconds",
    "violation", "failure", "reason", "attempts", "origin", "stopped_at", "details",
)  # fmt: skip


class Results:
    """The tables of one study, caught up from its log."""

    def __init__(self, folder: Path, reader: LogReader) -> None:
        self.path = folder / "results.db"
        self._url, self._name = reader.url, reader.name
        attributes = reader.attributes()
        self.study: dict[str, Any] = attributes.get("study", {})
        self.prepared: dict[str, str] = attributes.get("prepared", {})
        self.runs: list[RunRecord] = reader.runs()
        self.budgets: tuple[Budget, ...] = self.runs[-1].budgets if self.runs else ()
        """The front is filtered by them: the latest run's, unless set otherwise."""
        self.objectives = tuple(Objective(**o) for o in self.study.get("objectives", []))
        self.dimensions: list[str] = list(self.study.get("dimensions", []))
        self._columns = _column_names(self.dimensions, [o.name for o in self.objectives])
        self._trials: list[TrialRow] | None = None
        self._db = self._open()
        if not self._is_of_this_log():
            self._discard()
        try:
            self._catch_up(reader)
        except sqlite3.DatabaseError:
            self._discard()
            self._catch_up(reader)

    def _open(self) -> Database:
        try:
            db = self._connect()
            version = db.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.DatabaseError:
            version = -1
        if version in (0, SCHEMA):
            return db
        self._discard()
        return self._db

    def _connect(self) -> Database:
        connection = sqlite3.connect(self.path, timeout=60)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        return Database(connection)

    def _discard(self) -> None:
        self._trials = None
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self._db = self._connect()

    def _log(self) -> str:
        """What tells this log from another: its making and, on a server, its place."""
        return json.dumps([self.study, shown(self._url) if is_server(self._url) else ""])

    def _is_of_this_log(self) -> bool:
        """Whether the tables are new, or were made from this very log."""
        try:
            if not self._db["trials"].exists():
                return True
            made_from = self._db.execute("SELECT value FROM study WHERE key = 'log'").fetchone()
        except sqlite3.DatabaseError:
            return False
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
            fresh = reader.trials(self._start() if known else 0)
            db.execute(f"PRAGMA user_version = {SCHEMA}")
            if not known:
                self._create_tables()
            self._put("trials", [self._row(t) for t in fresh])
            self._put("layers", _layer_rows(fresh))
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
            if any(t.state == "COMPLETE" for t in fresh):
                self._snapshot()

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
        names = ", ".join(_quoted(name) for name in kinds)
        marks = ", ".join("?" * len(kinds))
        self._db.conn.executemany(
            f"INSERT OR REPLACE INTO {_quoted(table)} ({names}) VALUES ({marks})",
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

    def _row(self, trial: TrialRecord) -> dict[str, Any]:
        row = TrialRow.of(trial, self.objectives)
        columns = {name: getattr(row, name) for name in _FIXED if name != "details"}
        columns |= {self._columns[d]: v for d, v in row.choices.items()}
        columns |= {self._columns[o]: v for o, v in (row.values or {}).items()}
        return {**columns, "details": row.details_json}

    def _snapshot(self) -> None:
        trials = self.trials()
        front = front_of(trials, self.objectives, self.budgets)
        last = self._db.execute(
            "SELECT trial FROM fronts WHERE finished = (SELECT max(finished) FROM fronts)"
        ).fetchall()
        if {t.number for t in front} != {number for (number,) in last}:
            finished = sum(t.state in FINISHED for t in trials)
            self._db["fronts"].upsert_all(
                ({"finished": finished, "trial": t.number} for t in front),
                pk=("finished", "trial"),
            )

    def trials(self) -> list[TrialRow]:
        """Every trial, in order."""
        if self._trials is None:
            own = [name for name in _FIXED if name != "details"]
            values = [o.name for o in self.objectives]
            columns = [*own, "details", *(self._columns[n] for n in (*values, *self.dimensions))]
            rows = self._db.execute(
                f"SELECT {', '.join(map(_quoted, columns))} FROM trials ORDER BY number"
            )
            first, second = len(own) + 1, len(own) + 1 + len(values)
            self._trials = [
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
        return list(self._trials)

    def front(self) -> list[TrialRow]:
        """The front under :attr:`budgets`."""
        return front_of(self.trials(), self.objectives, self.budgets)

    def layers(self, number: int) -> list[dict[str, Any]]:
        """The per-layer rows of a trial."""
        rows = list(self._db["layers"].rows_where("trial = ?", [number], order_by="position"))
        return [{k: v for k, v in r.items() if k not in ("trial", "position")} for r in rows]

    def close(self) -> None:
        self._db.close()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


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
