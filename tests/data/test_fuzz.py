"""Event files with any damage, and with any contents: events that fit, or one error that names it.

Every reader is tried: files of every kind, recorded sets in their own layout, a camera file's
sensor, and prepared frames.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hqsearch.data.encoding import get_encoding
from hqsearch.data.files import EVENT, declared_sensor, read_events
from hqsearch.data.frames import SPLITS, open_frames
from hqsearch.data.framing import frame_events
from hqsearch.data.prepare import prepare_data, summarise_data
from hqsearch.data.spec import DataSpec
from hqsearch.errors import DataError

SENSOR = (34, 30)
#: Kinds that a camera maker's tool writes, and the test's own encoders.
ENCODED = (".raw", ".dat", ".aedat")
KINDS = (".npy", ".npz", ".bin", ".aedat4", *ENCODED)
DTYPES = (
    "?",
    "u1",
    "i2",
    "u2",
    "<i4",
    ">i4",
    "u4",
    "i8",
    "u8",
    "f2",
    "f4",
    "f8",
    "c8",
    "S3",
    "M8[us]",
)
NATIVE = {
    "nmnist": "NMNIST/Train/{label}/{name}.bin",
    "n-caltech101": "NCALTECH101/Caltech101/{label}/{name}.bin",
    "dvs-gesture": "DVSGesture/ibmGestureTrain/user01_{name}/{label}.npy",
    "cifar10-dvs": "CIFAR10DVS/{label}/{name}.aedat4",
}
CLASSES = {
    "nmnist": ("0", "1"), "n-caltech101": ("ant", "bass"), "dvs-gesture": ("0", "1"),
    "cifar10-dvs": ("airplane", "bird"),
}  # fmt: skip


def _helper(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


conftest, write_aedat4 = _helper("conftest"), _helper("aedat4").write_aedat4
encoders = _helper("encoders")


def written(path: Path, n: int, seed: int) -> None:
    """A sound recording of the kind that the path says."""
    columns = conftest.random_events(np.random.default_rng(seed), n, SENSOR)
    if path.suffix == ".bin":
        conftest.write_bin(path, **columns)
    elif path.suffix == ".aedat4":
        write_aedat4(path, **columns, sensor=SENSOR)
    elif path.suffix == ".raw":
        (encoders.write_evt2 if seed % 2 else encoders.write_evt3)(path, **columns, sensor=SENSOR)
    elif path.suffix == ".dat":
        encoders.write_dat(path, **columns, sensor=SENSOR)
    elif path.suffix == ".aedat":
        encoders.write_aedat2(path, **columns, sensor=(128, 128))
    elif path.suffix == ".npz":
        (np.savez_compressed if seed % 2 else np.savez)(path, **columns)
    elif seed % 2:
        np.save(path, np.stack([columns[k] for k in "xytp"], axis=1))
    else:
        np.save(path, np.rec.fromarrays([columns[k] for k in "xytp"], names="x,y,t,p"))


def damage(path: Path, draw: Any) -> None:
    """What disks and transfers do to a file; headers and directories are hit most."""
    content = bytearray(path.read_bytes())
    for _ in range(draw(st.integers(1, 4))):
        last = max(len(content) - 1, 0)
        at = draw(
            st.integers(0, min(200, last))
            | st.integers(0, last)
            | st.integers(max(0, last - 300), last)
        )
        how = draw(
            st.sampled_from(["byte", "byte", "word", "cut", "insert", "remove", "zeros", "digit"])
        )
        if how == "cut":
            del content[at:]
        elif how == "insert":
            content[at:at] = draw(st.binary(min_size=1, max_size=9))
        elif how == "remove":
            del content[at : at + draw(st.integers(1, 9))]
        else:
            new = {
                "byte": draw(st.binary(min_size=1, max_size=1)),
                "word": draw(
                    st.sampled_from([b"\xff" * 4, b"\xff\xff\xff\x7f", bytes(4), b"\x80"])
                ),
                "zeros": bytes(64),
                "digit": draw(st.sampled_from([b"9" * 6, b"-1", b"(", b"'O'", b"1e9", b",,,"])),
            }[how]
            content[at : at + len(new)] = new
    path.write_bytes(bytes(content))


def columns(draw: Any) -> dict[str, Any]:
    """Columns of any type and with any values, which some program may have written."""
    n = draw(st.integers(0, 60))
    generator = np.random.default_rng(draw(st.integers(0, 99)))
    found = {}
    for name in "xytp":
        dtype = np.dtype(draw(st.sampled_from(DTYPES) | st.just("i4")))
        high = draw(st.sampled_from([1, 2, 30, 34, 255, 2**16, 2**31, 2**40, 2**62]))
        values = generator.integers(draw(st.sampled_from([0, 0, 0, -1, -high])), high, n)
        if name == "t" and draw(st.booleans()):
            values = np.sort(values)
        with np.errstate(all="ignore"):
            column = values.astype(dtype)
        if dtype.kind == "f" and n and draw(st.integers(0, 4)) == 0:
            column[draw(st.integers(0, n - 1))] = draw(
                st.sampled_from([np.nan, np.inf, -np.inf, -0.0])
            )
        found[name] = column
    return found


def made(path: Path, draw: Any) -> None:
    """A file of any contents, in a form that numpy writes."""
    given_columns = columns(draw)
    names = dict(
        zip(
            "xytp",
            draw(st.sampled_from(["xytp", "xyTp", "xypt", "abcd", "xyt"])) + "q",
            strict=False,
        )
    )
    named = {names[k]: v for k, v in given_columns.items() if k in names}
    if path.suffix == ".npz":
        extra = {"more": np.array([[1, 2]])} if draw(st.booleans()) else {}
        np.savez(path, **named, **extra)
    elif draw(st.booleans()):
        np.save(path, np.rec.fromarrays(list(named.values()), names=list(named)))
    else:
        shape = draw(st.sampled_from([(5, 4), (0, 4), (4, 5), (20,), (5, 4, 1), ()]))
        dtype = draw(st.sampled_from(DTYPES))
        np.save(path, np.ones(shape).astype(dtype))


def one_file(data: st.DataObject) -> None:
    """One example: a file is events that fit, or one error that names it."""
    suffix = data.draw(st.sampled_from(KINDS))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"clip{suffix}"
        if suffix in (".npy", ".npz") and data.draw(st.booleans()):
            made(path, data.draw)
        else:
            written(path, data.draw(st.integers(0, 40)), data.draw(st.integers(0, 9)))
        if data.draw(st.integers(0, 3)) > 0:
            damage(path, data.draw)
        unit = data.draw(st.sampled_from([None, None, "ns", "us", "ms", "s"]))
        sensor = data.draw(st.sampled_from([SENSOR, SENSOR, (128, 128), (1280, 720), (1, 1)]))
        try:
            events = read_events(path, sensor, unit)
        except DataError as error:
            told = str(error)
        else:
            told = f"{path}: fine"
            assert events.dtype == EVENT
            assert 0 < len(events) <= max(path.stat().st_size, 60)
            assert 0 <= events["x"].min() <= events["x"].max() < sensor[0]
            assert 0 <= events["y"].min() <= events["y"].max() < sensor[1]
            frames = frame_events(events, sensor, 4, 8)
            assert frames.min() >= 0
            assert len(events) // 2 <= frames.sum() <= len(events) or np.ptp(events["t"]) == 0
        assert told.startswith(f"{path}: ")
        if suffix in (".aedat4", *ENCODED):
            try:
                assert len(declared_sensor(path) or (1, 1)) == 2
            except DataError as error:
                told = str(error)
            assert told.startswith(f"{path}: ")


def one_set(data: st.DataObject) -> None:
    """One example: a recorded set in its own layout, with damage, is summarised or refused."""
    name = data.draw(st.sampled_from(sorted(NATIVE)))
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number in range(4):
            for label in CLASSES[name]:
                path = Path(folder) / NATIVE[name].format(label=label, name=f"c{number}")
                path.parent.mkdir(parents=True, exist_ok=True)
                written(path, 60, 2 * number)
                paths.append(path)
        for _ in range(data.draw(st.integers(0, 3))):
            path = data.draw(st.sampled_from(paths))
            how = data.draw(
                st.sampled_from(["damage", "damage", "damage", "gone", "folder", "name"])
            )
            if not path.is_file():
                continue
            if how == "damage":
                damage(path, data.draw)
            elif how == "name":
                path.rename(path.with_stem(data.draw(st.sampled_from(["x", "99", "ä b", "-1"]))))
            else:
                path.unlink()
                if how == "folder":
                    path.mkdir()
        splits = {"train": 2, "validation": 2, "test": 2}
        spec = DataSpec(name, timesteps=4, size=16, path=Path(folder), **splits)
        try:
            summary = summarise_data(spec, workers=1)
        except DataError as error:
            told = str(error)
        else:
            told = str(summary)
            assert all(0 <= r.on <= 1 and r.events > 0 for r in summary.recordings)
        assert told.strip()


def one_cut_folder(data: st.DataObject) -> None:
    """One example: recordings of all kinds, some damaged, are cut into windows or refused."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "clips"
        for label in (0, 1):
            for k in range(4):
                path = root / "ab"[label] / f"s{k}{KINDS[(2 * k + label) % len(KINDS)]}"
                path.parent.mkdir(parents=True, exist_ok=True)
                written(path, 60, k)
                if data.draw(st.integers(0, 7)) == 0:
                    damage(path, data.draw)
        keys = {"window": data.draw(st.sampled_from(["20 ms", "100 ms"]))}
        keys["bins"] = data.draw(st.sampled_from(["time", "events"]))
        spec = DataSpec("folder", 2, (8, 12), path=root, sensor=(128, 128), **keys)
        try:
            frames = prepare_data(spec, Path(folder) / "cache", workers=1)
        except DataError as error:
            told = str(error)
        else:
            told = frames.summary
            assert frames.train.frames.shape[1:] == (2, 2, 8, 12)
            assert frames.train.frames.any(axis=(1, 2, 3, 4)).all()
        assert told.strip()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames as they are prepared once for each study."""
    folder = tmp_path_factory.mktemp("prepared")
    conftest.write_class_folders(folder / "clips", ("a", "b"), 6, SENSOR)
    splits = {"train": 4, "validation": 4, "test": 4}
    spec = DataSpec("folder", timesteps=4, size=16, path=folder / "clips", sensor=SENSOR, **splits)
    return prepare_data(spec, folder / "cache").folder


def one_folder(prepared: Path, data: st.DataObject) -> None:
    """One example: damaged frames are frames of their announced shape, or one error."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "frames"
        shutil.copytree(prepared, copy)
        path = data.draw(st.sampled_from(sorted(p for p in copy.iterdir() if p.is_file())))
        damage(path, data.draw)
        try:
            frames = open_frames(copy)
        except DataError as error:
            told = str(error)
        else:
            told = f"{copy}: fine"
            assert get_encoding(frames.encoding.name) is not None
            for name in SPLITS:
                split = getattr(frames, name)
                assert int(np.asarray(split.frames).sum()) >= 0
                assert len(split.frames) == len(split.labels)
                assert split.labels.max(initial=0) < len(frames.classes)
        assert str(copy) in told


FUZZ = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


@settings(FUZZ, max_examples=150)
@given(data=st.data())
def test_any_file_gives_events_or_one_error(data: st.DataObject) -> None:
    one_file(data)


@settings(FUZZ, max_examples=15)
@given(data=st.data())
def test_any_recorded_set_is_summarised_or_refused(data: st.DataObject) -> None:
    one_set(data)


@settings(FUZZ, max_examples=30)
@given(data=st.data())
def test_damaged_frames_are_told(prepared: Path, data: st.DataObject) -> None:
    one_folder(prepared, data)


@settings(FUZZ, max_examples=12)
@given(data=st.data())
def test_any_recordings_are_cut_or_refused(data: st.DataObject) -> None:
    one_cut_folder(data)


@pytest.mark.slow
@settings(FUZZ, max_examples=400)
@given(data=st.data())
def test_hundreds_of_folders_are_cut_or_refused(data: st.DataObject) -> None:
    one_cut_folder(data)


@pytest.mark.slow
@settings(FUZZ, max_examples=3_500)
@given(data=st.data())
def test_thousands_of_files_give_events_or_one_error(data: st.DataObject) -> None:
    one_file(data)


@pytest.mark.slow
@settings(FUZZ, max_examples=500)
@given(data=st.data())
def test_hundreds_of_recorded_sets_are_summarised_or_refused(data: st.DataObject) -> None:
    one_set(data)


@pytest.mark.slow
@settings(FUZZ, max_examples=1_000)
@given(data=st.data())
def test_a_thousand_damaged_frames_are_told(prepared: Path, data: st.DataObject) -> None:
    one_folder(prepared, data)
