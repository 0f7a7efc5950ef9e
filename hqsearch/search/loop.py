"""The search loop: one driver proposes, logs, submits, and tells the strategy.

::

    strategy.next ─▶ log RUNNING ─▶ executor ─▶ evaluator.evaluate (worker)
         ▲                                            │ result file, then return
         └──────── strategy.observe ◀─ log COMPLETE ◀─┘

A run that was interrupted is replayed from the log: the recorded proposals and results are
fed to a fresh strategy in their recorded order, then the loop goes on. Results that workers
left in files are taken over, and only evaluations that are truly unfinished run again
(:mod:`hqsearch.search.pump`).
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterable

import numpy as np

from hqsearch.atomic import full_disk_told
from hqsearch.errors import RunFailed
from hqsearch.evaluator import Evaluator
from hqsearch.executors.base import Executor
from hqsearch.executors.task import Evaluate, TaskOutcome
from hqsearch.search.early_stopping.cohorts import is_compared
from hqsearch.search.events import Listener, SearchState, guarded
from hqsearch.search.failures import Failures
from hqsearch.search.outcomes import Outcomes
from hqsearch.search.plan import SearchPlan
from hqsearch.search.proposing import Proposed, Proposer
from hqsearch.search.pump import Pump, ResultFiles
from hqsearch.search.replay import in_order, seen, told
from hqsearch.store.log import StudyLog
from hqsearch.store.records import Proposal, Record, TaskRecord, TrialRecord
from hqsearch.strategies import Signal, Strategy, StrategyTask


class Search:
    """Runs one run of a study up to its number of evaluations."""

    def __init__(
        self,
        plan: SearchPlan,
        log: StudyLog,
        evaluator: Evaluator,
        strategy: Strategy,
        executor: Executor,
        listener: Listener | None = None,
    ) -> None:
        self.plan, self._log, self._listener = plan, log, guarded(listener)
        self._cohorts = plan.cohorts
        self._proposer = Proposer(plan, strategy)
        self._outcomes = Outcomes(evaluator, plan.budgets, plan.objectives, plan.facts)
        files = ResultFiles(plan.results_folder, plan.token)
        self._pump = Pump(log, evaluator, executor, files, self._work)
        self.records = {r.number: r for r in plan.trials}
        """Trials of every run of the study, by number."""
        self.trials = sorted(
            (r for r in plan.trials if r.proposal.run == plan.run.ordinal),
            key=lambda r: r.proposal.slot,
        )
        """Of this run."""
        self.tasks = sorted(
            (t for t in plan.tasks if t.run == plan.run.ordinal), key=lambda t: t.index
        )
        """The strategy's own tasks in this run."""
        self.finished = sum(t.finished for t in self.trials)
        """Finished trials of this run."""
        self._failures = Failures(self.trials)
        self.copies = sum(r.proposal.copy_of is not None for r in self.trials)
        self.exhausted = False
        self.out_of_time = False
        """Whether time was over before everything was begun."""
        self.stalled = ""
        """Why little more is to be gained; empty where that is not known."""
        self._report_at = -math.inf

    @property
    def recovered(self) -> int:
        """Results that were taken over from files."""
        return self._pump.recovered

    @property
    def mismatches(self) -> int:
        """Recorded proposals that the strategy did not make again in replay."""
        return self._proposer.mismatches

    def search(self) -> None:
        """Replay what the log holds, then search until the number is reached.

        It ends early where the strategy has nothing left, where everything fails alike
        (:mod:`hqsearch.search.failures`), where little is to be gained
        (:mod:`hqsearch.search.stalling`) or time is over; what is in flight then is waited for.

        Raises:
            DiskFull: no space left; everything finished is saved, resume later.
            KeyboardInterrupt: passed on; what is in flight stays RUNNING in the log.
        """
        with full_disk_told():
            self._replay()
            while True:
                self._fill()
                while self._settle():
                    self._fill()
                self._report(last=not self._pump.in_flight)
                if not self._pump.in_flight:
                    break
                finished = self._pump.next_finished()
                if finished is not None:
                    self._end(*finished)

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
            folder=self.plan.results_folder.parent,
            trials=self.trials,
            records=self.records,
            tasks=self.tasks,
            planned_tasks=max(len(self.tasks), self._proposer.planned_tasks),
            finished=self.finished,
            copies=self.copies,
        )

    # Proposals

    def _fill(self) -> None:
        """Submit and propose while there is room, and hope."""
        while self._pump.has_room and not self._failures.hopeless and not self.stalled:
            more = len(self.trials) < self.plan.evaluations
            if (more or self._pump.queued) and self.plan.over():
                self.out_of_time = True
                return
            if self._pump.submit_queued():
                continue
            if not more or not self._may_join or not self._is_worthwhile():
                return
            proposed = self._proposer.next(len(self.trials))
            if isinstance(proposed, Signal):
                self._pause(proposed)
                return
            if isinstance(proposed, StrategyTask):
                self._start_task(proposed)
            elif self._is_worthwhile(proposed.promise):
                self._start_trial(proposed)

    def _is_worthwhile(self, promise: float | None = None) -> bool:
        """Whether to go on, by what was gained, or by what a batch that is next promises."""
        stalling = self.plan.stalling
        if stalling is None:
            return True
        if promise is None and stalling.waits(self.trials):
            return False
        self.stalled = stalling.reason(self.trials, promise)
        return not self.stalled

    def _pause(self, signal: Signal) -> None:
        """The strategy has nothing to propose, for now or for good."""
        in_flight = self._pump.in_flight
        told_all = self._cohorts is None or not self._cohorts.trials
        if signal is Signal.WAIT and told_all and not in_flight:
            raise RunFailed(
                f"{self._proposer.name} waits, but nothing is in flight: the strategy has a fault, "
                "or its log lacks what it waits for (hqsearch doctor looks at it)"
            )
        self.exhausted = signal is Signal.DONE
        tasks = any(isinstance(r, TaskRecord) for r in in_flight.values())
        if self._cohorts is not None and self._cohorts.trials and not tasks:
            self._cohorts.closed = True

    def _start_trial(self, proposed: Proposed) -> None:
        """Log a proposal; submit it, unless the log holds the answer already."""
        answer = self._proposer.answer(proposed.candidate)
        proposal = Proposal(
            run=self.plan.run.ordinal,
            slot=len(self.trials),
            strategy=self.plan.run.strategy,
            kind=proposed.kind,
            key=proposed.candidate.key,
            seed=self.plan.seed,
            seen=self._proposer.told,
            copy_of=answer.number if answer else None,
            origin=proposed.origin,
            cohort=self._cohorts.index if self._cohorts else None,
            promise=proposed.promise,
        )
        if answer is None or answer.outcome is None:
            trial = self._pump.start_trial(proposal)
            self.trials.append(trial)
            if self._cohorts is not None:
                self._cohorts.put(trial)
            return
        outcome = self._outcomes.copied(answer.outcome, self._order(proposal))
        rungs = answer.rungs if answer.state == "PRUNED" else ()
        trial = self._log.create_copy(proposal, answer.values, outcome, rungs)
        self.trials.append(trial)
        self.copies += 1
        self._ended(trial)

    def _start_task(self, proposed: StrategyTask) -> None:
        """Log a task of the strategy's own, then submit it."""
        task = TaskRecord(
            run=self.plan.run.ordinal,
            index=len(self.tasks),
            slot=len(self.trials),
            seen=self._proposer.told,
            kind=proposed.task.kind,
            payload=proposed.task.to_json(),
            label=proposed.label,
            # Its own draws, the same ones however often it is retried.
            seed=_derived_seed(self.plan.run.seed, len(self.tasks)),
            study=self.plan.token[:8],
        )
        self._pump.start_task(task)
        self.tasks.append(task)

    def _work(self, trial: TrialRecord) -> Evaluate:
        """What a worker is asked; part of it, where early stopping compares it with others."""
        key = trial.proposal.key
        if self._cohorts is None or not is_compared(trial):
            return Evaluate(key)
        return Evaluate(key, self._cohorts.budget(trial), self._checkpoint(trial))

    def _checkpoint(self, trial: TrialRecord) -> str:
        """Folder in the study's; the token, for a folder may outlive its log."""
        return f"rungs/{self.plan.token[:8]}-{trial.number}"

    # Results

    def _end(self, record: Record, outcome: TaskOutcome) -> None:
        """A worker is done with a task, a trial, or a trial's way to its next rung."""
        if isinstance(record, TaskRecord):
            self._finish_task(record, outcome)
            return
        budget = self._cohorts.budget(record) if self._cohorts is not None else None
        if outcome.failure or budget is None:
            self._finish(record, outcome)
        else:
            self._keep(self._pump.reach(record, self._outcomes.rung(record, outcome, budget)))

    def _finish_task(self, task: TaskRecord, outcome: TaskOutcome) -> None:
        """Log what became of a task of the strategy's own, then tell the strategy."""
        done = self._pump.finish_task(task, outcome, order=self._proposer.told)
        self.tasks[task.index] = done
        self._proposer.tell(done)

    def _finish(self, trial: TrialRecord, outcome: TaskOutcome) -> None:
        """Log a result, then tell the strategy."""
        state, values = "FAIL", None
        if not outcome.failure:
            state, values = "COMPLETE", self._outcomes.values(outcome)
        logged = self._outcomes.ended(trial, outcome, self._order(trial.proposal))
        self._ended(self._pump.finish_trial(trial, state, values, logged))

    def _stop(self, trial: TrialRecord) -> None:
        """Log that a trial does not go on from the rung it is at."""
        logged = self._outcomes.stopped(trial, self._order(trial.proposal))
        self._ended(self._pump.finish_trial(trial, "PRUNED", None, logged))

    def _ended(self, trial: TrialRecord) -> None:
        """Take note of a trial that has just been logged as finished."""
        self.finished += 1
        self._keep(trial)
        self._proposer.keep_answer(trial)
        if self._cohorts is None:
            self._proposer.tell(trial)
        else:
            folder = self.plan.results_folder.parent / self._checkpoint(trial)
            shutil.rmtree(folder, ignore_errors=True)

    def _keep(self, trial: TrialRecord) -> None:
        self._failures.add(trial)
        self.trials[trial.proposal.slot] = trial
        self.records[trial.number] = trial
        if self._cohorts is not None:
            self._cohorts.put(trial)

    def _order(self, proposal: Proposal) -> int:
        """Place among the results that the strategy is told; with cohorts, among the trials."""
        return self._proposer.told if self._cohorts is None else proposal.slot

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
            self._log.put_decision(decision)
            cohorts.put_decision(decision)
            self._recover(cohorts.alive)
            return True
        if cohorts.complete:
            for trial in cohorts.trials.values():
                self._proposer.tell(trial)
            cohorts.advance()
            return True
        return False

    # Replay

    def _replay(self) -> None:
        """Feed a fresh strategy what the log holds of this run."""
        recorded = in_order([*self.tasks, *self.trials])
        self.tasks, self.trials = [], []
        results = told(recorded, self._cohorts)
        for record in recorded:
            while self._proposer.told < min(seen(record), len(results)):
                self._proposer.tell(results[self._proposer.told])
            self._proposer.repeat(record, len(self.trials), last=record is recorded[-1])
            if isinstance(record, TaskRecord):
                self.tasks.append(record)
            else:
                self.trials.append(record)
                if self._cohorts is not None:
                    self._cohorts.restore(record)
        for record in results[self._proposer.told :]:
            self._proposer.tell(record)
        if self._cohorts is not None and self._cohorts.complete:
            self._cohorts.advance()
        self._recover(r for r in recorded if not r.finished)

    def _recover(self, records: Iterable[Record]) -> None:
        """Take over results that workers or a dying driver left; else queue the records."""
        for record in records:
            if isinstance(record, TrialRecord) and self._cohorts is not None:
                if self._cohorts.is_stopped(record):
                    self._stop(record)
                    continue
                if self._cohorts.waits(record):
                    continue
            left = self._pump.recover(record)
            if left is not None:
                self._end(record, left)


def _derived_seed(seed: int, index: int) -> int:
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0]) % 2**31
