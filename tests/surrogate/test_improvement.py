"""Expected hypervolume improvement against the hypervolume itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hqsearch.problem.pareto import hypervolume
from hqsearch.surrogate import CellFront, expected_improvement


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 4), st.integers(0, 9))
def test_without_doubt_it_is_the_gain(seed: int, objectives: int, size: int) -> None:
    generator = np.random.default_rng(seed)
    # Coarse numbers, so that coordinates coincide.
    front = generator.integers(0, 8, (size, objectives)) / 8
    new = generator.integers(0, 9, (12, objectives)) / 8
    reference = np.ones(objectives)
    cut = CellFront.of(front[:, 0], front[:, 1:], reference)
    gains = expected_improvement(cut, new[:, 0], np.zeros(12), new[:, 1:], reference)
    before = hypervolume(front, reference)
    expected = [hypervolume(np.vstack([front, row]), reference) - before for row in new]
    np.testing.assert_allclose(gains, expected, atol=1e-9)


def test_with_doubt_it_is_the_mean_gain() -> None:
    generator = np.random.default_rng(0)
    front, reference = generator.random((6, 3)), np.ones(3)
    known = np.array([[0.2, 0.3]])
    cut = CellFront.of(front[:, 0], front[:, 1:], reference)
    gain = expected_improvement(cut, np.array([0.4]), np.array([0.2]), known, reference)
    drawn = 0.4 + 0.2 * generator.standard_normal(4000)
    rows = np.column_stack([drawn, np.repeat(known, 4000, axis=0)])
    before = hypervolume(front, reference)
    sampled = [hypervolume(np.vstack([front, row]), reference) - before for row in rows]
    assert gain[0] == pytest.approx(np.mean(sampled), rel=0.05)


def normal_gain(level: float, mean: float, deviation: float) -> float:
    """E[max(level − y, 0)] by a fine grid."""
    y = np.linspace(mean - 9 * deviation, mean + 9 * deviation, 20001)
    density = np.exp(-0.5 * ((y - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))
    return float(np.trapezoid(np.maximum(level - y, 0.0) * density, y))


@pytest.mark.parametrize("deviation", [0.01, 0.1, 1.0])
def test_the_gain_over_two_members_by_hand(deviation: float) -> None:
    """Cells of the known cost: below 1 nothing dominates, from 1 to 2 the first, to 4 both."""
    front = CellFront.of(np.array([0.6, 0.2]), np.array([[1.0], [2.0]]), np.array([1.0, 4.0]))
    assert [e.tolist() for e in front.edges] == [[1.0, 2.0, 4.0]]
    np.testing.assert_array_equal(front.level, [0.6, 0.2, 0.2])
    for known, lengths in ((0.5, (0.5, 1, 2)), (1.5, (0, 0.5, 2)), (3.0, (0, 0, 1)), (4.0, (0,))):
        got = expected_improvement(
            front,
            np.array([0.3]),
            np.array([deviation]),
            np.array([[known]]),
            np.array([1.0, 4.0]),
        )
        expected = sum(
            length * normal_gain(level, 0.3, deviation)
            for length, level in zip(lengths, (1.0, 0.6, 0.2), strict=False)
        )
        assert got[0] == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_members_beyond_the_reference_or_dominated_make_no_cells() -> None:
    front = CellFront.of(
        np.array([0.5, 0.6, 0.1, 2.0]),
        np.array([[1.0], [1.5], [9.0], [0.5]]),
        np.array([1.0, 4.0]),
    )
    assert [e.tolist() for e in front.edges] == [[1.0, 4.0]]
    assert front.level.tolist() == [0.5, 0.5]
    empty = CellFront.of(np.empty(0), np.empty((0, 2)), np.array([1.0, 4.0, 3.0]))
    assert [e.tolist() for e in empty.edges] == [[4.0], [3.0]]
    assert empty.level.tolist() == [[1.0]]
    assert expected_improvement(
        empty, np.array([0.5]), np.zeros(1), np.array([[1.0, 1.0]]), np.array([1.0, 4.0, 3.0])
    ) == pytest.approx(0.5 * 3 * 2)


def test_no_candidates_no_gains() -> None:
    front = CellFront.of(np.array([0.5]), np.array([[1.0]]), np.array([1.0, 4.0]))
    gains = expected_improvement(front, np.empty(0), np.empty(0), np.empty((0, 1)), np.ones(2))
    assert gains.shape == (0,)


def test_blocks_of_candidates_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(3)
    front = CellFront.of(generator.random(5), generator.random((5, 2)), np.ones(3))
    asked = generator.random(11), 0.1 * generator.random(11), generator.random((11, 2)), np.ones(3)
    whole = expected_improvement(front, *asked)
    for block in (1, 3 * front.level.size, 100 * front.level.size):
        monkeypatch.setattr("hqsearch.surrogate.improvement.BLOCK", block)
        np.testing.assert_array_equal(expected_improvement(front, *asked), whole)
