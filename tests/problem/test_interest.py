"""Ranges of interest: what is read, what is refused, and how gains are weighed."""

from __future__ import annotations

import numpy as np
import pytest

from hqsearch.errors import BudgetError, DefinitionError, UnknownName
from hqsearch.problem.budgets import Budget
from hqsearch.problem.interest import OUTSIDE, Range, check_range, parse_ranges

METRICS = ("energy", "storage")
REFERENCE = {"energy": 200.0, "storage": 400.0}


def only(text: str, metric: str = "energy") -> Range:
    (found,) = parse_ranges({metric: text}, METRICS, REFERENCE)
    return found


def test_units_are_those_of_budgets() -> None:
    assert only("15 uJ .. 30 uJ") == Range("energy", 15.0, 30.0, "15 uJ .. 30 uJ")
    for text in ("15 .. 30 uJ", "15..30uJ", "15 uJ..0.03 mJ", "15000 nJ .. 30 µJ"):
        found = only(text)
        assert (found.low, found.high) == pytest.approx((15.0, 30.0))
    assert (only("0.1 .. 0.2 fp32").low, only("0.1 .. 0.2 fp32").high) == (20.0, 40.0)
    assert only("10 KiB .. 1 MiB", "storage").high == 1024.0


@pytest.mark.parametrize(
    "wrong", ["", "15 uJ", "15 .. 30", "15 uJ - 30 uJ", "15 kg .. 30 kg", "<= 30 uJ", "a .. b uJ"]
)
def test_what_is_no_range_is_refused(wrong: str) -> None:
    with pytest.raises(DefinitionError, match=r"expected 'NUMBER UNIT \.\. NUMBER UNIT'"):
        only(wrong)


def test_empty_ranges_and_other_names_are_refused() -> None:
    for text in ("30 uJ .. 15 uJ", "30 .. 30 uJ"):
        with pytest.raises(DefinitionError, match="the first number must be smaller"):
            only(text)
    with pytest.raises(UnknownName, match="did you mean 'energy'"):
        only("15 .. 30 uJ", "enrgy")


def test_a_range_that_nobody_can_lie_in() -> None:
    own = only("15 .. 30 uJ")
    check_range(own, 10.0, 100.0, ())
    check_range(own, 20.0, 25.0, (Budget("energy", 20.0, "<= 20 uJ"),))
    for least, most in ((31.0, 100.0), (1.0, 14.0)):
        with pytest.raises(BudgetError, match="no candidate lies there"):
            check_range(own, least, most, ())
    with pytest.raises(BudgetError, match="leaves nothing there"):
        check_range(own, 10.0, 100.0, (Budget("energy", 15.0, "<= 15 uJ"),))


def test_differences_count_by_where_they_lie() -> None:
    own = only("15 .. 30 uJ")
    scale = own.stretched(np.array([0.0, 15.0, 20.0, 30.0, 50.0]), 15.0, 30.0)
    assert np.diff(scale) == pytest.approx([15 * OUTSIDE, 5.0, 10.0, 20 * OUTSIDE])
