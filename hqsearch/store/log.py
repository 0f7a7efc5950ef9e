"""The log: one Optuna study, written by the driver alone.

Every proposal is one transaction that creates a RUNNING trial with all its parameters and
attributes; a result is written as an attribute first and then ends the trial, so a crash at
any instruction leaves a log that opens and says what is unfinished. Reading is
:class:`~hqsearch.store.log_reader.LogReader`'s.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import text

from hqsearch.errors import StudyDamaged
from hqsearch.problem.objective import Objective
from hqsearch.problem.space import Space
from hqsearch.store.database import (
    check_database,
    connect_args,
    connected,
    is_server,
    shown,
    storage_url,
    translated,
    tune_sqlite,
)
from hqsearch.store.log_reader import DAMAGE, LogReader, said
from hqsearch.store.model_record import ModelRecord
from hqsearch.store.published import Published, attributes_of
from hqsearch.store.records import (
    Decision,
    Outcome,
    Proposal,
    Rung,
    RunRecord,
    TaskRecord,
    TrialRecord,
)
from hqsearch.store.server_lock import advisory_key

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import RDBStorage

#: Advisory lock of whoever makes Optuna's tables in a database.
_TABLES = advisory_key("")

__all__ = ["LogReader", "StudyLog", "check_database", "storage_url"]


class StudyLog(LogReader):
    """Reads and writes a study's log; one driver at a time (see :mod:`hqsearch.store.lock`)."""

    def __init__(
        self,
        url: str,
        name: str,
        space: Space,
        objectives: tuple[Objective, ...],
        guard: Callable[[], None] | None = None,
    ) -> None:
        """Open the study ``name``, creating it where it does not exist.

        ``guard`` is called before every write and raises where this process may not write
        any more (:meth:`hqsearch.store.lock.DriverLock.check`).
        """
        import optuna

        check_database(url)
        self._guard = guard
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._storage = _open_storage(url)
        directions = [
            optuna.study.StudyDirection.MAXIMIZE
            if o.direction == "max"
            else optuna.study.StudyDirection.MINIMIZE
            for o in objectives
        ]
        with translated(url), _incompatible(url):
            with suppress(optuna.exceptions.DuplicatedStudyError):
                self._storage.create_new_study(directions, name)
            super().__init__(url, name)
            # A driver may have died between the two.
            if not self._storage.get_study_system_attrs(self.study_id):
                with warnings.catch_warnings():
                    # "Experimental" since version 3.2; the dashboard shows these names.
                    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                    study = optuna.load_study(study_name=name, storage=self._storage)
                    study.set_metric_names([o.name for o in objectives])
        self._space, self._objectives = space, objectives
        self._distributions: dict[str, BaseDistribution] = {
            d.name: optuna.distributions.CategoricalDistribution(d.values) for d in space.dimensions
        }

    @contextmanager
    def _write(self) -> Iterator[None]:
        with translated(self.url):
            if self._guard is not None:
                self._guard()
            yield

    def set_attribute(self, key: str, value: Any) -> None:
        """Write a user attribute of the study."""
        with self._write():
            self._storage.set_study_user_attr(self.study_id, key, value)

    def publish(self, published: Published) -> None:
        """Write what the Optuna dashboard shows beside the trials, as far as it has changed."""
        with self._write():
            before = self._storage.get_study_system_attrs(self.study_id)
            for key, value in attributes_of(published, before).items():
                self._storage.set_study_system_attr(self.study_id, key, value)

    def add_run(self, run: RunRecord) -> None:
        self.set_attribute(f"run:{run.ordinal}", run.as_json())

    def put_task(self, task: TaskRecord) -> None:
        """Write a strategy's own task, before it starts and when it has ended."""
        self.set_attribute(f"task:{task.run}:{task.index}", task.as_json())

    def put_model(self, model: ModelRecord) -> None:
        """Write that a model is kept: last, when its files are whole."""
        self.set_attribute(f"model:{model.trial}", model.as_json())

    def put_decision(self, decision: Decision) -> None:
        """Write what early stopping decided, before it takes effect."""
        key = f"rung:{decision.run}:{decision.cohort}:{decision.rung}"
        self.set_attribute(key, decision.as_json())

    def create(self, proposal: Proposal) -> TrialRecord:
        """Log a proposal as a RUNNING trial: one transaction."""
        return self._create(proposal, "RUNNING")

    def create_copy(
        self,
        proposal: Proposal,
        values: Sequence[float] | None,
        outcome: Outcome,
        rungs: tuple[Rung, ...] = (),
    ) -> TrialRecord:
        """Log a candidate that is answered from the log: one transaction.

        COMPLETE at once; PRUNED where its original was stopped early and has no ``values``.
        """
        state = "PRUNED" if values is None else "COMPLETE"
        return self._create(proposal, state, tuple(values) if values else None, outcome, rungs)

    def _create(
        self,
        proposal: Proposal,
        state: str,
        values: tuple[float, ...] | None = None,
        outcome: Outcome | None = None,
        rungs: tuple[Rung, ...] = (),
    ) -> TrialRecord:
        import optuna

        # Controls may have choices that the space does not offer.
        offered = self._space.holds(proposal.candidate)
        attributes: dict[str, Any] = {"proposal": asdict(proposal)}
        if rungs:
            attributes["rungs"] = [r.as_json() for r in rungs]
        system: dict[str, Any] = {}
        if outcome is not None:
            attributes["result"] = outcome.as_json()
            system = dict(_constraints(proposal, outcome))
        trial = optuna.trial.create_trial(
            state=optuna.trial.TrialState[state],
            values=values,
            params=proposal.candidate.choices if offered else {},
            distributions=self._distributions if offered else {},
            user_attrs=attributes,
            system_attrs=system,
            intermediate_values={r.epoch: self._intermediate(r) for r in rungs},
        )
        trial.datetime_start = datetime.now()
        with self._write():
            created = self._storage._create_new_trial(self.study_id, trial)
        return TrialRecord(
            created.number, created._trial_id, state, proposal, values, outcome, rungs
        )

    def reach(self, trial: TrialRecord, rung: Rung) -> TrialRecord:
        """Log that a RUNNING trial has come to a rung, as an intermediate value for Optuna too."""
        rungs = (*trial.rungs, rung)
        with self._write():
            value = self._intermediate(rung)
            self._storage.set_trial_intermediate_value(trial.trial_id, rung.epoch, value)
            self._storage.set_trial_user_attr(trial.trial_id, "rungs", [r.as_json() for r in rungs])
        return replace(trial, rungs=rungs)

    def _intermediate(self, rung: Rung) -> float:
        """The one value that Optuna takes: of the first objective that needs training."""
        measured = (i for i, o in enumerate(self._objectives) if not o.cheap)
        return rung.values[next(measured, 0)]

    def finish(
        self, trial: TrialRecord, state: str, values: Sequence[float] | None, outcome: Outcome
    ) -> TrialRecord:
        """End a RUNNING trial; attributes first, for a finished trial is immutable."""
        import optuna

        with self._write():
            self._storage.set_trial_user_attr(trial.trial_id, "result", outcome.as_json())
            for key, value in _constraints(trial.proposal, outcome).items():
                self._storage.set_trial_system_attr(trial.trial_id, key, value)
            self._storage.set_trial_state_values(
                trial.trial_id, optuna.trial.TrialState[state], values
            )
        stored = tuple(values) if values is not None else None
        return replace(trial, state=state, values=stored, outcome=outcome)

    def close(self) -> None:
        self._storage.remove_session()
        self._storage.engine.dispose()
        super().close()


def _constraints(proposal: Proposal, outcome: Outcome) -> Mapping[str, float]:
    """What makes Optuna (and its dashboard) treat a budget violator as infeasible, and a
    replicate as well: it belongs to no search."""
    if proposal.kind == "replicate":
        return {"constraints:replicate": 1.0}
    return {"constraints:budget": outcome.violation} if outcome.violation > 0 else {}


@contextmanager
def _incompatible(url: str) -> Iterator[None]:
    """Tell what Optuna says of tables that it does not understand.

    Raises:
        StudyDamaged: their version is missing, or another one.
    """
    try:
        yield
    except (RuntimeError, *DAMAGE) as error:
        raise StudyDamaged(f"{shown(url)}: {said(error)}") from None


def _open_storage(url: str) -> RDBStorage:
    """Optuna's storage; its tables are made where they are missing."""
    from hqsearch.store.optuna_storage import LogStorage

    with translated(url), _incompatible(url):
        if is_server(url):
            with connected(url) as connection:
                # Two drivers that make Optuna's tables at one time would break each other.
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _TABLES})
                return LogStorage(url, engine_kwargs={"connect_args": connect_args(url)})
        with connected(url):
            pass  # turned WAL on, which then stays
        storage = LogStorage(url, engine_kwargs={"connect_args": connect_args(url)})
        storage.remove_session()
        storage.engine.dispose()
        sqlalchemy.event.listen(storage.engine, "connect", tune_sqlite)
    return storage
