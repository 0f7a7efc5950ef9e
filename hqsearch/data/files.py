"""Event files: reading them, and telling quickly that one is truncated or something else.

======== =====================================================================================
.bin     N-MNIST layout: 5 bytes an event, big-endian x, y, then 1 bit polarity and 23 bits time
         in microseconds (Orchard et al. 2015). Row 240 says that the clock has gone on by
         2**13 µs; where the sensor has that row, files with such entries are refused
.aedat4  iniVation AEDAT 4, time in microseconds; read by tonic with the package ``aedat``
.aedat   AEDAT 2.0 of jAER (:mod:`hqsearch.data.aedat2`), time in microseconds
.raw     Prophesee EVT 2.0 or 3.0 (:mod:`hqsearch.data.prophesee`), time in microseconds
.dat     Prophesee DAT, contrast detections, time in microseconds
.npy     structured array with the fields x, y, t, p, or ``[n, 4]`` with the columns x, y, t, p
.npz     arrays x, y, t, p of one length, or one array as in .npy
======== =====================================================================================

The unit of times in .npy and .npz is recognised (:mod:`hqsearch.data.clock`) or given; p is 1
(or positive) for ON events. Nothing is ever unpickled.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from hqsearch.data.aedat2 import aedat2_sensor, check_aedat2, read_aedat2
from hqsearch.data.arrays import FIELDS, CutOff, Unusable, check_npy, check_npz, read_npy, read_npz
from hqsearch.data.clock import ClockError, mend_clock, read_clock, recognise_unit, to_microseconds
from hqsearch.data.framing import Events
from hqsearch.data.prophesee import check_dat, check_raw, read_dat, read_header, read_raw
from hqsearch.errors import DataError

SUFFIXES = (".bin", ".aedat4", ".aedat", ".raw", ".dat", ".npy", ".npz")

#: Kinds of files that say in which unit their times are: microseconds.
_TIMED = (".bin", ".aedat4", ".aedat", ".raw", ".dat")
_BIN_EVENT = 5
#: A .bin event with this y only says that the clock has gone on by so many microseconds.
_BIN_OVERFLOW_Y = 240
_BIN_OVERFLOW_US = 2**13
_AEDAT4_MAGIC = b"#!AER-DAT4.0\r\n"
#: Events at the start of a .bin file that the quick check looks at.
_BIN_PEEK = 200
EVENT = np.dtype([("x", np.int32), ("y", np.int32), ("t", np.int64), ("p", bool)])


def read_events(path: Path, sensor: tuple[int, int], unit: str | None = None) -> Events:
    """All events of a file, as a structured array ``[n]`` with the fields x, y, t, p.

    Args:
        sensor: (width, height) in pixels.
        unit: of the file's times; None: what the file says, else as recognised from it alone.

    Raises:
        DataError: The file is missing, truncated or foreign, holds no events, events outside
            ``sensor``, or times that cannot be; the file is named.
    """
    return as_events(read_columns(path, sensor), file_unit(path) or unit, str(path))


def file_unit(path: Path) -> str | None:
    """The unit of the times in a file of this kind; None where the kind does not say it."""
    return "us" if path.suffix.lower() in _TIMED else None


def read_columns(path: Path, sensor: tuple[int, int]) -> NDArray[Any]:
    """All events of a file as :func:`checked` gives them: times as they are in the file.

    Raises:
        DataError: As :func:`read_events`, times apart.
    """
    check_file(path, sensor)
    readers = {
        ".bin": _read_bin, ".aedat4": _read_aedat4, ".aedat": read_aedat2, ".raw": read_raw,
        ".dat": read_dat, ".npy": read_npy, ".npz": read_npz,
    }  # fmt: skip
    with decoding(path):
        return checked(readers[path.suffix.lower()](path), sensor, str(path))


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Tell what a decoder raises on damaged input, which is whatever occurs to it.

    Raises:
        DataError: naming the file.
    """
    try:
        yield
    except DataError:
        raise
    except ImportError as error:
        raise DataError(
            f"{path}: reading .aedat4 needs the package aedat: pip install aedat"
        ) from error
    except BaseException as error:
        # What a decoder in Rust panics with is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise DataError(f"{path}: cannot be read as {path.suffix} events ({error}).") from error


def checked(raw: NDArray[Any], sensor: tuple[int, int], origin: str) -> NDArray[Any]:
    """``raw`` events ``[n]`` with the fields x, y, t, p of any type, if they can be used.

    Raises:
        DataError: No events, or coordinates, times or polarities that cannot be.
    """
    missing = [name for name in FIELDS if name not in (raw.dtype.names or ())]
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
        raise DataError(f"{origin}: holds times that are no clock's (NaN, infinite or huge).")
    on, off = raw["p"] == 1, (raw["p"] == 0, raw["p"] == -1)
    if not ((on | off[0]).all() or (on | off[1]).all()):
        kinds = np.unique(raw["p"])[:4].tolist()
        raise DataError(
            f"{origin}: polarities must be 0 and 1 (or -1 and 1); found {kinds}. "
            f"Columns of a plain array are x, y, t, p in this order."
        )
    return raw


def as_events(raw: NDArray[Any], unit: str | None, origin: str) -> Events:
    """``raw`` events of :func:`checked` as dtype EVENT: their clock mended, in microseconds.

    Args:
        unit: of ``raw``; None: as recognised from these events alone.

    Raises:
        DataError: The clock cannot be right, or its unit cannot be told.
    """
    try:
        times, keep, _ = mend_clock(raw)
        raw, times = raw[keep], times[keep]
        times = to_microseconds(times, unit or recognise_unit([read_clock(times)]))
    except ClockError as error:
        raise DataError(f"{origin}: {error}.") from error
    events = np.empty(len(raw), dtype=EVENT)
    events["x"], events["y"], events["t"] = raw["x"], raw["y"], times
    events["p"] = raw["p"] > 0
    return events


def check_file(path: Path, sensor: tuple[int, int] | None) -> None:
    """Look at kind, size and header.

    Raises:
        DataError: The file is missing, empty, truncated, or no event file.
    """
    checks = {
        ".bin": _check_bin, ".aedat4": _check_aedat4, ".aedat": _alone(check_aedat2),
        ".raw": _alone(check_raw), ".dat": _alone(check_dat), ".npy": _alone(check_npy),
        ".npz": _check_npz,
    }  # fmt: skip
    check = checks.get(path.suffix.lower())
    if check is None:
        raise DataError(f"{path}: unknown kind of event file; {', '.join(SUFFIXES)} can be read.")
    try:
        status = path.stat()
        size = status.st_size
        if not stat.S_ISREG(status.st_mode):  # Opening a pipe would wait for ever.
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise DataError(f"{path}: is {what}. Remove it, or rename it.")
        if size == 0:
            raise DataError(f"{path}: is empty. Copy it again or remove it.")
        with path.open("rb") as file:
            check(path, file, size, sensor)
    except CutOff as error:
        raise _truncated(path, str(error)) from error
    except Unusable as error:
        raise _foreign(path, str(error)) from error
    except FileNotFoundError as error:
        raise DataError(f"{path}: does not exist.") from error
    except PermissionError as error:
        raise DataError(f"{path}: may not be read (permission denied).") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error


def declared_sensor(path: Path) -> tuple[int, int] | None:
    """(width, height) that a file declares for its events; None where it does not.

    Raises:
        DataError: The file cannot be read or holds no event stream.
    """
    check_file(path, None)
    kind = path.suffix.lower()
    if kind == ".aedat4":
        return _aedat4_sensor(path)
    with decoding(path):
        if kind == ".aedat":
            return aedat2_sensor(path)
        if kind in (".raw", ".dat"):
            with path.open("rb") as file:
                return read_header(file).sensor
    return None


def _aedat4_sensor(path: Path) -> tuple[int, int]:
    with decoding(path):
        import aedat

        streams = aedat.Decoder(str(path)).id_to_stream()
        sizes = [(s["width"], s["height"]) for s in streams.values() if s["type"] == "events"]
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
    if sensor is not None and sensor[1] > _BIN_OVERFLOW_Y:
        rows = np.fromfile(path, dtype=np.uint8)[1::_BIN_EVENT]
        if (rows == _BIN_OVERFLOW_Y).any():
            raise DataError(
                f"{path}: has {np.count_nonzero(rows == _BIN_OVERFLOW_Y)} entries in row "
                f"{_BIN_OVERFLOW_Y}, which in .bin files are marks of the clock; on a sensor of "
                f"{sensor[1]} rows they may be events. Save the recording as .npy, or correct "
                f"[data] sensor = [width, height]."
            )


def _alone(check: Callable[[BinaryIO, int], None]) -> Callable[..., None]:
    """A check of a kind of files that needs neither their path nor the sensor."""
    return lambda _path, file, size, _sensor: check(file, size)


def _check_npz(path: Path, file: BinaryIO, size: int, sensor: tuple[int, int] | None) -> None:
    if file.read(4) != b"PK\x03\x04":
        raise Unusable("it is no zip archive")
    check_npz(path)


def _check_aedat4(path: Path, file: BinaryIO, size: int, sensor: tuple[int, int] | None) -> None:
    """Walk over the packets; layout after the AEDAT 4 specification of iniVation."""
    if file.read(len(_AEDAT4_MAGIC)) != _AEDAT4_MAGIC:
        raise _foreign(path, "it does not start with #!AER-DAT4.0")
    head = file.read(4)
    if len(head) < 4:
        raise _truncated(path, "the header is missing")
    (length,) = struct.unpack("<I", head)
    header = file.read(min(length, size))
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
    """Field 1 of the IOHeader flatbuffer: where the packets end; -1 where nothing is said.

    Raises:
        Unusable: the header is damaged. Its decoder would end the process over a text (field 2,
            what the streams are) that is no UTF-8.
    """
    try:
        position, described = _field(header, 1), _field(header, 2)
        if described is not None:
            start = described + _at(header, "<I", described)
            length = _at(header, "<I", start)
            if start + 4 + length > len(header):
                raise Unusable("its header is damaged")
            ElementTree.fromstring(header[start + 4 : start + 4 + length].decode())
        return -1 if position is None else _at(header, "<q", position)
    except (struct.error, UnicodeDecodeError, ElementTree.ParseError) as error:
        raise Unusable(f"its header is damaged: {error}") from None


def _field(table: bytes, index: int) -> int | None:
    """Where a flatbuffer's root table holds a field; None where it does not."""
    root = _at(table, "<I", 0)
    entries = root - _at(table, "<i", root)
    slot = 4 + 2 * index
    if slot >= _at(table, "<H", entries):
        return None
    offset = _at(table, "<H", entries + slot)
    return root + offset if offset else None


def _at(content: bytes, kind: str, place: int) -> int:
    """A number in a flatbuffer.

    Raises:
        struct.error: it lies outside.
    """
    if place < 0:
        raise struct.error(f"a reference to {place}")
    return int(struct.unpack_from(kind, content, place)[0])


def _read_bin(path: Path) -> NDArray[Any]:
    """What ``tonic.io.read_mnist_file`` gives, in time that is linear in the file's size."""
    data = np.fromfile(path, dtype=np.uint8).reshape(-1, _BIN_EVENT).astype(np.int64)
    marks = data[:, 1] == _BIN_OVERFLOW_Y
    events: NDArray[Any] = np.empty(len(data), dtype=[(name, np.int64) for name in FIELDS])
    events["x"], events["y"], events["p"] = data[:, 0], data[:, 1], data[:, 2] >> 7
    events["t"] = (data[:, 2] & 127) << 16 | data[:, 3] << 8 | data[:, 4]
    events["t"] += _BIN_OVERFLOW_US * np.cumsum(marks)
    kept: NDArray[Any] = events[~marks]
    return kept


def _read_aedat4(path: Path) -> NDArray[Any]:
    import tonic.io

    events = tonic.io.read_aedat4(str(path))
    # The package names the polarity "on" and older ones "p".
    names = {"on": "p", "polarity": "p"}
    out: NDArray[Any] = np.array(events)
    out.dtype.names = tuple(names.get(name, name) for name in out.dtype.names or ())
    return out
