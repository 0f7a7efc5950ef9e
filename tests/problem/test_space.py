from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from hqsearch.definition import SpaceDefinition
from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.space import Space, derive_space


@dataclass(frozen=True)
class Layer:
    path: str
    weights: int


LAYERS = [
    Layer("stem", 10),
    Layer("blocks.0.attention.q", 20),
    Layer("blocks.0.attention.k", 20),
    Layer("blocks.1.attention.q", 20),
    Layer("blocks.1.attention.k", 20),
    Layer("head", 10),
]


def space(**tables: object) -> Space:
    return derive_space(
        SpaceDefinition.model_validate({"choices": ["2u", "4u", "fp32"], **tables}), LAYERS
    )


def test_every_layer_is_a_dimension_in_order() -> None:
    assert space().names == tuple(layer.path for layer in LAYERS)
    assert space().size == 3**6


def test_tied_layers_share_a_choice_within_a_block() -> None:
    tied = space(layers=[{"match": "blocks.*.attention.[qk]", "tie": True}])
    assert tied.names == ("stem", "blocks.0.attention.q+k", "blocks.1.attention.q+k", "head")
    candidate = tied.candidate(
        {
            "stem": "2u",
            "blocks.0.attention.q+k": "4u",
            "blocks.1.attention.q+k": "fp32",
            "head": "2u",
        }
    )
    assignment = tied.assignment(candidate)
    assert assignment["blocks.0.attention.q"] == assignment["blocks.0.attention.k"] == "4u"
    assert assignment["blocks.1.attention.k"] == "fp32"


def test_a_later_rule_unties() -> None:
    rules = [
        {"match": "blocks.*", "tie": True},
        {"match": "blocks.1.*", "tie": False},
    ]
    assert len(space(layers=rules).dimensions) == 5


def test_pinned_layers_are_no_dimension_but_are_assigned_and_counted() -> None:
    pinned = space(layers=[{"match": "head", "pin": "8u"}])
    assert "head" not in pinned.names
    candidate = pinned.decode(np.zeros(5, dtype=int))[0]
    assert pinned.assignment(candidate)["head"] == "8u"
    bits = pinned.average_bits([candidate], {layer.path: layer.weights for layer in LAYERS})
    assert bits[0] == pytest.approx((90 * 2 + 10 * 8) / 100)


def test_baseline_takes_the_nearest_allowed_choice() -> None:
    limited = space(layers=[{"match": "head", "choices": ["4u", "8u", "fp32"]}])
    assert limited.baseline("2u")["head"] == "4u"
    assert limited.baseline("2u")["stem"] == "2u"
    assert limited.baseline("4l")["stem"] == "4u"


def test_baselines_are_one_per_choice_and_differ() -> None:
    found = space().baselines()
    assert list(found) == ["2u", "4u", "fp32"]
    assert len(set(found.values())) == 3


def test_codes_and_candidates_are_the_same_thing() -> None:
    own = space()
    codes = np.random.default_rng(0).integers(0, own.cardinalities, size=(20, 6))
    np.testing.assert_array_equal(own.encode(own.decode(codes)), codes)
    candidate = own.decode(codes)[0]
    assert Candidate.from_key(candidate.key) == candidate


def test_structure_is_a_dimension_and_selects_the_key() -> None:
    own = space(structure=[{"name": "timesteps", "values": [4, 8]}])
    candidate = own.decode(np.array([0, 0, 0, 0, 0, 0, 1]))[0]
    assert own.structure(candidate) == {"timesteps": "8"}
    assert own.structural_key(candidate) == "timesteps=8"
    assert own.structural_key(own.baseline("2u")) == "timesteps=4"
    assert "timesteps" not in own.assignment(candidate)


def test_unknown_names_suggest_the_closest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'head'"):
        space(layers=[{"match": "haed", "pin": "4u"}])
    with pytest.raises(UnknownName, match="did you mean 'stem'"):
        space().candidate({"stm": "2u"})
    with pytest.raises(DefinitionError, match="unknown choice '3x'"):
        space(layers=[{"match": "head", "pin": "3x"}])


def test_nothing_to_choose_is_refused() -> None:
    with pytest.raises(DefinitionError, match="nothing to choose"):
        space(layers=[{"match": "*", "pin": "4u"}])


def test_tied_layers_with_different_choices_are_refused() -> None:
    rules = [
        {"match": "blocks.*", "tie": True},
        {"match": "blocks.0.attention.q", "choices": ["2u", "4u"]},
    ]
    with pytest.raises(DefinitionError, match="tied but have different choices"):
        space(layers=rules)
