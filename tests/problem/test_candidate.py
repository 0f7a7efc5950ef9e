from __future__ import annotations

import pytest

from hqsearch.errors import DefinitionError
from hqsearch.problem.candidate import Candidate


def test_a_candidate_is_its_key_and_its_choices() -> None:
    candidate = Candidate.of({"a": "2u", "b": "fp32"})
    assert candidate.items == (("a", "2u"), ("b", "fp32"))
    assert candidate.key == str(candidate) == "a=2u;b=fp32"
    assert candidate.choices == {"a": "2u", "b": "fp32"}
    assert list(candidate) == ["a", "b"]
    assert (candidate["a"], candidate["b"]) == ("2u", "fp32")
    with pytest.raises(KeyError, match="c"):
        candidate["c"]
    assert candidate == Candidate.from_key("a=2u;b=fp32")
    assert len({candidate, Candidate.from_key("a=2u;b=fp32")}) == 1
    assert candidate != Candidate.of({"b": "fp32", "a": "2u"})


def test_a_value_may_hold_an_equals_sign() -> None:
    assert Candidate.from_key("a=b=c").items == (("a", "b=c"),)


@pytest.mark.parametrize("key", ["", "a", "a=", "=2u", "a=2u;", "a=2u;b", "a=2u;=4u", ";a=2u"])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(DefinitionError, match="is no candidate key"):
        Candidate.from_key(key)


@pytest.mark.parametrize(
    "names",
    [
        ("ops.k=3", "ops.k=5"),
        ("a;b", "c"),
        ("x=1;y", "z"),
        (";", ";;", "=;="),
        ("a;", ";b", "c=;"),
        ("2u=4u", "4u;2u=4u"),
    ],
)
def test_keys_hold_names_with_their_own_signs(names: tuple[str, ...]) -> None:
    candidate = Candidate(tuple((name, "2u") for name in names))
    assert Candidate.from_key(candidate.key) == candidate


def test_keys_of_other_names_are_as_they_always_were() -> None:
    names = ("blocks.0.mlp.a", "a%3Bb", "a\\b", "x y")
    key = Candidate(tuple((name, "4u") for name in names)).key
    assert key == "blocks.0.mlp.a=4u;a%3Bb=4u;a\\b=4u;x y=4u"
