"""Details of evaluations: what is stored is what was stored before, and types are checked once."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from hqsearch.evaluator import Details, LayerRow
from hqsearch.evaluator.details import RungRow, checked
from hqsearch.evaluator.json_record import WrongType, plain

#: As short-qat of release 0.1 left it in a log, shortened.
STORED: dict[str, Any] = {
    "average_bits": 4.5,
    "accuracy_se": 0.0158,
    "validation_samples": 1000,
    "correct": "/+8=",
    "validation_loss": 0.61,
    "training_loss": [0.7, 0.6],
    "rate_samples": 256,
    "energy_estimate": 12.5,
    "layers": [
        {
            "layer": "conv1",
            "choice": "4u",
            "weights": 144,
            "bits": 4,
            "input": "real",
            "rate": None,
            "activity": None,
            "macs": 1000,
            "energy": 1.5,
            "storage": 0.07,
        },
        {"layer": "head", "choice": "8u", "weights": 10, "bits": 8, "colour": "blue"},
    ],
    "rates": {"conv1": {"rate": 0.1}},
    "cpu_seconds": 3.25,
    "versions": {"python": "3.11.7"},
    "data_fingerprint": "abc",
    "parent": "def",
    "measured": {"accuracy": 0.9, "energy": 12.5, "average_bits": 4.5},
}


def test_an_object_of_the_log_is_written_again_the_same() -> None:
    details = Details.from_json(STORED)
    assert details.to_json() == STORED
    assert Details.from_json(json.loads(json.dumps(details.to_json()))) == details
    assert Details.from_json({}).to_json() == {}


def test_what_the_product_reads_has_a_type() -> None:
    details = Details.from_json(STORED)
    assert (details.accuracy_se, details.validation_samples) == (0.0158, 1000)
    assert details.test_samples is None
    assert details.layers is not None
    first, second = details.layers
    assert (first.layer, first.weights, first.rate) == ("conv1", 144, None)
    # That it holds nothing is kept apart from that it is not there.
    assert first.extra == {"rate": None, "activity": None}
    assert second.extra == {"colour": "blue"}
    assert details.extra == {
        "validation_loss": 0.61,
        "training_loss": [0.7, 0.6],
        "rate_samples": 256,
        "data_fingerprint": "abc",
        "parent": "def",
    }


@pytest.mark.parametrize("wrong", [{"layers": "none"}, {"epochs": "two"}, {"versions": {"a": 1}}])
def test_a_log_opens_whatever_is_under_a_known_key(wrong: dict[str, Any]) -> None:
    details = Details.from_json({**wrong, "average_bits": 4})
    assert details.average_bits == 4
    assert details.to_json() == {**wrong, "average_bits": 4}


def test_facts_are_added_to_every_trial() -> None:
    facts = {"versions": {"numpy": "2"}, "parent": "xyz", "epochs": 3}
    told = Details.from_json(STORED).with_facts(facts)
    assert told.to_json() == {**STORED, **facts}
    assert told.epochs == 3
    assert Details().with_facts({"epochs": None}).to_json() == {"epochs": None}


def test_dictionaries_of_evaluators_are_checked() -> None:
    given = {
        "accuracy_se": np.float32(0.5),
        "validation_samples": np.int64(10),
        "layers": ({"layer": "a", "weights": np.int32(5), "macs": np.float64(2)},),
        "loss": np.arange(2),
        "mine": {"deep": (np.bool_(True), None)},
    }
    details = checked(given)
    assert details.layers == (LayerRow(layer="a", weights=5, macs=2.0),)
    assert json.loads(json.dumps(details.to_json())) == {
        "accuracy_se": 0.5,
        "validation_samples": 10,
        "layers": [{"layer": "a", "weights": 5, "macs": 2.0}],
        "loss": [0, 1],
        "mine": {"deep": [True, None]},
    }
    assert checked(details) == details
    rung = RungRow(epoch=1, values={"accuracy": 0.5})
    assert checked(Details(rungs=(rung,))).rungs == (rung,)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"accuracy_se": "0.1"}, "accuracy_se: expected a number, not '0.1'"),
        ({"accuracy_se": True}, "accuracy_se: expected a number, not True"),
        ({"accuracy_se": float("nan")}, "accuracy_se: nan is not a finite number"),
        ({"mine": [1.0, np.inf]}, r"mine\[1\]: inf is not a finite number"),
        ({"mine": np.array([[0.0], [np.nan]])}, r"mine\[1\]\[0\]: nan is not a finite number"),
        ({"test_samples": 10.5}, "test_samples: expected an integer, not 10.5"),
        ({"correct": b"x"}, "correct: a bytes cannot be stored as JSON"),
        ({"layers": {"a": 1}}, "layers: expected a list, not"),
        ({"layers": [{"layer": 3}]}, "layers: 0: layer: expected a text, not 3"),
        ({"layers": ["a"]}, "layers: 0: expected a table, not 'a'"),
        ({"measured": {"energy": "much"}}, "measured: energy: expected a number, not 'much'"),
        ({"mine": {"deep": {1, 2}}}, "mine.deep: a set cannot be stored as JSON"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(given: dict[str, Any], told: str) -> None:
    with pytest.raises(WrongType, match=f"^the evaluator's details: {told}"):
        checked(given)


def test_plain_values_keep_their_types() -> None:
    value = {"a": [1, 2.0, "x", None, True], "b": {}}
    assert plain(value) == value
    assert [type(v) for v in plain(value)["a"]] == [int, float, str, type(None), bool]
