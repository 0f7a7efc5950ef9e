"""Dominance and hypervolume, on costs (every column minimized)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Costs = npt.NDArray[np.float64]


def non_dominated(costs: Costs) -> npt.NDArray[np.bool_]:
    """Mark the rows of ``costs [n, m]`` that no other row dominates.

    A row dominates another when it is nowhere larger and somewhere smaller; equal rows
    do not dominate each other. Rows with NaN are never marked. Computed by moocore.

    >>> non_dominated(np.array([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0]])).tolist()
    [True, True, False]
    """
    import moocore

    costs = np.asarray(costs, dtype=np.float64)
    marked = np.zeros(len(costs), dtype=np.bool_)
    valid = np.flatnonzero(~np.isnan(costs).any(axis=1))
    if len(valid):
        marked[valid] = moocore.is_nondominated(costs[valid], keep_weakly=True)
    return marked


def hypervolume(costs: Costs, reference: npt.ArrayLike) -> float:
    """Volume that the rows of ``costs [n, m]`` dominate up to ``reference [m]``.

    Computed by moocore (Fonseca et al. 2006), which pymoo brings along. Rows beyond the
    reference or with NaN add nothing.
    """
    import moocore

    costs = np.asarray(costs, dtype=np.float64)
    reference = np.asarray(reference, dtype=np.float64)
    inside = costs[(costs < reference).all(axis=1)] if len(costs) else costs
    return float(moocore.hypervolume(inside, ref=reference)) if len(inside) else 0.0
