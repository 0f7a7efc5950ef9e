"""Every recorded set in its native layout, read through tonic's class, on fabricated files."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hqsearch.data import DataSpec, check_data, prepare_data
from hqsearch.data.files import EVENT
from hqsearch.data.framing import count_frames
from hqsearch.errors import DataError


def _helper(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(
        f"data_{name}", Path(__file__).parent / f"{name}.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


conftest = _helper("conftest")
write_aedat4 = _helper("aedat4").write_aedat4

DIGITS = tuple(str(digit) for digit in range(10))
CIFAR = "airplane automobile bird cat deer dog frog horse ship truck".split()  # noqa: SIM905


def _nmnist(root: Path) -> DataSpec:
    conftest.write_class_folders(root / "NMNIST" / "Train", DIGITS, files=5)
    conftest.write_class_folders(root / "NMNIST" / "Test", DIGITS, files=2)
    return DataSpec("nmnist", 4, 32, path=root)


def _dvs_gesture(root: Path) -> DataSpec:
    rng = np.random.default_rng(0)
    for part, users in (("ibmGestureTrain", range(1, 7)), ("ibmGestureTest", range(24, 26))):
        for user in users:
            folder = root / "DVSGesture" / part / f"user{user:02d}_fluorescent"
            folder.mkdir(parents=True)
            for label in range(11):
                columns = conftest.random_events(rng, 500, (128, 128))
                # tonic's order x, y, p, t, and time in milliseconds.
                array = np.stack([columns[k] for k in "xypt"], axis=1)
                np.save(folder / f"{label}.npy", array)
    return DataSpec("dvs-gesture", 4, 32, path=root)


def _cifar10_dvs(root: Path) -> DataSpec:
    rng = np.random.default_rng(0)
    for name in CIFAR:
        folder = root / "CIFAR10DVS" / name
        folder.mkdir(parents=True)
        for number in range(5):
            columns = conftest.random_events(rng, 500, (128, 128))
            write_aedat4(folder / f"cifar10_{name}_{number}.aedat4", **columns, sensor=(128, 128))
    return DataSpec("cifar10-dvs", 4, 32, path=root)


def _n_caltech101(root: Path) -> DataSpec:
    folder = root / "NCALTECH101" / "Caltech101"
    for name, sensor in (("accordion", (200, 160)), ("BACKGROUND_Google", (90, 120))):
        conftest.write_class_folders(folder, (name,), files=6, sensor=sensor)
    return DataSpec("n-caltech101", 4, 32, path=root)


MAKERS = {
    "nmnist": (_nmnist, 10, (40, 10, 20)),
    "dvs-gesture": (_dvs_gesture, 11, (44, 22, 22)),
    "cifar10-dvs": (_cifar10_dvs, 10, (36, 9, 5)),
    "n-caltech101": (_n_caltech101, 2, (9, 2, 1)),
}


@pytest.mark.parametrize("name", MAKERS)
def test_native_layout(name: str, tmp_path: Path) -> None:
    make, classes, sizes = MAKERS[name]
    spec = make(tmp_path / "data")
    check_data(spec)
    data = prepare_data(spec, tmp_path / "cache")
    assert (len(data.train), len(data.validation), len(data.test)) == sizes
    assert len(data.classes) == classes
    assert data.train.frames.shape[1:] == (4, 2, 32, 32)
    assert not data.simulated
    assert data.train.frames.reshape(sizes[0], -1).max(axis=1).min() > 0
    assert sorted(set(data.train.labels.tolist())) == list(range(classes))
    # The folder that tonic makes may be named as well.
    inside = next(p for p in (tmp_path / "data").iterdir())
    again = prepare_data(spec.model_copy(update={"path": inside}), tmp_path / "cache2")
    assert again.fingerprint == data.fingerprint


def test_dvs_gesture_validates_on_other_subjects_and_names_classes(tmp_path: Path) -> None:
    data = prepare_data(_dvs_gesture(tmp_path / "data"), tmp_path / "cache")
    assert data.classes[:4] == (
        "hand_clapping",
        "right_hand_wave",
        "left_hand_wave",
        "right_arm_cw",
    )
    assert any("subjects" in warning for warning in data.warnings)
    assert any("not complete" in warning for warning in data.warnings)


def test_native_frames_have_the_labels_and_events_of_their_files(tmp_path: Path) -> None:
    spec = _dvs_gesture(tmp_path / "data").model_copy(update={"encoding": "count"})
    data = prepare_data(spec, tmp_path / "cache")
    root = tmp_path / "data" / "DVSGesture" / "ibmGestureTest"
    for index, path in enumerate(sorted(root.glob("*/*.npy"))):
        array = np.load(path)
        events = np.empty(len(array), dtype=EVENT)
        for column, key in enumerate("xypt"):
            events[key] = array[:, column]
        events["t"] *= 1000
        expected = count_frames(events, (128, 128), 4, 32)
        assert data.test.labels[index] == int(path.stem)
        np.testing.assert_array_equal(data.test.frames[index], np.minimum(expected, 255))


def test_n_caltech101_is_rescaled_from_its_declared_size(tmp_path: Path) -> None:
    spec = _n_caltech101(tmp_path / "data")
    data = prepare_data(spec.model_copy(update={"encoding": "count"}), tmp_path / "cache")
    small = data.classes.index("BACKGROUND_Google")
    frames = np.concatenate([data.train.frames, data.validation.frames, data.test.frames])
    labels = np.concatenate([data.train.labels, data.validation.labels, data.test.labels])
    used = frames[labels == small].sum(axis=(0, 1, 2))
    assert np.flatnonzero(used.sum(axis=0)).max() == 89 * 32 // 240
    assert np.flatnonzero(used.sum(axis=1)).max() == 119 * 32 // 180
    changed = spec.model_copy(update={"sensor": (100, 100)})
    with pytest.raises(DataError, match="outside a sensor"):
        prepare_data(changed, tmp_path / "cache")


def test_bad_file_in_a_native_layout_is_named(tmp_path: Path) -> None:
    spec = _cifar10_dvs(tmp_path / "data")
    bad = next((tmp_path / "data").rglob("cifar10_cat_3.aedat4"))
    bad.write_bytes(bad.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"cifar10_cat_3\.aedat4: is truncated"):
        check_data(spec)


@pytest.mark.parametrize("name", MAKERS)
def test_absent_set_tells_what_to_do(name: str, tmp_path: Path) -> None:
    spec = DataSpec(name, 4, 32, path=tmp_path / "nowhere")
    with pytest.raises(DataError, match="does not exist") as caught:
        check_data(spec)
    message = str(caught.value)
    given = f"--strategy nsga2 --data {tmp_path / 'nowhere'} --set data.download=true"
    assert f"hqsearch run --study {name} {given}" in message
    assert "http" in message
    (tmp_path / "nowhere").mkdir()
    with pytest.raises(DataError, match="is empty"):
        check_data(spec)


def test_download_is_asked_of_tonic_and_its_failure_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tonic.datasets

    def offline(self: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(tonic.datasets.NMNIST, "download", offline)
    spec = DataSpec("nmnist", 4, 32, path=tmp_path / "data", download=True)
    check_data(spec)
    assert not (tmp_path / "data").exists()
    with pytest.raises(DataError, match="could not be downloaded: no network"):
        prepare_data(spec, tmp_path / "cache")


def test_folders_with_train_and_test(tmp_path: Path) -> None:
    conftest.write_class_folders(tmp_path / "train", ("a", "b"), files=10)
    conftest.write_class_folders(tmp_path / "test", ("a", "b"), files=3)
    (tmp_path / "train" / "a" / "notes.txt").write_text("not events")
    spec = DataSpec("folder", 4, 32, path=tmp_path, sensor=(34, 34))
    data = prepare_data(spec, tmp_path / "cache")
    assert (len(data.train), len(data.validation), len(data.test)) == (16, 4, 6)
    assert data.classes == ("a", "b")
    assert any("notes.txt" in warning for warning in data.warnings)


def test_partial_copy_of_a_known_set_in_folder_form(recorded_data: Path, tmp_path: Path) -> None:
    spec = DataSpec("nmnist", 4, 32, path=recorded_data / "nmnist", validation=200)
    check_data(spec)
    data = prepare_data(spec, tmp_path / "cache")
    assert (len(data.train), len(data.validation), len(data.test)) == (700, 200, 100)
    assert data.classes == DIGITS
    assert np.bincount(data.validation.labels).min() >= 16
    assert any("no test split" in warning for warning in data.warnings)


def test_sensor_is_told_by_aedat4_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(6):
            columns = conftest.random_events(rng, 300, (64, 48))
            write_aedat4(tmp_path / name / f"{number}.aedat4", **columns, sensor=(64, 48))
    spec = DataSpec("folder", 2, 16, path=tmp_path)
    assert len(prepare_data(spec, tmp_path / ".cache").train) == 9
    write_aedat4(tmp_path / "b" / "9.aedat4", **columns, sensor=(640, 480))
    with pytest.raises(DataError, match="640x480"):
        check_data(spec)
    (tmp_path / "b" / "9.aedat4").unlink()
    conftest.write_bin(tmp_path / "b" / "9.bin", **columns)
    with pytest.raises(DataError, match=r"Declare it: sensor = \[width, height\]"):
        check_data(spec)


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    def refuse(path: Path, message: str) -> None:
        with pytest.raises(DataError, match=message):
            check_data(DataSpec("folder", 2, 16, path=path, sensor=(34, 34)))

    refuse(tmp_path / "none", "does not exist")
    (tmp_path / "empty").mkdir()
    refuse(tmp_path / "empty", "is empty")
    conftest.write_class_folders(tmp_path / "one", ("a",), files=5)
    refuse(tmp_path / "one", "one class only")
    refuse(tmp_path / "one" / "a", "holds no class folders")
    refuse(tmp_path / "one" / "a" / "0.bin", "is a file")
    (tmp_path / "one" / "b").mkdir()
    refuse(tmp_path / "one", "no readable event files .* for class 'b'")
    conftest.write_class_folders(tmp_path / "two" / "train", ("a", "b"), files=5)
    conftest.write_class_folders(tmp_path / "two" / "test", ("a", "c"), files=5)
    refuse(tmp_path / "two", "class 'c' has no folder")
    conftest.write_class_folders(tmp_path / "two" / "extra", ("a",), files=1)
    refuse(tmp_path / "two", "also extra/")
