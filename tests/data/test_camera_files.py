"""Files of cameras' own tools, .raw (EVT 2.0 and 3.0), .dat and .aedat, from our encoders."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import expelliarmus
import numpy as np
import pytest

from hqsearch.data import DataSpec, check_data, prepare_data
from hqsearch.data.files import check_file, declared_sensor, read_columns, read_events
from hqsearch.data.prepare import summarise_data
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


conftest, encoders = _helper("conftest"), _helper("encoders")
#: Kind -> suffix, how it is written, and a sensor that it can have.
KINDS: dict[str, tuple[str, Callable[..., None], tuple[int, int]]] = {
    "evt2": (".raw", encoders.write_evt2, (640, 480)),
    "evt3": (".raw", encoders.write_evt3, (1280, 720)),
    "dat": (".dat", encoders.write_dat, (640, 480)),
    "dvs128": (".aedat", encoders.write_aedat2, (128, 128)),
    "davis": (".aedat", encoders.write_aedat2, (240, 180)),
}


def crowded(sensor: tuple[int, int], n: int = 4000, start: int = 0) -> dict[str, Any]:
    """Events in order of time, row and column, many of them neighbours at one time."""
    rng = np.random.default_rng(3)
    columns = {
        "x": rng.integers(0, sensor[0], n),
        "y": rng.integers(0, min(sensor[1], 20), n),
        "t": np.sort(start + rng.integers(0, 300, n) * 1000),
        "p": rng.integers(0, 2, n),
    }
    keys = np.stack([columns[k] for k in "typx"])
    order = np.lexsort(keys[::-1])
    return {k: v[order] for k, v in columns.items()}


def written(kind: str, folder: Path, columns: dict[str, Any], **more: Any) -> Path:
    suffix, write, sensor = KINDS[kind]
    path = folder / f"{kind}{suffix}"
    write(path, **columns, sensor=sensor, **more)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_events_are_those_that_were_written(kind: str, tmp_path: Path) -> None:
    sensor = KINDS[kind][2]
    columns = crowded(sensor)
    path = written(kind, tmp_path, columns)
    events = read_events(path, sensor)
    for name in "xytp":
        np.testing.assert_array_equal(events[name], columns[name], err_msg=name)
    assert declared_sensor(path) == sensor


@pytest.mark.parametrize("kind", ["evt2", "evt3", "dat"])
def test_expelliarmus_reads_the_same(kind: str, tmp_path: Path) -> None:
    """The reader that tonic brings, on sound files.

    Of EVT 3.0 it knows no triggers, and from 4,096 µs on its times are none of the format's: each
    time that the lower 12 bits begin again it adds what the upper 12 bits say already.
    """
    columns, more = crowded(KINDS[kind][2]), {}
    if kind == "evt3":
        columns, more = columns | {"t": columns["t"] // 100}, {"triggers": False}
    path = written(kind, tmp_path, columns, **more)
    theirs = expelliarmus.Wizard(kind).read(path)
    ours = read_columns(path, KINDS[kind][2])
    for name in "xytp":
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


@pytest.mark.parametrize(
    ("kind", "start"),
    [("evt3", 2**24 - 100_000), ("evt2", 2**34 - 100_000), ("dat", 2**32 - 100_000),
     ("dvs128", 2**31 - 100_000), ("davis", 2**32 - 100_000)],
)  # fmt: skip
def test_clocks_go_on_where_they_begin_again(kind: str, start: int, tmp_path: Path) -> None:
    sensor = KINDS[kind][2]
    columns = crowded(sensor, start=start)
    times = read_events(written(kind, tmp_path, columns), sensor)["t"]
    np.testing.assert_array_equal(times - times[0], columns["t"] - columns["t"][0])


@pytest.mark.parametrize("kind", ["evt2", "evt3"])
def test_state_goes_on_from_piece_to_piece(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long files are decoded in pieces; vectors and times may lie across their edges."""
    from hqsearch.data import prophesee

    columns = crowded(KINDS[kind][2], n=300)
    path = written(kind, tmp_path, columns)
    for chunk in (1, 3, 64):
        monkeypatch.setattr(prophesee, "_CHUNK", chunk)
        events = read_events(path, KINDS[kind][2])
        for name in "xytp":
            np.testing.assert_array_equal(events[name], columns[name], err_msg=name)


def test_what_comes_before_the_first_time_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    words = np.array([0x0003, 0x2005, 0x8001, 0x6002, 0x2806], "<u2")
    path.write_bytes(encoders.raw_header("3.0", (64, 48)) + words.tobytes())
    columns = read_columns(path, (64, 48))
    assert columns[["x", "y", "t", "p"]].tolist() == [(6, 3, 1 << 12 | 2, 1)]


def test_a_file_of_no_named_camera_is_of_a_dvs128(tmp_path: Path) -> None:
    columns = crowded((128, 128))
    path = written("dvs128", tmp_path, columns, named=False)
    np.testing.assert_array_equal(read_events(path, (128, 128))["x"], columns["x"])
    davis = written("davis", tmp_path, crowded((240, 180)), named=False)
    with pytest.raises(DataError, match=r"addresses such as 0x.*128 x 128"):
        read_events(davis, (240, 180))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_was_cut_off_is_truncated(kind: str, tmp_path: Path) -> None:
    path = written(kind, tmp_path, crowded(KINDS[kind][2], 50))
    whole = path.read_bytes()
    for cut in (1, 3, len(whole) - 20, len(whole) - 2):
        path.write_bytes(whole[: len(whole) - cut])
        if len(whole[:-cut]) % 2 == 0 and kind == "evt3" and cut < 20:
            continue  # whole words are no sign of a cut
        with pytest.raises(DataError, match=r"is truncated|does not start with|has no header"):
            check_file(path, None)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.raw", b"% evt 2.1\n% end\n" + bytes(8), "EVT 2.1; EVT 2.0 and EVT 3.0 are read"),
        ("a.raw", b"% format EVT21;height=4;width=4\n% end\n" + bytes(8), "holds EVT 2.1"),
        ("a.raw", b"% date 2020\n% end\n" + bytes(8), "names no encoding"),
        ("a.raw", bytes(64), "has no header"),
        ("a.raw", b"% evt 3.0\n% end\n", "nothing follows its header"),
        ("a.raw", b"% evt 3.0\n" + b"% x\n" * 30_000, "header has no end"),
        ("a.raw", b"% evt 3.0", "ends in its header"),
        ("a.dat", b"% Version 1\n" + bytes([0, 8]) + bytes(8), "DAT version 1"),
        ("a.dat", b"% Version 2\n" + bytes([64, 24]) + bytes(24), "type 64 with 24 bytes"),
        ("a.dat", b"% Version 2\n\x00", "ends in its header"),
        ("a.aedat", b"#!AER-DAT3.1\r\n" + bytes(8), "AEDAT 3.1.*Save it as AEDAT 4"),
        ("a.aedat", b"#!AER-DAT4.0\r\n" + bytes(8), "Name it .aedat4"),
        ("a.aedat", bytes(16), "does not start with #!AER-DAT2.0"),
        ("a.aedat", b"#!AER-DAT2.0\r\n# AEChip: x.y.DVS640\r\n" + bytes(8), "camera is x.y.DVS640"),
        ("a.aedat", b"#!AER-DAT2.0\r\n", "nothing follows"),
    ],
)
def test_foreign_files_are_told_from_sound_ones(
    name: str, content: bytes, told: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=told):
        check_file(path, None)


def test_words_that_the_encoding_does_not_have_are_damage(tmp_path: Path) -> None:
    path = written("evt2", tmp_path, crowded((640, 480), 50))
    path.write_bytes(path.read_bytes() + b"\x00\x00\x00\x70")
    with pytest.raises(DataError, match=r"words of kind 0x7, which EVT 2\.0"):
        read_events(path, (640, 480))


def test_a_folder_of_one_recording_in_every_kind(recorded_data: Path, tmp_path: Path) -> None:
    """Real recordings, each as it lies there and in all other kinds: their frames are equal."""
    clips = sorted((recorded_data / "dvs-objects" / "train" / "mug").glob("*.bin"))[:3]
    writers = {
        "evt2": (".raw", encoders.write_evt2), "evt3": (".raw", encoders.write_evt3),
        "dat": (".dat", encoders.write_dat), "aedat": (".aedat", encoders.write_aedat2),
    }  # fmt: skip
    for number, clip in enumerate(clips):
        events = read_events(clip, (128, 128))
        columns = {name: events[name] for name in "xytp"}
        for part in ("train", "validation", "test"):
            folder = tmp_path / "clips" / part / f"clip{number}"
            folder.mkdir(parents=True)
            (folder / "a.bin").write_bytes(clip.read_bytes())
            np.save(folder / "b.npy", events)
            for name, (suffix, write) in writers.items():
                write(folder / f"{name}{suffix}", **columns, sensor=(128, 128))
    for bins in ("time", "events"):
        spec = DataSpec("folder", 8, 32, path=tmp_path / "clips", sensor=(128, 128), bins=bins)
        check_data(spec, tmp_path / "cache")
        data = prepare_data(spec, tmp_path / "cache")
        for label in range(3):
            frames = data.train.frames[data.train.labels == label]
            assert len(frames) == 6
            assert frames.any()
            assert (frames == frames[0]).all()
    assert "microseconds" in str(summarise_data(spec))


def test_a_folder_that_says_its_sensor_needs_none(tmp_path: Path) -> None:
    root = tmp_path / "clips"
    for label in "ab":
        for k in range(5):
            (root / label).mkdir(parents=True, exist_ok=True)
            write, suffix = (encoders.write_dat, ".dat") if k % 2 else (encoders.write_evt3, ".raw")
            write(root / label / f"{k}{suffix}", **crowded((64, 48), 200), sensor=(64, 48))
    spec = DataSpec("folder", 4, (12, 16), path=root)
    assert prepare_data(spec, tmp_path / "cache").train.frames.shape[1:] == (4, 2, 12, 16)
    encoders.write_dat(root / "a" / "z.dat", **crowded((64, 48), 200), sensor=(60, 48))
    with pytest.raises(DataError, match=r"has a sensor of 60x48, but .* one of 64x48"):
        check_data(spec)
