"""The most probable candidates whose exact costs stay under every limit.

The likelihood of a candidate is the product of its values' probabilities. Where costs are sums
over dimensions (those of the cost model are, for one structural part), the best ones are found
exactly by integer programming (scipy's HiGHS), one cut per candidate already taken. Where they
are not, candidates are looked through in the order of their likelihood. Either way what is
returned was checked against the evaluator's own costs.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hqsearch.problem.candidate import Candidate
from hqsearch.problem.space import Space

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: Probabilities below this count as this: keeps the integer program's numbers well scaled.
FLOOR = 1e-30
#: Candidates that are looked through, at most, where costs are not sums over dimensions.
LOOKED_THROUGH = 200_000
_BATCH = 256


@dataclass(frozen=True)
class Derived:
    """A candidate, its log-likelihood (natural), and its exact costs by metric."""

    candidate: Candidate
    log_likelihood: float
    costs: dict[str, float]


def derive(
    probabilities: Sequence[Sequence[float]],
    space: Space,
    cheap: Callable[[Sequence[Candidate]], Floats],
    metrics: Sequence[str],
    limits: Mapping[str, float],
    count: int,
) -> list[Derived]:
    """The ``count`` most probable candidates under the limits, most probable first.

    Args:
        probabilities: per dimension ``[n_values]``.
        space: whose candidates they are.
        cheap: candidates → exact costs ``[n, n_metrics]``.
        metrics: the columns of ``cheap``.
        limits: metric → largest cost allowed, in the metric's own unit.
        count: how many; fewer are returned where fewer exist, none where none does.

    Raises:
        ValueError: costs are not sums over dimensions, and no more feasible candidates are among
            the :data:`LOOKED_THROUGH` most probable ones.
    """
    scores = [np.log(np.maximum(np.asarray(p, np.float64), FLOOR)) for p in probabilities]
    columns = [list(metrics).index(name) for name in limits]
    bounds = np.array([limits[name] for name in limits], np.float64)

    def exact(codes: Codes) -> Floats:
        return cheap(space.decode(codes))

    tables = _additive_tables(space, exact) if columns else None
    if tables is None:
        found = _by_looking(scores, exact, columns, bounds, count)
    else:
        found = _by_integer_program(scores, tables, exact, columns, bounds, count)
    rows = exact(np.array(found, np.int64).reshape(-1, len(scores)))
    return [
        Derived(
            space.decode(code)[0],
            float(sum(score[value] for score, value in zip(scores, code, strict=True))),
            dict(zip(metrics, row.tolist(), strict=True)),
        )
        for code, row in zip(found, rows, strict=True)
    ]


def _additive_tables(space: Space, exact: Callable[[Codes], Floats]) -> list[Floats] | None:
    """Per dimension the costs ``[n_values, n_metrics]`` that add up; None where they do not.

    The first dimension's table carries what all candidates have in common.
    """
    sizes = space.cardinalities
    base = np.zeros((1, len(sizes)), np.int64)
    codes = [base]
    for dimension, size in enumerate(sizes):
        block = np.repeat(base, size, axis=0)
        block[:, dimension] = np.arange(size)
        codes.append(block)
    costs = exact(np.vstack(codes))
    tables, row = [], 1
    for dimension, size in enumerate(sizes):
        own = costs[row : row + size]
        tables.append(own if dimension == 0 else own - costs[0])
        row += size
    probes = np.random.default_rng(0).integers(0, sizes, (64, len(sizes)))
    summed = sum(table[probes[:, d]] for d, table in enumerate(tables))
    return tables if np.allclose(summed, exact(probes), rtol=1e-6, atol=0.0) else None


def _by_integer_program(
    scores: Sequence[Floats],
    tables: Sequence[Floats],
    exact: Callable[[Codes], Floats],
    columns: Sequence[int],
    bounds: Floats,
    count: int,
) -> list[Codes]:
    from scipy.optimize import Bounds, LinearConstraint, milp

    sizes = [len(s) for s in scores]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    choose_one = np.zeros((len(sizes), sum(sizes)))
    for dimension, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        choose_one[dimension, start : start + size] = 1.0
    # Scaled to limits of 1; the slack lets a cost that equals its limit pass the solver's
    # tolerance, and what uses it up is caught by the exact check.
    cost = np.vstack(tables)[:, columns].T / bounds[:, None]
    rows, lower, upper = [choose_one, cost], [1.0] * len(sizes), [1.0] * len(sizes)
    lower += [-np.inf] * len(columns)
    upper += [1.0 + 1e-9] * len(columns)
    found: list[Codes] = []
    while len(found) < count:
        solved = milp(
            -np.concatenate(scores),
            integrality=np.ones(sum(sizes)),
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(np.vstack(rows), lower, upper),
            options={"mip_rel_gap": 0.0},
        )
        if solved.x is None:
            break
        code = np.array(
            [solved.x[a : a + n].argmax() for a, n in zip(starts, sizes, strict=True)], np.int64
        )
        if (exact(code[None])[0, list(columns)] <= bounds).all():
            found.append(code)
        cut = np.zeros((1, sum(sizes)))
        cut[0, starts + code] = 1.0
        rows.append(cut)
        lower.append(-np.inf)
        upper.append(len(sizes) - 1.0)
    return found


def _by_looking(
    scores: Sequence[Floats],
    exact: Callable[[Codes], Floats],
    columns: Sequence[int],
    bounds: Floats,
    count: int,
) -> list[Codes]:
    found: list[Codes] = []
    batch: list[Codes] = []
    for looked, code in enumerate(_by_likelihood(scores), 1):
        batch.append(code)
        if len(batch) == (_BATCH if columns else count):
            found += _feasible(batch, exact, columns, bounds)
            batch = []
        if len(found) >= count:
            return found[:count]
        if looked == LOOKED_THROUGH:
            raise ValueError(
                f"only {len(found)} of the {looked} most probable candidates are under the "
                "limits, and their costs are no sums over dimensions; loosen the target"
            )
    return (found + _feasible(batch, exact, columns, bounds))[:count]


def _feasible(
    batch: list[Codes], exact: Callable[[Codes], Floats], columns: Sequence[int], bounds: Floats
) -> list[Codes]:
    if not batch or not columns:
        return batch
    excess: Floats = (exact(np.array(batch))[:, list(columns)] - bounds).max(axis=1)
    return [code for index, code in enumerate(batch) if excess[index] <= 0]


def _by_likelihood(scores: Sequence[Floats]) -> Iterator[Codes]:
    """All codes, most probable first: a heap over ranks per dimension."""
    orders = [np.argsort(-s, kind="stable") for s in scores]
    ranked = [s[o] for s, o in zip(scores, orders, strict=True)]
    first = (0,) * len(scores)
    heap = [(-float(sum(r[0] for r in ranked)), first, 0)]
    while heap:
        negative, ranks, start = heapq.heappop(heap)
        yield np.array([o[r] for o, r in zip(orders, ranks, strict=True)], np.int64)
        # Only dimensions from the last one raised on: every code is reached exactly once.
        for d in range(start, len(ranks)):
            if ranks[d] + 1 < len(ranked[d]):
                worse = negative + float(ranked[d][ranks[d]] - ranked[d][ranks[d] + 1])
                raised = (*ranks[:d], ranks[d] + 1, *ranks[d + 1 :])
                heapq.heappush(heap, (worse, raised, d))
