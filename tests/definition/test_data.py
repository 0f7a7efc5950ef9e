"""``[data]``: names, limits, and what contradicts the data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hqsearch.data.clock import UNIT_NAMES, UNITS
from hqsearch.definition import DataDefinition, load_study, validate
from hqsearch.definition.data import TIME_UNITS
from hqsearch.errors import DefinitionError, UnknownName


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 7}, r"\[data\] size must be 8 to 1,024; 7 was given"),
        ({"size": 1025}, "size must be"),
        ({"train": 0}, "train must be 1 to 1,000,000 samples; 0 was given"),
        ({"validation": 1_000_001}, "validation must be"),
        ({"test": -1}, "test must be"),
        ({"seed": -1}, "seed must not be negative"),
        ({"path": Path("x")}, "path does not apply to simulated-gestures"),
        ({"sensor": (34, 34)}, "sensor does not apply"),
        ({"download": True}, "download does not apply"),
        ({"dataset": "folder", "download": True}, "download does not apply to a folder"),
        ({"dataset": "folder", "sensor": (0, 3)}, "sensor must be"),
        ({"dataset": "folder", "sensor": (34, 65536)}, "sensor must be"),
    ],
)
def test_impossible_values_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        DataDefinition(**({"dataset": "simulated-gestures"} | changes))


def test_limits_themselves_are_allowed() -> None:
    small = DataDefinition(dataset="folder", size=8, train=1, test=1_000_000, sensor=(1, 65535))
    assert (small.size, small.train, small.test, small.sensor) == (8, 1, 1_000_000, (1, 65535))
    assert DataDefinition(dataset="nmnist", size=1024).path is None


def test_a_data_set_of_another_evaluator_is_its_own_business() -> None:
    assert DataDefinition(dataset="my-recordings").dataset == "my-recordings"


def test_unknown_names_suggest() -> None:
    with pytest.raises(UnknownName, match=r"\[data\] encoding; did you mean 'log2'"):
        DataDefinition(dataset="nmnist", encoding="log-2")


def test_a_study_file_is_named_with_what_is_wrong_in_it(study_file: Callable[..., Path]) -> None:
    with pytest.raises(DefinitionError, match=r"mine\.toml: \[data\] size must be 8 to 1,024"):
        load_study(study_file(extra='[data]\ndataset = "nmnist"\nsize = 4'))


def test_a_unit_of_time_counts_only_where_it_is_given() -> None:
    plain = DataDefinition(dataset="folder")
    assert "time_unit" not in plain.model_dump(mode="json")
    given = DataDefinition(dataset="folder", time_unit="ms")
    assert given.model_dump(mode="json") == plain.model_dump(mode="json") | {"time_unit": "ms"}
    assert validate(DataDefinition, given.model_dump(mode="json"), "here") == given
    with pytest.raises(UnknownName, match=r"unknown unit 'msec'.*did you mean 'ms'"):
        validate(DataDefinition, {"dataset": "folder", "time_unit": "msec"}, "here")
    assert set(TIME_UNITS) == set(UNITS) == set(UNIT_NAMES)
