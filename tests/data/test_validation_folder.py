"""Validation samples that a person has chosen: ``validation/`` beside ``train/``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hqsearch.data import DataSpec, splits_given
from hqsearch.data.prepare import list_samples
from hqsearch.errors import DataError


def record(folder: Path, count: int) -> None:
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for index in range(count):
        events = np.empty(50, [("x", "u2"), ("y", "u2"), ("t", "i8"), ("p", "u1")])
        events["x"], events["y"] = generator.integers(0, 8, (2, 50))
        events["t"], events["p"] = np.arange(50) * 1000, generator.integers(0, 2, 50)
        np.save(folder / f"{index}.npy", events)


def spec(root: Path, **keys: int) -> DataSpec:
    return DataSpec("folder", timesteps=2, size=8, path=root, sensor=(8, 8), **keys)


def names(root: Path, **keys: int) -> dict[str, list[str]]:
    listed = list_samples(spec(root, **keys))
    return {
        split: sorted({Path(s.origin).relative_to(root).parts[0] for s in samples})
        for split, samples in listed.splits.items()
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for label in ("left", "right"):
        record(tmp_path / "train" / label, 10)
        record(tmp_path / "validation" / label, 4)
    return tmp_path


def test_it_is_taken_as_it_is(root: Path) -> None:
    listed = list_samples(spec(root))
    assert {name: len(part) for name, part in listed.splits.items()} == {
        "train": 18,
        "validation": 8,
        "test": 2,
    }
    assert names(root) == {"train": ["train"], "validation": ["validation"], "test": ["train"]}
    assert len(list_samples(spec(root, validation=4)).splits["validation"]) == 4
    assert splits_given(spec(root)) == {"validation"}


def test_more_than_there_are_and_classes_that_are_not_learned(root: Path) -> None:
    with pytest.raises(DataError, match="validation = 9 samples"):
        list_samples(spec(root, validation=9))
    record(root / "validation" / "up", 1)
    with pytest.raises(DataError, match="class 'up' has no folder under"):
        list_samples(spec(root))


def test_without_one_it_is_drawn(tmp_path: Path) -> None:
    for label in ("left", "right"):
        record(tmp_path / label, 10)
    assert not splits_given(spec(tmp_path))
