"""From a trial to a file, as a user goes: train, export, load; and everything that is refused."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import hqsearch
from hqsearch.cli import cli
from hqsearch.definition import embedded
from hqsearch.errors import InputError, StudyDamaged
from hqsearch.evaluator.registry import evaluator_class
from hqsearch.study.finishing import final_seeds

SMALL = {
    "data.train": 22, "data.validation": 22, "data.test": 11, "data.size": 16,
    "model.timesteps": 2, "model.embed_dim": 16, "model.depth": 1, "model.heads": 2,
    "evaluation.parent_epochs": 2, "evaluation.batch_size": 11, "evaluation.epochs": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where a small study was searched; one thread, as its evaluations have."""
    before = torch.get_num_threads()
    place = tmp_path_factory.mktemp("finishing")
    gesture(place).run("random", evaluations=7, executor="in-process")
    yield place
    torch.set_num_threads(before)


def gesture(place: Path) -> hqsearch.Study:
    return hqsearch.Study(
        str(embedded("studies")["gesture"]), studies_dir=place / "studies", settings=SMALL
    )


def command(capsys: Any, *words: str) -> str:
    """What a command prints."""
    assert cli(list(words), standalone_mode=False) in (None, 0)
    return str(capsys.readouterr().out)


def frames_of(place: Path) -> torch.Tensor:
    """Test frames of the study as the network sees them, ``[T, N, C, H, W]``."""
    from hqsearch.data import open_frames

    (data,) = [p for p in (place / "studies/gesture/data").iterdir() if p.is_dir()]
    split = open_frames(data).test
    return torch.from_numpy(split.frames.swapaxes(0, 1).copy()).float()


def test_train_export_load(folder: Path, tmp_path: Path, capsys: Any) -> None:
    study = gesture(folder)
    trial = study.trials()[6]
    told: list[tuple[str, int, int]] = []

    class Listener(hqsearch.Listener):
        def prepared(self, label: str, done: int, total: int) -> None:
            told.append((label, done, total))

    net = study.train(trial, seeds=2, epochs=1, executor="in-process", listener=Listener())
    assert told[-1] == ("final training", 2, 2)
    record = study.trial(6).model
    assert record is not None
    assert record.seeds == final_seeds(1, 2)  # evaluation.seed of the study
    assert (record.epochs, record.merged, record.samples, record.trainings) == (1, False, 11, 1)
    assert record.low <= record.accuracy <= record.high
    assert record.accuracy == net.accuracy == net.about["accuracy"]["test"]
    manifest = json.loads((folder / "studies/gesture/models/6/manifest.json").read_text())
    assert manifest["choices"] == trial.choices == net.choices
    assert manifest["recipe"] == 3
    assert manifest["fingerprints"].keys() == {"data_fingerprint", "parent"}
    validation = {row["seed"]: row["validation"] for row in manifest["training"]["seeds"]}
    assert validation[record.seed] == max(validation.values())
    assert list((folder / "studies/gesture/tasks").iterdir()) == []

    file = tmp_path / "model.hq"
    exported = hqsearch.export(net, file)
    assert 1024 * manifest["values"]["storage"] == exported.bytes["tensors"]
    assert exported.bytes["file"] == file.stat().st_size
    again = hqsearch.load_model(file)
    frames = frames_of(folder)
    with torch.no_grad():
        torch.testing.assert_close(again(frames), net(frames), rtol=1e-5, atol=1e-5)
    assert again.accuracy == net.accuracy
    assert again.classes == net.classes

    same = study.train(6, seeds=2, epochs=1, executor="in-process")
    for name, value in net.state_dict().items():
        assert torch.equal(value, same.state_dict()[name]), name
    assert study.trial(6).model == record  # nothing was measured again

    where = ["--studies-dir", str(folder / "studies"), "--study", "gesture"]
    other = tmp_path / "other.hq"
    command(capsys, "export", *where, "--trial", "6", "--format", "hq", "-o", str(other))
    assert other.read_bytes() == file.read_bytes()
    shown = json.loads(command(capsys, "show", "--model", str(file), "--json"))
    assert {row["layer"]: row["choice"] for row in shown["layers"]} == net.choices
    assert sum(row["bytes"] for row in shown["layers"]) == shown["bytes"]["tensors"]
    text = command(capsys, "show", "--model", str(file))
    assert "simulated-gestures, simulated" in text
    assert "tokenizer.conv1" in text
    assert "models/6" in command(capsys, "show", *where, "--trial", "6")
    assert json.loads(command(capsys, "status", *where, "--json"))["models"] == [
        {**record.as_json(), "seeds": list(record.seeds)}
    ]
    assert "trained: trial 6" in command(capsys, "status", *where)
    rows = json.loads(command(capsys, "front", *where, "--json"))
    assert {row["number"]: row["model"] is not None for row in rows} == {
        row["number"]: row["number"] == 6 for row in rows
    }


def test_the_command_of_the_message_makes_it_so(folder: Path, tmp_path: Path, capsys: Any) -> None:
    study = gesture(folder)
    with pytest.raises(InputError, match="trial 1 of study 'gesture' has no trained model") as told:
        study.export(1, tmp_path / "m.hq")
    words = shlex.split(str(told.value).partition("Train it first: ")[2])
    assert words[:2] == ["hqsearch", "train"]
    options = ["--merge", "--epochs", "1", "--executor", "in-process"]
    answer = json.loads(command(capsys, *words[1:], *options, "--json"))
    assert (answer["trial"], answer["merged"]) == (1, True)
    assert study.export(1, tmp_path / "m.hq").path.exists()

    replaced = command(capsys, *words[1:], "--epochs", "2", "--executor", "in-process")
    assert "trained 2 epochs" in replaced
    assert "after 2 trainings of this trial" in replaced
    model = study.trial(1).model
    assert model is not None
    assert (model.trainings, model.merged) == (2, False)

    place = folder / "studies/gesture/models/1"
    content = (place / "model.safetensors").read_bytes()
    (place / "model.safetensors").write_bytes(content[:-1])
    with pytest.raises(StudyDamaged, match=r"not the model that the log .* names; hqsearch train"):
        study.export(1, tmp_path / "m.hq")
    where = ["--studies-dir", str(folder / "studies"), "--study", "gesture"]
    assert cli(["doctor", *where], standalone_mode=False) == 1
    assert "hqsearch train --study gesture --trial 1" in capsys.readouterr().out
    (place / "model.safetensors").unlink()
    with pytest.raises(StudyDamaged, match="cannot be read"):
        study.export(1, tmp_path / "m.hq")


def test_a_result_that_a_dead_driver_left_is_taken_over(
    folder: Path, monkeypatch: Any, capsys: Any
) -> None:
    from hqsearch.store.log import StudyLog

    study = gesture(folder)

    def dies(self: Any, model: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(StudyLog, "put_model", dies)
        with pytest.raises(KeyboardInterrupt):
            study.train(2, epochs=1, executor="in-process")
    assert study.trial(2).model is None
    weights = folder / "studies/gesture/models/2/model.safetensors"
    before = weights.read_bytes()
    where = ["--studies-dir", str(folder / "studies"), "--study", "gesture"]
    cut = {item["path"] for item in json.loads(command(capsys, "clean", *where, "--json"))["items"]}
    assert cut == {"models/2"}  # and not tasks/final-2-…, from which the same command goes on

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("hqsearch.qat.final.train", never)
    study.train(2, epochs=1, executor="in-process")
    assert weights.read_bytes() == before


def test_refusals(folder: Path, tmp_path: Path) -> None:
    study = gesture(folder)
    with pytest.raises(InputError, match=r"unknown study 'gestur'.*did you mean 'gesture'"):
        hqsearch.Study("gestur", studies_dir=folder / "studies").train(0)
    with pytest.raises(InputError, match="study 'toy' has not been run"):
        hqsearch.Study("toy", studies_dir=folder / "studies").export(0, tmp_path / "m.hq")
    with pytest.raises(InputError, match="has no trial 77"):
        study.train(77)
    with pytest.raises(InputError, match="has no trial 77"):
        study.export(77, tmp_path / "m.hq")
    with pytest.raises(InputError, match="no split is left to choose one of 2 seeds by"):
        study.train(0, seeds=2, merge=True)
    with pytest.raises(InputError, match=r"unknown format 'onnx'.*Known: .*hq"):
        study.export(0, tmp_path / "m.hq", "onnx")
    with pytest.raises(InputError, match="a member is a trial, its number"):
        study.train("0")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="seeds"):
        study.train(0, seeds=0)
    with pytest.raises(InputError, match=r"what Study\.train or hqsearch\.load_model returns"):
        hqsearch.export(torch.nn.Linear(1, 1), tmp_path / "m.hq")
    with pytest.raises(InputError, match=r"needs the path of a \.hq file"):
        hqsearch.load_model(3)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_costs_of_an_earlier_recipe_are_told_not_to_compare(
    folder: Path, capsys: Any, monkeypatch: Any
) -> None:
    where = ["--studies-dir", str(folder / "studies"), "--study", "gesture", "--trial", "0"]
    assert json.loads(command(capsys, "cost", *where, "--json"))["notes"] == []
    kind = evaluator_class("short-qat", folder)
    monkeypatch.setattr(kind, "recipe", kind.recipe + 1)
    (note,) = json.loads(command(capsys, "cost", *where, "--json"))["notes"]
    assert f"recorded by recipe {kind.recipe - 1}; what is computed here is of recipe" in note


def test_an_evaluator_that_keeps_no_weights_is_refused(tmp_path: Path) -> None:
    toy = hqsearch.Study("toy", studies_dir=tmp_path)
    toy.run("random", evaluations=7)
    with pytest.raises(InputError, match=r"'toy' trains no network.*that do: .*short-qat"):
        toy.train(0)


@pytest.mark.slow
def test_a_training_that_is_killed_goes_on_to_the_same_weights(folder: Path) -> None:
    where = ["--studies-dir", str(folder / "studies"), "--study", "gesture"]
    words = [sys.executable, "-m", "hqsearch", "train", *where, "--executor", "in-process"]
    studies = folder / "studies" / "gesture"
    process = subprocess.Popen([*words, "--trial", "3", "--epochs", "40"])
    progress, deadline = None, time.monotonic() + 120
    while progress is None and time.monotonic() < deadline:
        progress = next(studies.glob("tasks/final-3-*/*/progress.json"), None)
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert progress is not None
    assert not (studies / "models" / "3").exists()
    subprocess.run([*words, "--trial", "3", "--epochs", "40"], check=True)
    killed = (studies / "models" / "3" / "model.safetensors").read_bytes()
    again = gesture(folder)
    again.train(3, epochs=1, executor="in-process")
    again.train(3, epochs=40, executor="in-process")
    assert (studies / "models" / "3" / "model.safetensors").read_bytes() == killed


@pytest.mark.slow
def test_seeds_train_side_by_side_on_ray(folder: Path) -> None:
    study = gesture(folder)
    study.train(4, seeds=2, epochs=1, executor="in-process")
    alone = study.trial(4).model
    study.train(4, epochs=2, executor="in-process")
    study.train(4, seeds=2, epochs=1, executor="ray", workers=2)
    together = study.trial(4).model
    assert alone is not None
    assert together is not None
    assert (together.weights, together.accuracy) == (alone.weights, alone.accuracy)
