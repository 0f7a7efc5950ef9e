"""What pymoo needs to run NSGA-II on vectors of value indices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem as PymooProblem
from pymoo.core.repair import Repair
from pymoo.core.termination import NoTermination
from pymoo.operators.crossover.ux import UX

Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Constraint value of a failed evaluation: worse than any budget violation.
FAILED = 1e9
#: Least constraint value of a candidate that was stopped early: between the two.
STOPPED = 1e6


class ResetMutation(Mutation):
    """Each gene becomes another of its dimension's values with probability ``rate``."""

    def __init__(self, cardinalities: Codes, rate: float) -> None:
        super().__init__()
        self.cardinalities, self.rate = cardinalities, rate

    def _do(
        self, problem: Any, X: Codes, *args: Any, random_state: Any = None, **kwargs: Any
    ) -> Codes:
        X = X.astype(np.int64)
        hit = (random_state.random(X.shape) < self.rate) & (self.cardinalities > 1)
        shift = random_state.integers(1, np.maximum(self.cardinalities, 2), size=X.shape)
        return np.asarray(np.where(hit, (X + shift) % self.cardinalities, X))


class BudgetRepair(Repair):
    """Hands individuals to the strategy's repair, with pymoo's generator."""

    def __init__(self, repair: Callable[[Codes, np.random.Generator], Codes]) -> None:
        super().__init__()
        self.repair_codes = repair

    def _do(self, problem: Any, X: Codes, random_state: Any = None, **kwargs: Any) -> Codes:
        return self.repair_codes(X.astype(np.int64), random_state)


class SeenElimination(DuplicateElimination):
    """Drops what the run has proposed before, whether or not it is still in the population."""

    def __init__(self, is_new: Callable[[Codes], list[bool]]) -> None:
        super().__init__()
        self.is_new = is_new

    def _do(self, pop: Any, other: Any, is_duplicate: Any) -> Any:
        codes = np.array([individual.X for individual in pop], dtype=np.int64)
        known = {tuple(i.X) for i in other} if other is not None else set()
        for row, (code, new) in enumerate(zip(codes, self.is_new(codes), strict=True)):
            key = tuple(code)
            is_duplicate[row] |= not new or key in known
            known.add(key)
        return is_duplicate


def make_nsga2(
    cardinalities: Codes,
    n_objectives: int,
    population: int,
    crossover: float,
    mutation: float | None,
    repair: Callable[[Codes, np.random.Generator], Codes],
    is_new: Callable[[Codes], list[bool]],
    offspring: int,
) -> NSGA2:
    """pymoo's NSGA-II for indices below ``cardinalities [n_var]``, one constraint column.

    ``offspring`` is how many are bred at a time.
    """
    problem = PymooProblem(
        n_var=len(cardinalities),
        n_obj=n_objectives,
        n_ieq_constr=1,
        xl=0,
        xu=np.maximum(cardinalities - 1, 0),
        vtype=int,
    )
    algorithm = NSGA2(
        pop_size=population,
        n_offsprings=offspring,
        crossover=UX(prob=crossover),
        mutation=ResetMutation(cardinalities, mutation or 1.0 / len(cardinalities)),
        repair=BudgetRepair(repair),
        eliminate_duplicates=SeenElimination(is_new),
    )
    algorithm.setup(problem, termination=NoTermination(), seed=0, verbose=False)
    return algorithm


def population_of(
    codes: Codes, costs: Floats, violation: Floats, untrained: Floats | None = None
) -> Population:
    """Evaluated individuals; failures (NaN costs) are told as infeasible: pymoo ranks NaN first.

    ``untrained [n]`` is above 0 for those that were stopped early: infeasible too, below every
    completed one, above failures, and the sooner stopped the worse.
    """
    failed = np.asarray(np.isnan(costs).any(axis=1), dtype=np.bool_)
    worst = np.nanmax(costs, axis=0) if (~failed).any() else np.zeros(costs.shape[1])
    filled = np.where(failed[:, None], worst, costs)
    constraint = np.where(failed, FAILED, violation)
    if untrained is not None:
        constraint = np.where(untrained > 0, STOPPED * (1.0 + untrained), constraint)
    return Population.new(X=codes, F=filled, G=constraint[:, None], H=np.zeros((len(codes), 0)))
