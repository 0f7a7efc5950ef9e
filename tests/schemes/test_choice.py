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
        ("fp32", 32, "float"),
    ],
)
def test_bits_and_scheme(text: str, bits: int, scheme: str) -> None:
    assert (parse_choice(text).bits, parse_choice(text).scheme.name) == (bits, scheme)


@pytest.mark.parametrize("text", ["1u", "9u", "6l", "2b", "1l", "4x", "", "fp16", "04u"])
def test_what_is_no_choice_is_refused(text: str) -> None:
    with pytest.raises(DefinitionError, match="unknown choice"):
        parse_choice(text)


def test_suggests_the_closest() -> None:
    with pytest.raises(DefinitionError, match="did you mean 'fp32'"):
        parse_choice("fp23")
