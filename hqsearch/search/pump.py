"""The crash-safe pump: logged records become tasks, and each one's outcome is logged once.

::

    log the record ─▶ submit ─▶ worker leaves a result file ─▶ log the outcome ─▶ delete the file

A driver may die between any two of these steps. What it leaves is a log that says what was
begun, and files that hold what workers had finished by then: :meth:`Pump.recover` takes such an
outcome over, and only what has left none is run again. Searches and confirmations use it alike.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hqsearch.evaluator import Evaluator
from hqsearch.executors.base import Executor
from hqsearch.executors.task import (
    Confirm,
    Evaluate,
    StrategyWork,
    Task,
    TaskOutcome,
    read_result,
)
from hqsearch.store.log import StudyLog
from hqsearch.store.records import Outcome, Proposal, Record, Rung, TaskRecord, TrialRecord

#: Seconds that :meth:`Pump.next_finished` waits.
WAIT = 0.25


@dataclass(frozen=True)
class ResultFiles:
    """Where workers leave outcomes, and the token that tells this study's from another's."""

    folder: Path
    token: str

    def of(self, record: Record) -> Path:
        if isinstance(record, TaskRecord):
            return self.folder / f"task-{record.run}-{record.index}.json"
        return self.folder / f"{record.number}.json"


class Pump:
    """Keeps what is in flight in step with the log.

    Args:
        log: is written before a task starts, and before its result file is deleted.
        evaluator: says what a task needs, and whether its outcome is worth a file.
        executor: runs the tasks.
        files: of the results.
        work_of: what a worker is asked for a trial.
    """

    def __init__(
        self,
        log: StudyLog,
        evaluator: Evaluator,
        executor: Executor,
        files: ResultFiles,
        work_of: Callable[[TrialRecord], Evaluate | Confirm],
    ) -> None:
        self._log, self._evaluator, self._executor = log, evaluator, executor
        self._files, self._work_of = files, work_of
        self.in_flight: dict[int, Record] = {}
        """Submitted, by the number that the executor knows."""
        self._queued: deque[Record] = deque()
        """To be run again, when there is room."""
        self.recovered = 0
        """Outcomes that were taken over from result files."""

    @property
    def has_room(self) -> bool:
        """Whether the executor can do with another task."""
        return len(self.in_flight) < self._executor.capacity

    @property
    def queued(self) -> bool:
        """Whether something is to be run again."""
        return bool(self._queued)

    # Before

    def start_trial(self, proposal: Proposal) -> TrialRecord:
        """Log a proposal, then submit it."""
        trial = self._log.create(proposal)
        self._submit(trial)
        return trial

    def start_task(self, task: TaskRecord) -> None:
        """Log a strategy's own task, then submit it."""
        self._log.put_task(task)
        self._submit(task)

    def recover(self, record: Record) -> TaskOutcome | None:
        """What a worker or a dying driver left of a record's task; where nothing, queue it."""
        left = read_result(self._files.of(record), self._task(record))
        if left is None:
            self._queued.append(record)
        else:
            self.recovered += 1
        return left

    def submit_queued(self) -> bool:
        """Submit the record that has been queued longest; False where there is none."""
        if not self._queued:
            return False
        self._submit(self._queued.popleft())
        return True

    # After

    def next_finished(self) -> tuple[Record, TaskOutcome] | None:
        """A record whose task is done, as it was when submitted; None: look again later."""
        finished = self._executor.next_finished(WAIT)
        if finished is None:
            return None
        task, outcome = finished
        return self.in_flight.pop(task.number), outcome

    def finish_trial(
        self, trial: TrialRecord, state: str, values: Sequence[float] | None, outcome: Outcome
    ) -> TrialRecord:
        """Log how a trial ended; its result file is needed no longer."""
        finished = self._log.finish(trial, state, values, outcome)
        self._delete_result(trial)
        return finished

    def reach(self, trial: TrialRecord, rung: Rung) -> TrialRecord:
        """Log what a trial is worth part-way; it is recovered or submitted anew from there."""
        reached = self._log.reach(trial, rung)
        self._delete_result(trial)
        return reached

    def finish_task(self, task: TaskRecord, outcome: TaskOutcome, **facts: Any) -> TaskRecord:
        """Log what became of a task of a strategy's, or of a confirmation's.

        Args:
            facts: further fields of the record.

        Returns:
            The record as it was logged.
        """
        done = replace(
            task,
            state="FAIL" if outcome.failure else "COMPLETE",
            seconds=round(outcome.seconds, 3),
            failure=outcome.failure,
            reason=outcome.reason,
            attempts=outcome.attempts,
            details=None if outcome.failure else outcome.answer,
            **facts,
        )
        self._log.put_task(done)
        self._delete_result(task)
        return done

    def _delete_result(self, record: Record) -> None:
        self._files.of(record).unlink(missing_ok=True)

    def _submit(self, record: Record) -> None:
        self.in_flight[record.number] = record
        self._executor.submit(self._task(record))

    def _task(self, record: Record) -> Task:
        """What a worker is given."""
        file, token = self._files.of(record), self._files.token
        if isinstance(record, TaskRecord):
            work = StrategyWork(record.task, record.folder)
            needs = self._evaluator.task_resources(record.kind)
            return Task(record.number, work, record.seed, needs, file, token)
        kept = file if self._evaluator.costly else None
        needs, seed = self._evaluator.resources(), record.proposal.seed
        return Task(record.number, self._work_of(record), seed, needs, kept, token)
