"""The parent: trained once, found again, trained again where it is damaged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hqsearch.errors import RunFailed
from hqsearch.qat.parent import _whole, epochs_done, is_whole, parent_digest, parent_seconds
from hqsearch.qat.structural_part import Part
from hqsearch.qat.study import QatStudy
from hqsearch.training import load_tensors, save_tensors

MakeStudy = Callable[..., QatStudy]
Prepare = Callable[[Part], dict[str, Any]]


@pytest.fixture
def copy(prepared: Part, tmp_path: Path) -> Part:
    """The prepared study in a folder that may be damaged."""
    shutil.copytree(prepared.study.folder, tmp_path / "copy")
    return Part(replace(prepared.study, folder=tmp_path / "copy"))


def test_a_prepared_folder_is_used_again(copy: Part, prepared: Part, prepare: Prepare) -> None:
    stamps = {p: p.stat().st_mtime_ns for p in copy.study.folder.rglob("*") if p.is_file()}
    again = prepare(copy)
    assert again["trained"] == []
    about = json.loads((prepared.parent_folder / "parent.json").read_text())
    assert again["made"]["parent"] == about["weights"]
    written = {p: p.stat().st_mtime_ns for p in copy.study.folder.rglob("*") if p in stamps}
    assert written == stamps
    (line,) = [line for line in again["told"] if line.startswith("parent: ")]
    assert line.endswith("on 22 validation samples, fp32, 2 epochs")


def test_what_was_known_of_a_folder_that_was_moved_away_is_written_again(
    copy: Part, prepare: Prepare
) -> None:
    before = copy.prepared
    assert before is not None  # as the checks before --fresh have asked
    kept = copy.study.folder.rename(copy.study.folder.with_name("copy.before"))
    copy.study.folder.mkdir()
    shutil.copytree(kept / "data", copy.study.folder / "data")
    assert prepare(copy)["trained"] == [""]
    assert Part(copy.study).prepared == before


def test_what_was_measured_lies_beside_the_weights(prepared: Part) -> None:
    folder = prepared.parent_folder
    assert is_whole(folder)
    assert epochs_done(folder) == 2
    about = json.loads((folder / "parent.json").read_text())
    assert set(about) == {
        "accuracy",
        "accuracy_se",
        "validation_samples",
        "correct",
        "weights",
        "seconds",
    }
    assert 0 < parent_seconds(prepared) < 600
    assert about["validation_samples"] == 22
    workload = prepared.workload()
    assert workload is not None
    assert all(workload.layers[layer.path].rate is not None for layer in prepared.layers[1:])
    fresh, parent = prepared.build().state_dict(), prepared.parent().state_dict()
    assert any(not torch.equal(fresh[name], parent[name]) for name in fresh)


@pytest.mark.parametrize("name", ["parent.safetensors", "parent.json", "workload.json"])
def test_a_missing_or_damaged_file_means_training_again(
    copy: Part, prepare: Prepare, name: str
) -> None:
    weights = copy.parent_folder / "parent.safetensors"
    whole = weights.read_bytes()
    if name == "parent.safetensors":
        weights.write_bytes(whole[:-100])
    else:
        (copy.parent_folder / name).unlink()
    assert not is_whole(copy.parent_folder)
    assert prepare(copy)["trained"] == [""]
    assert weights.read_bytes() == whole


def test_a_workload_of_earlier_counting_is_made_anew(copy: Part, prepare: Prepare) -> None:
    folder = copy.parent_folder
    before, weights = (folder / "workload.json").read_text(), folder / "parent.safetensors"
    old = {**json.loads(before), "counting": 1}
    (folder / "workload.json").write_text(json.dumps(old))
    assert not is_whole(folder)
    trained = weights.read_bytes()
    assert prepare(copy)["trained"] == [""]  # from a checkpoint of all its epochs
    assert (folder / "workload.json").read_text() == before
    assert weights.read_bytes() == trained


def test_a_parent_that_diverges_ends_the_run_with_the_tensor(
    make_study: MakeStudy, prepare: Prepare, tmp_path: Path
) -> None:
    part = Part(make_study(tmp_path, {"evaluation.parent_learning_rate": 1e38}))
    with pytest.raises(RunFailed, match=r"the parent did not train: .*(not finite|loss is)"):
        prepare(part)
    assert not (part.parent_folder / "parent.safetensors").exists()
    with pytest.raises(RunFailed, match="the parent did not train"):
        prepare(part)  # a resumed one is no other


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "name", ["tokenizer.norm1.running_var", "blocks.0.mlp.fc1.bias", "head.weight"]
)
def test_a_parent_that_holds_no_number_is_refused(copy: Part, name: str, value: float) -> None:
    """Made by an older version, or by hand."""
    weights = copy.parent_folder / "parent.safetensors"
    tensors = load_tensors(weights)
    tensors[name][(0,) * tensors[name].ndim] = value
    save_tensors(tensors, weights)
    with pytest.raises(RunFailed, match=f"the parent cannot be used: {name} is not finite in"):
        copy.parent()


def test_no_epoch_is_done_before_the_first(tmp_path: Path) -> None:
    assert epochs_done(tmp_path) == 0
    assert not is_whole(tmp_path)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"evaluation.epochs": 7}, True),
        ({"evaluation.learning_rate": 0.5}, True),
        ({"evaluation.threads": 2}, True),
        ({"evaluation.retries": 5}, True),
        ({"hardware.profile": "sop-45nm"}, True),
        ({"evaluation.parent_epochs": 3}, False),
        ({"evaluation.batch_size": 5}, False),
        ({"evaluation.seed": 2}, False),
        ({"data.train": 33}, False),
        ({"model.depth": 2}, False),
        ({"model.timesteps": 1}, False),
    ],
)
def test_the_digest_is_of_what_the_parent_depends_on(
    make_study: MakeStudy, tmp_path: Path, changes: dict[str, Any], same: bool
) -> None:
    plain, other = Part(make_study(tmp_path)), Part(make_study(tmp_path, changes))
    assert (parent_digest(plain, "f") == parent_digest(other, "f")) == same
    assert parent_digest(plain, "f") != parent_digest(plain, "other frames")


def test_the_digest_of_the_present_release(make_study: MakeStudy, tmp_path: Path) -> None:
    """Folders that this recipe prepared must be found: the digest never changes by itself."""
    study = replace(make_study(tmp_path, {"evaluation.seed": 0}), recipe=3)
    assert parent_digest(Part(study), "frames")[:16] == "4d353b6efd16e718"


def test_settings_of_a_part_are_part_of_its_digest(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(tmp_path)
    plain, one = Part(study), Part(study, "timesteps=1", {"timesteps": 1})
    assert parent_digest(plain, "f") != parent_digest(one, "f")
    same = Part(make_study(tmp_path, {"model.timesteps": 1}))
    assert parent_digest(one, "f") == parent_digest(same, "f")


def test_another_recipe_has_a_parent_of_its_own(make_study: MakeStudy, tmp_path: Path) -> None:
    first = Part(make_study(tmp_path))
    second = Part(replace(first.study, recipe=2))
    assert parent_digest(first, "f") != parent_digest(second, "f")


def test_seconds_of_epochs_that_were_there_count_as_long_as_the_others() -> None:
    assert _whole(30.0, already=0, epochs=10) == 30.0
    assert _whole(30.0, already=4, epochs=10) == 50.0
    assert _whole(1.0, already=10, epochs=10) == 1.0  # measured again, not trained
