"""The classical baseline: score every layer and choice once, then solve the additive model.

One pass over the parent without training says by how much each choice of each layer alone
raises the loss. Under the assumption that these increases add up, the best assignment under cost
limits is a multiple-choice knapsack problem, solved exactly by integer programming
(:mod:`hqsearch.problem.integer_program`) for a sweep of limits; its solutions are then evaluated
like all other candidates. This is what HAWQ (Dong et al. 2019; Yao et al. 2021), NVIDIA's
ModelOpt, AIMET and Sony's MCT do, and what a search must beat. The sweep covers the costs evenly
in their logarithms, coarsely first (Halton sequence), so that any number of evaluations spans the
front. Structural parts are scored and solved one by one, and the sweep goes through them in turn.
Where the sweep finds nothing new any more, single changes of what it found follow, best by the
same model first: its optima are few in a small space, and their neighbours are nearly as good.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hqsearch.evaluator.tasks import SCORES
from hqsearch.problem.additive import neighbours
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.pareto import non_dominated
from hqsearch.strategies.additive_program import BARREN, AdditiveProgram, van_der_corput
from hqsearch.strategies.base import (
    Problem,
    Result,
    Signal,
    Strategy,
    StrategyOptions,
    StrategyTask,
    TaskResult,
)
from hqsearch.strategies.scoring import scores_of, scoring_tasks
from hqsearch.surrogate import Scores

#: Origin of a single change in the log.
NEIGHBOUR = "neighbour"


class SensitivityOptions(StrategyOptions):
    """``[strategy.sensitivity]``."""

    BEFORE: ClassVar[Mapping[str, Any]] = {"neighbours": False}

    neighbours: bool = True
    """Go on with single changes of its optima when there are no more of them."""


class Sensitivity(Strategy):
    """Asks for the scores, then proposes the additive model's front; learns nothing after."""

    name: ClassVar[str] = "sensitivity"
    Options: ClassVar[type[StrategyOptions]] = SensitivityOptions
    tasks_needed: ClassVar[frozenset[str]] = frozenset({SCORES})

    @classmethod
    def aims(cls, options: Any) -> bool:
        return True

    def __init__(self, problem: Problem, options: Any, seed: int) -> None:
        super().__init__(problem, options, seed)
        self._seen = set(problem.baselines)
        self._origins: dict[Candidate, str] = {}
        self._scoring = deque(scoring_tasks(problem.space))
        self._awaited = len(self._scoring)
        self._scores: dict[str, Scores] = {}
        self._programs: list[AdditiveProgram] = []
        self._solved = 0
        self._found: dict[Candidate, None] = {}
        self._swept = False
        self._around: deque[Candidate] = deque()

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
        for _ in range(0 if self._swept else BARREN * len(self._programs)):
            index, part = divmod(self._solved, len(self._programs))
            self._solved += 1
            solved = self._programs[part].solve(index + 1)
            if solved is not None and solved[0] not in self._seen:
                candidate, label = solved
                self._seen.add(candidate)
                self._found[candidate] = None
                self._origins[candidate] = label
                return candidate
        self._swept = True
        return self._change_on() if self.options.neighbours else Signal.DONE

    def _change_on(self) -> Candidate | Signal:
        """The next single change: of the new ones those that the model holds for undominated."""
        if not self._around:
            self._around.extend(self._undominated_changes())
        if not self._around:
            return Signal.DONE
        candidate = self._around.popleft()
        self._seen.add(candidate)
        self._found[candidate] = None
        self._origins[candidate] = NEIGHBOUR
        return candidate

    def _undominated_changes(self) -> list[Candidate]:
        space, budgets = self.problem.space, self.problem.budgets
        if not self._found:
            return []
        sizes, among = space.cardinalities, space.weighted
        codes = np.vstack([neighbours(c, sizes, among) for c in space.encode(self._found)])
        codes = np.unique(codes, axis=0)
        new = [c not in self._seen for c in space.decode(codes)]
        codes = codes[np.array(new, dtype=np.bool_)]
        metrics = self.problem.tables.metrics(codes)
        within = budgets.violations(metrics) <= 0
        codes, metrics = codes[within], metrics[within]
        if not len(codes):
            return []
        names = self._programs[0].names
        costs = metrics[:, [self.problem.metrics.index(name) for name in names]]
        front = np.flatnonzero(non_dominated(np.column_stack([self._losses(codes), costs])))
        # Evenly over the front however many are asked for: the digits of places, mirrored.
        order = sorted(range(len(front)), key=lambda place: van_der_corput(place, 2))
        ranked = front[np.argsort(costs[front, 0], kind="stable")]
        return space.decode(codes[ranked[order]])

    def _losses(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Sums of scores ``[n]``; of a part that was not scored infinite."""
        space = self.problem.space
        part_of, total = space.part_indices(codes), np.full(len(codes), np.inf)
        for index, part in enumerate(space.parts):
            rows = part_of == index
            if part in self._scores:
                tables = self._scores[part].increase
                total[rows] = sum(tables[place][codes[rows, place]] for place in space.weighted)
        return total
