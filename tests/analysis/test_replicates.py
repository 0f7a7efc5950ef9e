"""Errors of means and of differences over several trainings."""

from __future__ import annotations

import numpy as np
import pytest

from hqsearch.analysis.replicates import crossed_mean


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
