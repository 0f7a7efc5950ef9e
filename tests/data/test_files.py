from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tonic.io

from hqsearch.data.files import check_file, declared_sensor, read_events
from hqsearch.errors import DataError

SENSOR = (34, 30)


def _helper(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


write_aedat4 = _helper("aedat4").write_aedat4
conftest = _helper("conftest")
COLUMNS = conftest.random_events(np.random.default_rng(0), 300, SENSOR)


def _bin(path: Path) -> Path:
    conftest.write_bin(path.with_suffix(".bin"), **COLUMNS)
    return path.with_suffix(".bin")


def _aedat4(path: Path) -> Path:
    write_aedat4(path.with_suffix(".aedat4"), **COLUMNS, sensor=SENSOR)
    return path.with_suffix(".aedat4")


def _npy(path: Path) -> Path:
    np.save(path.with_suffix(".npy"), np.stack([COLUMNS[k] for k in "xytp"], axis=1))
    return path.with_suffix(".npy")


def _structured(path: Path) -> Path:
    events = np.empty(300, dtype=[("t", "u8"), ("x", "u2"), ("y", "u2"), ("p", "?")])
    for key in "xytp":
        events[key] = COLUMNS[key]
    np.save(path.with_suffix(".npy"), events)
    return path.with_suffix(".npy")


def _npz(path: Path) -> Path:
    np.savez_compressed(path.with_suffix(".npz"), **COLUMNS)
    return path.with_suffix(".npz")


WRITERS = [_bin, _aedat4, _npy, _structured, _npz]


@pytest.mark.parametrize("write", WRITERS)
def test_every_kind_gives_the_same_events(write: Callable[[Path], Path], tmp_path: Path) -> None:
    events = read_events(write(tmp_path / "clip"), SENSOR)
    for key in "xytp":
        np.testing.assert_array_equal(events[key], COLUMNS[key])


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5, 0.995])
def test_truncated_files_are_named(
    write: Callable[[Path], Path], keep: float, tmp_path: Path
) -> None:
    path = write(tmp_path / "clip")
    data = path.read_bytes()
    kept = int(keep * len(data))
    path.write_bytes(data[: kept + (kept % 5 == 0 and kept > 0)])
    with pytest.raises(DataError, match=path.name):
        check_file(path, SENSOR)


@pytest.mark.parametrize("suffix", [".bin", ".aedat4", ".npy", ".npz"])
def test_foreign_files_are_named(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"photo{suffix}"
    path.write_bytes(b"\xff\xd8\xff\xe0 a photograph, not events" * 50)
    with pytest.raises(DataError, match=f"photo{suffix}: is no {suffix} event file"):
        check_file(path, SENSOR)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"x": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="Python objects, which are not loaded"):
        check_file(tmp_path / "a.npy", SENSOR)


def test_damaged_content_is_named(tmp_path: Path) -> None:
    path = _npz(tmp_path / "clip")
    data = bytearray(path.read_bytes())
    data[200:260] = bytes(60)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"clip\.npz"):
        read_events(path, SENSOR)


def test_wrong_sensor_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"clip\.npy: x reaches from 0 to 33, outside a sensor"):
        read_events(_npy(tmp_path / "clip"), (20, 30))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (3, 7, "polarities must be"),
        (0, -1, "x reaches from -1"),
        (2, np.nan, "times that are no clock's"),
    ],
)
def test_impossible_values_are_told(
    column: int, value: float, message: str, tmp_path: Path
) -> None:
    events = np.stack([COLUMNS[k] for k in "xytp"], axis=1).astype(float)
    events[5, column] = value
    np.save(tmp_path / "clip.npy", events)
    with pytest.raises(DataError, match=message):
        read_events(tmp_path / "clip.npy", SENSOR)


def test_missing_column_and_no_events(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3, dtype=[("x", int), ("y", int), ("t", int)]))
    with pytest.raises(DataError, match="field 'p' is missing"):
        read_events(tmp_path / "a.npy", SENSOR)
    np.save(tmp_path / "b.npy", np.zeros((0, 4)))
    with pytest.raises(DataError, match="holds no events"):
        read_events(tmp_path / "b.npy", SENSOR)


def test_unknown_suffix_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown kind of event file"):
        check_file(tmp_path / "a.mp4", SENSOR)
    with pytest.raises(DataError, match="does not exist"):
        check_file(tmp_path / "a.bin", SENSOR)


def test_aedat4_says_its_sensor(tmp_path: Path) -> None:
    assert declared_sensor(_aedat4(tmp_path / "clip")) == SENSOR


@pytest.mark.parametrize("marks", [0, 1, 40])
def test_bin_files_are_read_as_tonic_does(marks: int, tmp_path: Path) -> None:
    path = _bin(tmp_path / "clip")
    raw = np.frombuffer(path.read_bytes(), dtype=np.uint8).reshape(-1, 5).copy()
    raw[np.random.default_rng(1).integers(0, 300, marks), 1] = 240
    path.write_bytes(raw.tobytes())
    kinds = np.dtype([(name, np.int64) for name in "xytp"])
    expected = tonic.io.read_mnist_file(str(path), dtype=kinds)
    events = read_events(path, SENSOR)
    for key in "xytp":
        np.testing.assert_array_equal(events[key], expected[key])


def test_a_bin_file_of_marks_alone_is_told_quickly(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes([0, 240, 0, 0, 0]) * 500_000)
    with pytest.raises(DataError, match="holds no events"):
        read_events(tmp_path / "a.bin", SENSOR)
