"""Tasks, and how a worker performs one.

A worker catches what goes wrong in an evaluation and returns it as an outcome; before it
returns, it writes the outcome to a file, atomically, so that a driver that died meanwhile
finds it on resume and nothing finished is computed twice.
"""

from __future__ import annotations

import errno
import json
import math
import shutil
import time
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from hqsearch.atomic import write_atomically
from hqsearch.definition import StudyDefinition
from hqsearch.errors import HqsearchError, RunFailed
from hqsearch.evaluator import Evaluation, Evaluator, Resources, Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.problem.candidate import Candidate


@dataclass(frozen=True)
class Task:
    """A piece of work for an executor.

    Attributes:
        number: the trial it belongs to; negative for preparations and a strategy's own tasks.
        kind: what the worker does with the payload.
        payload: JSON-able; for ``evaluate`` the candidate's ``key``, and with early
            stopping ``budget`` and ``checkpoint`` (a folder in the study's), or for a
            replicate ``confirm``, whose ``epochs`` may be None; for
            ``strategy`` the ``kind``, ``payload`` and ``folder`` (in the study's) of the task.
        seed: of everything random in it; retries use the same.
        resources: what it needs.
        result_file: where the worker leaves the outcome before returning it.
    """

    number: int
    kind: Literal["prepare", "evaluate", "strategy"]
    payload: dict[str, Any]
    seed: int = 0
    resources: Resources = field(default_factory=Resources)
    result_file: Path | None = None


@dataclass(frozen=True)
class TaskOutcome:
    """What became of a task. ``failure`` is empty where it succeeded."""

    values: dict[str, float] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    failure: str = ""
    reason: str = ""
    seconds: float = 0.0
    attempts: int = 1


def perform(evaluator: Evaluator, task: Task) -> TaskOutcome:
    """Run a task here; an exception or a NaN becomes a failed outcome with its reason."""
    wall, cpu = time.perf_counter(), time.process_time()
    values: dict[str, float] = {}
    details: dict[str, Any] = {}
    failure = reason = ""
    try:
        if task.kind == "prepare":
            details = evaluator.prepare_task(task.payload)
        elif task.kind == "strategy":
            folder = evaluator.setup.folder / task.payload["folder"]
            folder.mkdir(parents=True, exist_ok=True)
            details = evaluator.strategy_task(
                task.payload["kind"], task.payload["payload"], task.seed, folder
            )
            details = json.loads(json.dumps(details, allow_nan=False))
        else:
            evaluation = _evaluate(evaluator, task)
            # As plain JSON values: an evaluator may well return numpy's.
            values = {str(name): float(value) for name, value in evaluation.values.items()}
            details = json.loads(json.dumps(evaluation.details, allow_nan=False))
            missing = [o.name for o in evaluator.objectives if o.name not in values]
            broken = [name for name, value in values.items() if not math.isfinite(value)]
            if missing:
                failure, reason = "exception", f"the evaluator returned no {', '.join(missing)}"
            elif broken:
                failure = "nan"
                reason = "not a finite number: " + ", ".join(f"{n}={values[n]}" for n in broken)
    except HqsearchError:
        raise  # not of this candidate: data or parent are gone, the disk is full
    except Exception as error:
        # A preparation has no trial that could fail, and a full disk is nobody's result.
        if task.kind == "prepare" or (isinstance(error, OSError) and error.errno == errno.ENOSPC):
            raise
        failure, reason = "exception", f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - wall
    details.setdefault("cpu_seconds", round(time.process_time() - cpu, 3))
    outcome = TaskOutcome({} if failure else values, details, failure, reason, seconds)
    leave_result(task, outcome)
    return outcome


def _evaluate(evaluator: Evaluator, task: Task) -> Evaluation:
    """One evaluation, or its way to the next rung; from its checkpoint, where there is one.

    A checkpoint is a shortcut: without it, or with a damaged one, the way is only longer.
    """
    candidate, budget = Candidate.from_key(task.payload["key"]), task.payload.get("budget")
    if "confirm" in task.payload:
        return evaluator.confirm(candidate, task.seed, task.payload["confirm"]["epochs"])
    if "checkpoint" not in task.payload:
        return evaluator.evaluate(candidate, task.seed, budget)
    folder = evaluator.setup.folder / task.payload["checkpoint"]
    if folder.is_dir():
        try:
            return evaluator.evaluate(
                candidate, task.seed, budget, resume_from=folder, checkpoint=folder
            )
        except RunFailed:
            shutil.rmtree(folder, ignore_errors=True)
    return evaluator.evaluate(candidate, task.seed, budget, checkpoint=folder)


def leave_result(task: Task, outcome: TaskOutcome) -> None:
    """Write the outcome to the task's result file, if it has one."""
    if task.result_file is not None:
        write_atomically(task.result_file, json.dumps({"key": task.payload, **vars(outcome)}))


def read_result(path: Path, payload: dict[str, Any]) -> TaskOutcome | None:
    """The outcome that a worker left for this payload, if it did."""
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(data, dict) or data.pop("key", None) != payload:
        return None
    if set(data) != {f.name for f in fields(TaskOutcome)}:
        return None
    return TaskOutcome(**data)


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


def evaluator_for(setup_text: str) -> Evaluator:
    """The evaluator of a setup, made once per worker process."""
    if setup_text not in _made:
        data = json.loads(setup_text)
        definition = StudyDefinition.model_validate(data["definition"])
        _made.clear()  # a worker of a new study lets the old one's data go
        _made[setup_text] = make_evaluator(Setup(definition, Path(data["folder"]), data["device"]))
    return _made[setup_text]
