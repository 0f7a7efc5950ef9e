"""The surrogate: what it learns, what it knows of its own errors, and its closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from hqsearch.problem.space import Dimension, Space
from hqsearch.surrogate import Design, Scores, fit
from hqsearch.surrogate.design import nominal_error

VALUES = ("2u", "4u", "2l", "4l", "fp32")


def space(layers: int = 8) -> Space:
    return Space(tuple(Dimension(f"l{i}", "weights", VALUES, (f"l{i}",)) for i in range(layers)))


def accuracy(codes: np.ndarray, bend: float = 0.0) -> np.ndarray:
    """Additive in layers, each with its own sensitivity and taste; ``bend`` adds pairs."""
    layers = codes.shape[1]
    generator = np.random.default_rng(99)
    losses = generator.uniform(0.5, 2.0, (layers, 1)) * [1.0, 0.15, 0.8, 0.3, 0.0]
    losses = losses * np.exp(generator.normal(0, 0.2, losses.shape)) / 100
    own = losses[np.arange(layers), codes]
    return 0.95 - own.sum(axis=1) - bend * (own[:, :-1] * own[:, 1:]).sum(axis=1)


def draws(count: int, seed: int, layers: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, len(VALUES), (count, layers))


def test_predicts_what_it_has_not_seen() -> None:
    train, test = draws(40, 0), draws(200, 1)
    model = fit(Design(space()), train, accuracy(train))
    wrong = model.mean(test) - accuracy(test)
    assert np.std(wrong) < 0.15 * np.std(accuracy(test))


def test_its_uncertainty_is_about_right_with_noise() -> None:
    train, test = draws(40, 0), draws(300, 1)
    noise = 0.008
    measured = accuracy(train) + noise * np.random.default_rng(2).standard_normal(len(train))
    model = fit(Design(space()), train, measured, np.full(len(train), noise))
    mean, deviation = model.predict(test)
    ratio = np.sqrt(np.mean(((mean - accuracy(test)) / deviation) ** 2))
    assert 0.5 < ratio < 2.0
    assert np.std(mean - accuracy(test)) < noise


def test_leave_one_out_is_the_error_of_refitting() -> None:
    train = draws(20, 3)
    values = accuracy(train)
    model = fit(Design(space()), train, values)
    left = np.delete(np.arange(20), 7)
    again = fit(Design(space()), train[left], values[left], settings=model.settings)
    # The closed form keeps the data's variance and mean; at 20 measurements they hardly move.
    expected = model.transform.to(values[7:8]) - again.transform.to(again.mean(train[7:8]))
    assert model.leave_one_out()[7] == pytest.approx(float(expected[0]), rel=0.35, abs=2e-4)


def test_skill_tells_knowledge_from_none() -> None:
    train = draws(40, 0)
    noise = np.random.default_rng(5).standard_normal(40)
    assert fit(Design(space()), train, accuracy(train)).skill() > 0.8
    assert fit(Design(space()), train, 0.9 + 0.01 * noise).skill() < 0.2


def test_interactions_are_used_where_they_pay() -> None:
    train, test = draws(150, 0), draws(200, 1)
    design = Design(space())
    plain = fit(design, train, accuracy(train))
    bent = fit(design, train, accuracy(train, bend=60.0))
    assert bent.settings.scales[-2:].max() > 0
    without = type(bent.settings)(
        bent.settings.transform,
        np.append(bent.settings.scales[:-2], [0.0, 0.0]),
        bent.settings.noise,
    )
    truth = accuracy(test, bend=60.0)
    flat = fit(design, train, accuracy(train, bend=60.0), settings=without)
    assert np.std(bent.mean(test) - truth) < 0.9 * np.std(flat.mean(test) - truth)
    assert np.std(plain.mean(test) - accuracy(test)) < 0.1 * np.std(accuracy(test))


def test_scores_help_when_there_is_little_data() -> None:
    train, test = draws(8, 0), draws(200, 1)
    full = np.full((1, 8), 4)
    increase = []
    for layer in range(8):
        codes = np.repeat(full, 5, axis=0)
        codes[:, layer] = np.arange(5)
        increase.append((accuracy(full) - accuracy(codes)) * 20)
    scored = {f"l{i}": dict(zip(VALUES, o.tolist(), strict=True)) for i, o in enumerate(increase)}
    scores = Scores.of(scored, {}, space())
    informed = fit(Design(space(), {"": scores}), train, accuracy(train))
    blind = fit(Design(space()), train, accuracy(train))
    truth = accuracy(test)
    assert np.std(informed.mean(test) - truth) < 0.5 * np.std(blind.mean(test) - truth)


def test_unreliable_scores_shrink() -> None:
    scores = Scores((np.array([1.0, 1.0]),), (np.array([0.0, 1.0]),))
    np.testing.assert_allclose(scores.shrunk[0], [1.0, 0.5])


def test_believing_changes_no_mean_and_removes_doubt() -> None:
    train, test = draws(20, 0), draws(5, 1)
    model = fit(Design(space()), train, accuracy(train))
    believed = model.believing(test[:1])
    np.testing.assert_allclose(believed.mean(test), model.mean(test), atol=2e-4)
    assert believed.predict(test[:1])[1][0] < 0.8 * model.predict(test[:1])[1][0]


def test_same_data_same_model() -> None:
    train, test = draws(30, 0), draws(30, 1)
    first = fit(Design(space()), train, accuracy(train)).predict(test)
    second = fit(Design(space()), train, accuracy(train)).predict(test)
    np.testing.assert_array_equal(first, second)


def test_draws_have_the_posterior_s_spread() -> None:
    train, test = draws(15, 0), draws(6, 1)
    model = fit(Design(space()), train, accuracy(train))
    mean, drawn = model.draw(test, 4000, np.random.default_rng(0))
    expected_mean, deviation = model.predict(test)
    np.testing.assert_allclose(mean, expected_mean)
    np.testing.assert_allclose(drawn.std(axis=0), deviation, rtol=0.15)


def test_nominal_errors_fall_with_bits() -> None:
    assert nominal_error("2u") == 1.0
    assert nominal_error("fp32") == 0.0
    assert 0 < nominal_error("8u") < nominal_error("4l") < 1
