"""What a study adds to its ``[data]``: timesteps and a place."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqsearch.data import DataSpec, usual_place
from hqsearch.definition import DataDefinition
from hqsearch.errors import DefinitionError, UnknownName


def test_the_rules_of_the_definition_hold() -> None:
    with pytest.raises(UnknownName, match="did you mean 'nmnist'"):
        DataSpec("n-mnist", 4, 32, path=Path("x"))
    with pytest.raises(DefinitionError, match="size must be"):
        DataSpec("simulated-gestures", timesteps=8, size=4000)


@pytest.mark.parametrize("timesteps", [0, 1025])
def test_timesteps_have_limits(timesteps: int) -> None:
    with pytest.raises(DefinitionError, match=f"timesteps must be 1 to 1024; {timesteps} was"):
        DataSpec("simulated-gestures", timesteps=timesteps, size=32)


@pytest.mark.parametrize("dataset", ["nmnist", "folder"])
def test_recordings_need_a_folder(dataset: str) -> None:
    with pytest.raises(
        DefinitionError, match=rf"\[data\] {dataset} needs a folder .*recordings=DIR"
    ):
        DataSpec(dataset, 4, 32)


def test_a_definition_gets_timesteps_and_a_place() -> None:
    data = DataDefinition(dataset="nmnist", size=16, encoding="count", train=5, seed=3)
    spec = DataSpec.of(data, 6, Path("/somewhere"))
    assert (spec.timesteps, spec.path) == (6, Path("/somewhere"))
    assert spec == DataSpec(
        "nmnist", 6, 16, encoding="count", path=Path("/somewhere"), train=5, seed=3
    )
    same = {"path", "timesteps"}
    assert spec.model_dump(exclude=same) == data.model_dump(exclude={"path"})


def test_named_recorded_sets_have_a_usual_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert usual_place("nmnist") == tmp_path / "data"
    assert usual_place("folder") is None
    assert usual_place("simulated-gestures") is None
