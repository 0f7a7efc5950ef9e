"""The surrogate's formulas against their definitions, written out."""

from __future__ import annotations

import numpy as np
import pytest

from hqsearch.space import Dimension, Space
from hqsearch.surrogate import Design, Settings, fit
from hqsearch.surrogate.additive import IDENTITY, LOG, LOGIT, _diagonals, _grams

VALUES = ("2u", "4u", "2l", "4l", "fp32")
SPACE = Space(tuple(Dimension(f"l{i}", "weights", VALUES, (f"l{i}",)) for i in range(4)))
DESIGN = Design(SPACE)
GROUPS = len(DESIGN.groups)


def draws(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, len(VALUES), (count, len(SPACE.names)))


def scales(**given: float) -> np.ndarray:
    """Prior variances, by group; ``neighbours`` and ``pairs`` come last."""
    return np.array([given.get(name, 0.0) for name in (*DESIGN.groups, "neighbours", "pairs")])


def smooth(codes: np.ndarray) -> np.ndarray:
    return np.asarray(0.2 + 0.1 * codes @ np.array([0.3, 0.1, 0.5, 0.2]))


def test_interactions_are_products_of_two_different_dimensions() -> None:
    left, right = DESIGN.features(draws(3, 0)), DESIGN.features(draws(4, 1))
    *plain, neighbours, pairs = _grams(left, right)
    width = left[1].shape[1]
    a, b = left[1] * np.sqrt(width), right[1] * np.sqrt(width)
    for i, j in np.ndindex(3, 4):
        products = np.outer(a[i], a[i]) * np.outer(b[j], b[j])
        apart = products[~np.eye(width, dtype=bool)]
        assert pairs[i, j] == pytest.approx(apart.sum() / (width * (width - 1)))
        assert neighbours[i, j] == pytest.approx(np.diag(products, 1).sum() / (width - 1))
        for group, gram in enumerate(plain):
            assert gram[i, j] == pytest.approx(left[group][i] @ right[group][j])


def test_diagonals_are_those_of_the_gram_matrices() -> None:
    features = DESIGN.features(draws(5, 2))
    for diagonal, gram in zip(_diagonals(features), _grams(features, features), strict=True):
        np.testing.assert_allclose(diagonal, np.diag(gram))


def test_groups_that_are_switched_off_are_not_computed() -> None:
    features = DESIGN.features(draws(5, 2))
    grams = _grams(features, features, scales(choice=1.0))
    assert [isinstance(g, float) for g in grams] == [False] + [True] * (GROUPS + 1)


@pytest.mark.parametrize("transform", [LOG, LOGIT])
def test_the_deviation_is_in_the_objective_s_own_unit(transform: object) -> None:
    """Against the same model of the transformed values, by the slope at the mean."""
    train, test = draws(12, 0), draws(6, 1)
    values = smooth(train)
    prior = scales(choice=0.5, sensitivity=1.0, pairs=0.1)
    model = fit(DESIGN, train, values, settings=Settings(transform, prior, 0.01))
    inner = fit(DESIGN, train, transform.to(values), settings=Settings(IDENTITY, prior, 0.01))
    mean, deviation = model.predict(test)
    inner_mean, inner_deviation = inner.predict(test)
    np.testing.assert_allclose(mean, transform.back(inner_mean))
    np.testing.assert_allclose(deviation, inner_deviation / transform.slope(mean))
    assert (deviation < 0.7 * inner_deviation).all()


def test_evidence_is_that_of_the_values_whatever_their_unit() -> None:
    """A density of values in other units differs by the units, for every transform alike."""
    codes = draws(15, 4)
    bent, straight = np.exp(4 * smooth(codes)), 3 + smooth(codes)
    for values, name in ((bent, "log"), (straight, "identity")):
        small, large = fit(DESIGN, codes, values), fit(DESIGN, codes, 1000.0 * values)
        assert small.transform.name == large.transform.name == name
        expected = small.settings.evidence - 15 * np.log(1000.0)
        assert large.settings.evidence == pytest.approx(expected)
