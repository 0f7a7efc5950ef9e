"""A frame folder: what is opened, and what is told of one that is damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hqsearch.data.frames import DESCRIPTION, SPLITS, open_frames
from hqsearch.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """2 samples in train, 3 in validation, 4 in test; 2 timesteps of 4 x 4 pixels."""
    for count, name in enumerate(SPLITS, start=2):
        frames = np.full((count, 2, 2, 4, 4), count, np.uint8)
        np.save(tmp_path / f"{name}-frames.npy", frames)
        np.save(tmp_path / f"{name}-labels.npy", np.arange(count))
    told = {
        "classes": ["a", "b", "c", "d"],
        "encoding": "count",
        "fingerprint": "f",
        "simulated": False,
        "warnings": ["careful"],
    }
    (tmp_path / DESCRIPTION).write_text(json.dumps(told))
    return tmp_path


def test_splits_labels_and_description_are_there(folder: Path) -> None:
    data = open_frames(folder)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [2, 3, 4]
    assert data.validation.labels.tolist() == [0, 1, 2]
    assert (data.test.frames == 4).all()
    assert data.classes == ("a", "b", "c", "d")
    assert (data.encoding.name, data.encoding.bits) == ("count", 8)
    assert (data.fingerprint, data.simulated, data.warnings) == ("f", False, ("careful",))
    assert data.folder == folder


def test_frames_are_mapped_and_cannot_be_written(folder: Path) -> None:
    frames = open_frames(folder).train.frames
    assert isinstance(frames, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        frames[0] = 0


def test_no_frames_are_told_apart_from_damaged_ones(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no prepared frames in .*nowhere: run the study"):
        open_frames(tmp_path / "nowhere")
    (folder / "test-labels.npy").unlink()
    with pytest.raises(DataError, match="no prepared frames"):
        open_frames(folder)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 2, 2, 4, 4), np.int16),
        np.zeros((3, 2, 4, 4), np.uint8),
        np.zeros((2, 2, 2, 4, 4), np.uint8),
    ],
    ids=["dtype", "shape", "count"],
)
def test_arrays_that_do_not_fit_are_damaged(folder: Path, array: np.ndarray) -> None:
    np.save(folder / "validation-frames.npy", array)
    with pytest.raises(DataError, match=r"damaged \(validation: .*Delete that folder"):
        open_frames(folder)


@pytest.mark.parametrize("change", [{"classes": None}, {"encoding": None}, "no object"])
def test_a_damaged_description_is_told(folder: Path, change: Any) -> None:
    told = json.loads((folder / DESCRIPTION).read_text())
    if isinstance(change, dict):
        (key,) = change
        del told[key]
        (folder / DESCRIPTION).write_text(json.dumps(told))
    else:
        (folder / DESCRIPTION).write_text(change)
    with pytest.raises(DataError, match="are damaged"):
        open_frames(folder)
