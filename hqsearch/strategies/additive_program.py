"""Best assignments of the additive model under limits of its costs: integer programs.

Losses of single values are taken to add up, so that the best assignment under cost limits is a
multiple-choice knapsack problem, solved exactly (:mod:`hqsearch.problem.integer_program`). Limits
sweep the costs evenly in their logarithms, coarsely first (Halton sequence), so that any number
of solutions spans the front.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

import numpy as np
import numpy.typing as npt

from hqsearch.errors import DefinitionError
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.integer_program import ChooseOne, Hinge
from hqsearch.strategies.base import Problem
from hqsearch.surrogate import Scores

Floats = npt.NDArray[np.float64]

#: Weight of the (scaled) costs against the scores: only decides between equal scores.
TIE = 1e-6
#: Limits in a row that give nothing new before there is nothing left to propose.
BARREN = 64
#: One per cost that is swept.
PRIMES = (2, 3, 5, 7, 11)


def best_by_scores(
    problem: Problem, scores: Mapping[str, Scores], taken: Container[Candidate], count: int
) -> dict[Candidate, str]:
    """Up to ``count`` new solutions, each with the limits that it is the best assignment under.

    Args:
        problem: whose costs are limited; with none that is known beforehand there is no solution.
        scores: by structural part; their programs are solved in turn.
        taken: what is not new.
        count: of solutions.
    """
    if not any(o.name in problem.metrics for o in problem.objectives):
        return {}
    programs = [
        AdditiveProgram(problem, scores[part], part)
        for part in problem.space.parts
        if part in scores
    ]
    found: dict[Candidate, str] = {}
    for step in range(BARREN * len(programs)):
        index, part = divmod(step, len(programs))
        solved = programs[part].solve(index + 1) if len(found) < count else None
        if solved is not None and solved[0] not in taken:
            found.setdefault(*solved)
    return found


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
        for own in problem.interest:
            # The sweep is of the range; a part that cannot reach it goes as near as it can.
            place = self.names.index(own.metric)
            least, most = self._least[place], self._most[place]
            self._least[place] = min(max(least, own.low), most)
            self._most[place] = max(min(most, own.high), least)
        self._limits = [(problem.metrics.index(b.metric), b.limit) for b in problem.budgets.budgets]

    def solve(self, index: int) -> tuple[Candidate, str] | None:
        """The best assignment under the ``index``-th limits (from 1); None where there is none."""
        share = np.array([van_der_corput(index, p) for p in PRIMES[: len(self._swept)]])
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


def van_der_corput(index: int, base: int) -> float:
    """The ``index``-th number of the van der Corput sequence: digits mirrored at the point."""
    share, weight = 0.0, 1.0
    while index:
        weight /= base
        index, digit = divmod(index, base)
        share += weight * digit
    return share
