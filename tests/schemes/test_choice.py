from __future__ import annotations

import pytest

from hqsearch.errors import DefinitionError
from hqsearch.schemes.choice import all_choices, parse_choice


def test_every_choice_reads_back() -> None:
    for text in all_choices():
        assert str(parse_choice(text)) == text


@pytest.mark.parametrize(
    ("text", "bits", "scheme"),
    [
        ("2u", 2, "uniform"),
        ("8u", 8, "uniform"),
        ("5l", 5, "power-of-two"),
        ("1b", 1, "binary"),
        ("fp32", 32, "float"),
    ],
)
def test_bits_and_scheme(text: str, bits: int, scheme: str) -> None:
    assert (parse_choice(text).bits, parse_choice(text).scheme.name) == (bits, scheme)


@pytest.mark.parametrize("text", ["1u", "9u", "6l", "2b", "1l", "4x", "", "fp16", "04u"])
def test_what_is_no_choice_is_refused(text: str) -> None:
    with pytest.raises(DefinitionError, match="unknown choice"):
        parse_choice(text)


def test_code_that_compares_a_scheme_with_its_name_still_works() -> None:
    scheme = parse_choice("4u").scheme
    with pytest.warns(DeprecationWarning, match=r"compare scheme\.name with 'uniform'"):
        assert scheme == "uniform"
    with pytest.warns(DeprecationWarning, match="compare"):
        assert {"uniform": 3}[scheme] == 3  # type: ignore[index]
    assert scheme != parse_choice("4l").scheme


def test_a_message_names_every_scheme() -> None:
    with pytest.raises(DefinitionError) as told:
        parse_choice("4x")
    assert str(told.value).endswith(
        "A choice is <bits>u (uniform, 2 to 8 bits), <bits>l (power-of-two, 2 to 5 bits), "
        "1b (binary) or fp32."
    )


def test_suggests_the_closest() -> None:
    with pytest.raises(DefinitionError, match="did you mean 'fp32'"):
        parse_choice("fp23")
