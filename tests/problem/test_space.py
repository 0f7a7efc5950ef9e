from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from hqsearch.definition import SpaceDefinition
from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.space import Dimension, Space, derive_space, refuse_needless


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
    assert own.structure(candidate) == {"timesteps": 8}
    assert own.structural_key(candidate) == "timesteps=8"
    assert own.structural_key(own.baseline("2u")) == "timesteps=4"
    assert "timesteps" not in own.assignment(candidate)


def test_settings_keep_their_type_and_keys_stay_text() -> None:
    values = [True, 4, 0.5, "lif"]
    own = space(structure=[{"name": "setting", "values": values}])
    settings = []
    for code, text in enumerate(("true", "4", "0.5", "lif")):
        candidate = own.decode(np.array([0, 0, 0, 0, 0, 0, code]))[0]
        assert candidate["setting"] == text
        assert own.structural_key(candidate) == f"setting={text}"
        settings.append(own.structure(candidate)["setting"])
    assert settings == values
    assert list(map(type, settings)) == [bool, int, float, str]


@pytest.mark.parametrize(
    ("structure", "told"),
    [
        ({"name": "t", "values": [4, "4"]}, "values 4 and '4' are both written '4'"),
        ({"name": "t", "values": [True, "true"]}, "both written 'true'"),
        ({"name": "t", "values": [4, 4]}, "both written '4'"),
        ({"name": "t", "values": ["a;b"]}, "has a ';' or '=' in it"),
        ({"name": "t", "values": [""]}, "is empty"),
        ({"name": "t=", "values": [1]}, "has a ';' or '=' in it"),
        ({"name": "head", "values": [1]}, "another dimension of this name"),
    ],
)
def test_structure_that_logs_could_not_hold_is_refused(
    structure: dict[str, object], told: str
) -> None:
    with pytest.raises(DefinitionError, match=told):
        space(structure=[structure])


def test_parts_are_the_space_with_one_structure_each() -> None:
    assert list(space().parts.items()) == [("", space())]
    structure = [{"name": "t", "values": [4, 2, 1]}, {"name": "neuron", "values": ["lif", "if"]}]
    own = space(structure=structure)
    assert len(own.parts) == 6
    assert next(iter(own.parts)) == "t=4;neuron=lif"
    codes = np.random.default_rng(0).integers(0, own.cardinalities, size=(50, 8))
    keys = [own.structural_key(c) for c in own.decode(codes)]
    assert [list(own.parts)[i] for i in own.part_indices(codes)] == keys
    for key, part in own.parts.items():
        assert part.size == 3**6
        drawn = part.random(np.random.default_rng(1))
        assert own.structural_key(drawn) == part.structural_key(drawn) == key
        assert own.candidate(drawn.choices) == drawn
        assert part.structure(drawn) == own.structure(drawn)
    assert list(own.parts["t=1;neuron=if"].baselines()) == list(own.baselines())


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


MIXED = Space(
    (
        Dimension("a", "weights", ("2u", "4l", "fp32"), ("x", "y")),
        Dimension("t", "structure", ("4", "8")),
        Dimension("b", "weights", ("8u", "3u"), ("z",)),
    ),
    (("head", "8u"),),
)


def test_what_a_space_counts() -> None:
    assert (MIXED.size, MIXED.names) == (12, ("a", "t", "b"))
    assert MIXED.cardinalities.tolist() == [3, 2, 2]
    assert MIXED.encode([]).shape == (0, 3)
    assert MIXED.decode(np.empty((0, 3))) == []


def test_average_bits_by_hand() -> None:
    weights = {"x": 1, "y": 2, "z": 3, "head": 4}
    candidates = MIXED.decode([[0, 0, 0], [2, 1, 1], [1, 0, 1]])
    bits = MIXED.average_bits(candidates, weights)
    np.testing.assert_allclose(bits, [(6 + 24 + 32) / 10, (96 + 9 + 32) / 10, (12 + 9 + 32) / 10])


def test_assignment_structure_and_keys() -> None:
    (candidate,) = MIXED.decode([1, 1, 0])
    assert candidate.key == "a=4l;t=8;b=8u"
    assert MIXED.assignment(candidate) == {"head": "8u", "x": "4l", "y": "4l", "z": "8u"}
    assert MIXED.structure(candidate) == {"t": "8"}
    assert MIXED.structural_key(candidate) == "t=8"
    assert MIXED.candidate({"b": "8u", "a": "4l", "t": "8"}) == candidate
    with pytest.raises(DefinitionError, match="no value given for dimension 't'"):
        MIXED.candidate({"a": "2u", "b": "8u"})
    with pytest.raises(UnknownName, match="dimension 'b'"):
        MIXED.candidate({"a": "2u", "t": "4", "b": "2u"})


def test_the_nearest_choice_by_bits_then_scheme_then_fewer_bits() -> None:
    def nearest(choice: str, *values: str) -> str:
        return Space((Dimension("a", "weights", values, ("a",)),)).baseline(choice)["a"]

    assert nearest("4u", "8u", "3l", "fp32") == "3l"
    assert nearest("4u", "5l", "3u") == "3u"
    assert nearest("4l", "5u", "5l", "3u") == "5l"
    assert nearest("4u", "5u", "3u") == nearest("4u", "3u", "5u") == "3u"
    assert nearest("fp32", "2u", "8u") == "8u"
    assert MIXED.baseline("4u").key == "a=4l;t=4;b=3u"


def test_baselines_come_cheapest_first_and_once() -> None:
    assert {c: b.key for c, b in MIXED.baselines().items()} == {
        "2u": "a=2u;t=4;b=3u",
        "4l": "a=4l;t=4;b=3u",
        "8u": "a=4l;t=4;b=8u",
        "fp32": "a=fp32;t=4;b=8u",
    }
    # 3u would be as 2u is: as near to it in bits, and of its scheme.
    assert list(MIXED.baselines()) == ["2u", "4l", "8u", "fp32"]


def test_random_candidates_are_uniform() -> None:
    generator = np.random.default_rng(0)
    codes = MIXED.encode(MIXED.random(generator) for _ in range(600))
    for column, count in enumerate(MIXED.cardinalities):
        shares = np.bincount(codes[:, column], minlength=count) / 600
        np.testing.assert_allclose(shares, 1 / count, atol=0.07)


def names_of(*paths: str, **tables: object) -> tuple[str, ...]:
    rules = SpaceDefinition.model_validate({"choices": ["2u", "4u"], **tables})
    return derive_space(rules, [Layer(p, 1) for p in paths]).names


def test_names_of_tied_layers() -> None:
    everything = {"layers": [{"match": "*", "tie": True}]}
    assert names_of("a.0.b.q", "a.0.b.k", "a.1.b.q", **everything) == ("a.0.b.q+k", "a.1.b.q")
    assert names_of("stem", "head", **everything) == ("stem+head",)
    assert names_of("a.0.q", "a.0.k.w", **everything) == ("a.0.q+k.w",)
    assert names_of("a.x", "a", **everything) == ("a.x+a",)
    # The last numbered part is the block's.
    assert names_of("s.0.b.1.q", "s.0.b.2.q", "s.0.b.1.k", **everything) == (
        "s.0.b.1.q+k", "s.0.b.2.q",
    )  # fmt: skip


def test_two_rules_tie_apart_and_the_last_one_wins() -> None:
    rules = [{"match": "*.q", "tie": True}, {"match": "*.k", "tie": True}]
    paths = ("b.0.x.q", "b.0.y.q", "b.0.x.k", "b.0.y.k")
    assert names_of(*paths, layers=rules) == ("b.0.x.q+y.q", "b.0.x.k+y.k")
    both = [*rules, {"match": "*", "tie": True}]
    assert names_of(*paths, layers=both) == ("b.0.x.q+y.q+x.k+y.k",)


def test_choices_pins_and_repeated_values() -> None:
    rules = [
        {"match": "b", "choices": ["8u", "2u", "8u"]},
        {"match": "c", "choices": ["4u", "4u"]},
        {"match": "d", "pin": "4u"},
        {"match": "d", "choices": ["2u", "3u"]},
        {"match": "d", "tie": False},
    ]
    definition = SpaceDefinition.model_validate({"choices": ["2u", "4u"], "layers": rules})
    derived = derive_space(definition, [Layer(p, 1) for p in "abcd"])
    assert [d.values for d in derived.dimensions] == [("2u", "4u"), ("8u", "2u"), ("2u", "3u")]
    assert derived.pinned == (("c", "4u"),)


@pytest.mark.parametrize(
    ("tables", "place"),
    [
        ({"choices": ["4u", "5l"]}, "stem"),
        ({"layers": [{"match": "blocks.1.*.k", "choices": ["2l", "5l"]}]}, "blocks.1.attention.k"),
        ({"layers": [{"match": "head", "pin": "5l"}]}, "head"),
        (
            {"layers": [{"match": "*.[qk]", "choices": ["5l", "4l"], "tie": True}]},
            r"blocks.0.attention.q\+k",
        ),
    ],
)
def test_what_no_new_study_needs_is_refused_where_it_stands(
    tables: dict[str, object], place: str
) -> None:
    """Derived all the same: a study that holds it already goes on."""
    derived = space(**tables)
    with pytest.raises(DefinitionError, match=f"'{place}': .* not offer 5l: 5l errs as much as 4l"):
        refuse_needless(derived)


def test_what_earns_its_bits_is_not_refused() -> None:
    refuse_needless(space(choices=["1b", "2u", "3u", "5u", "6u", "8u", "2l", "3l", "4l", "fp32"]))
