"""Expected hypervolume improvement against the hypervolume itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hqsearch.problem.pareto import hypervolume
from hqsearch.surrogate import Front, expected_improvement


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 4), st.integers(0, 9))
def test_without_doubt_it_is_the_gain(seed: int, objectives: int, size: int) -> None:
    generator = np.random.default_rng(seed)
    # Coarse numbers, so that coordinates coincide.
    front = generator.integers(0, 8, (size, objectives)) / 8
    new = generator.integers(0, 9, (12, objectives)) / 8
    reference = np.ones(objectives)
    cut = Front.of(front[:, 0], front[:, 1:], reference)
    gains = expected_improvement(cut, new[:, 0], np.zeros(12), new[:, 1:], reference)
    before = hypervolume(front, reference)
    expected = [hypervolume(np.vstack([front, row]), reference) - before for row in new]
    np.testing.assert_allclose(gains, expected, atol=1e-9)


def test_with_doubt_it_is_the_mean_gain() -> None:
    generator = np.random.default_rng(0)
    front, reference = generator.random((6, 3)), np.ones(3)
    known = np.array([[0.2, 0.3]])
    cut = Front.of(front[:, 0], front[:, 1:], reference)
    gain = expected_improvement(cut, np.array([0.4]), np.array([0.2]), known, reference)
    drawn = 0.4 + 0.2 * generator.standard_normal(4000)
    rows = np.column_stack([drawn, np.repeat(known, 4000, axis=0)])
    before = hypervolume(front, reference)
    sampled = [hypervolume(np.vstack([front, row]), reference) - before for row in rows]
    assert gain[0] == pytest.approx(np.mean(sampled), rel=0.05)
