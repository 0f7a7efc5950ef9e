"""The search loop: one driver proposes, logs, submits, and tells the strategy.

::

    strategy.next ─▶ log RUNNING ─▶ executor ─▶ evaluator.evaluate (worker)
         ▲                                            │ result file, then return
         └──────── strategy.observe ◀─ log COMPLETE ◀─┘

A run that was interrupted is replayed from the log: the recorded proposals and results are
fed to a fresh strategy in their recorded order, then the loop goes on. Results that workers
left in files are taken over, and only evaluations that are truly unfinished run again.
"""

from __future__ import annotations

import errno
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hqsearch.budgets import Budgets
from hqsearch.candidate import Candidate
from hqsearch.errors import DiskFull
from hqsearch.evaluator import Evaluator
from hqsearch.executors.base import Executor
from hqsearch.executors.task import Task, TaskOutcome, read_result
from hqsearch.objective import Objective
from hqsearch.store.log import StudyLog
from hqsearch.store.records import Outcome, Proposal, RunRecord, TaskRecord, TrialRecord
from hqsearch.strategies import Result, Signal, Strategy, StrategyTask, TaskResult


class Observer(Protocol):
    """Is told of changes, for progress displays and projections: of the last one, and of as
    many others as fit into a twentieth of the time."""

    def changed(self, search: Search) -> None: ...


@dataclass
class Plan:
    """What a search needs to know besides its parts."""

    run: RunRecord
    evaluations: int
    baselines: Mapping[str, Candidate]
    objectives: tuple[Objective, ...]
    seed: int
    """Of every evaluation (common random numbers)."""
    results_folder: Path
    token: str
    """Of the study; a result file of another one is not taken over."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Recorded with every trial: library versions, fingerprints of data and parent."""


class Search:
    """Runs one run of a study up to its number of evaluations."""

    def __init__(
        self,
        plan: Plan,
        log: StudyLog,
        records: Sequence[TrialRecord],
        tasks: Sequence[TaskRecord],
        evaluator: Evaluator,
        strategy: Strategy,
        budgets: Budgets,
        executor: Executor,
        observer: Observer,
    ) -> None:
        self.plan, self.log, self.executor, self.observer = plan, log, executor, observer
        self._evaluator, self._strategy, self._budgets = evaluator, strategy, budgets
        self.records = {r.number: r for r in records}
        self.trials = sorted(
            (r for r in records if r.proposal.run == plan.run.ordinal),
            key=lambda r: r.proposal.slot,
        )
        self._held = {r.proposal.key: r for r in reversed(records) if r.state == "COMPLETE"}
        self.tasks = sorted((t for t in tasks if t.run == plan.run.ordinal), key=lambda t: t.index)
        """The strategy's own tasks in this run."""
        self._in_flight: dict[int, TrialRecord | TaskRecord] = {}
        self._observed = 0
        self._report_at = -math.inf
        self.finished = sum(t.finished for t in self.trials)
        """Finished trials of this run."""
        self.copies = sum(r.proposal.copy_of is not None for r in self.trials)
        self.recovered = 0
        self.mismatches = 0
        self.exhausted = False

    def search(self) -> None:
        """Replay what the log holds, then search until the number is reached.

        Raises:
            DiskFull: no space left; everything finished is saved, resume later.
            KeyboardInterrupt: passed on; what is in flight stays RUNNING in the log.
        """
        try:
            self._replay()
            while True:
                self._fill()
                self._report(last=not self._in_flight)
                if not self._in_flight:
                    break
                finished = self.executor.next_finished(0.25)
                if finished is not None:
                    task, outcome = finished
                    self._end(self._in_flight.pop(task.number), outcome)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise DiskFull(
                "no space left on the device; free some and resume, nothing finished is lost"
            ) from None

    def _report(self, last: bool) -> None:
        began = time.monotonic()
        if last or began >= self._report_at:
            self.observer.changed(self)
            # A display of the whole study takes longer the more trials there are.
            self._report_at = began + 20 * (time.monotonic() - began)

    def _fill(self) -> None:
        """Propose and submit while there is room."""
        while len(self.trials) < self.plan.evaluations:
            if len(self._in_flight) >= self.executor.capacity:
                return
            proposed = self._propose()
            if isinstance(proposed, Signal):
                if proposed is Signal.WAIT and not self._in_flight:
                    raise RuntimeError(f"{self._strategy.name} waits, but nothing is in flight")
                self.exhausted = proposed is Signal.DONE
                return
            if isinstance(proposed, StrategyTask):
                self._start_task(proposed)
                continue
            candidate, kind, origin = proposed
            held = self._held.get(candidate.key)
            proposal = Proposal(
                run=self.plan.run.ordinal,
                slot=len(self.trials),
                strategy=self.plan.run.strategy,
                kind=kind,
                key=candidate.key,
                seed=self.plan.seed,
                seen=self._observed,
                copy_of=held.number if held else None,
                origin=origin,
            )
            if held is not None and held.values is not None and held.outcome is not None:
                outcome = Outcome(
                    order=self._observed,
                    violation=self._budgets.measured_violation(held.outcome.details["measured"]),
                    details=held.outcome.details,
                )
                trial = self.log.create_copy(proposal, held.values, outcome)
                self.trials.append(trial)
                self.copies += 1
                self.finished += 1
                self._observe(trial)
            else:
                trial = self.log.create(proposal)
                self.trials.append(trial)
                self._submit(trial)

    def _propose(self) -> tuple[Candidate, str, str] | StrategyTask | Signal:
        slot = len(self.trials)
        if slot < len(self.plan.baselines):
            choice, candidate = list(self.plan.baselines.items())[slot]
            return candidate, "baseline", choice
        proposed = self._strategy.next()
        if isinstance(proposed, Signal | StrategyTask):
            return proposed
        return proposed, "search", self._strategy.origin(proposed)

    def _submit(self, trial: TrialRecord) -> None:
        self._in_flight[trial.number] = trial
        self.executor.submit(
            Task(
                number=trial.number,
                kind="evaluate",
                payload=self._payload(trial),
                seed=trial.proposal.seed,
                resources=self._evaluator.resources(),
                result_file=self._result_file(trial) if self._evaluator.costly else None,
            )
        )

    def _start_task(self, proposed: StrategyTask) -> None:
        """Log a task of the strategy's own, then submit it."""
        task = TaskRecord(
            run=self.plan.run.ordinal,
            index=len(self.tasks),
            slot=len(self.trials),
            seen=self._observed,
            kind=proposed.kind,
            payload=proposed.payload,
            label=proposed.label,
            # Its own draws, the same ones however often it is retried.
            seed=_derived_seed(self.plan.run.seed, len(self.tasks)),
        )
        self.log.put_task(task)
        self.tasks.append(task)
        self._submit_task(task)

    def _submit_task(self, task: TaskRecord) -> None:
        self._in_flight[task.number] = task
        self.executor.submit(
            Task(
                number=task.number,
                kind="strategy",
                payload=self._payload(task),
                seed=task.seed,
                resources=self._evaluator.task_resources(task.kind),
                result_file=self._result_file(task),
            )
        )

    def _end(self, record: TrialRecord | TaskRecord, outcome: TaskOutcome) -> None:
        if isinstance(record, TaskRecord):
            self._finish_task(record, outcome)
        else:
            self._finish(record, outcome)

    def _finish_task(self, task: TaskRecord, outcome: TaskOutcome) -> None:
        """Log what became of a task of the strategy's own, then tell the strategy."""
        done = replace(
            task,
            state="FAIL" if outcome.failure else "COMPLETE",
            order=self._observed,
            seconds=round(outcome.seconds, 3),
            failure=outcome.failure,
            reason=outcome.reason,
            attempts=outcome.attempts,
            details=None if outcome.failure else outcome.details,
        )
        self.log.put_task(done)
        self.tasks[task.index] = done
        self._result_file(task).unlink(missing_ok=True)
        self._observe(done)

    def _finish(self, trial: TrialRecord, outcome: TaskOutcome) -> None:
        """Log a result, then tell the strategy."""
        values = None
        violation = 0.0
        details = {**outcome.details, **self.plan.facts}
        if not outcome.failure:
            values = tuple(outcome.values[o.name] for o in self.plan.objectives)
            measured = self._measured(trial.proposal.candidate, outcome)
            violation = self._budgets.measured_violation(measured)
            details["measured"] = measured
            if "average_bits" in measured:
                details["average_bits"] = measured["average_bits"]
        logged = Outcome(
            order=self._observed,
            seconds=round(outcome.seconds, 3),
            violation=violation,
            failure=outcome.failure,
            reason=outcome.reason,
            attempts=outcome.attempts,
            details=details,
        )
        state = "FAIL" if outcome.failure else "COMPLETE"
        done = self.log.finish(trial, state, values, logged)
        self.trials[trial.proposal.slot] = done
        self.finished += 1
        self._result_file(trial).unlink(missing_ok=True)
        self._observe(done)

    def _observe(self, trial: TrialRecord | TaskRecord) -> None:
        if isinstance(trial, TaskRecord):
            self._observed += 1
            asked = StrategyTask(trial.kind, trial.payload, trial.label)
            self._strategy.observe_task(
                TaskResult(trial.index, asked, trial.details, trial.failure)
            )
            return
        assert trial.outcome is not None
        self.records[trial.number] = trial
        if trial.state == "COMPLETE":
            self._held.setdefault(trial.proposal.key, trial)
        self._observed += 1
        self._strategy.observe(
            Result(
                trial.proposal.slot,
                trial.proposal.candidate,
                trial.proposal.kind,
                trial.values if trial.state == "COMPLETE" else None,
                trial.outcome.violation,
                trial.proposal.strategy,
            )
        )

    def _replay(self) -> None:
        """Feed a fresh strategy what the log holds of this run."""
        recorded: list[TrialRecord | TaskRecord] = [*self.tasks, *self.trials]
        recorded.sort(key=_proposed_at)
        self.tasks, self.trials = [], []
        results = sorted((r for r in recorded if r.finished), key=_observed_at)
        delivered = 0
        for record in recorded:
            while delivered < min(_seen(record), len(results)):
                self._observe(results[delivered])
                delivered += 1
            if not _same(self._propose(), record):
                # Another library version, say: what the log holds wins.
                self.mismatches += 1
            if isinstance(record, TaskRecord):
                self.tasks.append(record)
            else:
                self.trials.append(record)
        for record in results[delivered:]:
            self._observe(record)
        for record in recorded:
            if not record.finished:
                self._recover(record)

    def _recover(self, record: TrialRecord | TaskRecord) -> None:
        """Take over a result that a worker or a dying driver left; else run it again."""
        left = read_result(self._result_file(record), self._payload(record))
        if left is not None:
            self.recovered += 1
            self._end(record, left)
        elif isinstance(record, TaskRecord):
            self._submit_task(record)
        else:
            self._submit(record)

    def _payload(self, record: TrialRecord | TaskRecord) -> dict[str, Any]:
        """What a worker needs, and what tells its result from that of any other study."""
        if isinstance(record, TaskRecord):
            asked = {"kind": record.kind, "payload": record.payload, "folder": record.folder}
            return {**asked, "seed": record.seed, "study": self.plan.token}
        proposal = record.proposal
        return {"key": proposal.key, "seed": proposal.seed, "study": self.plan.token}

    def _measured(self, candidate: Candidate, outcome: TaskOutcome) -> dict[str, float]:
        """Everything that a budget may be about: recorded values, else the estimate."""
        estimate = self._evaluator.cheap([candidate])[0].tolist()
        measured = dict(zip(self._evaluator.metrics, estimate, strict=True)) | outcome.values
        if "average_bits" in outcome.details:
            measured["average_bits"] = float(outcome.details["average_bits"])
        return measured

    def _result_file(self, record: TrialRecord | TaskRecord) -> Path:
        if isinstance(record, TaskRecord):
            return self.plan.results_folder / f"task-{record.run}-{record.index}.json"
        return self.plan.results_folder / f"{record.number}.json"


def _derived_seed(seed: int, index: int) -> int:
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0]) % 2**31


def _proposed_at(record: TrialRecord | TaskRecord) -> tuple[int, int, int]:
    """Order of proposal: a task came before the trial whose slot it names."""
    if isinstance(record, TaskRecord):
        return record.slot, 0, record.index
    return record.proposal.slot, 1, 0


def _observed_at(record: TrialRecord | TaskRecord) -> int:
    if isinstance(record, TaskRecord):
        return record.order
    return record.outcome.order if record.outcome else -1


def _seen(record: TrialRecord | TaskRecord) -> int:
    return record.seen if isinstance(record, TaskRecord) else record.proposal.seen


def _same(
    proposed: tuple[Candidate, str, str] | StrategyTask | Signal, record: TrialRecord | TaskRecord
) -> bool:
    """Whether a replayed strategy proposes what the log holds."""
    if isinstance(record, TaskRecord):
        return proposed == StrategyTask(record.kind, record.payload, record.label)
    return isinstance(proposed, tuple) and proposed[0].key == record.proposal.key
