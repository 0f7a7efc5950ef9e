"""The surrogate's formulas against their definitions, written out."""

from __future__ import annotations

import numpy as np
import pytest

from hqsearch.problem.space import Dimension, Space
from hqsearch.surrogate import Design, Settings, fit
from hqsearch.surrogate.additive import (
    GRID,
    IDENTITY,
    LOG,
    LOGIT,
    NOISE_GRID,
    UNKNOWN_NOISE_GRID,
    _Data,
    _diagonals,
    _grams,
    _log_likelihood,
    _penalty,
)

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


@pytest.mark.parametrize("dimensions", [2, 3, 4])
def test_interactions_are_products_of_two_different_dimensions(dimensions: int) -> None:
    design = Design(Space(SPACE.dimensions[:dimensions]))
    left, right = (design.features(draws(n, seed)[:, :dimensions]) for n, seed in ((3, 0), (4, 1)))
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


def dense(codes: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """The prior covariance of candidates, in variances of the data."""
    features = DESIGN.features(codes)
    total = np.full((len(codes), len(codes)), 100.0)
    for scale, gram in zip(prior, _grams(features, features), strict=True):
        total += scale * np.asarray(gram)
    return total


def conditioned(
    train: np.ndarray, test: np.ndarray, values: np.ndarray, prior: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of a Gaussian given part of it, the textbook's way."""
    spread = values.var()
    joint = spread * dense(np.vstack([train, test]), prior)
    n = len(train)
    gain = joint[n:, :n] @ np.linalg.inv(joint[:n, :n] + np.diag(noise))
    mean = values.mean() + gain @ (values - values.mean())
    return mean, joint[n:, n:] - gain @ joint[:n, n:]


PRIOR = scales(choice=1.0, sensitivity=0.3, scheme=0.1, layer=0.03, neighbours=0.1, pairs=0.3)


def test_predictions_are_those_of_the_textbook() -> None:
    train, test = draws(12, 0), draws(5, 1)
    values = 3 + smooth(train)
    model = fit(DESIGN, train, values, settings=Settings(IDENTITY, PRIOR, 0.01))
    noise = np.full(12, (0.01 + 1e-9) * values.var())
    mean, covariance = conditioned(train, test, values, PRIOR, noise)
    got, deviation = model.predict(test)
    np.testing.assert_allclose(got, mean)
    np.testing.assert_allclose(model.mean(test), mean)
    np.testing.assert_allclose(deviation, np.sqrt(np.diag(covariance)), rtol=1e-5)
    drawn_mean, drawn = model.draw(test, 4000, np.random.default_rng(0))
    np.testing.assert_allclose(drawn_mean, mean)
    np.testing.assert_allclose(
        np.cov(drawn.T), covariance, atol=0.1 * float(np.diag(covariance).max())
    )
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.1 * float(deviation.max()))


def test_known_errors_are_the_noise_and_unknown_ones_their_mean() -> None:
    train, test = draws(6, 0), draws(3, 1)
    values = 3 + smooth(train)
    errors = np.array([0.1, np.nan, 0.2, 0.0, 0.3, 0.1])
    model = fit(DESIGN, train, values, errors, Settings(IDENTITY, PRIOR, 2.0))
    filled = np.array([0.01, 0.0375, 0.04, 0.0375, 0.09, 0.01])
    np.testing.assert_allclose(model.noise, 2.0 * filled + 1e-9 * values.var())
    mean, _ = conditioned(train, test, values, PRIOR, model.noise)
    np.testing.assert_allclose(model.mean(test), mean)
    # Errors far below the differences of the data are as good as none.
    exact = fit(DESIGN, train, values, np.full(6, 1e-9), Settings(IDENTITY, PRIOR, 0.5))
    np.testing.assert_allclose(exact.noise, 0.5 * values.var() * np.ones(6))


def test_errors_are_transformed_with_the_values() -> None:
    train = draws(6, 0)
    values = np.exp(3 + smooth(train))
    model = fit(DESIGN, train, values, 0.1 * values, Settings(LOG, PRIOR, 1.0))
    np.testing.assert_allclose(model.noise, 0.01)
    np.testing.assert_allclose(model.targets, np.log(values))


def test_leaving_one_out_is_the_textbook_s_without_its_row() -> None:
    train = draws(12, 0)
    values = 3 + smooth(train)
    model = fit(DESIGN, train, values, settings=Settings(IDENTITY, PRIOR, 0.1))
    covariance = values.var() * dense(train, PRIOR) + np.diag(model.noise)
    errors = []
    for i in range(12):
        others = np.delete(np.arange(12), i)
        gain = covariance[i, others] @ np.linalg.inv(covariance[np.ix_(others, others)])
        errors.append(values[i] - values.mean() - gain @ (values[others] - values.mean()))
    np.testing.assert_allclose(model.leave_one_out(), errors, rtol=1e-6)
    means = np.array([np.delete(values, i).mean() for i in range(12)])
    skill = 1 - np.sum(np.square(errors)) / np.sum((values - means) ** 2)
    assert model.skill() == pytest.approx(skill)


def test_two_measurements_show_no_skill() -> None:
    train = draws(3, 0)
    values = 3 + smooth(train)
    prior = Settings(IDENTITY, PRIOR, 0.1)
    assert fit(DESIGN, train[:2], values[:2], settings=prior).skill() == 0.0
    assert fit(DESIGN, train, values, settings=prior).skill() != 0.0


def test_believing_adds_the_prediction_with_the_usual_noise() -> None:
    train, new = draws(8, 0), draws(2, 1)
    values = np.exp(smooth(train))
    errors = np.linspace(0.1, 0.4, 8) * values
    model = fit(DESIGN, train, values, errors, Settings(LOG, PRIOR, 1.0))
    believed = model.believing(new)
    np.testing.assert_array_equal(believed.codes, np.vstack([train, new]))
    np.testing.assert_allclose(believed.targets[8:], np.log(model.mean(new)))
    np.testing.assert_allclose(believed.noise[8:], np.median(model.noise))
    np.testing.assert_array_equal(believed.noise[:8], model.noise)
    assert (believed.spread, believed.settings) == (model.spread, model.settings)


def test_transforms_have_their_inverse_slope_and_domain() -> None:
    y = np.linspace(0.05, 0.95, 7)
    for transform in (IDENTITY, LOG, LOGIT):
        np.testing.assert_allclose(transform.back(transform.to(y)), y)
        step = 1e-6
        slope = (transform.to(y + step) - transform.to(y - step)) / (2 * step)
        np.testing.assert_allclose(transform.slope(y), slope, rtol=1e-6)
    inside, ends = np.array([0.1, 0.9]), {"zero": [0.0, 0.5], "one": [0.5, 1.0], "less": [-1.0, 2]}
    holds = {
        name: [t.holds(np.array(v)) for t in (IDENTITY, LOG, LOGIT)] for name, v in ends.items()
    }
    assert holds == {"zero": [True, False, False], "one": [True, True, False],
                     "less": [True, False, False]}  # fmt: skip
    assert all(t.holds(inside) for t in (IDENTITY, LOG, LOGIT))


def test_the_evidence_is_the_density_and_its_prior() -> None:
    """Of what was chosen: the normal density of the values, less what its settings cost."""
    codes = draws(15, 4)
    values = np.exp(4 * smooth(codes))
    settings = fit(DESIGN, codes, values).settings
    targets = np.log(values)
    spread = targets.var()
    matrix = spread * dense(codes, settings.scales)
    matrix += np.eye(15) * spread * (settings.noise + 1e-9)
    away = targets - targets.mean()
    _, log_determinant = np.linalg.slogdet(2 * np.pi * matrix)
    density = -0.5 * (log_determinant + away @ np.linalg.solve(matrix, away))
    cost = 0.0
    starts = {"choice": 1.0, "sensitivity": 1.0, "scheme": 0.1, "layer": 0.03}
    for scale, start in zip(settings.scales, starts.values(), strict=False):
        cost += 0.5 * (np.log10(max(scale, 1e-3) / start) / 1.5) ** 2
    cost += float((settings.scales[GROUPS:] > 0).sum())
    assert settings.transform is LOG
    assert settings.evidence == pytest.approx(density - cost - targets.sum())


@pytest.mark.parametrize("error", [0.0, 0.01])
def test_no_single_step_on_the_grids_has_more_evidence(error: float) -> None:
    codes = draws(15, 4)
    values = 3 + smooth(codes) + error * np.random.default_rng(1).standard_normal(15)
    errors = np.full(15, error)
    chosen = fit(DESIGN, codes, values, errors).settings
    data = _Data.of(DESIGN, codes, values, errors, chosen.transform)
    noises = NOISE_GRID if error else UNKNOWN_NOISE_GRID

    def evidence(prior: np.ndarray, noise: float) -> float:
        matrix = data.spread * (dense(codes, prior) + 1e-9 * np.eye(15))
        matrix += noise * np.diag(data.noise)
        away = data.targets - data.targets.mean()
        return _log_likelihood(matrix, away) - _penalty(prior.tolist(), noise, data)

    best = evidence(chosen.scales, chosen.noise)
    assert best + data.log_slopes.sum() == pytest.approx(chosen.evidence)
    for place, scale in enumerate(chosen.scales):
        near = GRID.index(scale)
        for other in {max(near - 1, 0), min(near + 1, len(GRID) - 1)} - {near}:
            changed = chosen.scales.copy()
            changed[place] = GRID[other]
            assert evidence(changed, chosen.noise) <= best
    near = noises.index(chosen.noise)
    for other in {max(near - 1, 0), min(near + 1, len(noises) - 1)} - {near}:
        assert evidence(chosen.scales, noises[other]) <= best


def test_grids_rise_and_only_a_group_can_be_switched_off() -> None:
    assert GRID[0] == 0.0
    for grid in (GRID[1:], NOISE_GRID, UNKNOWN_NOISE_GRID):
        steps = np.diff(np.log10(grid))
        assert (steps > 0.4).all()
        assert (steps < 2.1).all()


def test_what_the_noise_and_the_groups_cost() -> None:
    codes = draws(6, 0)
    values = 3 + smooth(codes)
    unknown = _Data.of(DESIGN, codes, values, np.zeros(6), IDENTITY)
    known = _Data.of(DESIGN, codes, values, np.full(6, 0.1), IDENTITY)
    start = [1.0, 1.0, 0.1, 0.03, 0.0, 0.0]
    assert _penalty(start, 0.01, unknown) == pytest.approx(0.0)
    assert _penalty(start, 10.0, known) == pytest.approx(0.5)
    assert _penalty([*start[:4], 0.3, 0.0], 1.0, known) == pytest.approx(1.0)
    assert _penalty([*start[:4], 0.3, 3.0], 1.0, unknown) == pytest.approx(2.0)
    # A decade from where the grid is entered is two thirds of a deviation; off is a thousandth.
    assert _penalty([10.0, *start[1:]], 1.0, known) == pytest.approx(0.5 * (1 / 1.5) ** 2)
    assert _penalty([0.0, *start[1:]], 1.0, known) == pytest.approx(0.5 * (3 / 1.5) ** 2)


def test_measurements_beyond_250_do_not_change_the_prior_alone() -> None:
    """Settings come of 250 rows spread over all; the posterior of all of them."""
    generator = np.random.default_rng(8)
    codes = draws(501, 9)
    values = 3 + smooth(codes) + 0.01 * generator.standard_normal(501)
    model = fit(DESIGN, codes, values)
    assert len(model.targets) == 501
    rows = np.unique(np.linspace(0, 500, 250).round().astype(int))
    assert len(rows) == 250
    # The others may be anything of the same mean and variance.
    changed = values.copy()
    left = np.setdiff1d(np.arange(501), rows)
    changed[left] = values[generator.permutation(left)]
    np.testing.assert_array_equal(
        fit(DESIGN, codes, changed).settings.scales, model.settings.scales
    )


def test_a_prior_that_does_not_fit_the_values_any_more_is_chosen_anew() -> None:
    codes = draws(10, 0)
    values = smooth(codes) - smooth(codes).mean()
    asked = Settings(LOG, PRIOR, 0.5)
    assert fit(DESIGN, codes, values, settings=asked).transform is IDENTITY
    assert fit(DESIGN, codes, np.exp(values), settings=asked).settings is asked


def test_a_single_dimension_has_no_interactions() -> None:
    alone = Design(Space((Dimension("l", "weights", VALUES, ("l",)),)))
    features = alone.features(np.arange(5)[:, None])
    assert _grams(features, features)[-2:] == [0.0, 0.0]
    for diagonal in _diagonals(features)[-2:]:
        np.testing.assert_allclose(diagonal, np.zeros(5), atol=1e-15)
