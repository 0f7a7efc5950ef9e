"""Features, written out for a small space; structure and scores of structural parts."""

from __future__ import annotations

import numpy as np
import pytest

from hqsearch.problem.space import Dimension, Space
from hqsearch.surrogate import Design, Scores, fit
from hqsearch.surrogate.design import nominal_error

SPACE = Space(
    (
        Dimension("a", "weights", ("2u", "4l", "fp32"), ("a",)),
        Dimension("b", "weights", ("4l", "fp32"), ("b",)),
        Dimension.structural("timesteps", [4, 8]),
        Dimension("c", "weights", ("2u", "3u"), ("c",)),
    )
)
CODES = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [2, 0, 1, 0]])
E3, E4 = 2**-1.2, 2**-2.4
#: Of the number of layers.
ROOT = np.sqrt(3)
VALUES = ("2u", "4u", "fp32")
LAYERS = tuple(Dimension(f"l{i}", "weights", VALUES, (f"l{i}",)) for i in range(5))
PLAIN = Space(LAYERS)
STEPPED = Space((*LAYERS, Dimension.structural("timesteps", [4, 2, 1])))


def test_nominal_errors_halve_by_the_bits_and_not_by_the_scheme() -> None:
    assert nominal_error("2u") == nominal_error("2l") == 1.0
    assert nominal_error("3u") == pytest.approx(E3)
    assert nominal_error("4l") == nominal_error("4u") == pytest.approx(E4)
    assert nominal_error("fp32") == nominal_error("no choice") == 0.0


def test_features_by_hand() -> None:
    choice, sensitivity, scheme, layer, structure = Design(SPACE).features(CODES)
    # 2u, 3u, 4l, fp32: how many layers take it, over the root of the number of them.
    np.testing.assert_allclose(ROOT * choice, [[2, 0, 1, 0], [0, 1, 1, 1], [1, 0, 1, 1]])
    np.testing.assert_allclose(ROOT * sensitivity, [[1, E4, 1], [E4, 0, E3], [0, E4, 1]])
    np.testing.assert_allclose(ROOT * scheme, [[1, -E4, 1], [-E4, 0, E3], [0, -E4, 1]])
    expected = np.zeros((3, 7))
    for row, columns in enumerate(([0, 3, 5], [1, 4, 6], [2, 3, 5])):
        expected[row, columns] = 1.0
    np.testing.assert_allclose(ROOT * layer, expected)
    np.testing.assert_array_equal(structure, [[1, 0], [0, 1], [0, 1]])


def test_groups_without_and_with_scores() -> None:
    assert Design(SPACE).groups == ("choice", "sensitivity", "scheme", "layer", "structure")
    zero = {"timesteps=4": Scores.of({}, {}, SPACE)}
    assert Design(SPACE, zero).groups == Design(SPACE).groups
    assert len(Design(SPACE, zero).features(CODES)) == 5


def test_scores_are_relative_to_the_largest() -> None:
    scores = Scores.of({"a": {"2u": 4.0, "4l": 1.0}, "c": {"2u": 2.0}}, {}, SPACE)
    design = Design(SPACE, dict.fromkeys(SPACE.parts, scores))
    assert design.groups[4:] == ("score", "score-layer", "structure")
    *_, total, share, _ = design.features(CODES)
    np.testing.assert_allclose(ROOT * share, [[1, 0, 0.5], [0.25, 0, 0], [0, 0, 0.5]])
    np.testing.assert_allclose(ROOT * total, [[1.5], [0.25], [0.5]])


def test_scores_from_the_details_of_a_task() -> None:
    details = {
        "scores": {"a": {"2u": 3.0, "4l": -1.0}, "b": {"4l": 4.0}},
        "standard_errors": {"b": {"4l": 3.0}, "c": {"2u": 0.5}},
    }
    scores = Scores.of(details["scores"], details["standard_errors"], SPACE)
    assert [s.tolist() for s in scores.increase] == [[3, 0, 0], [4, 0], [0, 0], [0, 0]]
    assert [s.tolist() for s in scores.error] == [[0, 0, 0], [3, 0], [0, 0], [0.5, 0]]
    # 4 times its reliability, 16 of 25.
    assert [s.tolist() for s in scores.shrunk] == [[3, 0, 0], [2.56, 0], [0, 0], [0, 0]]


def test_small_scores_are_scores_too() -> None:
    details = {"scores": {"b": {"4l": 0.04}}, "standard_errors": {"b": {"4l": 0.03}}}
    scores = Scores.of(details["scores"], details["standard_errors"], SPACE)
    assert scores.shrunk[1].tolist() == pytest.approx([0.0256, 0.0])
    *_, share, _ = Design(SPACE, dict.fromkeys(SPACE.parts, scores)).features(CODES)
    np.testing.assert_allclose(ROOT * share, [[0, 1, 0], [0, 0, 0], [0, 1, 0]])


def drawn(space: Space, count: int, seed: int) -> np.ndarray:
    sizes = space.cardinalities
    return np.random.default_rng(seed).integers(0, sizes, (count, len(sizes)))


def scores_times(scale: float) -> Scores:
    increase = tuple(scale * np.array([1.0 + i, 0.2, 0.0]) for i in range(5))
    return Scores(increase, tuple(np.zeros(3) for _ in range(5)))


def test_structure_is_a_group_of_its_own_and_in_no_other() -> None:
    codes = drawn(STEPPED, 20, 0)
    design = Design(STEPPED)
    assert design.groups == ("choice", "sensitivity", "scheme", "layer", "structure")
    *others, structure = design.features(codes)
    for mine, plain in zip(others, Design(PLAIN).features(codes[:, :5]), strict=True):
        np.testing.assert_array_equal(mine, plain)
    np.testing.assert_array_equal(structure, np.eye(3)[codes[:, 5]])


def test_several_settings_share_the_group() -> None:
    space = Space((*STEPPED.dimensions, Dimension.structural("neuron", ["lif", "if"])))
    structure = Design(space).features(drawn(space, 20, 0))[-1]
    assert structure.shape == (20, 5)
    np.testing.assert_allclose((structure**2).sum(axis=1), 1.0)


def test_scores_are_those_of_a_candidate_s_part() -> None:
    parts = {"timesteps=4": scores_times(1.0), "timesteps=1": scores_times(2.0)}
    design = Design(STEPPED, parts)
    assert design.groups[-3:] == ("score", "score-layer", "structure")
    codes = np.zeros((3, 6), dtype=np.int64)
    codes[:, 5] = [0, 1, 2]
    layers = design.features(codes)[-2] * np.sqrt(5)
    # In shares of the largest score anywhere, which is 10; a part without scores has none.
    expected = np.arange(1.0, 6.0) / 10
    np.testing.assert_allclose(layers, [expected, 0 * expected, 2 * expected])


def test_one_part_s_scores_without_structure() -> None:
    codes = drawn(PLAIN, 10, 1)
    layers = Design(PLAIN, {"": scores_times(3.0)}).features(codes)[-1] * np.sqrt(5)
    expected = np.array([scores_times(3.0).increase[i][codes[:, i]] for i in range(5)]).T / 15
    np.testing.assert_allclose(layers, expected)
    assert Design(PLAIN, {"": scores_times(0.0)}).groups[-1] == "layer"


def test_what_structure_does_is_learned() -> None:
    def truth(codes: np.ndarray) -> np.ndarray:
        loss = np.array([0.02, 0.004, 0.0])[codes[:, :5]].sum(axis=1)
        return np.asarray(0.95 - loss - np.array([0.0, 0.05, 0.2])[codes[:, 5]])

    train, test = drawn(STEPPED, 25, 0), drawn(STEPPED, 100, 1)
    model = fit(Design(STEPPED), train, truth(train))
    assert np.std(model.mean(test) - truth(test)) < 0.1 * np.std(truth(test))


def test_a_space_of_structure_alone_can_be_modelled() -> None:
    space = Space((Dimension.structural("timesteps", list(range(1, 9))),))
    codes = np.arange(8)[:, None]
    model = fit(Design(space), codes, 0.9 - 0.02 * np.arange(8))
    mean, deviation = model.predict(codes)
    assert mean == pytest.approx(0.9 - 0.02 * np.arange(8), abs=0.01)
    assert np.isfinite(deviation).all()
