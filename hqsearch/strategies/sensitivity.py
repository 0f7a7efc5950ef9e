"""The classical baseline: score every layer and choice once, then solve the additive model.

One pass over the parent without training says by how much each choice of each layer alone
raises the loss. Under the assumption that these increases add up, the best assignment under cost
limits is a multiple-choice knapsack problem, solved exactly by integer programming (HiGHS through
:func:`scipy.optimize.milp`) for a sweep of limits; its solutions are then evaluated like all
other candidates. This is what HAWQ (Dong et al. 2019; Yao et al. 2021), NVIDIA's ModelOpt, AIMET
and Sony's MCT do, and what a search must beat. The sweep covers the costs evenly in their
logarithms, coarsely first (Halton sequence), so that any number of evaluations spans the front.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from hqsearch.errors import DefinitionError
from hqsearch.evaluator.tasks import SCORES, ScoresResult, ScoresTask
from hqsearch.problem.additive import CostTables
from hqsearch.problem.candidate import Candidate
from hqsearch.strategies.base import (
    Problem,
    Result,
    Signal,
    Strategy,
    StrategyTask,
    TaskResult,
)
from hqsearch.strategies.scoring import scores_of
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
        self._asked = False
        self._failed = False
        self._program: AdditiveProgram | None = None
        self._index = 0

    def notes(self) -> list[str]:
        return ["sensitivity: accuracy losses of single layers are taken to add up"]

    def next(self) -> Candidate | StrategyTask | Signal:
        if not self._asked:
            self._asked = True
            return StrategyTask(ScoresTask(), "one pass over the parent")
        if self._program is None:
            return Signal.DONE if self._failed else Signal.WAIT
        return self._solve_on(self._program)

    def observe(self, result: Result) -> None:
        self._seen.add(result.candidate)

    def observe_task(self, result: TaskResult) -> None:
        if not isinstance(result.answer, ScoresResult):
            self._failed = True
        else:
            scores = scores_of(result.answer, self.problem.space)
            self._program = AdditiveProgram(self.problem, scores)

    def origin(self, candidate: Candidate) -> str:
        """The limits that it is the best assignment under."""
        return self._origins.get(candidate, "")

    def _solve_on(self, program: AdditiveProgram) -> Candidate | Signal:
        for _ in range(BARREN):
            self._index += 1
            solved = program.solve(self._index)
            if solved is not None and solved[0] not in self._seen:
                candidate, label = solved
                self._seen.add(candidate)
                self._origins[candidate] = label
                return candidate
        return Signal.DONE


class AdditiveProgram:
    """Best assignments of the additive model under cost limits.

    Raises:
        DefinitionError: cheap metrics that are no sums over dimensions, or no cheap objective.
    """

    def __init__(self, problem: Problem, scores: Scores) -> None:
        costs = CostTables(problem)
        if not costs.additive:
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
        self._added = np.vstack(costs.tables)
        self._base = costs.base
        self._swept = columns
        self._least = (costs.base + sum(t.min(axis=0) for t in costs.tables))[columns]
        self._most = (costs.base + sum(t.max(axis=0) for t in costs.tables))[columns]
        for budget in problem.budgets.budgets:
            if budget.metric in self.names:
                # Above a budget there is nothing to sweep.
                place = self.names.index(budget.metric)
                self._most[place] = min(self._most[place], budget.limit)
        self._scores = np.concatenate(scores.increase)
        largest = max(float(self._scores.max()), 1e-300)
        scaled = self._added[:, columns] / np.maximum(self._most - self._least, 1e-300)
        self._target = self._scores / largest + TIE * scaled.sum(axis=1)
        self._one_each = self._choose_one()
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
        scale = np.maximum(np.abs(np.array(rows)).max(axis=1), 1e-300)
        knapsack = LinearConstraint(np.array(rows) / scale[:, None], -np.inf, upper / scale)
        count = len(self._target)
        with _quiet():
            found = milp(
                self._target,
                integrality=np.ones(count),
                bounds=Bounds(0, 1),
                constraints=[self._one_each, knapsack],
                options={"mip_rel_gap": 0.0},
            )
        if found.x is None:
            return None
        chosen = found.x.round().astype(np.int64)
        code, start = [], 0
        for cardinality in self.problem.space.cardinalities:
            code.append(int(chosen[start : start + cardinality].argmax()))
            start += int(cardinality)
        label = ", ".join(
            f"{name} <= {self._relative(name, float(limit))}"
            for name, limit in zip(self.names, limits, strict=True)
        )
        return self.problem.space.decode(np.array(code))[0], label

    def _relative(self, name: str, limit: float) -> str:
        full = self.problem.reference.get(name)
        return f"{limit / full:.3g} fp32" if full else f"{limit:.4g}"

    def _choose_one(self) -> LinearConstraint:
        """Every dimension takes exactly one of its values."""
        cardinalities = self.problem.space.cardinalities
        owner = np.repeat(np.arange(len(cardinalities)), cardinalities)
        matrix = csr_array((np.ones(len(owner)), (owner, np.arange(len(owner)))))
        return LinearConstraint(matrix, 1, 1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what a C library prints off the standard output, where one JSON document may go.

    HiGHS 1.12 (in SciPy 1.17) prints a line of debugging whatever it is told about logging.
    """
    libc = ctypes.CDLL(None)
    sys.stdout.flush()
    kept = os.dup(1)
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 1)
        yield
    finally:
        libc.fflush(None)
        os.dup2(kept, 1)
        os.close(sink)
        os.close(kept)


def _van_der_corput(index: int, base: int) -> float:
    """The ``index``-th number of the van der Corput sequence: digits mirrored at the point."""
    share, weight = 0.0, 1.0
    while index:
        weight /= base
        index, digit = divmod(index, base)
        share += weight * digit
    return share
