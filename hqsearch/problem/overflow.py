"""What a cost gains where a total exceeds a capacity: weights that do not fit into a memory.

A cost model whose codes share one memory is a sum over dimensions plus ``price · max(0, total −
capacity)``, with a total that is such a sum itself. An evaluator that says so lets everything that
works with sums go on exactly: tables, extremes, budgets, integer programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hqsearch.problem.integer_program import ChooseOne, Hinge

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Overflow:
    """One bend of one structural part's cheap metrics.

    Attributes:
        column: the metric that pays.
        total: the metric that is compared with the capacity; a sum over dimensions.
        capacity: in its unit.
        price: per unit of excess, in the paying metric's unit; 0 or more.

    Raises:
        ValueError: a negative price, or a metric that pays for itself.
    """

    column: int
    total: int
    capacity: float
    price: float

    def __post_init__(self) -> None:
        if self.price < 0:
            raise ValueError("the price of what does not fit must not be negative")
        if self.column == self.total:
            raise ValueError("a metric cannot pay for its own excess: both columns are the same")

    def amount(self, metrics: Floats, bend: float | None = None) -> Floats:
        """What the paying metric gains ``[n]``, of metrics ``[n, n_metrics]``.

        Args:
            metrics: only the column of the total is read.
            bend: with it a straight line instead, of this part of the price and below 0 where
                all fits. The largest over bends of 0 to 1 is the amount itself, so that a best
                candidate is the best one of some straight line.
        """
        excess = metrics[:, self.total] - self.capacity
        if bend is not None:
            return np.asarray(bend * self.price * excess)
        return np.asarray(self.price * np.maximum(excess, 0.0))

    def hinge(
        self, rows: Floats, base: Floats, columns: Sequence[int], target_price: float = 0.0
    ) -> Hinge:
        """The same for an integer program.

        Args:
            rows: what every value adds ``[Σ n_values, n_metrics]``, without what does not fit.
            base: metrics ``[n_metrics]`` that the rows are added to.
            columns: of the metrics that are limited, in the program's order.
            target_price: what a unit of excess adds to the target.
        """
        prices = tuple(self.price if column == self.column else 0.0 for column in columns)
        return Hinge(rows[:, self.total], self.capacity - base[self.total], target_price, prices)

    def cheapest(self, tables: Sequence[Floats], base: Floats) -> Codes:
        """Value indices ``[n_dimensions]`` of a candidate with the least paying metric.

        Args:
            tables: per dimension ``[n_values, n_metrics]``, without what does not fit.
            base: metrics ``[n_metrics]`` that they are added to.
        """
        rows = np.vstack(tables)
        sizes = [len(t) for t in tables]
        hinge = self.hinge(rows, base, (), self.price)
        none = np.empty((0, len(rows)))
        code = ChooseOne(sizes, rows[:, self.column], none, np.empty(0), hinge).solve()
        assert code is not None  # nothing is limited
        return code
