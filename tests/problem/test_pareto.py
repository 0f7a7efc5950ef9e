from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hqsearch.problem.pareto import hypervolume, non_dominated


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


def test_one_row_and_equal_rows_are_their_front() -> None:
    assert non_dominated(np.array([[3.0, 1.0]])).tolist() == [True]
    assert non_dominated(np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 2.0]])).tolist() == [
        True, True, False,
    ]  # fmt: skip
    assert non_dominated(np.full((2, 2), np.nan)).tolist() == [False, False]


def test_rows_at_the_reference_beyond_it_or_with_nan_add_nothing() -> None:
    inside = [0.5, 0.25]
    for other in ([1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [np.nan, 0.0]):
        assert hypervolume(np.array([inside, other]), [1.0, 1.0]) == pytest.approx(0.375)
    assert hypervolume(np.empty((0, 2)), [1.0, 1.0]) == 0.0


def test_rows_may_be_a_plain_list() -> None:
    assert non_dominated([[1, 2], [2, 1], [2, 2]]).tolist() == [True, True, False]  # type: ignore[arg-type]
    assert hypervolume([[0.5, 0.5]], [1, 1]) == 0.25  # type: ignore[arg-type]
