"""Where the trials of a run stand under early stopping: cohorts, rungs, decisions.

Keeps count for the engine and writes nothing. All of it follows from the log, so a run that
was cut off is counted again from its trials and decisions.

A cohort is what the strategy proposes before it has to wait, or a fixed number of candidates
where it never waits. Its results are told to the strategy when all of them are in, in the
order of proposal, and only then is the next cohort proposed: neither the number of workers nor
their speed changes a table. Baselines and copies belong to a cohort but are never compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from hqsearch.problem.objective import Objective, minimized
from hqsearch.problem.pareto import non_dominated
from hqsearch.search.early_stopping.halving import AtRung, decide
from hqsearch.store.records import Decision, TrialRecord


class Cohorts:
    """The cohort that is being filled or trained, and what earlier ones left to compare with.

    Args:
        run: ordinal of the run.
        rungs: epochs at which candidates are compared.
        keep: part of a cohort that goes on from each.
        size: candidates in a cohort; None where the strategy waits for them by itself.
        objectives: of the study.
        decisions: of this run, so far.
    """

    def __init__(
        self,
        run: int,
        rungs: tuple[int, ...],
        keep: float,
        size: int | None,
        objectives: tuple[Objective, ...],
        decisions: Iterable[Decision] = (),
    ) -> None:
        self.run, self.rungs, self.keep, self.size = run, rungs, keep, size
        self._objectives = objectives
        self._decisions = {(d.cohort, d.rung): d for d in decisions}
        self._best = [np.empty((0, len(objectives))) for _ in rungs]
        self.index = 0
        """Of the current cohort, within the run."""
        self.trials: dict[int, TrialRecord] = {}
        """Of the current cohort by number, in the order of proposal."""
        self.closed = False
        """Whether no more candidates join the current cohort."""

    def put(self, trial: TrialRecord) -> None:
        """Add a trial to the current cohort, or say what has become of it."""
        self.trials[trial.number] = trial
        self.closed = self.closed or (self.index, 0) in self._decisions

    def restore(self, trial: TrialRecord) -> None:
        """Add a recorded trial, in the order of proposal, going on to its cohort."""
        if trial.proposal.cohort is not None and trial.proposal.cohort > self.index:
            self.advance()
        self.put(trial)

    def told(self, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
        """Recorded trials, in the order of proposal, whose cohort is complete."""
        last = max((t.proposal.cohort or 0 for t in trials), default=0)
        ended = (last, 0) in self._decisions and all(
            t.finished for t in trials if t.proposal.cohort == last
        )
        return [t for t in trials if ended or (t.proposal.cohort or 0) < last]

    @property
    def full(self) -> bool:
        """Whether the cohort has as many candidates as it may have."""
        return self.size is not None and len(self.members) >= self.size

    @property
    def members(self) -> list[TrialRecord]:
        """Those of the current cohort that are compared, in the order of proposal."""
        return [t for t in self.trials.values() if is_compared(t)]

    @property
    def alive(self) -> list[TrialRecord]:
        """Members that are neither stopped, failed nor complete."""
        return [t for t in self.members if not t.finished]

    @property
    def complete(self) -> bool:
        """Whether everything in the cohort is finished and the strategy may be told."""
        return self.closed and not self.due and all(t.finished for t in self.trials.values())

    def budget(self, trial: TrialRecord) -> int | None:
        """Epochs to which a trial is trained next; None is the whole schedule."""
        done = len(trial.rungs)
        return self.rungs[done] if is_compared(trial) and done < len(self.rungs) else None

    def is_stopped(self, trial: TrialRecord) -> bool:
        """Whether a member, by a decision that is in the log, does not go on."""
        decision = self._decisions.get((self.index, len(trial.rungs) - 1))
        if decision is None or not is_compared(trial):
            return False
        return trial.number not in decision.ranked[: decision.promoted]

    def waits(self, trial: TrialRecord) -> bool:
        """Whether a member is at a rung that has not been decided yet."""
        done = len(trial.rungs)
        return is_compared(trial) and done > 0 and (self.index, done - 1) not in self._decisions

    @property
    def due(self) -> bool:
        """Whether the next decision can be made: everyone who is left is at the rung."""
        rung = self._next_rung
        if not self.closed or rung >= len(self.rungs) or (rung and not self.alive):
            return False
        return all(len(t.rungs) > rung for t in self.alive)

    def decide(self) -> Decision:
        """The decision that is due. The first one also says that the cohort is closed."""
        rung = self._next_rung
        here = self.alive
        joined = len(self.members) if rung == 0 else self._decisions[self.index, rung - 1].promoted
        at = AtRung(
            run=self.run,
            cohort=self.index,
            rung=rung,
            numbers=[t.number for t in here],
            costs=self._costs(here, rung),
            violations=np.array([t.rungs[rung].violation for t in here]),
            joined=joined,
            best=self._best[rung],
        )
        return decide(at, self.keep)

    def put_decision(self, decision: Decision) -> None:
        """Take note of a decision; it is in the log already."""
        self._decisions[decision.cohort, decision.rung] = decision

    def advance(self) -> None:
        """Go on to the next cohort; what this one had at each rung stays to compare with."""
        for rung in range(len(self.rungs)):
            reached = [t for t in self.members if len(t.rungs) > rung]
            here = [t for t in reached if t.rungs[rung].violation <= 0]
            pool = np.vstack([self._best[rung], self._costs(here, rung)])
            self._best[rung] = pool[non_dominated(pool)]
        self.index += 1
        self.trials, self.closed = {}, False

    @property
    def _next_rung(self) -> int:
        rung = 0
        while (self.index, rung) in self._decisions:
            rung += 1
        return rung

    def _costs(self, trials: Sequence[TrialRecord], rung: int) -> npt.NDArray[np.float64]:
        rows = [t.rungs[rung].values for t in trials]
        return minimized(rows, self._objectives) if rows else np.empty((0, len(self._objectives)))


def is_compared(trial: TrialRecord) -> bool:
    """Whether early stopping may stop a trial: baselines and copies run their full length."""
    return trial.proposal.kind == "search" and trial.proposal.copy_of is None
