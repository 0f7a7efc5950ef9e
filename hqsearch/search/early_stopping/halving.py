"""Early stopping with several objectives: synchronous successive halving.

The candidates of a cohort (a generation, say) are trained to the first rung; those that look
best there go on to the next rung, the others stop; what is left at the last rung is trained to
the end. Rung r is epoch r of the *full* schedule, so that whoever goes on loses nothing.

Successive halving: Jamieson and Talwalkar 2016. With several objectives, promotion by
non-dominated rank and then by spread, against the best that the run has seen at that rung,
follows Schmucker et al. 2021 (MO-ASHA, arXiv:2106.12639); synchronous here, because a decision
that waits for its whole cohort depends neither on the number of workers nor on their speed.

Everything here is pure; :mod:`hqsearch.search.early_stopping.cohorts` keeps count of who is where.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hqsearch.definition import SearchOptions
from hqsearch.errors import DefinitionError
from hqsearch.problem.pareto import non_dominated
from hqsearch.store.records import Decision

Floats = npt.NDArray[np.float64]


def rungs_of(options: SearchOptions, full: int, evaluator: str) -> tuple[int, ...]:
    """The rungs before ``full``, the budget of a whole evaluation; none without early stopping.

    By default every rung costs a whole cohort about the same: with half of it kept, 1, 2 and 4
    of 8 epochs.

    Raises:
        DefinitionError: there is nothing to divide, or a rung lies beyond the end.
    """
    if options.early_stopping == "none":
        return ()
    if full < 2:
        raise DefinitionError(
            f"search.early_stopping: evaluator {evaluator!r} trains a candidate for {full} epoch, "
            "and there is nothing before its end to stop at; raise evaluation.epochs if it has "
            "that option, or use search.early_stopping = 'none'"
        )
    if options.rungs is not None:
        if options.rungs[-1] >= full:
            raise DefinitionError(
                f"search.rungs: {options.rungs[-1]} is not before the end, epoch {full}; "
                f"give epochs from 1 to {full - 1}"
            )
        return options.rungs
    count = math.floor(math.log(full, 1.0 / options.keep) + 1e-9)
    series = {max(1, round(full * options.keep**step)) for step in range(1, count + 1)}
    return tuple(sorted(series - {full})) or (1,)


@dataclass(frozen=True)
class AtRung:
    """A cohort that has come to a rung.

    Attributes:
        run: its ordinal.
        cohort: its index.
        rung: index of the rung.
        numbers: trials that reached the rung, in the order of their proposal.
        costs: theirs there, ``[n, m]``, every column minimized.
        violations: theirs of the budgets, ``[n]``; any ranks below none.
        joined: how many set out for this rung, those that failed on the way included.
        best: non-dominated costs ``[k, m]`` of earlier cohorts at this rung.
    """

    run: int
    cohort: int
    rung: int
    numbers: Sequence[int]
    costs: Floats
    violations: Floats
    joined: int
    best: Floats


def decide(at: AtRung, keep: float) -> Decision:
    """Rank a cohort at a rung and say how many go on: a part ``keep``, and at least one."""
    order = promotion_order(at.costs, at.violations, at.best)
    # 1e-9: a third of twelve is four, whatever floating point says.
    promoted = min(len(at.numbers), max(1, math.ceil(keep * at.joined - 1e-9)))
    ranked = tuple(int(at.numbers[i]) for i in order)
    return Decision(at.run, at.cohort, at.rung, ranked, promoted)


def promotion_order(costs: Floats, violations: Floats, best: Floats) -> list[int]:
    """Rows of ``costs [n, m]`` in the order in which they deserve to go on.

    Feasible ones first, by non-dominated rank among themselves and ``best [k, m]``, and within
    a rank by distance from what stands before (see :func:`spread_order`); then the others, by
    violation. A cohort alone is too small to rank by dominance: with three objectives most of
    it is non-dominated.
    """
    feasible = np.flatnonzero(violations <= 0)
    order: list[int] = []
    if len(feasible):
        pool = np.vstack([costs[feasible], best.reshape(-1, costs.shape[1])])
        span = np.ptp(pool, axis=0)
        scaled = (pool - pool.min(axis=0)) / np.where(span > 0, span, 1.0)
        ranks = dominance_ranks(pool)
        own, others = scaled[: len(feasible)], scaled[len(feasible) :]
        own_ranks, other_ranks = ranks[: len(feasible)], ranks[len(feasible) :]
        for rank in np.unique(own_ranks):
            members = np.flatnonzero(own_ranks == rank)
            before = np.vstack([own[order], others[other_ranks <= rank]])
            order += [int(members[i]) for i in spread_order(own[members], before)]
    beyond = np.flatnonzero(violations > 0)
    last = beyond[np.argsort(violations[beyond], kind="stable")]
    return [*(int(feasible[i]) for i in order), *(int(i) for i in last)]


def spread_order(points: Floats, before: Floats) -> list[int]:
    """Rows of ``points [n, m]``, each next one the farthest from all that stand before it.

    Starts from ``before [k, m]``, or from the row with the least first column. This is the
    greedy ε-net of Schmucker et al. 2021, which found it better than crowding distance.
    """
    order: list[int] = []
    distance = np.full(len(points), np.inf)
    if len(before):
        distance = np.linalg.norm(points[:, None] - before[None], axis=2).min(axis=1)
    left = list(range(len(points)))
    while left:
        chosen = (
            max(left, key=lambda i: (distance[i], -i))
            if len(before) or order
            else min(left, key=lambda i: (points[i, 0], i))
        )
        order.append(chosen)
        left.remove(chosen)
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen], axis=1))
    return order


def dominance_ranks(costs: Floats) -> npt.NDArray[np.int64]:
    """Non-dominated rank ``[n]`` of every row, 0 is the front (Deb et al. 2002)."""
    ranks = np.zeros(len(costs), dtype=np.int64)
    left = np.arange(len(costs))
    rank = 0
    while len(left):
        front = non_dominated(costs[left])
        ranks[left[front]] = rank
        left = left[~front]
        rank += 1
    return ranks
