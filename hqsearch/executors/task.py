"""Tasks, and how a worker performs one.

A worker catches what goes wrong in an evaluation and returns it as an outcome; before it
returns, it writes the outcome to a file, atomically, so that a driver that died meanwhile
finds it on resume and nothing finished is computed twice.
"""

from __future__ import annotations

import hashlib
import json
import math
import resource
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from hqsearch.atomic import is_full, write_atomically
from hqsearch.definition import StudyDefinition
from hqsearch.errors import HqsearchError, RunFailed, TrialFailed
from hqsearch.evaluator import (
    Details,
    Evaluation,
    Evaluator,
    EvaluatorTask,
    FreshParent,
    GivenObjects,
    Resources,
    Setup,
)
from hqsearch.evaluator.details import checked
from hqsearch.evaluator.json_record import WrongType, measured_number
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.evaluator.tasks import checked_answer
from hqsearch.executors.interrupts import signals_get_through
from hqsearch.problem.candidate import Candidate
from hqsearch.wording import described, reason

#: Key of a result file: SHA-256 of everything else in it.
_SEAL = "sha256"


@dataclass(frozen=True)
class Prepare:
    """A dear step of a preparation; the payload is the evaluator's own."""

    payload: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return dict(self.payload)


@dataclass(frozen=True)
class Evaluate:
    """An evaluation, or its way to the next rung.

    Attributes:
        key: the candidate's.
        budget: how much of the whole to spend; None is all of it.
        checkpoint: folder in the study's, for what is compared with others part-way.
    """

    key: str
    budget: int | None = None
    checkpoint: str | None = None

    def to_json(self) -> dict[str, Any]:
        if self.budget is None and self.checkpoint is None:
            return {"key": self.key}
        return {"key": self.key, "budget": self.budget, "checkpoint": self.checkpoint}


@dataclass(frozen=True)
class Confirm:
    """A retraining that is measured on the test split.

    Attributes:
        key: the candidate's.
        epochs: as many as usual by default.
        parent: what it starts from; the study's own parent by default.
    """

    key: str
    epochs: int | None = None
    parent: FreshParent | None = None

    def to_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {"epochs": self.epochs}
        if self.parent is not None:
            told["parent"] = asdict(self.parent)
        return {"key": self.key, "confirm": told}


@dataclass(frozen=True)
class StrategyWork:
    """A strategy's own task, in its folder in the study's."""

    task: EvaluatorTask
    folder: str

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.task.kind, "payload": self.task.to_json(), "folder": self.folder}


Work = Prepare | Evaluate | Confirm | StrategyWork


@dataclass(frozen=True)
class Task:
    """A piece of work for an executor.

    Attributes:
        number: the trial it belongs to; negative for preparations and a strategy's own tasks.
        work: what is to be done.
        seed: of everything random in it; retries use the same.
        resources: what it needs.
        result_file: where the worker leaves the outcome before returning it.
        study: token of the study that it belongs to.
    """

    number: int
    work: Work
    seed: int = 0
    resources: Resources = field(default_factory=Resources)
    result_file: Path | None = None
    study: str = ""

    @property
    def measures(self) -> bool:
        """Whether it evaluates a candidate; what others make stays in the study's folder."""
        return isinstance(self.work, Evaluate | Confirm)

    @property
    def checkpoint(self) -> str | None:
        """Folder in the study's that a later task of this trial goes on from."""
        return self.work.checkpoint if isinstance(self.work, Evaluate) else None

    def identity(self) -> dict[str, Any]:
        """What tells its result from that of any other task and study."""
        return {**self.work.to_json(), "seed": self.seed, "study": self.study}


@dataclass(frozen=True)
class TaskOutcome:
    """What became of a task. ``failure`` is empty where it succeeded.

    Attributes:
        values: objective → value, of an evaluation.
        details: of an evaluation.
        answer: of a preparation or a strategy's own task: JSON values.
        failure: kind of failure: exception, nan, died, time-limit.
        reason: of the failure, for people.
        seconds: that it took.
        attempts: of which all but the last one died.
    """

    values: dict[str, float] = field(default_factory=dict)
    details: Details = field(default_factory=Details)
    answer: dict[str, Any] = field(default_factory=dict)
    failure: str = ""
    reason: str = ""
    seconds: float = 0.0
    attempts: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", reason(self.reason))

    def to_json(self) -> dict[str, Any]:
        """As it is left in a file: details and answer share a place, for it has but one."""
        return {
            "values": self.values,
            "details": {**self.details.to_json(), **self.answer},
            "failure": self.failure,
            "reason": self.reason,
            "seconds": self.seconds,
            "attempts": self.attempts,
        }


def perform(evaluator: Evaluator, task: Task) -> TaskOutcome:
    """Run a task here; an exception or a NaN becomes a failed outcome with its reason.

    So do ``sys.exit`` and whatever else would end the process: an evaluator that calls it means
    its own work. Ctrl-C, and being told to go, are none of the evaluator's, whatever it does with
    them: no result is left, so that the task is done again.

    Raises:
        KeyboardInterrupt: a person pressed Ctrl-C.
        SystemExit: Ray ends this worker.
        HqsearchError: of what all evaluations need; or a preparation tried to end the process.
    """
    wall, cpu = time.perf_counter(), _processor_seconds()
    work = task.work
    with signals_get_through():
        try:
            done = _done(evaluator, task)
        except HqsearchError:
            raise  # not of this candidate: data or parent are gone, the disk is full
        except BaseException as error:
            # A preparation has no trial that could fail, and a full disk is nobody's result.
            if is_full(error) or (isinstance(work, Prepare) and isinstance(error, Exception)):
                raise
            if isinstance(work, Prepare):
                raise RunFailed(f"preparation failed: {described(error)}") from None
            if isinstance(error, FloatingPointError):
                done = TaskOutcome(failure="nan", reason=str(error))
            elif isinstance(error, TrialFailed):
                done = TaskOutcome(failure="exception", reason=str(error))
            else:
                done = TaskOutcome(failure="exception", reason=described(error))
    spent = round(_processor_seconds() - cpu, 3)
    if isinstance(work, Evaluate | Confirm):
        if done.details.cpu_seconds is None:
            done = replace(done, details=replace(done.details, cpu_seconds=spent))
    else:
        done = replace(done, answer={"cpu_seconds": spent, **done.answer})
    outcome = replace(done, seconds=time.perf_counter() - wall)
    leave_result(task, outcome)
    return outcome


def _processor_seconds() -> float:
    """Of this process, and of the commands that it started and that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def _done(evaluator: Evaluator, task: Task) -> TaskOutcome:
    """What the evaluator makes of a task."""
    work = task.work
    if isinstance(work, Prepare):
        return TaskOutcome(answer=dict(evaluator.prepare_task(work.payload)))
    if isinstance(work, StrategyWork):
        folder = evaluator.setup.folder / work.folder
        folder.mkdir(parents=True, exist_ok=True)
        answer = evaluator.strategy_task(work.task, task.seed, folder)
        return TaskOutcome(answer=checked_answer(work.task.kind, answer).to_json())
    return _checked(evaluator, _evaluate(evaluator, work, task.seed))


def _checked(evaluator: Evaluator, evaluation: Evaluation) -> TaskOutcome:
    """An evaluation as plain values; a failure where it lacks some, or they are not finite.

    Raises:
        WrongType: values that are no numbers, details that cannot be stored; naming the key.
    """
    values = _values(evaluation)
    details = checked(evaluation.details)
    missing = [o.name for o in evaluator.objectives if o.name not in values]
    broken = [name for name, value in values.items() if not math.isfinite(value)]
    if missing:
        reason = f"the evaluator returned no {', '.join(missing)}"
        return TaskOutcome(details=details, failure="exception", reason=reason)
    if broken:
        reason = "not a finite number: " + ", ".join(f"{n}={values[n]}" for n in broken)
        return TaskOutcome(details=details, failure="nan", reason=reason)
    return TaskOutcome(values, details)


def _values(evaluation: Any) -> dict[str, float]:
    """The values of what an evaluator returned, which may be numpy's, or anything.

    Raises:
        WrongType: naming the key.
    """
    if not isinstance(evaluation, Evaluation):
        raise WrongType(f"the evaluator returned a {type(evaluation).__name__}, no Evaluation")
    if not isinstance(evaluation.values, Mapping):
        kind = type(evaluation.values).__name__
        raise WrongType(f"the evaluator's values: expected a table, not a {kind}")
    values = {}
    for name, value in evaluation.values.items():
        try:
            values[str(name)] = measured_number(value)
        except WrongType as error:
            raise WrongType(f"the evaluator's values: {name}: {error}") from None
    return values


def _evaluate(evaluator: Evaluator, work: Evaluate | Confirm, seed: int) -> Evaluation:
    """One evaluation, or its way to the next rung; from its checkpoint, where there is one.

    A checkpoint is a shortcut: without it, or with a damaged one, the way is only longer.
    """
    candidate = Candidate.from_key(work.key)
    if isinstance(work, Confirm):
        holding = evaluator.holding([candidate])
        if work.parent is not None:
            return holding.confirm_from(candidate, seed, work.epochs, work.parent)
        return holding.confirm(candidate, seed, work.epochs)
    if work.checkpoint is None:
        return evaluator.evaluate(candidate, seed, work.budget)
    folder = evaluator.setup.folder / work.checkpoint
    if folder.is_dir():
        try:
            return evaluator.evaluate(
                candidate, seed, work.budget, resume_from=folder, checkpoint=folder
            )
        except (RunFailed, TrialFailed):
            shutil.rmtree(folder, ignore_errors=True)
    return evaluator.evaluate(candidate, seed, work.budget, checkpoint=folder)


def leave_result(task: Task, outcome: TaskOutcome) -> None:
    """Write the outcome to the task's result file, if it has one."""
    if task.result_file is not None:
        content = {"key": task.identity(), **outcome.to_json()}
        sealed = {**content, _SEAL: _digest(content)}
        write_atomically(task.result_file, json.dumps(sealed))


def read_result(path: Path, task: Task) -> TaskOutcome | None:
    """The outcome that a worker left for this very task, if it did; what is damaged is none.

    A digit that a disk turned into another one would pass for a measurement, so files are sealed;
    those of releases before 0.3 were not.
    """
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    seal = data.pop(_SEAL, None)
    if seal is not None and seal != _digest(data):
        return None
    if data.pop("key", None) != task.identity():
        return None
    if not _is_outcome(data):
        return None
    left = data.pop("details")
    if not task.measures:
        return TaskOutcome(**data, answer=left)
    try:
        return TaskOutcome(**data, details=checked(left))
    except WrongType:
        return None


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _is_outcome(data: dict[str, Any]) -> bool:
    """Whether a file holds what :meth:`TaskOutcome.to_json` gives."""
    kinds: dict[str, Any] = {
        "values": dict, "details": dict, "failure": str, "reason": str, "attempts": int,
        "seconds": int | float,
    }  # fmt: skip
    if set(data) != set(kinds) or not all(isinstance(data[k], kind) for k, kind in kinds.items()):
        return False
    numbers = (data["seconds"], *data["values"].values())
    return all(isinstance(v, int | float) and math.isfinite(v) for v in numbers)


def setup_as_json(setup: Setup) -> str:
    """A setup as text that a worker can make an evaluator from."""
    return json.dumps(
        {
            "definition": setup.definition.model_dump(mode="json"),
            "folder": str(setup.folder),
            "device": setup.device,
        }
    )


_made: dict[str, Evaluator] = {}


def evaluator_for(setup_text: str, objects: GivenObjects | None = None) -> Evaluator:
    """The evaluator of a setup, made once per worker process.

    The text says what ``objects`` are known by, so that others are another text.
    """
    if setup_text not in _made:
        data = json.loads(setup_text)
        definition = StudyDefinition.model_validate(data["definition"])
        _made.clear()  # a worker of a new study lets the old one's data go
        setup = Setup(definition, Path(data["folder"]), data["device"], objects or GivenObjects())
        _made[setup_text] = make_evaluator(setup)
    return _made[setup_text]
