from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from hqsearch.analysis.paired import Difference, accuracy_difference
from hqsearch.evaluator import Details
from hqsearch.evaluator.per_sample import pack_correct, unpack_correct


def details(bits: list[int]) -> Details:
    correct = np.array(bits, dtype=bool)
    return Details(correct=pack_correct(correct), validation_samples=len(bits))


@pytest.mark.parametrize("n", [1, 7, 8, 9, 100])
def test_packing_is_undone(n: int) -> None:
    correct = np.random.default_rng(n).random(n) < 0.5
    packed = pack_correct(correct)
    assert len(packed) == 4 * math.ceil(math.ceil(n / 8) / 3)
    unpacked = unpack_correct(packed, n)
    assert unpacked.dtype == np.bool_
    np.testing.assert_array_equal(unpacked, correct)


def test_paired_over_samples() -> None:
    mine, other = details([1, 1, 1, 0, 1]), details([1, 0, 1, 0, 0])
    gap = accuracy_difference(0.8, mine, 0.4, other)
    # Differences 0, 1, 0, 0, 1: their variance is 0.3.
    assert gap.paired
    assert gap.mean == pytest.approx(0.4)
    assert gap.standard_error == pytest.approx(math.sqrt(0.3 / 5))
    back = accuracy_difference(0.4, other, 0.8, mine)
    assert (back.mean, back.standard_error) == (-gap.mean, gap.standard_error)


def test_one_sample_says_nothing() -> None:
    gap = accuracy_difference(1.0, details([1]), 0.0, details([0]))
    assert (gap.mean, gap.standard_error, gap.paired) == (1.0, math.inf, True)


@pytest.mark.parametrize(
    ("mine", "other"),
    [
        (details([1, 0]), details([1, 0, 0])),
        (details([1, 0]), Details(validation_samples=2)),
        (Details(validation_samples=2), details([1, 0])),
        (Details(), Details()),
    ],
)
def test_unpaired_where_not_the_same_samples(mine: Details, other: Details) -> None:
    gap = accuracy_difference(
        0.75, replace(mine, accuracy_se=0.03), 0.5, replace(other, accuracy_se=0.04)
    )
    assert (gap.mean, gap.paired) == (0.25, False)
    assert gap.standard_error == pytest.approx(0.05)
    assert accuracy_difference(0.75, mine, 0.5, other).standard_error == 0.0


@pytest.mark.parametrize(
    ("mean", "error", "better", "worse"),
    [
        (0.02, 0.01, True, False),
        (0.01, 0.01, False, False),
        (0.0, 0.01, False, False),
        (-0.01, 0.01, False, False),
        (-0.02, 0.01, False, True),
        (0.0, 0.0, True, False),
        (0.5, 0.0, True, False),
        (-0.001, 0.0, False, True),
        (0.5, math.inf, False, False),
        (-0.5, math.inf, False, False),
    ],
)
def test_better_and_worse_are_beyond_the_error(
    mean: float, error: float, better: bool, worse: bool
) -> None:
    difference = Difference(mean, error, paired=True)
    assert (difference.better, difference.worse) == (better, worse)
