"""When a search has little more to gain, read from its log alone.

A run is judged batch by batch. Where its strategy has a model, a batch is worth what the model
expected of it when it was proposed (hypervolume, as a share of what the front had), which is
logged with its first candidate; elsewhere, what it did add. After as many batches in a row as
asked for that were worth no more than the study's tolerance, the batch that is next is not begun.
As all of it is in the log, a run that was cut ends where an uninterrupted one does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hqsearch.errors import InputError
from hqsearch.problem.objective import Objective, minimized
from hqsearch.problem.pareto import hypervolume
from hqsearch.store.records import TrialRecord
from hqsearch.wording import option

#: Batches in a row, unless somebody says otherwise.
PATIENCE = 3
#: Share of the hypervolume, in studies of before fronts had a resolution.
TOLERANCE = 0.005
#: Of the objectives' ranges, from the worst value to the corner that volumes are measured to.
BEYOND = 0.1
_ASKED = re.compile(r"stalled(?::(\d+))?")


def patience_of(until: str) -> int:
    """Batches in a row that ``stalled`` or ``stalled:5`` asks for.

    Raises:
        InputError: it says something else.
    """
    found = _ASKED.fullmatch(until.strip())
    patience = int(found[1] or PATIENCE) if found else 0
    if patience < 1:
        raise InputError(
            f"{option('until', until)}: expected 'stalled' or, with the number of batches in a "
            f"row that must promise little, 'stalled:{PATIENCE}'"
        )
    return patience


@dataclass(frozen=True)
class Stalling:
    """What ends a search for want of gain.

    Attributes:
        objectives: of the study.
        batch: candidates that are judged together where their strategy promised nothing.
        patience: batches in a row.
    """

    objectives: tuple[Objective, ...]
    batch: int
    patience: int = PATIENCE

    @property
    def tolerance(self) -> float:
        """Share of the front's hypervolume: the coarsest resolution that the front is told at."""
        return max((o.resolution for o in self.objectives), default=0.0) or TOLERANCE

    def waits(self, trials: Sequence[TrialRecord]) -> bool:
        """Whether a batch that promised nothing is proposed as a whole, but has not ended.

        What it came to is looked at before the next one is begun, so that the number of workers
        does not decide where a search ends.
        """
        last = self._unpromised(trials)
        return bool(last) and not all(t.finished for t in trials)

    def reason(self, trials: Sequence[TrialRecord], promise: float | None = None) -> str:
        """Why little more is to be gained; empty where that is not so, or cannot be told now.

        Args:
            trials: of the run, in the order of their slots.
            promise: of the batch that is next, where the strategy has promised something.
        """
        if promise is None and not self._unpromised(trials):
            return ""
        gains, done = [], 0
        for some in self._batches(trials)[-self.patience :]:
            done = some[-1].proposal.slot + 1
            own = some[0].proposal.promise
            gains.append(self._gain(trials[: done - len(some)], trials[:done], own))
        if promise is not None:
            gains.append(promise)
        last = gains[-self.patience :]
        if len(last) < self.patience or max(last) > self.tolerance:
            return ""
        told = ", ".join(f"{100 * g:.2f} %" for g in last)
        tolerance = f"tolerance {100 * self.tolerance:g} %"
        if promise is None:
            those = f"the last {len(last)} batches" if len(last) > 1 else "the last batch"
            return f"{those} added {told} of hypervolume; {tolerance}"
        return (
            f"the next batch would bring {100 * promise:.2f} % more hypervolume by the strategy's "
            f"model (last {len(last)} with this one: {told}; {tolerance})"
        )

    def _batches(self, trials: Sequence[TrialRecord]) -> list[list[TrialRecord]]:
        """Of what was searched: a batch begins with a promise, or where the last one is full."""
        batches: list[list[TrialRecord]] = []
        for trial in trials:
            if trial.proposal.kind == "baseline":
                continue
            full = not batches or len(batches[-1]) >= self.batch
            if full or trial.proposal.promise is not None:
                batches.append([])
            batches[-1].append(trial)
        return batches

    def _unpromised(self, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
        """The last batch, where it is full and nothing was promised of it."""
        batches = self._batches(trials)
        if not batches or len(batches[-1]) < self.batch:
            return []
        return batches[-1] if batches[-1][0].proposal.promise is None else []

    def _gain(
        self, before: Sequence[TrialRecord], after: Sequence[TrialRecord], promise: float | None
    ) -> float:
        """What a batch was worth: as promised, else the hypervolume that it added, as a share."""
        if promise is not None:
            return promise
        rows = [[np.nan] * len(self.objectives)]
        rows += [list(t.values) if _counts(t) and t.values else rows[0] for t in after]
        costs = minimized(rows, self.objectives)[1:]
        known = costs[~np.isnan(costs).any(axis=1)]
        if not len(known):
            return 0.0
        corner = known.max(axis=0) + BEYOND * np.ptp(known, axis=0) + 1e-12
        old, new = hypervolume(costs[: len(before)], corner), hypervolume(costs, corner)
        return new / old - 1.0 if old > 0 else float(new > 0)


def _counts(trial: TrialRecord) -> bool:
    """Whether it can be a member of the front."""
    feasible = trial.outcome is None or trial.outcome.violation <= 0
    return trial.state == "COMPLETE" and feasible
