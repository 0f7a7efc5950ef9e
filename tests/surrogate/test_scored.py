"""The model of scores and their errors: what it learns, how sure it is, what it does without."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from hqsearch.problem.space import Dimension, Space
from hqsearch.surrogate import ScoredPosterior, Scores

VALUES = ("2u", "4u", "fp32")
SPACE = Space(tuple(Dimension(f"l{i}", "weights", VALUES, (f"l{i}",)) for i in range(6)))
LOSS = np.array([[2.0, 0.3, 0], [0.5, 0.1, 0], [0.1, 0, 0], [0.02, 0, 0], [1.0, 0.2, 0], [0, 0, 0]])
Floats = npt.NDArray[np.float64]


def truth(codes: npt.NDArray[np.int64]) -> Floats:
    return np.asarray(0.9 - 0.02 * LOSS[np.arange(6), codes].sum(axis=1))


def scores(factors: Floats) -> Scores:
    own = tuple(LOSS * factors[:, None])
    return Scores(own, tuple(np.zeros(3) for _ in own))


def fitted(count: int, factors: Floats, noise: float = 0.001) -> ScoredPosterior:
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 3, (count, 6))
    values = truth(codes) + noise * generator.standard_normal(count)
    errors = np.full(count, noise)
    return ScoredPosterior.fit(SPACE, scores(factors), codes, values, errors, -1.0)


ASKED = np.random.default_rng(1).integers(0, 3, (100, 6))


def test_few_measurements_suffice_where_scores_are_right() -> None:
    model = fitted(5, np.ones(6))
    assert np.abs(model.mean(ASKED) - truth(ASKED)).max() < 0.005


def test_errors_of_scores_are_learned() -> None:
    factors = np.exp(np.array([-1.0, 1.0, 0.5, 0.0, 1.0, 0.0]))
    wrong = [np.abs(fitted(n, factors).mean(ASKED) - truth(ASKED)).mean() for n in (6, 40)]
    assert wrong[1] < 0.4 * wrong[0]
    assert wrong[1] < 0.002
    assert fitted(40, factors).skill() > 0.95


def test_deviations_cover_and_shrink() -> None:
    model = fitted(12, np.exp(np.array([-0.5, 0.5, 0.5, 0.0, 0.4, 0.0])))
    mean, deviation = model.predict(ASKED)
    inside = np.abs(mean - truth(ASKED)) < 3 * deviation + 1e-3
    assert inside.mean() > 0.9
    believed = model.believing(ASKED[:5])
    assert (believed.predict(ASKED)[1] <= deviation + 1e-12).all()
    assert believed.mean(ASKED).tolist() == mean.tolist()


def test_draws_have_mean_and_deviation() -> None:
    model = fitted(8, np.ones(6), 0.005)
    mean, drawn = model.draw(ASKED[:10], 4000, np.random.default_rng(2))
    assert drawn.mean(axis=0) == pytest.approx(mean, abs=0.002)
    assert drawn.std(axis=0) == pytest.approx(model.predict(ASKED[:10])[1], rel=0.1)


def test_scores_that_say_nothing_have_no_skill() -> None:
    generator = np.random.default_rng(3)
    codes = generator.integers(0, 3, (40, 6))
    values = 0.9 - 0.02 * generator.random((6, 3))[np.arange(6), codes].sum(axis=1)
    flat = Scores(
        tuple(np.array([0, 0, 1.0]) for _ in range(6)),
        tuple(
            np.zeros(3),
        )
        * 6,
    )
    model = ScoredPosterior.fit(SPACE, flat, codes, values, np.full(40, 1e-3), -1.0)
    assert model.skill() < 0.9
