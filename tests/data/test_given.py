"""Frames that are given as arrays, tensors or Datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hqsearch.data import Frames, open_frames
from hqsearch.data.given import given_folder
from hqsearch.data.spec import DataSpec
from hqsearch.definition import DataDefinition
from hqsearch.errors import DataError, DefinitionError, HqsearchError, UnknownName

SHAPE = (3, 2, 8, 8)  # T, C, H, W


def pair(samples: int = 4, dtype: Any = np.uint8, high: int = 5, seed: int = 0) -> Any:
    values = np.random.default_rng(seed).integers(0, high, (samples, *SHAPE))
    return values.astype(dtype), np.arange(samples) % 2


def written(given: Frames, folder: Path) -> Any:
    given.write(folder / "f")
    return open_frames(folder / "f")


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.bool_, np.float32])
def test_counts_are_kept_exactly(tmp_path: Path, dtype: Any) -> None:
    train, validation = pair(4, dtype, 2), pair(2, dtype, 2)
    asked = "count" if dtype == np.float32 else None
    data = written(Frames(train, validation, encoding=asked), tmp_path)
    assert (data.encoding.name, data.encoding.bits) == ("count", 8)
    assert (data.train.frames == train[0]).all()
    assert (data.validation.labels == validation[1]).all()
    assert data.classes == ("0", "1")
    assert len(data.test) == 0
    assert data.test.frames.shape == (0, *SHAPE)


def test_what_is_opened_is_what_was_told(tmp_path: Path) -> None:
    given = Frames(pair(), pair(seed=1), pair(seed=2), classes=["left", "right"])
    data = written(given, tmp_path)
    table = given.table()
    assert data.fingerprint == table["contents"]
    assert data.classes == ("left", "right")
    counts = [table[k] for k in ("train", "validation", "test", "size", "channels")]
    assert counts == [4, 4, 4, 8, 2]
    assert given.timesteps == 3
    definition = DataDefinition(**table)
    assert given_folder(DataSpec.of(definition, 3, None), tmp_path, given).name.startswith("frames")


def test_contents_tell_every_difference() -> None:
    base = Frames(pair(), pair(seed=1)).table()["contents"]
    train, labels = pair()
    changed = train.copy()
    changed[0, 0, 0, 0, 0] += 1
    others = [
        Frames((changed, labels), pair(seed=1)),
        Frames((train, 1 - labels), pair(seed=1)),
        Frames(pair(), pair(seed=1), pair(seed=1)),
        Frames(pair(), pair(seed=1), classes=3),
        Frames(pair(), pair(seed=1), encoding="log2"),
    ]
    contents = {other.table()["contents"] for other in others}
    assert len(contents) == 5
    assert base not in contents
    assert Frames(pair(dtype=np.int32), pair(seed=1)).table()["contents"] == base


def test_datasets_and_tensors_are_read_like_arrays() -> None:
    base = Frames(pair(), pair(seed=1)).table()["contents"]
    sets = [
        torch.utils.data.TensorDataset(*(torch.from_numpy(part) for part in pair(seed=s)))
        for s in (0, 1)
    ]
    assert Frames(*sets).table()["contents"] == base
    tensors = [tuple(torch.from_numpy(part) for part in pair(seed=s)) for s in (0, 1)]
    assert Frames(*tensors).table()["contents"] == base


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_real_values_are_codes_times_a_step(tmp_path: Path, low: float) -> None:
    generator = np.random.default_rng(0)
    values = [generator.uniform(low, 2.0, (4, *SHAPE)).astype(np.float32) for _ in range(2)]
    values[0][0, 0, 0, 0, 0] = 0.0
    given = Frames((values[0], pair()[1]), (values[1], pair()[1]))
    data = written(given, tmp_path)
    assert (data.encoding.name, data.encoding.bits) == ("linear", None)
    shown = data.encoding.to_float(torch.from_numpy(np.array(data.train.frames))).numpy()
    error = np.abs(shown - values[0]).max()
    assert error <= data.encoding.step / 2 * 1.001
    assert shown[0, 0, 0, 0, 0] == 0.0
    # What a shift moves in is code 0.
    assert data.encoding.to_float(torch.zeros(1, dtype=torch.uint8)).item() == 0.0
    note = next(n for n in given.notes if "real-valued" in n)
    told = float(note.rpartition(" ")[2])
    assert error <= told * 1.01


def test_clipping_and_classes_without_samples_are_told() -> None:
    train = np.full((2, *SHAPE), 300), np.array([0, 2])
    notes = Frames(train, pair()).notes
    assert "counts reach 300 and are clipped at 255" in notes
    assert "train has no sample of class 1" in notes
    assert any("only 4 validation samples" in note for note in notes)


@pytest.mark.parametrize(
    ("train", "told"),
    [
        (3, "must be a pair"),
        (np.zeros((2, *SHAPE)), "must be a pair"),
        ((np.zeros((2, 3, 8, 8)), np.arange(2)), "of one frame a sample T is 1"),
        ((np.zeros((2, 3, 2, 0, 9)), np.arange(2)), "is empty"),
        ((np.zeros((0, *SHAPE)), np.arange(0)), "is empty"),
        ((np.full((2, *SHAPE), np.nan), np.arange(2)), "NaN"),
        ((np.full((2, *SHAPE), -1), np.arange(2)), "cannot be negative"),
        ((np.full((2, *SHAPE), None), np.arange(2)), "not numbers"),
        ((np.zeros((2, *SHAPE), int), np.arange(3)), "one a sample"),
        ((np.zeros((2, *SHAPE), int), np.array([0.0, 1.5])), "whole numbers"),
        ((np.zeros((2, *SHAPE), int), np.array([-1, 0])), "labels start at 0"),
        ((np.zeros((2, 4, 2, 8, 8), int), np.arange(2)), "all splits need one shape"),
        ([(np.zeros(SHAPE), 0, 1), (np.zeros(SHAPE), 0, 1), 3], "no pair"),
        ([(np.zeros(SHAPE), 0), (np.zeros((1, 2, 8, 8)), 1), (np.zeros(SHAPE), 0)], "has shape"),
    ],
)
def test_what_cannot_be_used_is_named(train: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        Frames(train, pair()).table()


@pytest.mark.parametrize(
    ("keys", "error", "told"),
    [
        ({"classes": 1}, DataError, "label 1 is outside the 1 classes"),
        ({"encoding": "log3"}, UnknownName, "did you mean 'log2'"),
        ({"encoding": "linear"}, DefinitionError, "leave encoding out"),
    ],
)
def test_bad_keywords(keys: dict[str, Any], error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        Frames(pair(), pair(), **keys).table()


def test_fractions_are_no_counts() -> None:
    train, labels = pair(dtype=np.float64)
    with pytest.raises(DataError, match="holds fractions"):
        Frames((train + 0.5, labels), pair(), encoding="count").table()
    with pytest.raises(DataError, match="but one class"):
        Frames((pair()[0], np.zeros(4, int)), (pair()[0], np.zeros(4, int))).table()


def test_a_definition_file_cannot_name_them() -> None:
    for keys in ({"dataset": "frames"}, {"dataset": "nmnist", "contents": "00"}):
        with pytest.raises(HqsearchError, match=r"hqsearch\.Frames"):
            DataDefinition(**keys)
    with pytest.raises(HqsearchError, match="channels does not apply"):
        DataDefinition(dataset="nmnist", channels=3)
    with pytest.raises(UnknownName, match="linear"):
        DataDefinition(dataset="nmnist", encoding="linear")


def test_frames_that_are_not_there_must_be_given_again(tmp_path: Path) -> None:
    given, other = Frames(pair(), pair(seed=1)), Frames(pair(seed=5), pair(seed=1))
    spec = DataSpec.of(DataDefinition(**given.table()), 3, None)
    for wrong in (None, other):
        with pytest.raises(DataError, match="must be given again"):
            given_folder(spec, tmp_path, wrong)


def test_half_written_frames_are_left_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space"):
        Frames(pair(), pair()).write(tmp_path / "f")
    assert list(tmp_path.iterdir()) == []
