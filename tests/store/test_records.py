"""Trials as ``--json`` prints them: made of text, and the same as made of values."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from hqsearch.store.records import TrialRow

ROW = TrialRow(
    number=3, state="COMPLETE", run=0, strategy="random", kind="search", copy_of=None,
    choices={"a": "2u", "µ": "4l"}, values={"accuracy": 0.5}, average_bits=3.0, seed=1, seconds=0.5,
    violation=0.0, failure="", reason='with "quotes" and µ', attempts=1, origin="bred",
    details_json="{}",
)  # fmt: skip
dump = partial(json.dumps, ensure_ascii=False, allow_nan=False)


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"average_bits": 3.0, "layers": [{"layer": "a", "energy": 1e-300}]},
        {"origin": "a key of an evaluator's own", "more": {"reason": 1}},
        {"told": "NaN and Infinity"},
        {"text": 'ends with "}', "half": "\\ud83d"},
    ],
)
def test_details_are_put_in_as_they_are(details: dict[str, Any]) -> None:
    row = replace(ROW, details_json=json.dumps(details))
    assert json.loads(row.as_json_text(dump)) == row.as_json()
    assert row.as_json_text(dump).count('"origin":') == 1


@pytest.mark.parametrize("key", ["origin", "stopped_at", "violation", "failure", "attempts"])
def test_what_the_engine_says_wins_over_details_of_that_name(key: str) -> None:
    row = replace(ROW, reason='"details": {', details_json=json.dumps({key: "own", "a": 1}))
    told = json.loads(row.as_json_text(dump))
    assert told == row.as_json()
    assert told["details"][key] != "own"


def test_what_is_no_json_is_refused_as_ever() -> None:
    row = replace(ROW, details_json=json.dumps({"loss": float("nan")}))
    with pytest.raises(ValueError, match="Out of range float"):
        row.as_json_text(dump)
