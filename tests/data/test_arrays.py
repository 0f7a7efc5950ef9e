"""``.npy`` and ``.npz`` files that are damaged, foreign or hostile, and foreign field names."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hqsearch.data.files import check_file, read_events
from hqsearch.errors import DataError

SENSOR = (16, 16)
N = 300
RNG = np.random.default_rng(0)
COLUMNS = {
    "x": RNG.integers(0, 16, N),
    "y": RNG.integers(0, 16, N),
    "t": np.sort(RNG.integers(0, 300_000, N)),
    "p": RNG.integers(0, 2, N),
}


class Bomb:
    """Unpickling this would leave a file."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("unpickled",)


def header(text: str, version: tuple[int, int] = (1, 0)) -> bytes:
    raw = text.encode("latin1") + b"\n"
    size = struct.pack("<H" if version == (1, 0) else "<I", len(raw))
    return b"\x93NUMPY" + bytes(version) + size + raw


def described(descr: str, shape: str, order: str = "False") -> bytes:
    return header(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}")


def zipped(path: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def npy(array: Any, pickled: bool = False) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=pickled)
    return file.getvalue()


def members() -> dict[str, bytes]:
    return {f"{name}.npy": npy(column) for name, column in COLUMNS.items()}


def refused(path: Path) -> str:
    """The message; the check alone refuses, before anything is read."""
    with pytest.raises(DataError) as caught:
        check_file(path, SENSOR)
    assert str(caught.value).startswith(f"{path}: ")
    with pytest.raises(DataError):
        read_events(path, SENSOR)
    return str(caught.value)


EVENT = "[('x','<u2'),('y','<u2'),('t','<i8'),('p','|u1')]"


@pytest.mark.parametrize(
    "content",
    [
        header("{'descr': '<f8'"),
        header("[" * 3000),
        header("(" * 60_000, (2, 0)),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (" + "9" * 5000 + ", 4)}"),
        header("__import__('os').mkdir('evaluated')"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (3.5, 4)}"),
        header("\x00\xff" * 50),
        described("'<f8'", "(-1, 4)"),
        described("'<f8'", "(1000000000000, 4)"),
        described("'<f8'", "(1000000000000000000000, 4)"),
        described("'<f8'", "(0, 1000000000000)"),
        described("'<f8'", "(5,)"),
        described("'<f8'", "()"),
        described("'V0'", "(1000000000000, 4)"),
        described("'<U0'", "(1000000000000, 4)"),
        described("'<c16'", "(0, 4)"),
        described("'|O'", "(1, 4)"),
        described("'nonsense'", "(1, 4)"),
        described("'<M8[us]'", "(1, 4)"),
        described(EVENT, "(100000000000,)"),
        described(EVENT, "(3, 3)"),
        described("[('x','<u2'),('y','<u2'),('t','<i8',(1000000000,)),('p','|u1')]", "(1,)"),
        described("[('x','<u2'),('y','<u2'),('t','|O'),('p','|u1')]", "(1,)"),
        described("[('x','<u2'),('y','<u2'),('t','<i8'),('ts','<i8'),('p','|u1')]", "(0,)"),
        described("[('x','<u2'),('x','<u2')]", "(1,)"),
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x01\x00\xff\xff{}",
        b"\x93NUMPY\x09\x09\x00\x00",
        pickle.dumps(Bomb()),
        npy(np.array([Bomb()], dtype=object), pickled=True),
    ],
)
def test_bad_npy_files_are_named(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.npy").write_bytes(content)
    tracemalloc.start()
    refused(tmp_path / "clip.npy")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20
    assert [p.name for p in tmp_path.iterdir()] == ["clip.npy"]


def test_pickles_in_an_archive_are_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bad = npy(np.array([Bomb()] * N, dtype=object), pickled=True)
    for name in ("t.npy", "x.npy"):
        path = zipped(tmp_path / "clip.npz", members() | {name: bad})
        assert "Python objects, which are not loaded" in refused(path)
    zipped(tmp_path / "clip.npz", {"events.npy": bad})
    assert "Python objects" in refused(tmp_path / "clip.npz")
    # One that is not needed is not looked at.
    zipped(tmp_path / "clip.npz", members() | {"meta.npy": bad})
    assert len(read_events(tmp_path / "clip.npz", SENSOR)) == N
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize(
    "name", ["/etc/t.npy", "../t.npy", "a/../../t.npy", "C:/t.npy", "\\t.npy", "..\\t.npy"]
)
def test_members_that_lead_elsewhere_are_refused(name: str, tmp_path: Path) -> None:
    path = zipped(tmp_path / "clip.npz", {name: members()["t.npy"]})
    assert "leads elsewhere" in refused(path)
    refused(zipped(path, members() | {name: b"x"}))


def test_archives_that_are_something_else(tmp_path: Path) -> None:
    path = tmp_path / "clip.npz"
    refused(zipped(path, {}, zipfile.ZIP_STORED))
    assert "it holds a.txt, b.txt" in refused(zipped(path, {"a.txt": b"x", "b.txt": b"y"}))
    assert "header is damaged" in refused(zipped(path, {"a.txt": b"x"}))
    assert "header is damaged" in refused(zipped(path, members() | {"t.npy": b"text"}))
    assert "does not use" in refused(zipped(path, members(), zipfile.ZIP_LZMA))
    short = members() | {"t.npy": npy(COLUMNS["t"])[:-8]}
    assert "is truncated" in refused(zipped(path, short))
    assert "the shape" in refused(zipped(path, members() | {"t.npy": npy(np.zeros((N, 2)))}))
    zipped(path, members() | {"t.npy": npy(COLUMNS["t"][1:])})
    with pytest.raises(DataError, match="different lengths"):
        read_events(path, SENSOR)


@pytest.mark.parametrize(
    "bomb",
    [
        described("'<i8'", "(4194304,)") + bytes(32 << 20),  # 32 MiB of zeros in 32 KiB
        described("'<i8'", "(1000000000000,)") + bytes(1 << 20),  # a header that lies
    ],
)
def test_bombs_are_refused_before_they_go_off(bomb: bytes, tmp_path: Path) -> None:
    path = zipped(tmp_path / "clip.npz", members() | {"t.npy": bomb})
    assert path.stat().st_size < 1 << 18
    del bomb
    tracemalloc.start()
    assert "announce" in refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_a_directory_that_lies_about_sizes(tmp_path: Path) -> None:
    path = zipped(tmp_path / "clip.npz", members())
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, at + 24, 0xFFFFFFF0)  # uncompressed size of the first member
    path.write_bytes(data)
    assert "announce 4," in refused(path)
    struct.pack_into("<I", data, at + 24, 100)
    path.write_bytes(data)
    refused(path)


def test_what_is_called_like_a_file_but_is_none(tmp_path: Path) -> None:
    for suffix in (".npy", ".npz", ".bin", ".aedat4"):
        (tmp_path / f"folder{suffix}").mkdir()
        assert "is a folder" in refused(tmp_path / f"folder{suffix}")
        os.mkfifo(tmp_path / f"pipe{suffix}")
        assert "no regular file" in refused(tmp_path / f"pipe{suffix}")
        (tmp_path / f"loop{suffix}").symlink_to(tmp_path / f"loop{suffix}")
        refused(tmp_path / f"loop{suffix}")
        (tmp_path / f"device{suffix}").symlink_to("/dev/zero")
        assert "no regular file" in refused(tmp_path / f"device{suffix}")


@pytest.mark.parametrize(
    "names",
    [
        ("x", "y", "timestamp", "polarity"),
        ("x", "y", "ts", "pol"),
        ("X", "Y", "T", "P"),
        ("x", "y", "time", "on"),
        ("x", "y", "timestamps", "p"),
    ],
)
def test_fields_may_be_called_otherwise(names: tuple[str, ...], tmp_path: Path) -> None:
    events = np.zeros(N, dtype=[(name, "i8") for name in (*names[::-1], "extra")])
    for name, column in zip(names, COLUMNS.values(), strict=True):
        events[name] = column
    np.save(tmp_path / "a.npy", events)
    np.savez(tmp_path / "b.npz", **{name: events[name] for name in names})
    np.savez_compressed(tmp_path / "c.npz", events=events)
    for path in sorted(tmp_path.iterdir()):
        read = read_events(path, SENSOR)
        for key, column in COLUMNS.items():
            np.testing.assert_array_equal(read[key], column)


def _samples(folder: Path) -> list[Path]:
    np.save(folder / "a.npy", np.stack(list(COLUMNS.values()), axis=1))
    np.savez(folder / "b.npz", **COLUMNS)
    np.savez_compressed(folder / "c.npz", **COLUMNS)
    return sorted(folder.iterdir())


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_damage_gives_events_or_one_error(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "originals"
    if not folder.exists():
        folder.mkdir()
        _samples(folder)
    original = data.draw(st.sampled_from(sorted(folder.iterdir())))
    content = bytearray(original.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        # Headers and directories are where damage is most surprising.
        place = st.integers(0, 200) | st.integers(0, len(content) - 1)
        at = data.draw(place | st.integers(max(0, len(content) - 300), len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path = tmp_path / original.name
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2]))])
    try:
        events = read_events(path, SENSOR)
    except DataError as error:
        told = str(error)
    else:
        told = f"{path}: fine"
        assert len(events) <= N
    assert told.startswith(f"{path}: ")
