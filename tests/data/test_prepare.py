from __future__ import annotations

import errno
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hqsearch.data.prepare as prepare_module
from hqsearch.data import DataSpec, check_data, load_data, open_frames, prepare_data
from hqsearch.errors import DataError, DiskFull

SIMULATED = DataSpec("simulated-gestures", timesteps=4, size=16, train=22, validation=11, test=11)


@pytest.fixture
def folders(tmp_path: Path) -> DataSpec:
    path = Path(__file__).parent / "conftest.py"
    spec = importlib.util.spec_from_file_location("conftest_data", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    root = module.write_class_folders(tmp_path / "mine", ("cat", "dog"), files=10)
    return DataSpec("folder", 4, 16, path=root, sensor=(34, 34))


def test_simulated_frames_do_not_depend_on_workers(tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    one = prepare_data(SIMULATED, tmp_path / "one", lambda *step: steps.append(step), workers=1)
    two = prepare_data(SIMULATED, tmp_path / "two", workers=2)
    assert one.fingerprint == two.fingerprint
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(one, name).frames, getattr(two, name).frames)
    assert one.train.frames.shape == (22, 4, 2, 16, 16)
    assert one.train.frames.dtype == np.uint8
    assert one.train.labels.tolist() == [i % 11 for i in range(22)]
    assert one.simulated
    assert len(one.classes) == 11
    assert steps == [("simulating gestures", done, 44) for done in range(1, 45)]


def test_prepared_once_then_loaded(folders: DataSpec, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no prepared frames"):
        load_data(folders, tmp_path / "cache")
    made = prepare_data(folders, tmp_path / "cache")
    stamp = (made.folder / "train-frames.npy").stat().st_mtime_ns
    again = prepare_data(folders, tmp_path / "cache")
    assert (again.folder / "train-frames.npy").stat().st_mtime_ns == stamp
    loaded = load_data(folders, tmp_path / "cache")
    assert loaded.fingerprint == made.fingerprint == open_frames(made.folder).fingerprint
    assert isinstance(loaded.train.frames, np.memmap)
    assert not loaded.train.frames.flags.writeable
    assert not loaded.simulated
    assert any("standard error" in warning for warning in loaded.warnings)


def test_what_frames_depend_on_changes_the_fingerprint(folders: DataSpec, tmp_path: Path) -> None:
    variants = [
        folders,
        folders.model_copy(update={"seed": 1}),
        folders.model_copy(update={"timesteps": 2}),
        folders.model_copy(update={"encoding": "count"}),
        folders.model_copy(update={"validation": 5}),
    ]
    prints = {prepare_data(spec, tmp_path / "cache").fingerprint for spec in variants}
    assert len(prints) == len(variants)


def test_moved_recordings_keep_the_fingerprint(folders: DataSpec, tmp_path: Path) -> None:
    assert folders.path is not None
    before = prepare_data(folders, tmp_path / "a").fingerprint
    moved = folders.path.rename(tmp_path / "elsewhere")
    after = prepare_data(folders.model_copy(update={"path": moved}), tmp_path / "b").fingerprint
    assert before == after


def test_changed_recording_is_framed_again(folders: DataSpec, tmp_path: Path) -> None:
    before = prepare_data(folders, tmp_path / "cache")
    assert folders.path is not None
    file = folders.path / "cat" / "0.bin"
    file.write_bytes((folders.path / "dog" / "0.bin").read_bytes()[:1500])
    after = prepare_data(folders, tmp_path / "cache")
    assert after.fingerprint != before.fingerprint


def test_interrupted_preparation_starts_again(folders: DataSpec, tmp_path: Path) -> None:
    def interrupt(label: str, done: int, total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_data(folders, tmp_path / "cache", interrupt)
    assert not [p for p in (tmp_path / "cache").iterdir() if p.is_dir()]
    # What a killed process leaves behind.
    made = prepare_data(folders, tmp_path / "other")
    partial = tmp_path / "cache" / (made.folder.name + ".partial")
    partial.mkdir()
    (partial / "train-frames.npy").write_bytes(b"half")
    assert prepare_data(folders, tmp_path / "cache").fingerprint == made.fingerprint


def test_full_disk_stops_cleanly(
    folders: DataSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(prepare_module, "_write_header", full)
        with pytest.raises(DiskFull, match="free some and run again"):
            prepare_data(folders, tmp_path / "cache")
    assert not [p for p in (tmp_path / "cache").iterdir() if p.is_dir()]
    assert len(prepare_data(folders, tmp_path / "cache").train) == 14


def test_damaged_cache_is_told(folders: DataSpec, tmp_path: Path) -> None:
    made = prepare_data(folders, tmp_path / "cache")
    (made.folder / "test-frames.npy").write_bytes(b"nothing")
    with pytest.raises(DataError, match="are damaged"):
        load_data(folders, tmp_path / "cache")


def test_check_names_the_bad_file_and_creates_nothing(folders: DataSpec) -> None:
    assert folders.path is not None
    bad = folders.path / "dog" / "3.bin"
    bad.write_bytes(bad.read_bytes()[:-2])
    before = sorted(folders.path.rglob("*"))
    with pytest.raises(DataError, match=r"3\.bin: is truncated"):
        check_data(folders)
    assert sorted(folders.path.rglob("*")) == before


def test_bad_events_beyond_the_header_stop_the_preparation(
    folders: DataSpec, tmp_path: Path
) -> None:
    assert folders.path is not None
    bad = folders.path / "dog" / "3.bin"
    bad.write_bytes(bad.read_bytes() + bytes([200, 3, 0, 0, 9]))
    check_data(folders)
    with pytest.raises(DataError, match=r"3\.bin: x reaches"):
        prepare_data(folders, tmp_path / "cache")


def test_network_input_is_float_of_the_frames(folders: DataSpec, tmp_path: Path) -> None:
    data = prepare_data(folders, tmp_path / "cache")
    frames = torch.from_numpy(np.array(data.train.frames[:3]))
    assert torch.equal(data.encoding.to_float(frames), frames.float())


def test_importing_data_is_light() -> None:
    code = (
        "import sys, hqsearch.data;"
        "print([m for m in ('torch', 'tonic', 'numba', 'ray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
