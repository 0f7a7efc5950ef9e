"""Two tables of settings, compared in words."""

from __future__ import annotations

from hqsearch.definition.differences import differences, flatten


def test_flatten_and_missing_keys() -> None:
    assert flatten({"a": {"b": 1}, "c": [2]}) == {"a.b": 1, "c": [2]}
    assert differences({"a": 1}, {"b": 2}) == [
        "a: 1 in the study, nothing asked for",
        "b: nothing in the study, 2 asked for",
    ]
