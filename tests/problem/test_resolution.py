from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hqsearch.problem.objective import ACCURACY, ENERGY, STORAGE, minimized
from hqsearch.problem.pareto import non_dominated
from hqsearch.problem.resolution import box_edges, plain, representatives, resolution_text

OBJECTIVES = (ACCURACY, ENERGY, STORAGE)
Values = arrays(
    np.float64,
    st.tuples(st.integers(1, 25), st.just(3)),
    elements=st.floats(0.01, 1.0).map(lambda v: round(v, 2)),
)


def at(*resolutions: float):
    return tuple(replace(o, resolution=r) for o, r in zip(OBJECTIVES, resolutions, strict=True))


@given(Values)
def test_without_a_resolution_it_is_the_plain_front(values: np.ndarray) -> None:
    expected = non_dominated(minimized(values, OBJECTIVES))
    assert representatives(values, plain(OBJECTIVES)).tolist() == expected.tolist()


@given(Values, st.sampled_from([0.005, 0.1, 3.0, 1e6]))
def test_members_stand_for_every_candidate_and_are_of_the_plain_front(
    values: np.ndarray, resolution: float
) -> None:
    marked = representatives(values, at(0.0, resolution, resolution))
    assert marked.any()
    assert not (marked & ~non_dominated(minimized(values, OBJECTIVES))).any()
    for row in values:  # nobody is better than every member by more than ε
        near = (values[marked][:, 0] >= row[0]) & (
            values[marked][:, 1:] <= row[1:] * (1 + resolution) * (1 + 1e-8)
        ).all(axis=1)
        assert near.any()


@given(Values)
def test_the_order_of_candidates_does_not_matter(values: np.ndarray) -> None:
    objectives = at(0.0, 0.1, 0.1)
    forward, backward = (v[representatives(v, objectives)] for v in (values, values[::-1]))
    assert sorted(map(tuple, forward)) == sorted(map(tuple, backward))


@given(Values)
def test_taking_candidates_one_by_one_ends_at_the_same_front(values: np.ndarray) -> None:
    objectives = at(0.0, 0.1, 0.1)
    held = np.empty((0, 3))
    for row in values:
        together = np.vstack([held, row])
        held = together[representatives(together, objectives)]
    whole = values[representatives(values, objectives)]
    assert sorted(map(tuple, held)) == sorted(map(tuple, whole))


def test_a_resolution_beyond_the_front_leaves_the_most_accurate_then_the_cheapest() -> None:
    values = [[0.8, 2.0, 3.0], [0.9, 9.0, 5.0], [0.9, 8.0, 6.0], [0.7, 1.0, 1.0]]
    assert representatives(values, at(0.0, 1e3, 1e3)).tolist() == [False, False, True, False]


def test_nan_is_no_member_and_no_values_are_no_front() -> None:
    assert representatives([[np.nan, 1.0, 1.0], [0.5, 2.0, 2.0]], OBJECTIVES).tolist() == [
        False,
        True,
    ]
    assert representatives([], OBJECTIVES).tolist() == []


@pytest.mark.parametrize("k", [-7, 0, 1, 40, 2000])
def test_a_box_begins_at_its_edge(k: int) -> None:
    edge = 1.005**k
    assert box_edges([edge, edge * 1.004], 0.005).tolist() == pytest.approx([edge, edge])


def test_what_is_not_positive_is_a_box_alone() -> None:
    assert box_edges([0.0, -1.0, -1.0001], 0.5).tolist() == [0.0, -1.0, -1.0001]


def test_in_words() -> None:
    assert resolution_text(OBJECTIVES) == "0.5 % of energy, 0.5 % of storage"
    assert resolution_text(plain(OBJECTIVES)) == ""
