"""Means of crossed tables, by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from hqsearch.analysis.replicates import Estimate, Measured, crossed_mean
from hqsearch.evaluator.per_sample import pack_correct
from hqsearch.store.records import TrialRow


def test_the_variance_of_a_crossed_mean_by_hand() -> None:
    """Seeds 0, 1, 2 above samples 0, 3; one cell 1 more than their sum."""
    table = np.array([[0.0, 3.0], [1.0, 4.0], [2.0, 6.0]])
    # Means by seed 1.5, 2.5, 4; by sample 1, 13/3; mean square of seeds 2 · 19/12 = 19/6, of
    # samples 3 · 50/9 = 50/3, of the rest (1/36 · 4 + 1/9 · 2) / 2 = 1/6.
    estimate = crossed_mean(table)
    total = 19 / 6 + 50 / 3 - 1 / 6
    assert estimate.mean == pytest.approx(8 / 3)
    assert estimate.standard_error == pytest.approx(math.sqrt(total / 6))
    terms = (19 / 6) ** 2 / 2 + (50 / 3) ** 2 / 1 + (1 / 6) ** 2 / 2
    assert estimate.freedom == pytest.approx(total**2 / terms)


def test_components_are_no_smaller_than_the_rest() -> None:
    """Seeds and samples that agree on the mean: all variance is of single cells."""
    estimate = crossed_mean(np.array([[0.0, 1.0], [1.0, 0.0]]))
    # The rest: four cells of 1/4 over one degree of freedom; both mean squares are 0.
    assert (estimate.mean, estimate.standard_error) == (0.5, pytest.approx(math.sqrt(1 / 4)))
    assert estimate.freedom == pytest.approx(1 / 3)


def test_special_tables() -> None:
    assert crossed_mean(np.full((2, 3), 0.25)) == Estimate(0.25, 0.0)
    assert crossed_mean(np.array([[0.5], [0.7]])) == Estimate(0.6, math.inf, 1.0)
    one = crossed_mean(np.array([[0.0, 1.0, 1.0, 0.0, 1.0]]))
    assert one.mean == pytest.approx(0.6)
    assert one.standard_error == pytest.approx(math.sqrt(0.3 / 5))
    assert one.freedom == 4.0


def test_intervals_are_student_s() -> None:
    assert Estimate(1.0, 0.5, 3.0).interval() == pytest.approx((1 - 1.591223, 1 + 1.591223))
    assert Estimate(1.0, 0.5).interval() == pytest.approx((1 - 0.979982, 1 + 0.979982))
    assert Estimate(1.0, 0.5, 3.0).interval(0.5) == pytest.approx((1 - 0.382446, 1 + 0.382446))
    assert Estimate(1.0, 0.0, 3.0).interval() == (1.0, 1.0)
    low, high = Estimate(1.0, math.inf, 1.0).interval()
    assert (low, high) == (-math.inf, math.inf)


def replicate(seed: int, accuracy: float, bits: list[int] | None = None, **more: Any) -> TrialRow:
    details = dict(more)
    if bits is not None:
        correct = pack_correct(np.array(bits, dtype=bool))
        details |= {"correct": correct, "test_samples": len(bits)}
    return TrialRow(
        seed, "COMPLETE", 1, "confirm", "replicate", None, {"a": "2u"},
        {"accuracy": accuracy, "energy": 2.0 * seed}, 2.0, seed, 1.0, 0.0, "", "", 1, "",
        json.dumps(details),
    )  # fmt: skip


def measured(*rows: TrialRow) -> Measured:
    return Measured({r.seed: r for r in rows}, "accuracy")


def test_replicates_with_samples_are_crossed() -> None:
    one = measured(replicate(4, 0.5, [1, 0, 0, 1]), replicate(1, 0.75, [1, 0, 1, 1]))
    assert list(one.trials) == [1, 4]
    assert one.means == {"accuracy": 0.625, "energy": 5.0}
    assert one.estimate() == crossed_mean(np.array([[1.0, 0, 1, 1], [1, 0, 0, 1]]))
    other = measured(replicate(1, 0.25, [1, 0, 0, 0]), replicate(4, 0.5, [1, 1, 0, 0]))
    gap = one.minus(other)
    assert gap == crossed_mean(np.array([[0.0, 0, 1, 1], [0, -1, 0, 1]]))
    assert other.minus(one).mean == -gap.mean == -0.25


def test_right_on_the_same_samples_is_not_exactly_equal() -> None:
    one = measured(replicate(1, 0.5, [1, 0, 0, 1]), replicate(2, 0.5, [1, 0, 0, 1]))
    assert one.minus(one) == Estimate(0.0, 0.25)


def test_replicates_without_samples_are_compared_by_seed() -> None:
    one = measured(replicate(1, 0.5), replicate(2, 0.7), replicate(3, 0.9))
    assert one.estimate().mean == pytest.approx(0.7)
    assert one.estimate().standard_error == pytest.approx(0.2 / math.sqrt(3))
    assert one.estimate().freedom == 2.0
    other = measured(replicate(2, 0.6), replicate(3, 0.6), replicate(9, 0.1))
    gap = one.minus(other)
    # 0.1 and 0.3 of the seeds that both have.
    assert gap.mean == pytest.approx(0.2)
    assert gap.standard_error == pytest.approx(0.1)
    assert gap.freedom == 1.0


def test_samples_of_one_alone_are_no_pairs() -> None:
    one = measured(replicate(1, 0.5, [1, 0]), replicate(2, 0.5, [1, 0]))
    other = measured(replicate(1, 0.4, [1, 0]), replicate(2, 0.2))
    assert other.estimate().mean == pytest.approx(0.3)
    assert other.estimate().freedom == 1.0
    assert one.minus(other).mean == pytest.approx(0.2)
    assert one.minus(other).standard_error == pytest.approx(0.1)
    assert one.minus(other).freedom == 1.0


def test_a_single_replicate_has_the_error_it_was_measured_with() -> None:
    one = measured(replicate(1, 0.5, accuracy_se=0.03))
    other = measured(replicate(1, 0.75, accuracy_se=0.04))
    assert one.estimate() == Estimate(0.5, 0.03)
    assert one.minus(other).mean == -0.25
    assert one.minus(other).standard_error == pytest.approx(0.05)
    assert measured(replicate(1, 0.5)).estimate() == Estimate(0.5, 0.0)


def test_no_seed_in_common_is_no_comparison() -> None:
    gap = measured(replicate(1, 0.5)).minus(measured(replicate(2, 0.25)))
    assert (gap.mean, gap.standard_error) == (0.25, math.inf)
