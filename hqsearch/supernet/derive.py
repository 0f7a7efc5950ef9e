"""The most probable candidates whose exact costs stay under every limit.

The likelihood of a candidate is the product of its values' probabilities. Where costs are sums
over dimensions (those of the cost model are, for one structural part, with what does not fit into a
memory on top), the best ones are found exactly by integer programming
(:class:`~hqsearch.problem.integer_program.ChooseOne`). Where they are not, candidates are looked
through in the order of their likelihood. Either way what is
returned was checked against the evaluator's own costs.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hqsearch.problem.additive import AdditiveTables, Cheap, Sums
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.integer_program import ChooseOne
from hqsearch.problem.overflow import Overflow
from hqsearch.problem.space import Space

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: Probabilities below this count as this: keeps the integer program's numbers well scaled.
FLOOR = 1e-30
#: Relative error with which costs count as sums (what comes of them is checked), and the part of
#: a limit by which the integer program may exceed it.
NEARLY, SLACK = 1e-6, 1e-9
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
    cheap: Cheap,
    metrics: Sequence[str],
    limits: Mapping[str, float],
    count: int,
    overflows: Mapping[str, Overflow] | None = None,
) -> list[Derived]:
    """The ``count`` most probable candidates under the limits, most probable first.

    Args:
        probabilities: per dimension ``[n_values]``.
        space: whose candidates they are; of one structural part.
        cheap: candidates → exact costs ``[n, n_metrics]``.
        metrics: the columns of ``cheap``.
        limits: metric → largest cost allowed, in the metric's own unit.
        count: how many; fewer are returned where fewer exist, none where none does.
        overflows: by structural part, what costs gain for what does not fit into a memory.

    Raises:
        ValueError: costs are not sums over dimensions, and no more feasible candidates are among
            the :data:`LOOKED_THROUGH` most probable ones.
    """
    scores = [np.log(np.maximum(np.asarray(p, np.float64), FLOOR)) for p in probabilities]
    columns = [list(metrics).index(name) for name in limits]
    bounds = np.array([limits[name] for name in limits], np.float64)

    def exact(codes: Codes) -> Floats:
        return cheap(space.decode(codes))

    tables = AdditiveTables(space, cheap, NEARLY, overflows or {})
    if columns and tables.additive:
        (sums,) = tables.parts.values()
        codes = _by_integer_program(scores, sums, exact, columns, bounds, count)
    else:
        codes = _by_looking(scores, exact, columns, bounds, count)
    rows = exact(np.array(codes, np.int64).reshape(-1, len(scores)))
    return [
        Derived(
            space.decode(code)[0],
            float(sum(score[value] for score, value in zip(scores, code, strict=True))),
            dict(zip(metrics, row.tolist(), strict=True)),
        )
        for code, row in zip(codes, rows, strict=True)
    ]


def _by_integer_program(
    scores: Sequence[Floats],
    sums: Sums,
    exact: Callable[[Codes], Floats],
    columns: Sequence[int],
    bounds: Floats,
    count: int,
) -> list[Codes]:
    # The slack lets a cost that equals its limit pass the solver's tolerance; what uses it up is
    # caught by the exact check.
    limits = bounds * (1.0 + SLACK) - sums.base[list(columns)]
    program = ChooseOne(
        [len(s) for s in scores],
        -np.concatenate(scores),
        sums.rows[:, list(columns)].T,
        limits,
        sums.overflow.hinge(sums.rows, sums.base, columns) if sums.overflow else None,
    )
    feasible: list[Codes] = []
    while len(feasible) < count:
        code = program.solve()
        if code is None:
            break
        if (exact(code[None])[0, list(columns)] <= bounds).all():
            feasible.append(code)
        program.exclude(code)
    return feasible


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
