"""Where NSGA-II begins: candidates drawn at random, and those that other strategies have found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hqsearch.problem.candidate import Candidate
from hqsearch.problem.pareto import non_dominated
from hqsearch.problem.space import Space
from hqsearch.strategies.base import Problem, Result


def drawn(space: Space, initial: str, generator: np.random.Generator) -> Candidate:
    """A random candidate: of the whole space, or of a mix that favours few choices.

    Args:
        initial: ``uniform``: each choice as likely; else the mix is drawn, too.
    """
    if initial == "uniform":
        return space.random(generator)
    values = sorted({v for place in space.weighted for v in space.dimensions[place].values})
    # A mix that favours few choices: concentration below 1.
    mix = dict(zip(values, generator.dirichlet(np.full(len(values), 0.5)), strict=True))
    code: list[int] = []
    for dimension in space.dimensions:
        if dimension.kind == "structure":
            code.append(int(generator.integers(len(dimension.values))))
            continue
        weights = np.array([mix[v] for v in dimension.values]) + 1e-9
        code.append(int(generator.choice(len(weights), p=weights / weights.sum())))
    return space.decode(np.array(code))[0]


def inherited(
    problem: Problem, history: Sequence[Result], strategies: Sequence[str], most: int
) -> dict[Candidate, str]:
    """Non-dominated, feasible candidates that other strategies found earlier or that were
    imported, and which one did; spread over their front where they are more than ``most``."""
    results = [
        r
        for r in history
        if (r.strategy in strategies and r.kind == "search") or r.kind == "imported"
        if r.values and r.violation <= 0
    ]
    if not results:
        return {}
    costs = problem.costs(results)
    front = np.flatnonzero(non_dominated(costs))
    front = front[np.lexsort(costs[front].T)]
    places = np.linspace(0, len(front) - 1, min(len(front), most))
    chosen = front[np.unique(places.round().astype(int))]
    return {results[i].candidate: results[i].strategy for i in chosen}
