"""Features, written out for a small space."""

from __future__ import annotations

import numpy as np
import pytest

from hqsearch.problem.space import Dimension, Space
from hqsearch.surrogate import Design, Scores
from hqsearch.surrogate.design import nominal_error

SPACE = Space(
    (
        Dimension("a", "weights", ("2u", "4l", "fp32"), ("a",)),
        Dimension("b", "weights", ("4l", "fp32"), ("b",)),
        Dimension("timesteps", "structure", ("4", "8"), ()),
        Dimension("c", "weights", ("2u", "3u"), ("c",)),
    )
)
CODES = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [2, 0, 1, 0]])
E3, E4 = 2**-1.2, 2**-2.4


def test_nominal_errors_halve_by_the_bits_and_not_by_the_scheme() -> None:
    assert nominal_error("2u") == nominal_error("2l") == 1.0
    assert nominal_error("3u") == pytest.approx(E3)
    assert nominal_error("4l") == nominal_error("4u") == pytest.approx(E4)
    assert nominal_error("fp32") == nominal_error("no choice") == 0.0


def test_features_by_hand() -> None:
    choice, sensitivity, scheme, layer = Design(SPACE).features(CODES)
    # 2u, 3u, 4l, fp32: how many layers take it, over the root of the number of dimensions.
    np.testing.assert_allclose(2 * choice, [[2, 0, 1, 0], [0, 1, 1, 1], [1, 0, 1, 1]])
    np.testing.assert_allclose(2 * sensitivity, [[1, E4, 0, 1], [E4, 0, 0, E3], [0, E4, 0, 1]])
    np.testing.assert_allclose(2 * scheme, [[1, -E4, 0, 1], [-E4, 0, 0, E3], [0, -E4, 0, 1]])
    expected = np.zeros((3, 9))
    for row, columns in enumerate(([0, 3, 5, 7], [1, 4, 6, 8], [2, 3, 6, 7])):
        expected[row, columns] = 0.5
    np.testing.assert_allclose(layer, expected)


def test_groups_without_and_with_scores() -> None:
    assert Design(SPACE).groups == ("choice", "sensitivity", "scheme", "layer")
    zero = Scores.of({}, {}, SPACE)
    assert Design(SPACE, zero).groups == Design(SPACE).groups
    assert len(Design(SPACE, zero).features(CODES)) == 4


def test_scores_are_relative_to_the_largest() -> None:
    scores = Scores.of({"a": {"2u": 4.0, "4l": 1.0}, "c": {"2u": 2.0}}, {}, SPACE)
    design = Design(SPACE, scores)
    assert design.groups[4:] == ("score", "score-layer")
    *_, total, share = design.features(CODES)
    np.testing.assert_allclose(2 * share, [[1, 0, 0, 0.5], [0.25, 0, 0, 0], [0, 0, 0, 0.5]])
    np.testing.assert_allclose(2 * total, [[1.5], [0.25], [0.5]])


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
    *_, share = Design(SPACE, scores).features(CODES)
    np.testing.assert_allclose(2 * share, [[0, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]])
