"""What the log holds of a trial and of a run, as plain values."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final

from hqsearch.evaluator.details import Details, RungRow
from hqsearch.evaluator.tasks import (
    EvaluatorTask,
    FreshParent,
    TaskAnswer,
    answer_from_json,
    task_from_json,
)
from hqsearch.problem.budgets import Budget
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import Objective
from hqsearch.wording import reason as told_reason

#: States of a trial in which nothing changes any more.
FINISHED = ("COMPLETE", "PRUNED", "FAIL")
#: What the runs of ``hqsearch confirm`` have in place of a strategy's name.
CONFIRM = "confirm"
#: Of a confirmation's run of the members that carry claims alone.
CLAIMS: Final = "claims"
#: The same of a run of results that were measured elsewhere, and the kind of its trials.
IMPORT, IMPORTED = "import", "imported"
#: In details that are printed: what Python takes for a number in JSON, and JSON does not, and
#: what a trial's outcome says as well.
_NOT_AS_IT_IS = (
    "NaN", "Infinity", '"origin":', '"stopped_at":', '"violation":', '"failure":', '"reason":',
    '"attempts":',
)  # fmt: skip
_DETAILS = '"details": {'


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One execution of a strategy on a study.

    ``options`` holds the strategy's validated options, the constraints and, where a run stops
    candidates early, the ``[search]`` settings, and where it may learn from some runs only,
    their ordinals as ``history``; with strategy and seed they identify a run.
    ``start`` is the number of the trial it starts from.
    """

    ordinal: int
    strategy: str
    seed: int
    options: dict[str, Any]
    evaluations: int
    start: int
    budgets: tuple[Budget, ...]
    versions: dict[str, str]
    notes: tuple[str, ...] = ()
    exhausted: bool = False
    """Everything there is to propose was proposed; there is nothing to resume."""
    unfinished: tuple[int, ...] = ()
    """Trials of earlier runs that were not finished when this one began: not in its history."""
    until: str = ""
    """What was asked to end it before its number of evaluations: ``stalled:3``."""
    stalled: str = ""
    """Why little more is to be gained, where it was ended by that."""

    @property
    def searches(self) -> bool:
        """Whether a strategy proposed its trials; those of a confirmation are replicates."""
        return self.strategy not in (CONFIRM, CLAIMS, IMPORT)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RunRecord:
        budgets = tuple(Budget(**b) for b in data["budgets"])
        lists = {"notes": tuple(data["notes"]), "unfinished": tuple(data.get("unfinished", ()))}
        return cls(**{**data, **lists, "budgets": budgets})


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """What the log holds of a strategy's own task (a supernet training, a scoring pass).

    ``index`` counts the run's tasks; ``slot`` is the number of trials proposed before it and
    ``seen`` the number of results observed, which is what replay needs; ``order`` is its place
    in the run's results, trials included.
    """

    run: int
    index: int
    slot: int
    seen: int
    kind: str
    payload: dict[str, Any]
    label: str
    seed: int
    state: str = "RUNNING"
    order: int = -1
    seconds: float = 0.0
    failure: str = ""
    reason: str = ""
    attempts: int = 1
    details: dict[str, Any] | None = None
    study: str = ""
    """Start of the study's token: a folder may outlive its log."""

    @property
    def finished(self) -> bool:
        return self.state in FINISHED

    @property
    def number(self) -> int:
        """What executors know it by; trials have the numbers from 0, -1 is a preparation."""
        return -2 - self.index

    @property
    def task(self) -> EvaluatorTask:
        """What is asked of the evaluator."""
        return task_from_json(self.kind, self.payload)

    @property
    def answer(self) -> TaskAnswer | None:
        """What came of it; None where it has not ended, or failed."""
        return None if self.details is None else answer_from_json(self.kind, self.details)

    @property
    def folder(self) -> str:
        """Of its checkpoints and artifacts, in the study's."""
        return f"tasks/{self.study}-{self.run}-{self.index}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TaskRecord:
        return cls(**{**data, "reason": told_reason(data.get("reason", ""))})


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the log holds of a trial from the moment it exists.

    ``slot`` counts the run's proposals; ``seen`` is the number of results that the strategy
    had observed when it made this one, which is what replay needs.
    """

    run: int
    slot: int
    strategy: str
    kind: str
    key: str
    seed: int
    seen: int
    copy_of: int | None = None
    origin: str = ""
    cohort: int | None = None
    """With early stopping: which candidates it is compared with; baselines and copies are not."""
    promise: float | None = None
    """Of the first one of a batch: hypervolume that the strategy expected all of it to add, as a
    share of the front's."""
    parent: int | None = None
    """Of a replicate: seed of the parent that was trained for it; None: the study's own parent."""
    division: int = 0
    """Of a replicate: which division of the recordings that parent learned from."""

    @property
    def fresh_parent(self) -> FreshParent | None:
        """What a replicate starts from, if it is not the study's own parent."""
        return None if self.parent is None else FreshParent(self.division, self.parent)

    @property
    def candidate(self) -> Candidate:
        return Candidate.from_key(self.key)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the log holds of a finished trial; ``order`` is its place in the run's results."""

    order: int
    seconds: float = 0.0
    violation: float = 0.0
    failure: str = ""
    """Kind of failure: exception, nan, died, time-limit; empty where there was none."""
    reason: str = ""
    attempts: int = 1
    details: Details = field(default_factory=Details)
    stopped_at: int | None = None
    """Epoch of the rung at which it was stopped early; None where it was not."""

    def as_json(self) -> dict[str, Any]:
        return _with_details(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Outcome:
        told = told_reason(data.get("reason", ""))  # 0.1 kept any
        details = Details.from_json(data.get("details", {}))
        return cls(**{**data, "reason": told, "details": details})


@dataclass(frozen=True, slots=True)
class Rung:
    """What a trial was worth part-way.

    Attributes:
        epoch: of the full schedule; the evaluator's unit of budget.
        values: in the order of the study's objectives.
        violation: of the budgets, on these values.
        seconds: that it took from the rung before.
        attempts: of which all but the last one died.
        details: what was measured, and the numbers among the evaluation's details.
    """

    epoch: int
    values: tuple[float, ...]
    violation: float = 0.0
    seconds: float = 0.0
    attempts: int = 1
    details: Details = field(default_factory=Details)

    def as_json(self) -> dict[str, Any]:
        return _with_details(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Rung:
        details = Details.from_json(data.get("details", {}))
        return cls(**{**data, "values": tuple(data["values"]), "details": details})


def _with_details(record: Outcome | Rung) -> dict[str, Any]:
    """A record as it is stored; not by ``asdict``, which would copy every layer's row."""
    stored = {f.name: getattr(record, f.name) for f in fields(record)}
    return {**stored, "details": record.details.to_json()}


@dataclass(frozen=True, slots=True)
class Decision:
    """Who goes on from a rung; logged before it takes effect, and never computed again.

    Attributes:
        run: ordinal of the run.
        cohort: from 0, within the run.
        rung: index of the rung.
        ranked: numbers of the trials that reached it, best first.
        promoted: how many of them go on.
    """

    run: int
    cohort: int
    rung: int
    ranked: tuple[int, ...]
    promoted: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Decision:
        return cls(**{**data, "ranked": tuple(data["ranked"])})


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One trial as the log has it."""

    number: int
    trial_id: int
    state: str
    proposal: Proposal
    values: tuple[float, ...] | None = None
    outcome: Outcome | None = None
    rungs: tuple[Rung, ...] = ()
    """What early stopping saw of it, in order."""

    @property
    def finished(self) -> bool:
        return self.state in FINISHED


#: What is logged before it starts, and again when it has ended.
Record = TrialRecord | TaskRecord


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A trial as it is shown to people: everything by name."""

    number: int
    state: str
    run: int
    strategy: str
    kind: str
    copy_of: int | None
    choices: dict[str, str]
    values: dict[str, float] | None
    average_bits: float | None
    seed: int
    seconds: float | None
    violation: float
    failure: str
    reason: str
    attempts: int
    origin: str
    details_json: str
    stopped_at: int | None = None
    """Epoch at which early stopping ended it."""

    @property
    def imported(self) -> bool:
        """Whether it was measured elsewhere: no verdict rests on it, and it answers nothing."""
        return self.kind == IMPORTED

    @property
    def searched(self) -> bool:
        """Whether it is an evaluation of a search of this study."""
        return self.kind not in ("replicate", IMPORTED)

    @property
    def details(self) -> Details:
        return Details.from_json(json.loads(self.details_json))

    @property
    def key(self) -> str:
        return Candidate.of(self.choices).key

    @classmethod
    def of(cls, trial: TrialRecord, objectives: tuple[Objective, ...]) -> TrialRow:
        proposal, outcome = trial.proposal, trial.outcome or Outcome(order=-1)
        names = [o.name for o in objectives]
        values = None
        if trial.values is not None:
            values = dict(zip(names, trial.values, strict=True))
        details = outcome.details
        if trial.rungs:
            rungs = (
                RungRow(epoch=r.epoch, values=dict(zip(names, r.values, strict=True)))
                for r in trial.rungs
            )
            details = replace(details, rungs=tuple(rungs))
        return cls(
            number=trial.number,
            state=trial.state,
            run=proposal.run,
            strategy=proposal.strategy,
            kind=proposal.kind,
            copy_of=proposal.copy_of,
            choices=proposal.candidate.choices,
            values=values,
            average_bits=outcome.details.average_bits,
            seed=proposal.seed,
            seconds=outcome.seconds if trial.outcome else None,
            violation=outcome.violation,
            failure=outcome.failure,
            reason=outcome.reason,
            attempts=outcome.attempts,
            origin=proposal.origin,
            stopped_at=outcome.stopped_at,
            details_json=json.dumps(details.to_json()),
        )

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {**self._head(), "details": {**json.loads(self.details_json), **self._outcome()}}

    def as_json_text(self, dump: Callable[[Any], str]) -> str:
        """What ``dump`` makes of :meth:`as_json`.

        The details, which are most of it, are text already and are put in as they are.
        """
        kept, more = self.details_json, self._outcome()
        for word in _NOT_AS_IT_IS:
            if word in kept:
                return dump(self.as_json())
        # No other key of this name has an object, and within a text quotes are escaped.
        before, mark, after = dump({**self._head(), "details": more}).partition(_DETAILS)
        return f"{before}{mark}{kept[1:-1]}{', ' if len(kept) > len('{}') else ''}{after}"

    def _head(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "state": self.state,
            "run": self.run,
            "strategy": self.strategy,
            "kind": self.kind,
            "copy_of": self.copy_of,
            "choices": self.choices,
            "values": self.values,
            "average_bits": self.average_bits,
            "seed": self.seed,
            "seconds": self.seconds,
        }

    def _outcome(self) -> dict[str, Any]:
        return {
            "origin": self.origin,
            "stopped_at": self.stopped_at,
            "violation": self.violation,
            "failure": self.failure,
            "reason": self.reason,
            "attempts": self.attempts,
        }
