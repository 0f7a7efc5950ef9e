"""One structural part: made when it is asked for, and apart from the others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hqsearch.definition import SpaceDefinition
from hqsearch.errors import DataError, DefinitionError
from hqsearch.problem.space import Space, derive_space
from hqsearch.qat.costs import cheap_metrics, fp32_metrics
from hqsearch.qat.short_training import ShortTraining, measure
from hqsearch.qat.structural_part import Part, structural_settings
from hqsearch.qat.study import QatStudy

MakeStudy = Callable[..., QatStudy]
Prepare = Callable[[Part], dict[str, Any]]
TIMESTEPS = {"name": "timesteps", "values": (1, 2)}


def space_of(part: Part, *structure: dict[str, Any]) -> Space:
    rules = SpaceDefinition.model_validate({"choices": ("2u", "fp32"), "structure": structure})
    return derive_space(rules, part.layers)


def test_a_new_part_touches_nothing(make_study: MakeStudy, tmp_path: Path) -> None:
    part = Part(make_study(tmp_path / "absent"))
    assert part.key == ""
    assert part.network == "spikformer"
    assert part.classes == 11
    assert [part.layers[0].path, part.layers[-1].path] == ["tokenizer.conv1", "head"]
    assert part.prepared is None
    assert part.workload() is None
    assert not (tmp_path / "absent").exists()
    with pytest.raises(DataError, match=r"prepared\.json does not exist"):
        _ = part.frames


def test_what_is_prepared_is_found_by_another_process(prepared: Part) -> None:
    told = json.loads((prepared.study.folder / "prepared.json").read_text())
    assert set(told) == {"classes", "frames", "parents"}
    assert set(told["parents"]) == {""}
    other = Part(prepared.study)
    assert other.parent_folder == prepared.study.folder / told["parents"][""]
    assert other.frames.train.frames.shape == (22, 2, 2, 16, 16)
    assert len(other.samples("test")) == 11
    assert other.workload() == prepared.workload()


def test_cost_tables_are_made_once_for_a_space(prepared: Part) -> None:
    space = space_of(prepared)
    first = prepared.costs(space)
    assert prepared.costs(space) is first
    assert prepared.costs(space_of(prepared)) is not first


def test_costs_counted_earlier_are_shown_and_not_used(prepared: Part, tmp_path: Path) -> None:
    shutil.copytree(prepared.study.folder, tmp_path / "copy")
    part = Part(replace(prepared.study, folder=tmp_path / "copy"))
    file = part.parent_folder / "workload.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "counting": 1}))
    shown = part.workload()
    assert shown is not None
    assert shown.counting == 1
    with pytest.raises(DefinitionError, match="prepare the study again"):
        part.costs(space_of(part))


def test_a_space_without_structure_has_one_part_without_settings(prepared: Part) -> None:
    assert structural_settings(space_of(prepared)) == {"": {}}


def test_every_combination_of_structural_values_is_a_part(prepared: Part) -> None:
    space = space_of(prepared, TIMESTEPS, {"name": "depth", "values": (1, 2)})
    parts = structural_settings(space)
    assert list(parts) == [
        f"timesteps={steps};depth={depth}" for steps in (1, 2) for depth in (1, 2)
    ]
    assert {str(p["timesteps"]) for p in parts.values()} == {"1", "2"}


def test_two_parts_have_frames_parents_costs_and_candidates_of_their_own(
    make_study: MakeStudy, prepare: Prepare, tmp_path: Path
) -> None:
    study = make_study(tmp_path, {"evaluation.parent_epochs": 1, "evaluation.epochs": 1})
    space = space_of(Part(study), TIMESTEPS)
    parts = {k: Part(study, k, given) for k, given in structural_settings(space).items()}
    assert list(parts) == ["timesteps=1", "timesteps=2"]
    for key, part in parts.items():
        assert prepare(part)["trained"] == [key]
        assert prepare(Part(study, key, {"timesteps": key[-1]}))["trained"] == []
    one, two = parts.values()
    assert one.frames.train.frames.shape[1] == 1
    assert two.frames.train.frames.shape[1] == 2
    assert one.parent_folder != two.parent_folder
    baselines = {
        key: space.candidate({**dict(space.baseline("2u").items), "timesteps": key[-1]})
        for key in parts
    }
    cheap = cheap_metrics(parts, space, list(baselines.values()))
    assert cheap[0, 0] < cheap[1, 0]  # energy; storage is the same
    np.testing.assert_array_equal(cheap[0, 1:], cheap[1, 1:])
    references = [fp32_metrics(part.costs(space)) for part in parts.values()]
    assert references[0]["energy"] < references[1]["energy"]
    for key, candidate in baselines.items():
        done = measure(parts[key], space, candidate, ShortTraining(0, study.options.epochs))
        assert done.details["energy_estimate"] == cheap[list(parts).index(key), 0]
        assert len(done.details["training_loss"]) == 1


def test_the_number_of_classes_comes_from_any_preparation(prepared: Part) -> None:
    """A worker elsewhere has the frames, not the recordings that they were made of."""
    part = Part(prepared.study, "timesteps=1", {"timesteps": 1})
    part.__dict__["_classes_of_files"] = -1
    assert part.prepared is None
    assert part.classes == 11
