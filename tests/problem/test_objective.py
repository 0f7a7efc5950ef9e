from __future__ import annotations

import numpy as np

from hqsearch.problem.objective import ACCURACY, ENERGY, STORAGE, minimized


def test_maximized_columns_are_negated() -> None:
    costs = minimized([[0.5, 2.0], [0.25, 3.0]], (ACCURACY, ENERGY))
    assert costs.tolist() == [[-0.5, 2.0], [-0.25, 3.0]]
    assert costs.dtype == np.float64
    assert minimized([[2, 0.5]], (STORAGE, ACCURACY)).tolist() == [[2.0, -0.5]]


def test_one_row_or_none() -> None:
    assert minimized([0.5, 2.0], (ACCURACY, ENERGY)).tolist() == [[-0.5, 2.0]]
    assert minimized([], (ACCURACY, ENERGY)).shape == (0, 2)


def test_what_needs_a_training() -> None:
    assert [o.cheap for o in (ACCURACY, ENERGY, STORAGE)] == [False, True, True]
    assert [o.direction for o in (ACCURACY, ENERGY, STORAGE)] == ["max", "min", "min"]
