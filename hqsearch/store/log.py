"""The log: one Optuna study, written by the driver alone.

Every proposal is one transaction that creates a RUNNING trial with all its parameters and
attributes; a result is written as an attribute first and then ends the trial, so a crash at
any instruction leaves a log that opens and says what is unfinished. Reading goes straight
to Optuna's tables, for Optuna itself needs about 7 s to load 10,000 trials.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import text

from hqsearch.errors import DiskFull, StorageError
from hqsearch.objective import Objective
from hqsearch.space import Space
from hqsearch.store.records import Outcome, Proposal, RunRecord, TrialRecord

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import RDBStorage

_SQLITE_HEADER = b"SQLite format 3\0"


def storage_url(storage: str | None, folder: Path) -> str:
    """The database URL of a study: a server's, or ``study.db`` in its folder."""
    return storage or f"sqlite:///{folder / 'study.db'}"


def check_database(url: str) -> None:
    """Refuse a ``study.db`` that is not a database, before anything writes to it."""
    path = _sqlite_path(url)
    if path is None or not path.exists():
        return
    if path.is_dir():
        raise StorageError(f"{path} is a folder, not a study's database")
    with path.open("rb") as file:
        header = file.read(len(_SQLITE_HEADER))
    if header != _SQLITE_HEADER:
        raise StorageError(f"{path} is not a database; move it away, or name another --studies-dir")


def connect(url: str) -> sqlalchemy.Engine:
    """An engine on a database; SQLite waits for other readers and never blocks them (WAL)."""
    if not url.startswith("sqlite"):
        return sqlalchemy.create_engine(url)
    engine = sqlalchemy.create_engine(url, connect_args={"timeout": 60})
    sqlalchemy.event.listen(engine, "connect", _tune_sqlite)
    return engine


def _tune_sqlite(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _sqlite_path(url: str) -> Path | None:
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


class LogReader:
    """Reads a study's log without Optuna; any number of processes may."""

    def __init__(self, url: str, name: str) -> None:
        check_database(url)
        self.url, self.name = url, name
        path = _sqlite_path(url)
        if path is not None and not path.exists():
            raise StorageError(f"there is no study {name!r} yet: {path} does not exist")
        self._engine = connect(url)
        try:
            with self._engine.connect() as connection:
                row = connection.execute(
                    text("SELECT study_id FROM studies WHERE study_name = :name"), {"name": name}
                ).first()
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise StorageError(f"{url} holds no studies: {_short(error)}") from None
        if row is None:
            raise StorageError(f"there is no study {name!r} in {url}")
        self.study_id = int(row[0])

    def attributes(self) -> dict[str, Any]:
        """The study's user attributes."""
        with self._engine.connect() as connection:
            rows = connection.execute(
                text("SELECT key, value_json FROM study_user_attributes WHERE study_id = :study"),
                {"study": self.study_id},
            ).all()
        return {key: json.loads(value) for key, value in rows}

    def runs(self) -> list[RunRecord]:
        """The study's runs, in order."""
        found = [v for k, v in self.attributes().items() if k.startswith("run:")]
        return sorted((RunRecord.from_json(v) for v in found), key=lambda r: r.ordinal)

    def trials(self, start: int = 0) -> list[TrialRecord]:
        """Trials from number ``start`` on, in order."""
        where = (
            "FROM trials t {join} WHERE t.study_id = :study AND t.number >= :start ORDER BY {order}"
        )
        bound = {"study": self.study_id, "start": start}
        attributes: dict[int, dict[str, Any]] = {}
        values: dict[int, list[float]] = {}
        with self._engine.connect() as connection:
            for trial, key, value in connection.execute(
                text(
                    "SELECT t.trial_id, a.key, a.value_json "
                    + where.format(
                        join="JOIN trial_user_attributes a ON a.trial_id = t.trial_id",
                        order="t.trial_id",
                    )
                ),
                bound,
            ):
                if key in ("proposal", "result"):
                    attributes.setdefault(trial, {})[key] = json.loads(value)
            for trial, value in connection.execute(
                text(
                    "SELECT t.trial_id, v.value "
                    + where.format(
                        join="JOIN trial_values v ON v.trial_id = t.trial_id",
                        order="t.trial_id, v.objective",
                    )
                ),
                bound,
            ):
                values.setdefault(trial, []).append(float("inf") if value is None else value)
            rows = connection.execute(
                text(
                    "SELECT t.trial_id, t.number, t.state "
                    + where.format(join="", order="t.number")
                ),
                bound,
            ).all()
        records = []
        for trial, number, state in rows:
            own = attributes.get(trial, {})
            if "proposal" not in own:
                continue  # a trial that someone else put into this study
            records.append(
                TrialRecord(
                    number,
                    trial,
                    state,
                    Proposal(**own["proposal"]),
                    tuple(values[trial]) if trial in values else None,
                    Outcome(**own["result"]) if "result" in own else None,
                )
            )
        return records

    def close(self) -> None:
        self._engine.dispose()


class StudyLog(LogReader):
    """Reads and writes a study's log; one driver at a time (see :mod:`hqsearch.store.lock`)."""

    def __init__(
        self, url: str, name: str, space: Space, objectives: tuple[Objective, ...]
    ) -> None:
        """Open the study ``name``, creating it where it does not exist."""
        import optuna

        check_database(url)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._storage = _optuna_storage(url)
        directions = [
            optuna.study.StudyDirection.MAXIMIZE
            if o.direction == "max"
            else optuna.study.StudyDirection.MINIMIZE
            for o in objectives
        ]
        with _Translated(url):
            try:
                self._storage.create_new_study(directions, name)
            except optuna.exceptions.DuplicatedStudyError:
                pass
            else:
                with warnings.catch_warnings():
                    # "Experimental" since version 3.2; the dashboard shows these names.
                    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                    study = optuna.load_study(study_name=name, storage=self._storage)
                    study.set_metric_names([o.name for o in objectives])
        super().__init__(url, name)
        self._space, self._objectives = space, objectives
        self._distributions: dict[str, BaseDistribution] = {
            d.name: optuna.distributions.CategoricalDistribution(d.values) for d in space.dimensions
        }

    def set_attribute(self, key: str, value: Any) -> None:
        """Write a user attribute of the study."""
        with _Translated(self.url):
            self._storage.set_study_user_attr(self.study_id, key, value)

    def add_run(self, run: RunRecord) -> None:
        self.set_attribute(f"run:{run.ordinal}", run.as_json())

    def create(self, proposal: Proposal) -> TrialRecord:
        """Log a proposal as a RUNNING trial: one transaction."""
        return self._create(proposal, "RUNNING", None, None)

    def create_copy(
        self, proposal: Proposal, values: Sequence[float], outcome: Outcome
    ) -> TrialRecord:
        """Log a candidate that is answered from the log, COMPLETE at once: one transaction."""
        return self._create(proposal, "COMPLETE", tuple(values), outcome)

    def _create(
        self,
        proposal: Proposal,
        state: str,
        values: tuple[float, ...] | None,
        outcome: Outcome | None,
    ) -> TrialRecord:
        import optuna

        attributes: dict[str, Any] = {"proposal": asdict(proposal)}
        system: dict[str, Any] = {}
        if outcome is not None:
            attributes["result"] = asdict(outcome)
            system = dict(_constraints(outcome))
        trial = optuna.trial.create_trial(
            state=optuna.trial.TrialState[state],
            values=values,
            params=proposal.candidate.choices,
            distributions=self._distributions,
            user_attrs=attributes,
            system_attrs=system,
        )
        trial.datetime_start = datetime.now()
        with _Translated(self.url):
            created = self._storage._create_new_trial(self.study_id, trial)
        return TrialRecord(created.number, created._trial_id, state, proposal, values, outcome)

    def finish(
        self, trial: TrialRecord, state: str, values: Sequence[float] | None, outcome: Outcome
    ) -> TrialRecord:
        """End a RUNNING trial; attributes first, for a finished trial is immutable."""
        import optuna

        with _Translated(self.url):
            self._storage.set_trial_user_attr(trial.trial_id, "result", asdict(outcome))
            for key, value in _constraints(outcome).items():
                self._storage.set_trial_system_attr(trial.trial_id, key, value)
            self._storage.set_trial_state_values(
                trial.trial_id, optuna.trial.TrialState[state], values
            )
        stored = tuple(values) if values is not None else None
        return TrialRecord(trial.number, trial.trial_id, state, trial.proposal, stored, outcome)

    def close(self) -> None:
        self._storage.remove_session()
        self._storage.engine.dispose()
        super().close()


def _constraints(outcome: Outcome) -> Mapping[str, float]:
    """What makes Optuna (and its dashboard) treat a budget violator as infeasible."""
    return {"constraints:budget": outcome.violation} if outcome.violation > 0 else {}


def _optuna_storage(url: str) -> RDBStorage:
    from optuna.storages import RDBStorage

    arguments: dict[str, Any] = {"connect_args": {"timeout": 60}} if "sqlite" in url else {}
    with _Translated(url):
        if _sqlite_path(url) is not None:
            connect(url).connect().close()  # turns WAL on, which then stays
        storage = RDBStorage(url, engine_kwargs=arguments)
        if _sqlite_path(url) is not None:
            storage.remove_session()
            storage.engine.dispose()
            sqlalchemy.event.listen(storage.engine, "connect", _tune_sqlite)
    return storage


class _Translated:
    """Turns database errors into ones a person can act on."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if error is None:
            return
        import optuna

        if isinstance(
            error, sqlalchemy.exc.SQLAlchemyError | optuna.exceptions.StorageInternalError
        ):
            message = _short(error)
            if "disk is full" in message or "disk I/O error" in message:
                raise DiskFull(
                    f"no space left for {self.url}; free some and resume, nothing is lost"
                ) from None
            raise StorageError(f"{self.url}: {message}") from None


def _short(error: BaseException) -> str:
    cause = error.__cause__ or getattr(error, "orig", None) or error
    return str(cause).splitlines()[0]
