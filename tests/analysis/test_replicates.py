"""Errors of means and of differences over several trainings."""

from __future__ import annotations

import numpy as np
import pytest

from hqsearch.analysis.replicates import Estimate, crossed_mean, pooled_mean, share_interval


def test_the_error_of_a_mean_has_two_sources() -> None:
    generator = np.random.default_rng(0)
    samples = generator.normal(size=(1, 400)).repeat(3, axis=0)
    same = crossed_mean(samples)  # three seeds that agree are one
    assert same.standard_error == pytest.approx(samples[0].std(ddof=1) / 20, rel=0.01)
    seeds = np.array([[0.1], [0.2], [0.6]]).repeat(400, axis=1)
    apart = crossed_mean(seeds)  # samples that agree are one
    assert apart.standard_error == pytest.approx(seeds[:, 0].std(ddof=1) / np.sqrt(3), rel=0.01)
    assert apart.freedom == pytest.approx(2.0, rel=0.01)
    low, high = apart.interval()
    assert high - low == pytest.approx(2 * 4.303 * apart.standard_error, rel=0.01)
    one = crossed_mean(samples[:1])
    assert one.standard_error == pytest.approx(samples[0].std(ddof=1) / 20)
    assert crossed_mean(np.zeros((3, 5))).standard_error == 0


@pytest.mark.parametrize("between", [0.0, 0.02])
def test_intervals_hold_what_they_promise(between: float) -> None:
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        level = between * generator.normal(size=(3, 1)) + 0.3 * generator.normal(size=(1, 200))
        low, high = crossed_mean(level + 0.3 * generator.normal(size=(3, 200))).interval()
        held += low <= 0 <= high
    assert 0.93 <= held / 400 <= 0.995


def test_variance_of_trainings_that_is_pooled_holds_what_it_promises() -> None:
    generator = np.random.default_rng(2)
    held = 0
    for _ in range(400):
        common = 0.3 * generator.normal(size=(1, 200))
        tables = [
            common + 0.02 * generator.normal(size=(3, 1)) + 0.3 * generator.normal(size=(3, 200))
            for _ in range(8)
        ]
        between = 2 * float(np.mean([t.mean(axis=1).var(ddof=1) for t in tables]))
        low, high = pooled_mean(tables[0] - tables[1], between, 16.0).interval()
        held += low <= 0 <= high
    assert 0.93 <= held / 400 <= 0.97
    assert pooled_mean(np.zeros((3, 1)), 0.0, 4.0).standard_error == np.inf
    # Right on exactly the same samples, and trainings that do not vary: still finite samples.
    assert pooled_mean(np.zeros((3, 100)), 0.0, 4.0).standard_error == pytest.approx(0.01)


@pytest.mark.parametrize("mean", [0.0, 0.003, 0.5, 0.995, 1.0])
@pytest.mark.parametrize("freedom", [1.0, 4.0, np.inf])
def test_intervals_of_shares_stay_within_what_is_possible(mean: float, freedom: float) -> None:
    for error in (0.0, 0.001, 0.05):
        low, high = share_interval(Estimate(mean, error, freedom), 500)
        assert 0.0 <= low <= mean <= high <= 1.0
        assert high - low > 0.003


def test_an_interval_of_a_share_is_wilson_s() -> None:
    error = float(np.sqrt(0.8 * 0.2 / 10))
    found = share_interval(Estimate(0.8, error), 10)
    assert found == pytest.approx((0.4902, 0.9433), abs=1e-4)
