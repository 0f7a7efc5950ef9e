"""The log, read: straight from Optuna's tables.

Optuna itself needs about 7 s to load 10,000 trials. Whatever a table holds that it should not is a
:class:`~hqsearch.errors.StudyDamaged` that names the place.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy
from sqlalchemy import text

from hqsearch.errors import StorageError, StudyDamaged, StudyMissing
from hqsearch.store.database import (
    check_database,
    is_server,
    shown,
    sqlite_path,
    translated,
)
from hqsearch.store.model_record import ModelRecord
from hqsearch.store.reading import ReadingEngine
from hqsearch.store.records import (
    FINISHED,
    Decision,
    Outcome,
    Proposal,
    Rung,
    RunRecord,
    TaskRecord,
    TrialRecord,
)
from hqsearch.store.shapes import STATES, check_attributes, checked
from hqsearch.wording import storable

if TYPE_CHECKING:
    pass

T = TypeVar("T")

#: What reading raises where a log holds something else than it was given.
DAMAGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class LogReader:
    """Reads a study's log without Optuna; any number of processes may."""

    def __init__(self, url: str, name: str) -> None:
        check_database(url)
        self.url, self.name = url, name
        path = sqlite_path(url)
        if path is not None and not path.exists():
            raise StudyMissing(f"there is no study {name!r} yet: {path} does not exist")
        self._opened = ReadingEngine(url)
        self._engine = self._opened.engine
        try:
            with self._reading("the list of studies"):
                self.study_id = self._find()
        except BaseException:
            self._opened.dispose()
            raise

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """Tell damage as what it is.

        Raises:
            StorageError: the database or what it holds cannot be read.
        """
        try:
            with translated(self.url):
                yield
        except StorageError as error:
            if is_server(self.url) or isinstance(error, StudyMissing | StudyDamaged):
                raise
            raise damaged(self.url, self.name, str(error)) from None
        except DAMAGE as error:
            raise damaged(self.url, self.name, f"{what}: {said(error)}") from None

    def _find(self) -> int:
        """The study's id.

        Raises:
            StudyMissing: there is no such study, or no study at all.
        """
        row = None
        with self._engine.connect() as connection:
            if sqlalchemy.inspect(connection).has_table("studies"):  # else a driver is at it
                row = connection.execute(
                    text("SELECT study_id FROM studies WHERE study_name = :name"),
                    {"name": self.name},
                ).first()
        if row is None:
            raise StudyMissing(f"there is no study {self.name!r} in {shown(self.url)}")
        return int(row[0])

    def attributes(self) -> dict[str, Any]:
        """The study's user attributes."""
        with self._reading("attributes of the study"):
            with self._engine.connect() as connection:
                rows = connection.execute(
                    text(
                        "SELECT key, value_json FROM study_user_attributes WHERE study_id = :study"
                    ),
                    {"study": self.study_id},
                ).all()
            attributes = {str(key): _read_json(key, value) for key, value in rows}
            check_attributes(attributes)
        return attributes

    def runs(self) -> list[RunRecord]:
        """The study's runs, in order."""
        return sorted(self._records("run:", RunRecord.from_json), key=lambda r: r.ordinal)

    def tasks(self) -> list[TaskRecord]:
        """The strategies' own tasks, in the order of runs and proposals."""
        tasks = self._records("task:", TaskRecord.from_json)
        return sorted(tasks, key=lambda t: (t.run, t.index))

    def decisions(self, run: int) -> list[Decision]:
        """What early stopping has decided in a run."""
        return self._records(f"rung:{run}:", Decision.from_json)

    def models(self) -> dict[int, ModelRecord]:
        """Models that were trained to be kept, by trial."""
        found = self._records("model:", ModelRecord.from_json)
        return {model.trial: model for model in sorted(found, key=lambda m: m.trial)}

    def _records(self, prefix: str, read: Callable[[Any], T]) -> list[T]:
        """The records of the study's attributes whose keys begin so."""
        records = []
        for key, value in self.attributes().items():
            if key.startswith(prefix):
                with self._reading(key):
                    records.append(checked(read(value)))
        return records

    def trials(self, start: int = 0) -> list[TrialRecord]:
        """Trials from number ``start`` on, in order."""
        bound = {"study": self.study_id, "start": start}
        objectives = self._objective_count()
        attributes: dict[int, dict[str, Any]] = {}
        values: dict[int, list[float]] = {}
        with self._reading("trials"), self._engine.connect() as connection:
            # States first: what belongs to a state was written before it, or with it.
            rows = connection.execute(_query("t.number, t.state", "", "t.number"), bound).all()
            join = "JOIN trial_user_attributes a ON a.trial_id = t.trial_id"
            for trial, key, value in connection.execute(
                _query("a.key, a.value_json", join, "t.trial_id"), bound
            ):
                if key in ("proposal", "rungs", "result"):
                    attributes.setdefault(trial, {})[key] = _read_json(
                        f"{key} of a trial", value, strict=True
                    )
            join = "JOIN trial_values v ON v.trial_id = t.trial_id"
            for trial, value in connection.execute(
                _query("v.value", join, "t.trial_id, v.objective"), bound
            ):
                values.setdefault(trial, []).append(float("inf") if value is None else value)
        records = []
        for trial, number, state in rows:
            own = attributes.get(trial, {})
            if "proposal" not in own:
                continue  # a trial that someone else put into this study
            with self._reading(f"trial {number}"):
                record = _trial(trial, number, state, own, values.get(trial))
                if objectives is not None:
                    _check_counts(record, objectives)
                records.append(record)
        return records

    def _objective_count(self) -> int | None:
        """How many values a trial has; None where the study has no attributes yet."""
        with self._reading("attributes of the study"), self._engine.connect() as connection:
            row = connection.execute(
                text(
                    "SELECT value_json FROM study_user_attributes "
                    "WHERE study_id = :study AND key = 'study'"
                ),
                {"study": self.study_id},
            ).first()
            if row is None:
                return None
            attributes = {"study": _read_json("study", row[0])}
            check_attributes(attributes)
            return len(attributes["study"]["objectives"])

    def numbered(self, last: int) -> tuple[int, int]:
        """How many trials hqsearch made up to number ``last``, and the sum of their numbers."""
        with self._reading("trials"), self._engine.connect() as connection:
            count, total = connection.execute(
                text(
                    "SELECT count(*), coalesce(sum(t.number), 0) FROM trials t "
                    "JOIN trial_user_attributes a ON a.trial_id = t.trial_id "
                    "AND a.key = 'proposal' WHERE t.study_id = :study AND t.number <= :last"
                ),
                {"study": self.study_id, "last": last},
            ).one()
        return int(count), int(total)

    def foreign_trials(self) -> int:
        """How many trials somebody else put into this study."""
        with self._reading("trials"), self._engine.connect() as connection:
            count = connection.execute(
                text(
                    "SELECT count(*) FROM trials t WHERE t.study_id = :study AND NOT EXISTS "
                    "(SELECT 1 FROM trial_user_attributes a "
                    "WHERE a.trial_id = t.trial_id AND a.key = 'proposal')"
                ),
                {"study": self.study_id},
            ).scalar_one()
        return int(count)

    def directions(self) -> list[str]:
        """``min`` or ``max`` of every objective, as Optuna has them."""
        with self._reading("the study's objectives"), self._engine.connect() as connection:
            rows = connection.execute(
                text(
                    "SELECT direction FROM study_directions WHERE study_id = :study "
                    "ORDER BY objective"
                ),
                {"study": self.study_id},
            ).scalars()
            return [str(direction)[:3].lower() for direction in rows]

    def columns(self) -> dict[str, set[str]]:
        """The columns of every table."""
        with self._reading("the tables"), self._engine.connect() as connection:
            tables = sqlalchemy.inspect(connection)
            return {
                name: {column["name"] for column in tables.get_columns(name)}
                for name in tables.get_table_names()
            }

    def integrity(self) -> str:
        """What the database itself finds wrong with its file; empty where nothing."""
        if is_server(self.url):
            return ""
        with self._reading("the database"), self._engine.connect() as connection:
            said = str(connection.execute(text("PRAGMA quick_check(1)")).scalar_one())
        return "" if said == "ok" else said

    def close(self) -> None:
        self._opened.dispose()


def damaged(url: str, name: str, what: str) -> StudyDamaged:
    """The error of a log that cannot be read, with the command that says more."""
    path = sqlite_path(url)
    more = "hqsearch doctor tells what can be read of it"
    if path is not None:
        asked = shlex.join(["--study", name, "--studies-dir", str(path.parent.parent)])
        more = f"hqsearch doctor {asked} tells what can be read of it"
    place = shown(url)
    return StudyDamaged(f"{what if what.startswith(place) else f'{place}: {what}'}; {more}")


def said(error: BaseException) -> str:
    """What a reader stumbled on, in a line."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return (str(error).splitlines() or [type(error).__name__])[0]


def _read_json(what: str, content: Any, strict: bool = False) -> Any:
    """A JSON column, with the halves of characters that 0.1 let in written out.

    ``strict`` takes numbers that JSON does not have for missing ones; 0.1 let them in as well.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        value = json.loads(content, parse_constant=(lambda _: None) if strict else None)
        return storable(value) if "\\ud" in content else value
    except (ValueError, TypeError) as error:
        raise ValueError(f"{what} is no JSON: {error}") from None


def _trial(
    trial_id: int, number: int, state: str, own: Mapping[str, Any], values: list[float] | None
) -> TrialRecord:
    if type(number) is not int or state not in STATES:
        raise ValueError(f"number {number!r} and state {state!r}")
    if values is not None and not all(type(v) in (float, int) for v in values):
        raise ValueError(f"values {values!r}")
    return TrialRecord(
        number,
        trial_id,
        state,
        checked(Proposal(**own["proposal"])),
        tuple(values) if values is not None and state in FINISHED else None,
        checked(Outcome.from_json(own["result"])) if "result" in own else None,
        tuple(checked(Rung.from_json(r)) for r in own.get("rungs", ())),
    )


def _check_counts(trial: TrialRecord, objectives: int) -> None:
    """Compare what a trial was worth, at its end and part-way, with what its study asks for."""
    for values in (trial.values, *(r.values for r in trial.rungs)):
        if values is not None and len(values) != objectives:
            raise ValueError(f"{len(values)} values for {objectives} objectives")


def _query(columns: str, join: str, order: str) -> sqlalchemy.TextClause:
    return text(
        f"SELECT t.trial_id, {columns} FROM trials t {join} "
        f"WHERE t.study_id = :study AND t.number >= :start ORDER BY {order}"
    )
