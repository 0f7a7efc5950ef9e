"""Wilson's interval against the quadratic that defines it."""

from __future__ import annotations

import math

import pytest

from hqsearch.analysis.proportion import score_interval, wilson_interval


@pytest.mark.parametrize(("right", "samples"), [(8, 10), (927, 1000), (1, 3), (500, 1000)])
def test_the_ends_are_where_the_score_test_turns(right: int, samples: int) -> None:
    for end in wilson_interval(right, samples):
        score = (right / samples - end) / math.sqrt(end * (1 - end) / samples)
        assert abs(score) == pytest.approx(1.959963984540054)


def test_it_stays_within_0_and_1() -> None:
    assert 0.0 <= wilson_interval(0, 10)[0] < 1e-12
    assert 1.0 - 1e-12 < wilson_interval(10, 10)[1] <= 1.0
    assert 0.2 < wilson_interval(0, 10)[1] < 0.3


@pytest.mark.parametrize(("right", "samples"), [(0, 0), (3, 2), (-1, 2)])
def test_what_is_no_share_is_refused(right: int, samples: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        wilson_interval(right, samples)


def test_scores_have_the_normal_interval_within_0_and_1() -> None:
    assert score_interval(0.8, 0.01) == pytest.approx((0.7804, 0.8196), abs=1e-4)
    assert score_interval(0.99, 0.1)[1] == 1.0
    assert score_interval(0.01, 0.1)[0] == 0.0
