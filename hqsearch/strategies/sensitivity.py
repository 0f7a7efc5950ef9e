"""The classical baseline: score every layer and choice once, then solve the additive model.

One pass over the parent without training says by how much each choice of each layer alone
raises the loss. Under the assumption that these increases add up, the best assignment under cost
limits is a multiple-choice knapsack problem, solved exactly by integer programming
(:mod:`hqsearch.problem.integer_program`) for a sweep of limits; its solutions are then evaluated
like all other candidates. This is what HAWQ (Dong et al. 2019; Yao et al. 2021), NVIDIA's
ModelOpt, AIMET and Sony's MCT do, and what a search must beat. The sweep covers the costs evenly
in their logarithms, coarsely first (Halton sequence), so that any number of evaluations spans the
front. Structural parts are scored and solved one by one, and the sweep goes through them in turn.
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hqsearch.errors import DefinitionError
from hqsearch.evaluator.tasks import SCORES
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.integer_program import ChooseOne, Hinge
from hqsearch.strategies.base import (
    Problem,
    Result,
    Signal,
    Strategy,
    StrategyTask,
    TaskResult,
)
from hqsearch.strategies.scoring import scores_of, scoring_tasks
from hqsearch.surrogate import Scores

Floats = npt.NDArray[np.float64]

#: Limits in a row that give nothing new before there is nothing left to propose.
BARREN = 64
#: Weight of the (scaled) costs against the scores: only decides between equal scores.
TIE = 1e-6
#: One per cost that is swept.
PRIMES = (2, 3, 5, 7, 11)


class Sensitivity(Strategy):
    """Asks for the scores, then proposes the additive model's front; learns nothing after."""

    name: ClassVar[str] = "sensitivity"
    tasks_needed: ClassVar[frozenset[str]] = frozenset({SCORES})

    def __init__(self, problem: Problem, options: Any, seed: int) -> None:
        super().__init__(problem, options, seed)
        self._seen = set(problem.baselines)
        self._origins: dict[Candidate, str] = {}
        self._scoring = deque(scoring_tasks(problem.space))
        self._awaited = len(self._scoring)
        self._scores: dict[str, Scores] = {}
        self._programs: list[AdditiveProgram] = []
        self._solved = 0

    def notes(self) -> list[str]:
        return ["sensitivity: accuracy losses of single layers are taken to add up"]

    def next(self) -> Candidate | StrategyTask | Signal:
        if self._scoring:
            return self._scoring.popleft()
        if self._awaited:
            return Signal.WAIT
        return self._solve_on()

    def observe(self, result: Result) -> None:
        self._seen.add(result.candidate)

    def observe_task(self, result: TaskResult) -> None:
        self._awaited -= 1
        self._scores |= scores_of(result, self.problem.space)
        if not self._awaited:
            # In the space's order, whichever pass was done first.
            self._programs = [
                AdditiveProgram(self.problem, self._scores[part], part)
                for part in self.problem.space.parts
                if part in self._scores
            ]

    def origin(self, candidate: Candidate) -> str:
        """The limits that it is the best assignment under."""
        return self._origins.get(candidate, "")

    def _solve_on(self) -> Candidate | Signal:
        """The next new solution: a limit for every part, then the next limit."""
        for _ in range(BARREN * len(self._programs)):
            index, part = divmod(self._solved, len(self._programs))
            self._solved += 1
            solved = self._programs[part].solve(index + 1)
            if solved is not None and solved[0] not in self._seen:
                candidate, label = solved
                self._seen.add(candidate)
                self._origins[candidate] = label
                return candidate
        return Signal.DONE


class AdditiveProgram:
    """Best assignments of the additive model under cost limits, in one structural part.

    Args:
        problem: whose costs are limited.
        scores: losses of every value alone, in this part.
        part: its key; the only one without structural dimensions.

    Raises:
        DefinitionError: cheap metrics that are no sums over dimensions, or no cheap objective.
    """

    def __init__(self, problem: Problem, scores: Scores, part: str = "") -> None:
        self.part, self.space = part, problem.space.parts[part]
        tables = problem.tables
        if not tables.additive:
            raise DefinitionError(
                "strategy sensitivity needs costs that are sums over the space's dimensions; "
                "this evaluator's are not: use another strategy"
            )
        self.problem = problem
        self.names = [o.name for o in problem.objectives if o.name in problem.metrics]
        if not self.names:
            raise DefinitionError(
                "strategy sensitivity needs an objective that is known beforehand"
            )
        columns = [problem.metrics.index(name) for name in self.names]
        sums = tables.parts[part]
        self._added, self._base, self._overflow = sums.rows, sums.base, sums.overflow
        self._swept = columns
        self._least = (sums.base + sum(t.min(axis=0) for t in sums.tables))[columns]
        self._most = (sums.base + sum(t.max(axis=0) for t in sums.tables))[columns]
        if self._overflow is not None and self._overflow.column in columns:
            place = columns.index(self._overflow.column)
            ends = tables.part_extremes(self._overflow.column)[part]
            self._least[place], self._most[place] = ends
        for budget in problem.budgets.budgets:
            if budget.metric in self.names:
                # Above a budget there is nothing to sweep.
                place = self.names.index(budget.metric)
                self._most[place] = min(self._most[place], budget.limit)
        added = np.concatenate(scores.increase)
        largest = max(float(added.max()), 1e-300)
        scaled = self._added[:, columns] / np.maximum(self._most - self._least, 1e-300)
        self._target = added / largest + TIE * scaled.sum(axis=1)
        self._scale = np.maximum(self._most - self._least, 1e-300)
        self._limits = [(problem.metrics.index(b.metric), b.limit) for b in problem.budgets.budgets]

    def solve(self, index: int) -> tuple[Candidate, str] | None:
        """The best assignment under the ``index``-th limits (from 1); None where there is none."""
        share = np.array([_van_der_corput(index, p) for p in PRIMES[: len(self._swept)]])
        limits = self._least * (self._most / np.maximum(self._least, 1e-300)) ** share
        rows = [self._added[:, c] for c in self._swept] + [
            self._added[:, c] for c, _ in self._limits
        ]
        upper = [float(v) - self._base[c] for v, c in zip(limits, self._swept, strict=True)]
        upper += [limit - self._base[c] for c, limit in self._limits]
        code = ChooseOne(
            self.space.cardinalities, self._target, np.array(rows), np.array(upper), self._hinge()
        ).solve()
        if code is None:
            return None
        label = ", ".join(
            f"{name} <= {self._relative(name, float(limit))}"
            for name, limit in zip(self.names, limits, strict=True)
        )
        return self.space.decode(code)[0], f"{self.part}: {label}" if self.part else label

    def _hinge(self) -> Hinge | None:
        """What does not fit into a memory, where an objective or a budget pays for it."""
        overflow, columns = self._overflow, [*self._swept, *(c for c, _ in self._limits)]
        if overflow is None or overflow.column not in columns:
            return None
        tie = 0.0
        if overflow.column in self._swept:
            tie = TIE * overflow.price / float(self._scale[self._swept.index(overflow.column)])
        return overflow.hinge(self._added, self._base, columns, tie)

    def _relative(self, name: str, limit: float) -> str:
        full = self.problem.reference.get(name)
        return f"{limit / full:.3g} fp32" if full else f"{limit:.4g}"


def _van_der_corput(index: int, base: int) -> float:
    """The ``index``-th number of the van der Corput sequence: digits mirrored at the point."""
    share, weight = 0.0, 1.0
    while index:
        weight /= base
        index, digit = divmod(index, base)
        share += weight * digit
    return share
