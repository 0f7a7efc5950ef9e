"""What the supernets of a run learned: final probabilities, and how they came about.

The final probabilities stand in the log, with the tasks of the run; their evolution in each
task's ``history.json``, named in the log by its SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqsearch.analysis.overview import require_study
from hqsearch.definition import study_name
from hqsearch.errors import InputError, RunFailed
from hqsearch.evaluator.tasks import SupernetResult
from hqsearch.store.log import LogReader, storage_url
from hqsearch.store.records import RunRecord, TaskRecord, TrialRecord
from hqsearch.wording import command, option


@dataclass(frozen=True)
class Learned:
    """The supernets of a study's last run of a strategy.

    Attributes:
        study: its name.
        folder: of the study.
        tasks: the run's tasks, in order.
        derived: task label → numbers of the trials that came from it.
    """

    study: str
    folder: Path
    tasks: tuple[TaskRecord, ...]
    derived: Mapping[str, tuple[int, ...]]

    def as_json(self) -> list[dict[str, Any]]:
        """One object per supernet."""
        return [
            {
                "task": task.index,
                "run": task.run,
                "label": task.label,
                "state": task.state,
                "failure": task.failure,
                "reason": task.reason,
                "seconds": task.seconds,
                "trials": list(self.derived.get(task.label, ())),
                **{
                    key: (task.details or {}).get(key)
                    for key in ("probabilities", "expected", "limits", "multipliers", "candidates")
                },
            }
            for task in self.tasks
        ]


def learned(study: str, studies_dir: Path, storage: str | None, strategy: str) -> Learned:
    """Read the last run of ``strategy`` that trained supernets.

    Raises:
        InputError: the study has no such run, or it trained none.
    """
    name = study_name(study)
    folder = require_study(name, studies_dir, storage)
    reader = LogReader(storage_url(storage, folder), name)
    try:
        runs, tasks, trials = reader.runs(), reader.tasks(), reader.trials()
    finally:
        reader.close()
    return learned_in(name, folder, runs, tasks, trials, strategy)


def learned_in(
    name: str,
    folder: Path,
    runs: Sequence[RunRecord],
    tasks: Sequence[TaskRecord],
    trials: Sequence[TrialRecord],
    strategy: str,
) -> Learned:
    """The same, of a log that was read already.

    Raises:
        InputError: there is no such run, or it trained no supernet.
    """
    if not any(run.strategy == strategy for run in runs):
        known = ", ".join(sorted({run.strategy for run in runs})) or "none"
        raise InputError(f"study {name!r} has no run of strategy {strategy!r}; it has: {known}")
    own = {run.ordinal for run in runs if run.strategy == strategy}
    kept = [t for t in tasks if t.run in own and t.kind == "supernet"]
    if not kept:
        supernets = {t.run for t in tasks if t.kind == "supernet"}
        trained = sorted({r.strategy for r in runs if r.ordinal in supernets})
        shown = [
            f"; those of {other} are shown: "
            + command("show", name, "--strategy", other, studies_dir=folder.parent)
            for other in trained
        ]
        told = "".join(shown[:1]) or "; gumbel trains some"
        raise InputError(f"strategy {strategy!r} trained no supernets in study {name!r}{told}")
    last = max(task.run for task in kept)
    derived: dict[str, list[int]] = {}
    for trial in trials:
        if trial.proposal.run == last and trial.proposal.kind == "search":
            derived.setdefault(trial.proposal.origin, []).append(trial.number)
    return Learned(
        name,
        folder,
        tuple(t for t in kept if t.run == last),
        {label: tuple(numbers) for label, numbers in derived.items()},
    )


def history(supernets: Learned, index: int | None) -> tuple[TaskRecord, dict[str, Any]]:
    """The history of one supernet of the run; the middle one where none is named.

    Raises:
        InputError: there is no such supernet, or it was not finished.
        RunFailed: the file is missing, or not the one that the log names.
    """
    done = [t for t in supernets.tasks if t.details is not None]
    if not done:
        raise InputError(f"study {supernets.study!r} has no finished supernet")
    if index is None:
        task = done[(len(done) - 1) // 2]
    else:
        known = ", ".join(str(t.index) for t in done)
        named = [t for t in done if t.index == index]
        if not named:
            raise InputError(f"{option('task', index)}: the finished supernets are {known}")
        task = named[0]
    assert isinstance(task.answer, SupernetResult)
    about = task.answer.history or {}
    path = supernets.folder / task.folder / about["file"]
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunFailed(f"{path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != about["sha256"]:
        raise RunFailed(f"{path} is not the file that the log names; it was changed since")
    return task, json.loads(content)
