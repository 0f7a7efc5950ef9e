"""Replicates of a confirmation, and the parents that are trained for them: all of one run.

What is started is logged before it starts and recovered like a search, by the same
:mod:`hqsearch.search.pump`. Parents are tasks of their own; a replicate starts when its parent is
there.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqsearch.errors import RunFailed
from hqsearch.evaluator import FreshParent, ParentResult, ParentTask
from hqsearch.evaluator.tasks import PARENT
from hqsearch.executors.task import Confirm, TaskOutcome
from hqsearch.problem.candidate import Candidate
from hqsearch.search.events import Listener, every_second
from hqsearch.search.failures import Failures
from hqsearch.search.pump import Pump, ResultFiles
from hqsearch.store.log import StudyLog
from hqsearch.store.records import (
    CLAIMS,
    CONFIRM,
    Outcome,
    Proposal,
    Record,
    RunRecord,
    TaskRecord,
    TrialRecord,
)
from hqsearch.study.opening import OpenStudy, versions
from hqsearch.wording import option


@dataclass(frozen=True)
class Replicate:
    """A replicate that is asked for.

    Attributes:
        key: the candidate's.
        origin: what the candidate is called.
        seed: of its training.
        parent: what it starts from; None: the study's own parent.
    """

    key: str
    origin: str
    seed: int
    parent: FreshParent | None = None


#: A parent of a structural part.
_Parent = tuple[str, FreshParent]


class Replicating:
    """The replicates of one run, brought to an end.

    Args:
        opened: the study.
        log: of it.
        options: what tells this confirmation from others: more of the same are added to it.
        epochs: of each training; as searched where None.
        wanted: every replicate; those that are in the log are not trained again.
        listener: is told how far it is.
    """

    def __init__(
        self,
        opened: OpenStudy,
        log: StudyLog,
        options: dict[str, Any],
        epochs: int | None,
        wanted: Sequence[Replicate],
        listener: Listener,
    ) -> None:
        self._opened, self._log, self._epochs, self._listener = opened, log, epochs, listener
        records, runs = log.trials(), log.runs()
        self._strategy = CLAIMS if options.get(CLAIMS) else CONFIRM
        known = [r for r in runs if r.strategy == self._strategy and r.options == options]
        ordinal = known[-1].ordinal if known else len(runs)
        self.trials = [t for t in records if t.proposal.run == ordinal]
        there = {(t.proposal.key, t.proposal.seed, t.proposal.fresh_parent) for t in self.trials}
        missing = [w for w in wanted if (w.key, w.seed, w.parent) not in there]
        total = len(self.trials) + len(missing)
        searched = [r for r in runs if r.searches]
        self._run = RunRecord(
            ordinal=ordinal,
            strategy=self._strategy,
            seed=int(opened.evaluator.options.seed),
            options=options,
            evaluations=total,
            start=known[-1].start if known else len(records),
            budgets=searched[-1].budgets if searched else (),
            versions=versions(),
        )
        if not known or known[-1].evaluations != total:
            log.add_run(self._run)
        self._missing = missing
        self._token = str(log.attributes()["study"]["token"])
        files = ResultFiles(opened.folder / "results", self._token)
        self._pump = Pump(log, opened.evaluator, opened.executor, files, self._work)
        self._failures = Failures(self.trials)
        self._tasks = [t for t in log.tasks() if t.run == ordinal and t.kind == PARENT]
        unfinished = [Replicate(p.key, "", p.seed, p.fresh_parent) for p in self._unfinished()]
        needed = dict.fromkeys(self._parent_of(w) for w in (*unfinished, *missing))
        self._ready = {self._parent(t) for t in self._tasks if self._is_there(t)}
        self._failed = {self._parent(t) for t in self._tasks if t.state == "FAIL"}
        self._waiting = deque(
            p for p in needed if p is not None and p not in self._ready | self._failed
        )

    @property
    def recovered(self) -> int:
        """Results that were taken over from files."""
        return self._pump.recovered

    @property
    def parent_failures(self) -> list[TaskRecord]:
        """Parents that could not be trained; no replicate starts from them."""
        return [t for t in self._tasks if t.state == "FAIL"]

    def finish_all(self) -> None:
        """Train what is missing.

        Raises:
            RunFailed: every parent failed.
        """
        with every_second(self._tell):
            for task in [t for t in self._tasks if not t.finished]:
                self._take_over(task)
            self._go_on()  # replicates that were cut off may have to wait for their parents
            for trial in [t for t in self.trials if not t.finished]:
                self._take_over(trial)
            self._go_on()
        for task in self.parent_failures:
            self._listener.note(
                f"note: {task.label} failed, and nothing was trained from it: {task.reason} "
                f"({task.failure})"
            )
        if self._failed and not self._ready and not self.trials:
            first = self.parent_failures[0]
            raise RunFailed(
                f"all {len(self._failed)} parents failed: {first.reason} ({first.failure}); a "
                f"confirmation with more {option('parents')} tries again"
            )

    def _go_on(self) -> None:
        while True:
            self._fill()
            if not self._pump.in_flight:
                return
            finished = self._pump.next_finished()
            if finished is not None:
                self._end(*finished)

    def _fill(self) -> None:
        """Submit while there is room: what was cut off, then parents, then what is missing."""
        while self._pump.has_room and not self._failures.hopeless:
            if self._pump.submit_queued():
                continue
            if self._waiting:
                self._start_parent(self._waiting.popleft())
                continue
            place = next((i for i, w in enumerate(self._missing) if self._can_start(w)), None)
            if place is None:
                return
            wanted, slot = self._missing.pop(place), len(self.trials)
            parent = wanted.parent
            proposal = Proposal(
                self._run.ordinal, slot, self._strategy, "replicate", wanted.key, wanted.seed, slot,
                origin=wanted.origin,
                parent=None if parent is None else parent.seed,
                division=0 if parent is None else parent.division,
            )  # fmt: skip
            self.trials.append(self._pump.start_trial(proposal))

    def _take_over(self, record: Record) -> None:
        left = self._pump.recover(record)
        if left is not None:
            self._end(record, left)

    def _tell(self) -> None:
        running = [t for t in self._tasks if not t.finished]
        if self._waiting or running:
            total = int(getattr(self._opened.evaluator.options, "parent_epochs", 1))
            ended = len(self._tasks) - len(running)
            done = sum(map(self._epochs_done, running)) + total * ended
            every = total * (len(self._tasks) + len(self._waiting))
            self._listener.prepared("training fresh parents", min(done, every), every)
            return
        done = sum(t.finished for t in self.trials)
        self._listener.prepared("replicates", done, self._run.evaluations)

    def _epochs_done(self, task: TaskRecord) -> int:
        """That a parent's training has behind it, as far as this machine sees."""
        try:
            told = (self._opened.folder / task.folder / "progress.json").read_text()
            return int(json.loads(told)["done"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    # Parents

    def _parent_of(self, wanted: Replicate) -> _Parent | None:
        if wanted.parent is None:
            return None
        space = self._opened.evaluator.space
        return space.structural_key(Candidate.from_key(wanted.key)), wanted.parent

    def _can_start(self, wanted: Replicate) -> bool:
        parent = self._parent_of(wanted)
        return parent is None or parent in self._ready

    def _unfinished(self) -> list[Proposal]:
        return [t.proposal for t in self.trials if not t.finished]

    @staticmethod
    def _parent(record: TaskRecord) -> _Parent:
        task = record.task
        assert isinstance(task, ParentTask)
        return task.structure, FreshParent(task.division, record.seed)

    def _is_there(self, record: TaskRecord) -> bool:
        """Whether what a finished task left is there, and whole."""
        answer = record.answer
        if record.state != "COMPLETE" or not isinstance(answer, ParentResult):
            return False
        if answer.file is None:
            return True
        place = self._opened.folder / answer.file
        return place.is_file() and _sha256(place) == answer.weights

    def _start_parent(self, parent: _Parent) -> None:
        structure, fresh = parent
        task = ParentTask(structure, fresh.division)
        label = f"parent with seed {fresh.seed}"
        label += f" of division {fresh.division}" if fresh.division else ""
        record = TaskRecord(
            run=self._run.ordinal,
            index=len(self._tasks),
            slot=len(self.trials),
            seen=0,
            kind=task.kind,
            payload=task.to_json(),
            label=label + (f" of {structure}" if structure else ""),
            seed=fresh.seed,
            study=self._token[:8],
        )
        self._pump.start_task(record)
        self._tasks.append(record)

    # Results

    def _end(self, record: Record, outcome: TaskOutcome) -> None:
        if isinstance(record, TaskRecord):
            self._end_parent(record, outcome)
        else:
            self._end_trial(record, outcome)
        self._tell()

    def _end_parent(self, task: TaskRecord, outcome: TaskOutcome) -> None:
        done = self._pump.finish_task(task, outcome)
        self._tasks[task.index] = done
        (self._failed if outcome.failure else self._ready).add(self._parent(done))

    def _end_trial(self, trial: TrialRecord, outcome: TaskOutcome) -> None:
        parent = trial.proposal.fresh_parent
        facts: dict[str, Any] = {**self._opened.facts, "epochs": self._epochs}
        if parent is not None:
            facts |= {"parent": parent.seed, "division": parent.division}
        logged = Outcome(
            order=trial.proposal.slot,
            seconds=round(outcome.seconds, 3),
            failure=outcome.failure,
            reason=outcome.reason,
            attempts=outcome.attempts,
            details=outcome.details.with_facts(facts),
        )
        state, values = "FAIL", None
        if not outcome.failure:
            state = "COMPLETE"
            values = [outcome.values[o.name] for o in self._opened.objectives]
        finished = self._pump.finish_trial(trial, state, values, logged)
        self.trials[trial.proposal.slot] = finished
        self._failures.add(finished)

    def _work(self, trial: TrialRecord) -> Confirm:
        proposal = trial.proposal
        return Confirm(proposal.key, self._epochs, proposal.fresh_parent)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
