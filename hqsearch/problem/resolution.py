"""A front with a resolution: values nearer than ε count as one.

Every objective with a resolution ε is cut into boxes in the logarithm, [(1+ε)^k, (1+ε)^(k+1)), and
a front is the non-dominated boxes with one representative each (Laumanns, Thiele, Deb and Zitzler,
Evolutionary Computation 10(3), 2002). The representative is the most accurate, then the cheapest
in the box, so it is non-dominated itself; and there always is one. With ε = 0 everywhere this is
the plain front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hqsearch.problem.objective import Objective, minimized
from hqsearch.problem.pareto import non_dominated

Floats = npt.NDArray[np.float64]


def box_edges(values: npt.ArrayLike, resolution: float) -> Floats:
    """The lower edge of the box that each value lies in; values of 0 and less are boxes alone.

    >>> box_edges([1.0, 1.4, 1.6, -2.0], 0.5).tolist()
    [1.0, 1.0, 1.5, -2.0]
    """
    given = np.asarray(values, dtype=np.float64)
    if resolution == 0:
        return given
    edges = given.copy()
    positive = given > 0
    step = np.log1p(resolution)
    # A value on an edge belongs to the box above it, whatever the logarithm's last digit.
    edges[positive] = np.exp(step * np.floor(np.log(given[positive]) / step + 1e-9))
    return edges


def representatives(
    values: npt.ArrayLike, objectives: tuple[Objective, ...]
) -> npt.NDArray[np.bool_]:
    """Mark the rows of ``values [n, m]`` that are a front at the objectives' resolution.

    Rows that are equal in every value are all marked where no objective has a resolution.
    Rows with NaN are never marked.
    """
    rows = np.asarray(values, dtype=np.float64).reshape(-1, len(objectives))
    if not any(o.resolution for o in objectives):
        return non_dominated(minimized(rows, objectives))
    edges = np.column_stack([box_edges(rows[:, i], o.resolution) for i, o in enumerate(objectives)])
    edges[np.isnan(rows)] = np.nan
    chosen = np.flatnonzero(non_dominated(minimized(edges, objectives)))
    costs = minimized(rows, objectives)
    # Accuracy first, then what is to be small, in the study's order.
    ranked = sorted(range(len(objectives)), key=lambda i: objectives[i].direction == "min")
    order = np.lexsort([costs[chosen, i] for i in reversed(ranked)])
    marked = np.zeros(len(rows), dtype=np.bool_)
    if len(chosen):
        ordered = chosen[order]
        _, first = np.unique(edges[ordered], axis=0, return_index=True)
        marked[ordered[first]] = True
    return marked


def plain(objectives: Sequence[Objective]) -> tuple[Objective, ...]:
    """The same objectives, every difference told, as they were measured."""
    return tuple(replace(o, resolution=0.0, modelled=False) for o in objectives)


def unmodelled(objectives: Sequence[Objective]) -> tuple[Objective, ...]:
    """The same objectives, as they were measured."""
    return tuple(replace(o, modelled=False) for o in objectives)


def resolution_text(objectives: Sequence[Objective]) -> str:
    """``0.5 % of energy, 0.5 % of storage``; empty where every difference is told."""
    return ", ".join(f"{100 * o.resolution:g} % of {o.name}" for o in objectives if o.resolution)
