"""Hard budgets on cheap metrics: ``energy = "<= 0.5 fp32"``, ``storage = "<= 40 KiB"``.

Budgets are enforced on the estimate before a training run is spent: a candidate beyond
them is repaired by seeded cheapening, one layer at a time, never rejected in a loop.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hqsearch.errors import BudgetError, DefinitionError, UnknownName
from hqsearch.problem.additive import TOLERANCE, AdditiveTables, Cheap, neighbours
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.integer_program import ChooseOne
from hqsearch.problem.overflow import Overflow
from hqsearch.problem.space import Space

Floats = npt.NDArray[np.float64]

#: Factors to the metric's own unit (energy µJ, storage KiB, average_bits bits).
UNITS: dict[str, dict[str, float]] = {
    "energy": {"pJ": 1e-6, "nJ": 1e-3, "uJ": 1.0, "µJ": 1.0, "mJ": 1e3},
    "storage": {"B": 1 / 1024, "kB": 1000 / 1024, "KiB": 1.0, "MB": 1e6 / 1024, "MiB": 1024.0},
    "average_bits": {"": 1.0, "bits": 1.0, "bit": 1.0},
}
OWN_UNIT = {"energy": "µJ", "storage": "KiB", "average_bits": "bits"}
#: Solutions that may exceed a limit by the solver's tolerance before none is taken to exist.
_TRIES = 64
_PATTERN = re.compile(r"\s*<=\s*([0-9]*\.?[0-9]+(?:[eE][+-]?\d+)?)\s*(\S*)\s*")


@dataclass(frozen=True, slots=True)
class Budget:
    """One upper limit, in the metric's own unit."""

    metric: str
    limit: float
    text: str


def parse_budgets(
    constraints: Mapping[str, str], metrics: Sequence[str], reference: Mapping[str, float]
) -> tuple[Budget, ...]:
    """``[constraints]`` as budgets.

    Args:
        constraints: metric → text such as ``"<= 0.5 fp32"`` or ``"<= 4 uJ"``.
        metrics: the evaluator's cheap metrics.
        reference: cheap metrics of the fp32 network, for limits relative to it: with structural
            dimensions that of the first structural part.
    """
    budgets = []
    for metric, text in constraints.items():
        if metric not in metrics:
            raise UnknownName("budget", metric, metrics, "[constraints]")
        match = _PATTERN.fullmatch(text)
        units = UNITS.get(metric, {"": 1.0})
        expected = ", ".join(u or "(no unit)" for u in [*units, "fp32"])
        if not match or match[2] not in {*units, "fp32"}:
            raise DefinitionError(
                f"[constraints] {metric} = {text!r}: expected '<= NUMBER UNIT' "
                f"with a unit of: {expected}"
            )
        factor = reference[metric] if match[2] == "fp32" else units[match[2]]
        budgets.append(Budget(metric, float(match[1]) * factor, text.strip()))
    return tuple(budgets)


class Budgets:
    """The budgets of a run on a space: feasibility, violation, repair."""

    def __init__(
        self,
        budgets: Sequence[Budget],
        space: Space,
        metrics: Sequence[str],
        cheap: Cheap,
        overflows: Mapping[str, Overflow] | None = None,
    ) -> None:
        self.budgets = tuple(budgets)
        self.space, self._cheap = space, cheap
        self._tables = AdditiveTables(space, cheap, overflows=overflows or {})
        self._metrics = list(metrics)
        self._columns = [list(metrics).index(b.metric) for b in self.budgets]
        self._limits = np.array([b.limit for b in self.budgets])

    def violations(self, metrics: Floats) -> Floats:
        """Sum of relative excesses ``[n]`` of cheap metrics ``[n, n_metrics]``; 0 is feasible."""
        if not self.budgets:
            return np.zeros(len(metrics))
        excess = metrics[:, self._columns] / self._limits - 1.0
        return np.asarray(np.maximum(excess, 0.0).sum(axis=1))

    def measured_violation(self, values: Mapping[str, float]) -> float:
        """The same for recorded values of one candidate (metrics not among them: no excess)."""
        return sum(max(values.get(b.metric, 0.0) / b.limit - 1.0, 0.0) for b in self.budgets)

    def check(self) -> list[str]:
        """Refuse a budget that nobody can meet; tell of those that bind nobody.

        Exact where a metric is a sum over dimensions, as those of the cost model are.
        """
        told = []
        for budget, column in zip(self.budgets, self._columns, strict=True):
            least, most = self._tables.extremes(column)
            unit = OWN_UNIT.get(budget.metric, "")
            if least > budget.limit:
                raise BudgetError(
                    f"budget {budget.metric} {budget.text} cannot be met: the cheapest "
                    f"candidate needs {least:.4g} {unit}, the limit is {budget.limit:.4g} {unit}"
                )
            if most <= budget.limit:
                told.append(
                    f"budget {budget.metric} {budget.text} binds nobody: "
                    f"no candidate needs more than {most:.4g} {unit}"
                )
        if len(self.budgets) > 1:
            self.repair(
                self.space.decode(self.space.cardinalities * 0)[0], np.random.default_rng(0)
            )
        return told

    def extremes(self, metric: str) -> tuple[float, float]:
        """Least and most of a cheap metric that any candidate needs."""
        return self._tables.extremes(self._metrics.index(metric))

    def repair(self, candidate: Candidate, generator: np.random.Generator) -> Candidate:
        """The candidate made feasible by cheapening random layers, one small step at a time."""
        if not self.budgets:
            return candidate
        code = self.space.encode([candidate])[0]
        violation = self.violations(self._cheap([candidate]))[0]
        while violation > 0.0:
            steps = neighbours(code, self.space.cardinalities)
            after = self.violations(self._cheap(self.space.decode(steps)))
            better = np.flatnonzero(after < violation * (1 - 1e-12))
            if not len(better):
                # No single step helps, but several at once may.
                return self._nearest(code)
            moved = (steps[better] != code).argmax(axis=1)
            dimension = generator.choice(np.unique(moved))
            options = better[moved == dimension]
            step = options[np.argmax(after[options])]
            code, violation = steps[step], after[step]
        return self.space.decode(code)[0]

    def _nearest(self, code: npt.NDArray[np.int64]) -> Candidate:
        """A feasible candidate with the fewest other values, in the code's part if there is one.

        Raises:
            BudgetError: there is none, or no integer program can find it.
        """
        own = int(self.space.part_indices(code[None])[0])
        keys = list(self.space.parts)
        for key in (keys[own], *keys[:own], *keys[own + 1 :]) if self._tables.additive else ():
            found = self._nearest_in(key, code)
            if found is not None:
                return found
        limits = ", ".join(f"{b.metric} {b.text}" for b in self.budgets)
        raise BudgetError(f"no candidate meets all budgets together: {limits}")

    def _nearest_in(self, key: str, code: npt.NDArray[np.int64]) -> Candidate | None:
        part, sums = self.space.parts[key], self._tables.parts[key]
        inside = code.copy()
        inside[list(self.space.structural)] = 0
        changed = [np.arange(n) != v for n, v in zip(part.cardinalities, inside, strict=True)]
        columns, rows = self._columns, sums.rows
        program = ChooseOne(
            part.cardinalities,
            np.concatenate(changed).astype(np.float64),
            rows[:, columns].T,
            self._limits * (1.0 + TOLERANCE) - sums.base[columns],
            sums.overflow.hinge(rows, sums.base, columns) if sums.overflow else None,
        )
        for _ in range(_TRIES):
            found = program.solve()
            if found is None:
                return None
            candidate = part.decode(found)[0]
            if self.violations(self._cheap([candidate]))[0] <= 0:
                return candidate
            program.exclude(found)
        return None
