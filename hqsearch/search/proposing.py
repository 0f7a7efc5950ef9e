"""Asking a run's strategy and telling it, in an order that replay can repeat."""

from __future__ import annotations

from dataclasses import dataclass

from hqsearch.problem.candidate import Candidate
from hqsearch.search.plan import SearchPlan
from hqsearch.search.replay import result_of
from hqsearch.store.records import IMPORTED, Proposal, Record, TaskRecord, TrialRecord
from hqsearch.strategies import Signal, Strategy, StrategyTask, TaskResult


@dataclass(frozen=True, slots=True)
class Proposed:
    """A candidate to be evaluated: ``kind`` is ``baseline`` or ``search``; ``promise`` is what the
    strategy expects of the batch that begins with it."""

    candidate: Candidate
    kind: str
    origin: str
    promise: float | None = None


class Proposer:
    """The run's baselines, then what its strategy proposes; keeps count of what it was told."""

    def __init__(self, plan: SearchPlan, strategy: Strategy) -> None:
        self._strategy = strategy
        self._baselines = list(plan.baselines.items())
        self._answers = {
            r.proposal.key: r
            for r in sorted(plan.trials, key=lambda r: (r.state == "COMPLETE", -r.number))
            if r.outcome is not None
            and r.proposal.kind != IMPORTED
            and (r.state == "COMPLETE" or (r.state == "PRUNED" and r.proposal.run in plan.alike))
        }
        self.told = 0
        """Results that the strategy has been told."""
        self.mismatches = 0
        """Recorded proposals that the strategy did not make again in replay."""

    @property
    def name(self) -> str:
        return self._strategy.name

    @property
    def planned_tasks(self) -> int:
        """How many tasks of its own the strategy will ask for, as far as it knows."""
        return self._strategy.planned_tasks

    def next(self, slot: int, recorded: Proposal | None = None) -> Proposed | StrategyTask | Signal:
        """What comes in this slot of the run.

        Args:
            slot: the number of trials that the run has so far.
            recorded: in replay, what the log says was proposed: it need not be found again.
        """
        if slot < len(self._baselines):
            choice, candidate = self._baselines[slot]
            return Proposed(candidate, "baseline", choice)
        if recorded is None:
            proposed = self._strategy.next()
        else:
            proposed = self._strategy.next_recorded(recorded.candidate, recorded.origin)
        if isinstance(proposed, Signal | StrategyTask):
            return proposed
        strategy = self._strategy
        return Proposed(proposed, "search", strategy.origin(proposed), strategy.promise(proposed))

    def repeat(self, record: Record, slot: int, last: bool) -> None:
        """Replay a proposal; where the strategy now makes another one, the log wins.

        Args:
            record: what the log holds.
            slot: the number of trials before it.
            last: whether nothing is recorded after it: then it is found anew, which shows
                whether another version of a library was at work.
        """
        known = record.proposal if isinstance(record, TrialRecord) and not last else None
        proposed = self.next(slot, known)
        if _is_same(proposed, record):
            return
        self.mismatches += 1
        if isinstance(record, TrialRecord) and record.proposal.kind != "baseline":
            instead = proposed.candidate if isinstance(proposed, Proposed) else proposed
            self._strategy.overruled(instead, record.proposal.candidate)

    def tell(self, record: Record) -> None:
        """Tell the strategy of a finished trial or task."""
        self.told += 1
        if isinstance(record, TaskRecord):
            asked = StrategyTask(record.task, record.label)
            self._strategy.observe_task(
                TaskResult(record.index, asked, record.answer, record.failure)
            )
        else:
            self._strategy.observe(result_of(record))

    def answer(self, candidate: Candidate) -> TrialRecord | None:
        """The trial of this study that answers a proposal without an evaluation."""
        return self._answers.get(candidate.key)

    def keep_answer(self, trial: TrialRecord) -> None:
        """Take note of a finished trial; the first complete one of a candidate answers."""
        if trial.state == "COMPLETE":
            self._answers.setdefault(trial.proposal.key, trial)


def _is_same(proposed: Proposed | StrategyTask | Signal, record: Record) -> bool:
    """Whether a replayed strategy proposes what the log holds."""
    if isinstance(record, TaskRecord):
        return proposed == StrategyTask(record.task, record.label)
    return isinstance(proposed, Proposed) and proposed.candidate.key == record.proposal.key
