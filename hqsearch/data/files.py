"""Event files: reading them, and telling quickly that one is truncated or something else.

======== =====================================================================================
.bin     N-MNIST layout: 5 bytes an event, big-endian x, y, then 1 bit polarity and 23 bits time
         in microseconds (Orchard et al. 2015); read by tonic
.aedat4  iniVation AEDAT 4; read by tonic with the package ``aedat``
.npy     structured array with the fields x, y, t, p, or ``[n, 4]`` with the columns x, y, t, p
.npz     arrays x, y, t, p of one length, or one array as in .npy
======== =====================================================================================

Time is in microseconds (only its proportions matter), p is 1 (or positive) for ON events.
Nothing is ever unpickled.
"""

from __future__ import annotations

import math
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hqsearch.data.framing import Events
from hqsearch.errors import DataError

SUFFIXES = (".bin", ".aedat4", ".npy", ".npz")

_FIELDS = ("x", "y", "t", "p")
_BIN_EVENT = 5
#: A .bin event with this y only says that the clock has wrapped.
_BIN_OVERFLOW_Y = 240
_AEDAT4_MAGIC = b"#!AER-DAT4.0\r\n"
#: Events at the start of a .bin file that the quick check looks at.
_BIN_PEEK = 200
EVENT = np.dtype([("x", np.int32), ("y", np.int32), ("t", np.int64), ("p", bool)])


def read_events(path: Path, sensor: tuple[int, int]) -> Events:
    """All events of a file, as a structured array ``[n]`` with the fields x, y, t, p.

    Raises:
        DataError: The file is missing, truncated or foreign, holds no events, or events outside
            ``sensor`` (width, height); the file is named.
    """
    check_file(path, sensor)
    readers = {".bin": _read_bin, ".aedat4": _read_aedat4, ".npy": _read_npy, ".npz": _read_npz}
    try:
        raw = readers[path.suffix.lower()](path)
        return normalize(raw, sensor, str(path))
    except DataError:
        raise
    except ImportError as error:
        raise DataError(
            f"{path}: reading .aedat4 needs the package aedat: pip install aedat"
        ) from error
    except Exception as error:
        # The decoders raise whatever occurs to them on damaged input.
        raise DataError(f"{path}: cannot be read as {path.suffix} events ({error}).") from error


def normalize(raw: NDArray[Any], sensor: tuple[int, int], origin: str) -> Events:
    """``raw`` events with the fields x, y, t, p of any type, checked, as dtype EVENT.

    Raises:
        DataError: No events, or coordinates, times or polarities that cannot be.
    """
    missing = [name for name in _FIELDS if name not in (raw.dtype.names or ())]
    if missing:
        raise DataError(f"{origin}: the field {missing[0]!r} is missing; x, y, t, p are needed.")
    if len(raw) == 0:
        raise DataError(f"{origin}: holds no events. Remove it.")
    for name, side, letter in (("x", sensor[0], "width"), ("y", sensor[1], "height")):
        low, high = raw[name].min(), raw[name].max()
        if not (low >= 0 and high < side):  # Written so that NaN is refused as well.
            raise DataError(
                f"{origin}: {name} reaches from {low} to {high}, outside a sensor of {letter} "
                f"{side}. Either the file is no event file, or [data] sensor is wrong."
            )
    times = raw["t"].astype(np.float64)
    if not np.isfinite(times).all() or np.abs(times).max() >= 2**62:
        raise DataError(f"{origin}: holds times that are no numbers of microseconds.")
    kinds = np.unique(raw["p"])
    if not (set(kinds.tolist()) <= {0, 1} or set(kinds.tolist()) <= {-1, 1}):
        raise DataError(
            f"{origin}: polarities must be 0 and 1 (or -1 and 1); found {kinds[:4].tolist()}. "
            f"Columns of a plain array are x, y, t, p in this order."
        )
    events = np.empty(len(raw), dtype=EVENT)
    for name in ("x", "y", "t"):
        events[name] = raw[name]
    events["p"] = raw["p"] > 0
    return events


def check_file(path: Path, sensor: tuple[int, int] | None) -> None:
    """Look at size and header.

    Raises:
        DataError: The file is missing, empty, truncated, or no event file.
    """
    checks = {".bin": _check_bin, ".aedat4": _check_aedat4, ".npy": _check_npy, ".npz": _check_npz}
    check = checks.get(path.suffix.lower())
    if check is None:
        raise DataError(f"{path}: unknown kind of event file; {', '.join(SUFFIXES)} can be read.")
    try:
        size = path.stat().st_size
        if size == 0:
            raise DataError(f"{path}: is empty. Copy it again or remove it.")
        with path.open("rb") as file:
            check(path, file, size, sensor)
    except FileNotFoundError as error:
        raise DataError(f"{path}: does not exist.") from error
    except PermissionError as error:
        raise DataError(f"{path}: may not be read (permission denied).") from error


def aedat4_sensor(path: Path) -> tuple[int, int]:
    """(width, height) that an .aedat4 file declares for its events.

    Raises:
        DataError: The file cannot be read or holds no event stream.
    """
    check_file(path, None)
    try:
        import aedat

        streams = aedat.Decoder(str(path)).id_to_stream()
        sizes = [(s["width"], s["height"]) for s in streams.values() if s["type"] == "events"]
    except ImportError as error:
        raise DataError(
            f"{path}: reading .aedat4 needs the package aedat: pip install aedat"
        ) from error
    except Exception as error:
        raise DataError(f"{path}: is no readable .aedat4 file ({error}).") from error
    if not sizes:
        raise DataError(f"{path}: holds no stream of events.")
    return int(sizes[0][0]), int(sizes[0][1])


def _truncated(path: Path, what: str) -> DataError:
    return DataError(f"{path}: is truncated ({what}). Copy it again or remove it.")


def _foreign(path: Path, what: str) -> DataError:
    return DataError(f"{path}: is no {path.suffix} event file ({what}). Remove it.")


def _check_bin(path: Path, file: BinaryIO, size: int, sensor: tuple[int, int] | None) -> None:
    if size % _BIN_EVENT:
        raise _truncated(path, f"{size} bytes are no multiple of {_BIN_EVENT}, an event's size")
    head = np.frombuffer(file.read(_BIN_EVENT * _BIN_PEEK), dtype=np.uint8).reshape(-1, _BIN_EVENT)
    head = head[head[:, 1] != _BIN_OVERFLOW_Y]
    if sensor is not None and ((head[:, 0] >= sensor[0]) | (head[:, 1] >= sensor[1])).any():
        raise _foreign(path, f"it starts with pixels outside a sensor of {sensor[0]}x{sensor[1]}")


def _check_npy(path: Path, file: BinaryIO, size: int, sensor: tuple[int, int] | None) -> None:
    try:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise ValueError(f"format version {version} is unknown")
        shape, _, dtype = read(file)
    except ValueError as error:
        raise _foreign(path, str(error)) from error
    if dtype.hasobject:
        raise _foreign(path, "it holds Python objects, which are not loaded")
    if dtype.names is None and (len(shape) != 2 or shape[1] != 4):
        raise _foreign(path, f"its shape is {shape}; [n, 4] or a structured array is needed")
    if size - file.tell() < math.prod(shape) * dtype.itemsize:
        raise _truncated(path, f"{shape[0]} events do not fit {size} bytes")


def _check_npz(path: Path, file: BinaryIO, size: int, sensor: tuple[int, int] | None) -> None:
    if file.read(4) != b"PK\x03\x04":
        raise _foreign(path, "it is no zip archive")
    if not zipfile.is_zipfile(path):
        raise _truncated(path, "the end of the archive is missing")
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
    if len(names) != 1 and not set(_FIELDS) <= set(names):
        raise _foreign(path, f"it holds {', '.join(names) or 'nothing'}; x, y, t, p are needed")


def _check_aedat4(path: Path, file: BinaryIO, size: int, sensor: tuple[int, int] | None) -> None:
    """Walk over the packets; layout after the AEDAT 4 specification of iniVation."""
    if file.read(len(_AEDAT4_MAGIC)) != _AEDAT4_MAGIC:
        raise _foreign(path, "it does not start with #!AER-DAT4.0")
    head = file.read(4)
    if len(head) < 4:
        raise _truncated(path, "the header is missing")
    (length,) = struct.unpack("<I", head)
    header = file.read(length)
    if len(header) < length:
        raise _truncated(path, "the header is cut off")
    table = _data_table_position(header)
    end = table if table > 0 else size
    position = file.tell()
    if end > size:
        raise _truncated(path, "the table at its end is missing")
    if position >= end:
        raise _truncated(path, "no packet follows the header")
    while position < end:
        file.seek(position)
        packet = file.read(8)
        if len(packet) < 8:
            raise _truncated(path, "a packet is cut off")
        _, length = struct.unpack("<iI", packet)
        position += 8 + length
        if position > end:
            raise _truncated(path, "a packet is cut off")


def _data_table_position(header: bytes) -> int:
    """Field 1 of the IOHeader flatbuffer: where the packets end; -1 where nothing is said."""
    try:
        (root,) = struct.unpack_from("<I", header, 0)
        (back,) = struct.unpack_from("<i", header, root)
        (size,) = struct.unpack_from("<H", header, root - back)
        if size < 8:
            return -1
        (offset,) = struct.unpack_from("<H", header, root - back + 6)
        return int(struct.unpack_from("<q", header, root + offset)[0]) if offset else -1
    except struct.error:
        return -1


def _read_bin(path: Path) -> NDArray[Any]:
    import tonic.io

    fields = np.dtype([("x", np.int32), ("y", np.int32), ("t", np.int64), ("p", np.int8)])
    events: NDArray[Any] = tonic.io.read_mnist_file(str(path), dtype=fields)
    return events


def _read_aedat4(path: Path) -> NDArray[Any]:
    import tonic.io

    events = tonic.io.read_aedat4(str(path))
    # The package names the polarity "on" and older ones "p".
    names = {"on": "p", "polarity": "p"}
    out: NDArray[Any] = np.array(events)
    out.dtype.names = tuple(names.get(name, name) for name in out.dtype.names or ())
    return out


def _read_npy(path: Path) -> NDArray[Any]:
    return _columns(np.load(path, allow_pickle=False))


def _read_npz(path: Path) -> NDArray[Any]:
    with np.load(path, allow_pickle=False) as arrays:
        if not set(_FIELDS) <= set(arrays.files):
            return _columns(arrays[arrays.files[0]])
        parts = [arrays[name] for name in _FIELDS]
    lengths = {len(part) for part in parts}
    if len(lengths) != 1:
        raise ValueError(f"x, y, t, p have different lengths: {sorted(lengths)}")
    return _structured(parts)


def _columns(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.names is not None:
        return array
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"its shape is {array.shape}; [n, 4] is needed")
    return _structured(list(array.T))


def _structured(parts: list[NDArray[Any]]) -> NDArray[Any]:
    dtype = np.dtype([(name, part.dtype) for name, part in zip(_FIELDS, parts, strict=True)])
    out = np.empty(len(parts[0]), dtype=dtype)
    for name, part in zip(_FIELDS, parts, strict=True):
        out[name] = part
    return out
