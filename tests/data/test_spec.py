from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hqsearch.data import DataSpec
from hqsearch.errors import DefinitionError, UnknownName


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"timesteps": 0}, "timesteps must be 1 to 1024; 0 was given"),
        ({"size": 4000}, "size must be"),
        ({"train": 0}, "train must be"),
        ({"seed": -1}, "seed must not be negative"),
        ({"path": Path("x")}, "path does not apply to simulated-gestures"),
        ({"sensor": (34, 34)}, "sensor does not apply"),
        ({"download": True}, "download does not apply"),
        ({"dataset": "nmnist"}, "--data DIR"),
        ({"dataset": "folder", "path": Path("x"), "download": True}, "download does not apply"),
        ({"dataset": "folder", "path": Path("x"), "sensor": (0, 3)}, "sensor must be"),
    ],
)
def test_impossible_values_are_refused(changes: dict[str, Any], message: str) -> None:
    values: dict[str, Any] = {"dataset": "simulated-gestures", "timesteps": 8, "size": 32}
    with pytest.raises(DefinitionError, match=message):
        DataSpec(**(values | changes))


def test_unknown_names_suggest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'nmnist'"):
        DataSpec("n-mnist", 4, 32, path=Path("x"))
    with pytest.raises(UnknownName, match="did you mean 'log2'"):
        DataSpec("simulated-gestures", 4, 32, encoding="log-2")
