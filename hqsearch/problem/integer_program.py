"""One value per dimension at the least linear target, under linear limits: an integer program.

The multiple-choice knapsack problem, solved exactly by HiGHS (Huangfu and Hall 2018, through
:func:`scipy.optimize.milp`). Codes already taken can be cut away, and one convex hinge,
``max(0, total − capacity) × price``, may enter the target and the costs: what does not fit into a
memory costs extra. It is a variable of its own, ``h ≥ total − capacity`` and ``h ≥ 0``, which is
exact because prices are not negative, so that no solution gains by a larger ``h``.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.optimize import LinearConstraint

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Hinge:
    """``max(0, Σ totals − capacity)``, the excess, and what it adds to target and costs.

    Attributes:
        totals: what every value adds to the total, ``[Σ n_values]``.
        capacity: total up to which nothing is added.
        price: added to the target per unit of excess; 0 or more.
        cost_prices: added to every limited cost per unit of excess, ``[n_limits]``; likewise.

    Raises:
        ValueError: a negative price, for which the hinge is not convex.
    """

    totals: Floats
    capacity: float
    price: float = 0.0
    cost_prices: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if min(self.price, *self.cost_prices, 0.0) < 0:
            raise ValueError("the prices of a hinge must not be negative")


class ChooseOne:
    """The program; :meth:`solve` may be called again after :meth:`exclude`.

    Args:
        sizes: number of values per dimension ``[n_dimensions]``. Vectors over all values have
            those of the first dimension first.
        target: what every value adds to what is minimized, ``[Σ n_values]``.
        costs: what every value adds to the limited costs, ``[n_limits, Σ n_values]``.
        limits: of the costs, ``[n_limits]``.
        hinge: see :class:`Hinge`.
    """

    def __init__(
        self,
        sizes: Sequence[int] | Codes,
        target: Floats,
        costs: Floats,
        limits: Floats,
        hinge: Hinge | None = None,
    ) -> None:
        # Late, for half the time of a command that only reads went into it.
        from scipy.sparse import csr_array

        self._sizes = np.asarray(sizes, dtype=np.int64)
        self._starts = np.cumsum(self._sizes) - self._sizes
        self._values = int(self._sizes.sum())
        self._hinge = hinge
        #: Of the hinge's variable, so that it is about 1 like all others.
        self._unit = _scale(hinge.totals[None])[0] if hinge is not None else 1.0
        self._target = self._widened(target[None], [hinge.price if hinge else 0.0])[0]
        owner = np.repeat(np.arange(len(self._sizes)), self._sizes)
        one_each = csr_array(
            (np.ones(self._values), (owner, np.arange(self._values))),
            shape=(len(self._sizes), len(self._target)),
        )
        self._constraints = [_between(one_each, 1.0, 1.0)]
        if len(costs):
            prices = hinge.cost_prices if hinge and hinge.cost_prices else [0.0] * len(costs)
            self._limit(self._widened(costs, prices), np.asarray(limits))
        if hinge is not None:
            self._limit(
                self._widened(hinge.totals[None], [-1.0]), np.array([float(hinge.capacity)])
            )

    def solve(self) -> Codes | None:
        """Value indices ``[n_dimensions]`` of a best solution; None where there is none.

        Limits are kept up to the solver's tolerance (about 1e-6 of a cost's largest entry).
        """
        from scipy.optimize import Bounds, milp

        count = len(self._target)
        upper = np.ones(count)
        upper[self._values :] = np.inf
        integral = np.ones(count)
        integral[self._values :] = 0
        with _quiet():
            solved = milp(
                self._target,
                integrality=integral,
                bounds=Bounds(np.zeros(count), upper),
                constraints=self._constraints,
                options={"mip_rel_gap": 0.0},
            )
        if solved.x is None:
            return None
        return np.array(
            [
                solved.x[start : start + size].argmax()
                for start, size in zip(self._starts, self._sizes, strict=True)
            ],
            dtype=np.int64,
        )

    def exclude(self, code: Codes) -> None:
        """Cut a solution away: at least one of its values must be another one."""
        cut = np.zeros((1, len(self._target)))
        cut[0, self._starts + code] = 1.0
        self._constraints.append(_between(cut, -np.inf, len(self._sizes) - 1.0))

    def _widened(self, rows: Floats, prices: Sequence[float]) -> Floats:
        """Rows over all values with the hinge's column, where there is a hinge."""
        if self._hinge is None:
            return rows
        return np.column_stack([rows, np.asarray(prices, dtype=np.float64) * self._unit])

    def _limit(self, rows: Floats, limits: Floats) -> None:
        scale = _scale(rows)
        self._constraints.append(_between(rows / scale[:, None], -np.inf, limits / scale))


def _between(rows: Any, least: float, most: float | Floats) -> LinearConstraint:
    """``least ≤ rows · x ≤ most``."""
    from scipy.optimize import LinearConstraint

    return LinearConstraint(rows, least, most)


def _scale(rows: Floats) -> Floats:
    """Largest magnitude per row ``[n]``; 1 for a row of zeros."""
    largest = np.abs(rows).max(axis=1)
    return np.where(largest > 0, largest, 1.0)


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
