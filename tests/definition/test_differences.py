"""Two tables of settings, compared in words."""

from __future__ import annotations

from hqsearch.definition.differences import differences, flatten


def test_flatten_and_missing_keys() -> None:
    assert flatten({"a": {"b": 1}, "c": [2]}) == {"a.b": 1, "c": [2]}
    assert differences({"a": 1}, {"b": 2}) == [
        "a: 1 in the study, nothing asked for",
        "b: nothing in the study, 2 asked for",
    ]


def test_a_file_that_has_changed_is_named() -> None:
    then, now = "a" * 64, "b" * 64
    assert differences(
        {"command": {"t.py": f"sha256 {then}"}}, {"command": {"t.py": f"sha256 {now}"}}
    ) == ["command.t.py has changed since (sha256 aaaaaaaa…, now bbbbbbbb…)"]
    was, other = f"n.py:Net sha256 {then} code {then}", f"n.py:Net sha256 {now} code {now}"
    assert differences({"evaluator": was}, {"evaluator": other}) == [
        "evaluator: n.py:Net has changed since (sha256 aaaaaaaa…, now bbbbbbbb…)"
    ]
    (told,) = differences({"evaluator": was}, {"evaluator": f"n.py:Net sha256 {then} code {now}"})
    assert told == "evaluator: n.py:Net: a file that it imports has changed since"
    # Another file is no change of the first.
    (told,) = differences({"evaluator": was}, {"evaluator": f"m.py:Net sha256 {now} code {now}"})
    assert told.startswith("evaluator: 'n.py:Net sha256 aaa")
