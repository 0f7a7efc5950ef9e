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
import shutil
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hqsearch.errors import DiskFull
from hqsearch.evaluator import Evaluator
from hqsearch.executors.base import Executor
from hqsearch.executors.task import Task, TaskOutcome, read_result
from hqsearch.problem.budgets import Budgets
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import Objective
from hqsearch.search.early_stopping.cohorts import Cohorts, is_compared
from hqsearch.search.events import Listener, SearchState, guarded
from hqsearch.search.replay import in_order, is_same, result_of, seen, told
from hqsearch.store.log import StudyLog
from hqsearch.store.records import Outcome, Proposal, Rung, RunRecord, TaskRecord, TrialRecord
from hqsearch.strategies import Signal, Strategy, StrategyTask, TaskResult


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
    cohorts: Cohorts | None = None
    """Stops candidates early; without it every one is trained to the end."""
    alike: frozenset[int] = frozenset()
    """Runs with the same early stopping: who was stopped there is not tried again."""


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
        listener: Listener | None = None,
    ) -> None:
        self.plan, self.log, self.executor, self._listener = plan, log, executor, guarded(listener)
        self._evaluator, self._strategy, self._budgets = evaluator, strategy, budgets
        self.records = {r.number: r for r in records}
        self.trials = sorted(
            (r for r in records if r.proposal.run == plan.run.ordinal),
            key=lambda r: r.proposal.slot,
        )
        self._cohorts = plan.cohorts
        self._held = {
            r.proposal.key: r
            for r in sorted(records, key=lambda r: (r.state == "COMPLETE", -r.number))
            if r.outcome is not None
            and (r.state == "COMPLETE" or (r.state == "PRUNED" and r.proposal.run in plan.alike))
        }
        self.tasks = sorted((t for t in tasks if t.run == plan.run.ordinal), key=lambda t: t.index)
        """The strategy's own tasks in this run."""
        self._in_flight: dict[int, TrialRecord | TaskRecord] = {}
        self._ready: deque[TrialRecord | TaskRecord] = deque()
        """Logged, to be submitted when there is room."""
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
                while self._settle():
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
            self._listener.changed(self._state())
            # A display of the whole study takes longer the more trials there are.
            self._report_at = began + 20 * (time.monotonic() - began)

    def _state(self) -> SearchState:
        return SearchState(
            run=self.plan.run,
            evaluations=self.plan.evaluations,
            objectives=self.plan.objectives,
            folder=self._study_folder,
            trials=self.trials,
            records=self.records,
            tasks=self.tasks,
            planned_tasks=max(len(self.tasks), self._strategy.planned_tasks),
            finished=self.finished,
            copies=self.copies,
        )

    def _fill(self) -> None:
        """Submit and propose while there is room."""
        while len(self._in_flight) < self.executor.capacity:
            if self._ready:
                self._submit(self._ready.popleft())
                continue
            if len(self.trials) >= self.plan.evaluations or not self._may_join:
                return
            proposed = self._propose()
            if isinstance(proposed, Signal):
                self._pause(proposed)
                return
            if isinstance(proposed, StrategyTask):
                self._start_task(proposed)
            else:
                self._start_trial(*proposed)

    def _pause(self, signal: Signal) -> None:
        """The strategy has nothing to propose, for now or for good."""
        told_all = self._cohorts is None or not self._cohorts.trials
        if signal is Signal.WAIT and told_all and not self._in_flight:
            raise RuntimeError(f"{self._strategy.name} waits, but nothing is in flight")
        self.exhausted = signal is Signal.DONE
        tasks = any(isinstance(r, TaskRecord) for r in self._in_flight.values())
        if self._cohorts is not None and self._cohorts.trials and not tasks:
            self._cohorts.closed = True

    def _start_trial(self, candidate: Candidate, kind: str, origin: str) -> None:
        """Log a proposal; submit it, unless the log holds the answer already."""
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
            cohort=self._cohorts.index if self._cohorts else None,
        )
        if held is None or held.outcome is None:
            trial = self.log.create(proposal)
            self.trials.append(trial)
            if self._cohorts is not None:
                self._cohorts.put(trial)
            self._submit(trial)
            return
        outcome = Outcome(
            order=self._order(proposal),
            violation=self._budgets.measured_violation(held.outcome.details["measured"]),
            details=held.outcome.details,
            stopped_at=held.outcome.stopped_at,
        )
        rungs = held.rungs if held.state == "PRUNED" else ()
        trial = self.log.create_copy(proposal, held.values, outcome, rungs)
        self.trials.append(trial)
        self.copies += 1
        self._ended(trial)

    def _propose(
        self, recorded: TrialRecord | TaskRecord | None = None
    ) -> tuple[Candidate, str, str] | StrategyTask | Signal:
        slot = len(self.trials)
        if slot < len(self.plan.baselines):
            choice, candidate = list(self.plan.baselines.items())[slot]
            return candidate, "baseline", choice
        if isinstance(recorded, TrialRecord):
            known = recorded.proposal
            proposed = self._strategy.next_recorded(known.candidate, known.origin)
        else:
            proposed = self._strategy.next()
        if isinstance(proposed, Signal | StrategyTask):
            return proposed
        return proposed, "search", self._strategy.origin(proposed)

    def _submit(self, record: TrialRecord | TaskRecord) -> None:
        self._in_flight[record.number] = record
        payload, file = self._payload(record), self._result_file(record)
        if isinstance(record, TaskRecord):
            needs = self._evaluator.task_resources(record.kind)
            task = Task(record.number, "strategy", payload, record.seed, needs, file)
        else:
            needs, seed = self._evaluator.resources(), record.proposal.seed
            kept = file if self._evaluator.costly else None
            task = Task(record.number, "evaluate", payload, seed, needs, kept)
        self.executor.submit(task)

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
            study=self.plan.token[:8],
        )
        self.log.put_task(task)
        self.tasks.append(task)
        self._submit(task)

    def _end(self, record: TrialRecord | TaskRecord, outcome: TaskOutcome) -> None:
        """A worker is done with a task, a trial, or a trial's way to its next rung."""
        if isinstance(record, TaskRecord):
            self._finish_task(record, outcome)
        elif outcome.failure or self._budget(record) is None:
            self._finish(record, outcome)
        else:
            self._reach(record, outcome)

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
            values = self._values(outcome)
            measured = self._measured(trial.proposal.candidate, outcome)
            violation = self._budgets.measured_violation(measured)
            details["measured"] = measured
            if "average_bits" in measured:
                details["average_bits"] = measured["average_bits"]
        logged = Outcome(
            order=self._order(trial.proposal),
            seconds=round(outcome.seconds + sum(r.seconds for r in trial.rungs), 3),
            violation=violation,
            failure=outcome.failure,
            reason=outcome.reason,
            attempts=outcome.attempts + sum(r.attempts - 1 for r in trial.rungs),
            details=details,
        )
        state = "FAIL" if outcome.failure else "COMPLETE"
        self._ended(self.log.finish(trial, state, values, logged))

    def _reach(self, trial: TrialRecord, outcome: TaskOutcome) -> None:
        """Log what a trial is worth at a rung; who goes on is decided when all are there."""
        measured = self._measured(trial.proposal.candidate, outcome)
        epoch = self._budget(trial)
        assert epoch is not None
        numbers = {k: v for k, v in outcome.details.items() if isinstance(v, int | float)}
        rung = Rung(
            epoch,
            self._values(outcome),
            self._budgets.measured_violation(measured),
            round(outcome.seconds, 3),
            outcome.attempts,
            {**numbers, "measured": measured},
        )
        self._keep(self.log.reach(trial, rung))
        self._result_file(trial).unlink(missing_ok=True)

    def _stop(self, trial: TrialRecord) -> None:
        """Log that a trial does not go on from the rung it is at."""
        last = trial.rungs[-1]
        outcome = Outcome(
            order=self._order(trial.proposal),
            seconds=round(sum(r.seconds for r in trial.rungs), 3),
            violation=last.violation,
            attempts=1 + sum(r.attempts - 1 for r in trial.rungs),
            details={**last.details, **self.plan.facts},
            stopped_at=last.epoch,
        )
        self._ended(self.log.finish(trial, "PRUNED", None, outcome))

    def _ended(self, trial: TrialRecord) -> None:
        """Take note of a trial that has just been logged as finished."""
        self.finished += 1
        self._keep(trial)
        if trial.state == "COMPLETE":
            self._held.setdefault(trial.proposal.key, trial)
        self._result_file(trial).unlink(missing_ok=True)
        if self._cohorts is None:
            self._observe(trial)
        else:
            shutil.rmtree(self._study_folder / self._checkpoint(trial), ignore_errors=True)

    def _keep(self, trial: TrialRecord) -> None:
        self.trials[trial.proposal.slot] = trial
        self.records[trial.number] = trial
        if self._cohorts is not None:
            self._cohorts.put(trial)

    # Early stopping

    @property
    def _may_join(self) -> bool:
        """Whether the current cohort takes another candidate; without cohorts, always."""
        cohorts = self._cohorts
        if cohorts is not None and cohorts.full:
            cohorts.closed = True
        return cohorts is None or not cohorts.closed

    def _settle(self) -> bool:
        """Do what the current cohort is ready for; False where it has to wait."""
        cohorts = self._cohorts
        if cohorts is None:
            return False
        if len(self.trials) >= self.plan.evaluations and cohorts.members:
            cohorts.closed = True
        if cohorts.due:
            decision = cohorts.decide()
            self.log.put_decision(decision)
            cohorts.put_decision(decision)
            for trial in cohorts.alive:
                self._recover(trial)
            return True
        if cohorts.complete:
            for trial in cohorts.trials.values():
                self._observe(trial)
            cohorts.advance()
            return True
        return False

    def _budget(self, trial: TrialRecord) -> int | None:
        """Epoch of the rung that a trial is on its way to; None on the way to the end."""
        return self._cohorts.budget(trial) if self._cohorts is not None else None

    def _order(self, proposal: Proposal) -> int:
        """Place among the results that the strategy is told; with cohorts, among the trials."""
        return self._observed if self._cohorts is None else proposal.slot

    @property
    def _study_folder(self) -> Path:
        return self.plan.results_folder.parent

    def _checkpoint(self, trial: TrialRecord) -> str:
        """Folder in the study's; the token, for a folder may outlive its log."""
        return f"rungs/{self.plan.token[:8]}-{trial.number}"

    def _observe(self, trial: TrialRecord | TaskRecord) -> None:
        """Tell the strategy."""
        self._observed += 1
        if isinstance(trial, TaskRecord):
            asked = StrategyTask(trial.kind, trial.payload, trial.label)
            self._strategy.observe_task(
                TaskResult(trial.index, asked, trial.details, trial.failure)
            )
        else:
            self._strategy.observe(result_of(trial))

    def _replay(self) -> None:
        """Feed a fresh strategy what the log holds of this run."""
        recorded = in_order([*self.tasks, *self.trials])
        self.tasks, self.trials = [], []
        results = told(recorded, self._cohorts)
        delivered = 0
        for record in recorded:
            while delivered < min(seen(record), len(results)):
                self._observe(results[delivered])
                delivered += 1
            proposed = self._propose(None if record is recorded[-1] else record)
            if not is_same(proposed, record):
                # Another library version, say: what the log holds wins.
                self.mismatches += 1
                if isinstance(record, TrialRecord) and record.proposal.kind != "baseline":
                    instead = proposed[0] if isinstance(proposed, tuple) else proposed
                    self._strategy.overruled(instead, record.proposal.candidate)
            if isinstance(record, TaskRecord):
                self.tasks.append(record)
            else:
                self.trials.append(record)
                if self._cohorts is not None:
                    self._cohorts.restore(record)
        for record in results[delivered:]:
            self._observe(record)
        if self._cohorts is not None and self._cohorts.complete:
            self._cohorts.advance()
        for record in recorded:
            if not record.finished:
                self._recover(record)

    def _recover(self, record: TrialRecord | TaskRecord) -> None:
        """Take over a result that a worker or a dying driver left; else run it (again)."""
        if isinstance(record, TrialRecord) and self._cohorts is not None:
            if self._cohorts.is_stopped(record):
                self._stop(record)
                return
            if self._cohorts.waits(record):
                return
        left = read_result(self._result_file(record), self._payload(record))
        if left is not None:
            self.recovered += 1
            self._end(record, left)
        else:
            self._ready.append(record)

    def _payload(self, record: TrialRecord | TaskRecord) -> dict[str, Any]:
        """What a worker needs, and what tells its result from that of any other study."""
        if isinstance(record, TaskRecord):
            asked = {"kind": record.kind, "payload": record.payload, "folder": record.folder}
            return {**asked, "seed": record.seed, "study": self.plan.token}
        proposal = record.proposal
        payload = {"key": proposal.key, "seed": proposal.seed, "study": self.plan.token}
        if self._cohorts is not None and is_compared(record):
            return {
                **payload,
                "budget": self._budget(record),
                "checkpoint": self._checkpoint(record),
            }
        return payload

    def _values(self, outcome: TaskOutcome) -> tuple[float, ...]:
        return tuple(outcome.values[o.name] for o in self.plan.objectives)

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
