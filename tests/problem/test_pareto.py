from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hqsearch.problem.pareto import hypervolume, non_dominated, scaled_hypervolume


@given(
    arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(2, 4)), elements=st.integers(0, 4))
)
def test_non_dominated_is_the_definition(costs: np.ndarray) -> None:
    expected = [
        not any((other <= row).all() and (other < row).any() for other in costs) for row in costs
    ]
    assert non_dominated(costs).tolist() == expected


def test_nan_is_never_on_the_front() -> None:
    assert non_dominated(np.array([[np.nan, 0.0], [1.0, 1.0]])).tolist() == [False, True]
    assert non_dominated(np.empty((0, 2))).tolist() == []


def test_hypervolume_of_known_shapes() -> None:
    assert hypervolume(np.array([[0.0, 0.5], [0.5, 0.0]]), [1.0, 1.0]) == pytest.approx(0.75)
    assert hypervolume(np.array([[2.0, 2.0]]), [1.0, 1.0]) == 0.0
    assert scaled_hypervolume(np.array([[2.0, 4.0]]), [2, 4], [4, 8], 1.0) == pytest.approx(1.0)
