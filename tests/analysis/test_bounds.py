"""Bounds for what was picked, and what would tell more."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hqsearch.analysis.bounds import (
    TRAINING_NOISE,
    Needed,
    critical,
    lower_bound,
    needed,
    single_training,
)
from hqsearch.analysis.paired import Difference
from hqsearch.analysis.replicates import Estimate


def test_bounds_of_known_size() -> None:
    one = Estimate(0.01, 0.005)
    assert lower_bound(one) == pytest.approx(0.01 - 1.6449 * 0.005, abs=1e-6)
    assert lower_bound(one, 50) == pytest.approx(0.01 - 3.0902 * 0.005, abs=1e-6)
    assert critical(Estimate(0.0, 1.0, 2.0), 1) == pytest.approx(2.92, abs=0.001)
    assert lower_bound(Estimate(0.01, 0.0), 50) == 0.01
    assert lower_bound(Estimate(0.01, math.inf)) == -1.0
    assert lower_bound(Estimate(0.0, 5.0)) == -1.0


def test_one_training_varies_by_what_is_taken() -> None:
    found = single_training(Difference(0.0, 0.006, True))
    assert found.standard_error == pytest.approx(math.hypot(0.006, math.sqrt(2) * TRAINING_NOISE))
    assert found.of_samples == pytest.approx(0.006**2)
    assert single_training(Difference(0.1, 0.0, False)) == Estimate(0.1, 0.0)


def test_bounds_hold_for_the_best_of_many() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(2000):
        means = 0.01 * generator.standard_normal(40)
        held += lower_bound(Estimate(float(means.max()), 0.01), 40) <= 0
    assert 0.94 < held / 2000 < 0.965


def test_what_would_tell() -> None:
    # Samples alone: 1.645² · 4 · 10⁻⁴ · 1000 / n = 10⁻⁴.
    samples_alone = Estimate(0.0, 0.02, of_samples=0.0004)
    assert needed(samples_alone, 1, 0.01, 1000, 3) == Needed(11_000, 3)
    both = Estimate(0.0, math.sqrt(2e-4), of_samples=1e-4)
    found = needed(both, 1, 0.01, 1000, 1)
    assert found is not None
    after = 1e-4 * 1000 / found.samples + 1e-4 / found.seeds
    assert 1.6449 * math.sqrt(after) <= 0.01
    assert needed(Estimate(0.0, 0.001, of_samples=1e-6), 1, 0.01, 1000, 3) is None
    assert needed(both, 1, 0.0, 1000, 1) is None
    assert needed(Estimate(0.0, math.inf), 1, 0.01, 1000, 1) is None
