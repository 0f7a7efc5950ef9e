"""Events in ``.npy`` and ``.npz`` files, read without trusting what the files say of themselves.

Sizes that a header or an archive declares are compared with the bytes that are there before
anything is allocated; nothing is unpickled; nothing is unpacked to disk. Fields may be called as
cameras' tools call them (:data:`FIELDS`).
"""

from __future__ import annotations

import math
import os
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

#: Names under which files hold x, y, t and p; the first is the usual one.
FIELDS = {
    "x": ("x",),
    "y": ("y",),
    "t": ("t", "ts", "timestamp", "timestamps", "time"),
    "p": ("p", "pol", "polarity", "on"),
}
#: An archive that unpacks to more than this is refused if it also is that much larger than packed.
_SUSPICIOUS_BYTES = 16 << 20
_SUSPICIOUS_RATIO = 100
#: How an archive's members may be packed; numpy writes no other kind.
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

#: Held while numpy parses a header.
_PARSING = threading.Lock()


class Unusable(ValueError):
    """A file that is no event file; the message says why."""


class CutOff(Unusable):
    """A file that ends before what it announces."""


def columns_of(names: tuple[str, ...]) -> dict[str, str]:
    """Which of ``names`` holds x, y, t and p.

    Raises:
        Unusable: one of them is missing, or there are two for it.
    """
    chosen = {}
    for field, synonyms in FIELDS.items():
        here = [name for name in names if name.lower() in synonyms]
        if not here:
            raise Unusable(f"the field {field!r} is missing; x, y, t, p are needed")
        if len(here) > 1:
            raise Unusable(f"{' and '.join(here[:3])} may both be the field {field!r}")
        chosen[field] = here[0]
    return chosen


def check_npy(file: IO[bytes], size: int) -> None:
    """Look at the header of an ``.npy`` file of ``size`` bytes.

    Raises:
        Unusable: it is damaged, foreign, or announces more than there is.
    """
    shape, dtype = _read_header(file)
    _check_events(shape, dtype)
    _check_size(shape, dtype, size - file.tell())


def open_npy(path: Path, mapped: bool) -> NDArray[Any]:
    """An array of ours, memory-mapped read-only or read whole.

    Raises:
        Unusable: it is damaged, or announces more than there is.
    """
    with path.open("rb") as file:
        shape, dtype = _read_header(file)
        _check_size(shape, dtype, path.stat().st_size - file.tell())
    with _PARSING:
        opened: NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    return opened


def open_npz(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an ``.npz`` file by name, read whole.

    Raises:
        Unusable: it is damaged, holds Python objects, or announces more than there can be.
    """
    if not zipfile.is_zipfile(path):
        raise CutOff("the end of the archive is missing")
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            _check_members(infos)
            _check_unpacked(infos, path.stat().st_size)
            for info in infos:
                with archive.open(info) as member:
                    shape, dtype = _read_header(member)
                    _check_size(shape, dtype, info.file_size - member.tell())
                with archive.open(info) as member, _PARSING:
                    read = np.lib.format.read_array(member, allow_pickle=False)
                arrays[info.filename.removesuffix(".npy")] = read
    except Unusable:
        raise
    except Exception as error:
        # zipfile raises whatever occurs to it on damaged archives.
        raise Unusable(f"its archive is damaged: {error}") from error
    return arrays


def check_npz(path: Path) -> None:
    """Look at the directory of an ``.npz`` file and at the header of each array that is needed.

    Raises:
        Unusable: it is damaged, foreign, or announces more than there can be.
    """
    if not zipfile.is_zipfile(path):
        raise CutOff("the end of the archive is missing")
    try:
        with zipfile.ZipFile(path) as archive:
            for info, field in _members(archive):
                with archive.open(info) as member:
                    shape, dtype = _read_header(member)
                    if field:
                        _check_column(field, shape, dtype)
                    else:
                        _check_events(shape, dtype)
                    _check_size(shape, dtype, info.file_size - member.tell())
    except Unusable:
        raise
    except Exception as error:
        # zipfile raises whatever occurs to it on damaged archives.
        raise Unusable(f"its archive is damaged: {error}") from error


def read_npy(path: Path) -> NDArray[Any]:
    """The events of a file that :func:`check_npy` accepts, with the fields x, y, t, p."""
    with _PARSING:
        events = np.load(path, allow_pickle=False)
    return _named(events)


def read_npz(path: Path) -> NDArray[Any]:
    """The events of a file that :func:`check_npz` accepts, with the fields x, y, t, p.

    Raises:
        Unusable: its arrays differ in length.
    """
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for info, field in _members(archive):
            with archive.open(info) as member, _PARSING:
                arrays[field] = np.lib.format.read_array(member, allow_pickle=False)
    if "" in arrays:
        return _named(arrays[""])
    lengths = {len(part) for part in arrays.values()}
    if len(lengths) != 1:
        raise Unusable(f"x, y, t, p have different lengths: {sorted(lengths)}")
    return _joined([arrays[field] for field in FIELDS])


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise Unusable(f"format version {version} is unknown")
        # Parsers of one process share a recursion count; in several threads at a time it is
        # told wrong ("AST constructor recursion depth mismatch", gh-106905).
        with _PARSING:
            shape, _, dtype = read(file)
    except Unusable:
        raise
    except Exception as error:
        # A header is Python source to numpy, so anything from RecursionError to TokenError.
        raise Unusable(f"its header is damaged: {str(error).splitlines()[:1]}") from error
    if any(side < 0 for side in shape):
        raise Unusable(f"its shape is {shape}")
    if dtype.hasobject:
        raise Unusable("it holds Python objects, which are not loaded")
    return shape, dtype


def _check_events(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if dtype.names is None:
        if len(shape) != 2 or shape[1] != 4:
            raise Unusable(f"its shape is {shape}; [n, 4] or a structured array is needed")
        _check_column("x, y, t, p", shape[:1], dtype)
        return
    assert dtype.fields is not None
    for field, name in columns_of(dtype.names).items():
        _check_column(field, shape, dtype.fields[name][0])


def _check_column(field: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "biuf":
        raise Unusable(f"{field} is of the type {dtype}; numbers are needed")
    if len(shape) != 1:
        raise Unusable(f"{field} has the shape {shape}; one number for each event is needed")


def _check_size(shape: tuple[int, ...], dtype: np.dtype[Any], there: int) -> None:
    if there < math.prod(shape) * dtype.itemsize:
        raise CutOff(f"it announces an array {list(shape)} and holds {there} bytes of it")


def _members(archive: zipfile.ZipFile) -> list[tuple[zipfile.ZipInfo, str]]:
    """The arrays of an archive that are needed, each with the field that it is; "" where one
    array holds all fields."""
    infos = archive.infolist()
    names = _check_members(infos)
    if len(infos) == 1:
        chosen = [(infos[0], "")]
    else:
        by_name = dict(zip(names, infos, strict=True))
        try:
            chosen = [(by_name[n], field) for field, n in columns_of(tuple(names)).items()]
        except Unusable as error:
            shown = ", ".join(names[:8]) or "nothing"
            raise Unusable(f"it holds {shown}; {error}") from None
    _check_unpacked([info for info, _ in chosen], os.path.getsize(archive.filename or ""))
    return chosen


def _check_members(infos: Sequence[zipfile.ZipInfo]) -> list[str]:
    """Names of the arrays of an archive."""
    for info in infos:
        parts = info.filename.replace("\\", "/").split("/")
        if info.filename.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
            raise Unusable(f"a member is called {info.filename[:80]!r}, which leads elsewhere")
    names = [info.filename.removesuffix(".npy") for info in infos]
    if len(set(names)) != len(names):
        raise Unusable("two of its members have one name")
    return names


def _check_unpacked(infos: Sequence[zipfile.ZipInfo], packed: int) -> None:
    """Whether members can be unpacked, and to a size that is believed."""
    for info in infos:
        if info.flag_bits & 1:
            raise Unusable("it is encrypted")
        if info.compress_type not in _PACKED:
            raise Unusable("it is packed in a way that numpy does not use")
    unpacked = sum(info.file_size for info in infos)
    if unpacked > max(_SUSPICIOUS_BYTES, _SUSPICIOUS_RATIO * packed):
        raise Unusable(f"its {packed:,} bytes announce {unpacked:,} unpacked ones")


def _named(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.names is None:
        return _joined(list(array.T))
    columns = columns_of(array.dtype.names)
    if all(field == name for field, name in columns.items()):
        return array
    return _joined([array[name] for name in columns.values()])


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Columns x, y, t, p as one structured array ``[n]``."""
    dtype = np.dtype([(name, part.dtype) for name, part in zip(FIELDS, parts, strict=True)])
    out = np.empty(len(parts[0]), dtype=dtype)
    for name, part in zip(FIELDS, parts, strict=True):
        out[name] = part
    return out
