"""Prophesee's ``.raw`` (EVT 2.0 and 3.0) and ``.dat`` files, after the vendor's documentation
(docs.prophesee.ai, "Data encoding formats" and "DAT file format").

Read with numpy alone: ``expelliarmus`` 1.1.12, which tonic brings for them, waits for ever on a
file that ends in its header, refuses EVT 3.0 with triggers, and has its times right for the first
4 ms only; a test compares the two where they must agree. A header is lines that begin with ``%``;
what follows are little-endian words whose upper bits say what they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hqsearch.data.arrays import CutOff, Unusable

#: What events are read into; times are microseconds, and first, so that they lie on whole words.
EVENT = np.dtype([("t", "i8"), ("x", "u2"), ("y", "u2"), ("p", "u1")], align=True)
#: Longest header, and longest line of one.
_HEADER, _LINE = 1 << 16, 1 << 12
#: Words that are decoded at a time, which bounds memory.
_CHUNK = 1 << 20
#: Version -> bytes of a word, and what its upper four bits may say.
_WORDS = {"2.0": (4, (0, 1, 8, 10, 14, 15)), "3.0": (2, (0, 2, 3, 4, 5, 6, 7, 8, 10, 14, 15))}
_DAT_EVENT = 8
#: Types of events in .dat files that are contrast detections.
_DAT_CD = (0x00, 0x0C)


@dataclass(frozen=True)
class Header:
    """What the first lines of a file say.

    Attributes:
        version: of the encoding: ``2.0``, ``3.0``, or what else is said; "" where nothing is.
        sensor: (width, height) in pixels; None where it is not said.
        start: bytes before the events.
    """

    version: str
    sensor: tuple[int, int] | None
    start: int


def read_header(file: IO[bytes]) -> Header:
    """The header of ``file``, which is read from its start.

    Raises:
        Unusable: there is none, or it has no end.
    """
    file.seek(0)
    lines: list[str] = []
    start = 0
    while True:
        line = file.readline(_LINE)
        if not line.startswith(b"%"):
            break
        start += len(line)
        if not line.endswith(b"\n"):
            raise CutOff("it ends in its header")
        if start > _HEADER:
            raise Unusable("its header has no end")
        lines.append(line[1:].decode("ascii", "replace").strip())
        if lines[-1] == "end":
            break
    if not lines:
        raise Unusable("it has no header, which are lines that start with %")
    text = "\n".join(lines)
    return Header(_version(text), _sensor(text), start)


def check_raw(file: IO[bytes], size: int) -> None:
    """Look at the header and the size of a .raw file.

    Raises:
        Unusable: it is damaged, foreign, or of an encoding that is not read.
    """
    header = read_header(file)
    if header.version not in _WORDS:
        said = f"holds EVT {header.version}" if header.version else "names no encoding"
        raise Unusable(f"its header {said}; EVT 2.0 and EVT 3.0 are read")
    _check_size(size - header.start, _WORDS[header.version][0], "word")


def read_raw(path: Path) -> NDArray[Any]:
    """Events ``[n]`` of a file that :func:`check_raw` accepts.

    Raises:
        Unusable: a word that the encoding does not have.
    """
    with path.open("rb") as file:
        header = read_header(file)
        width, kinds = _WORDS[header.version]
        decode = _evt2 if header.version == "2.0" else _evt3
        file.seek(header.start)
        words = _checked_words(file, width, kinds, header.version)
        parts = list(decode(words))
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, EVENT)


def check_dat(file: IO[bytes], size: int) -> None:
    """Look at the header and the size of a .dat file.

    Raises:
        Unusable: it is damaged or foreign, or holds no contrast detections of version 2.
    """
    header = read_header(file)
    file.seek(header.start)
    kind = file.read(2)
    if len(kind) < 2:
        raise CutOff("it ends in its header")
    if header.version not in ("", "2"):
        raise Unusable(f"it is DAT version {header.version}; version 2 is read")
    if kind[0] not in _DAT_CD or kind[1] != _DAT_EVENT:
        raise Unusable(
            f"its events are of type {kind[0]} with {kind[1]} bytes; contrast detections (type 0 "
            f"or 12, {_DAT_EVENT} bytes) are read"
        )
    _check_size(size - header.start - 2, _DAT_EVENT, "event")


def read_dat(path: Path) -> NDArray[Any]:
    """Events ``[n]`` of a file that :func:`check_dat` accepts; their clock has 32 bits."""
    with path.open("rb") as file:
        start = read_header(file).start + 2
    raw = np.fromfile(path, dtype=[("t", "<u4"), ("address", "<u4")], offset=start)
    address = raw["address"]
    events: NDArray[Any] = np.empty(
        len(raw), dtype=[("x", "u2"), ("y", "u2"), ("t", "u4"), ("p", "u1")]
    )
    events["x"], events["y"] = address & 0x3FFF, (address >> 14) & 0x3FFF
    events["t"], events["p"] = raw["t"], address >> 28
    return events


def _version(header: str) -> str:
    """Of ``evt 3.0``, ``format EVT3;…`` or, in a .dat file, ``Version 2``."""
    match = re.search(r"^(?:evt|Version)\s+(\d+(?:\.\d+)?)\s*$", header, re.MULTILINE)
    if match is not None:
        return match[1]
    match = re.search(r"^format\s+EVT(\d)(\d?)\b", header, re.MULTILINE)
    return "" if match is None else f"{match[1]}.{match[2] or 0}"


def _sensor(header: str) -> tuple[int, int] | None:
    """Of ``geometry 1280x720``, ``format …;height=720;width=1280``, or Width and Height."""
    match = re.search(r"^geometry\s+(\d{1,5})x(\d{1,5})\s*$", header, re.MULTILINE)
    if match is not None:
        return int(match[1]), int(match[2])
    sides = [
        re.search(rf"(?:^|;){name}(?:=|\s+)(\d{{1,5}})\b", header, re.MULTILINE | re.IGNORECASE)
        for name in ("width", "height")
    ]
    if sides[0] is None or sides[1] is None:
        return None
    return int(sides[0][1]), int(sides[1][1])


def _check_size(left: int, each: int, what: str) -> None:
    if left <= 0:
        raise CutOff("nothing follows its header")
    if left % each:
        raise CutOff(f"{left} bytes of events are no multiple of {each}, a {what}'s size")


def _checked_words(
    file: IO[bytes], width: int, kinds: tuple[int, ...], version: str
) -> Iterator[NDArray[np.uint32]]:
    """The words of a file, some at a time, none of an unknown kind."""
    known = np.isin(np.arange(16), kinds)
    while True:
        left = os.fstat(file.fileno()).st_size - file.tell()
        content = file.read(max(0, min(width * _CHUNK, left)))
        if not content:
            return
        if len(content) % width:
            raise CutOff("a word is cut off")
        words = np.frombuffer(content, f"<u{width}").astype(np.uint32)
        there = np.bincount(words >> (8 * width - 4), minlength=16)
        if there[~known].any():
            found = int(np.flatnonzero((there > 0) & ~known)[0])
            raise Unusable(f"it holds words of kind {found:#x}, which EVT {version} does not have")
        yield words


def _evt2(words: Iterator[NDArray[np.uint32]]) -> Iterator[NDArray[Any]]:
    """32-bit words: an event with the lower 6 bits of its time, or the upper 28 bits of time."""
    clock = _Clock(28)
    for some in words:
        kind = some >> 28
        high, _ = clock.read(kind == 8, (some & 0xFFFFFFF).astype(np.int64))
        at = np.flatnonzero((kind <= 1) & (high >= 0))
        found = some[at]
        events = np.empty(len(at), EVENT)
        events["x"], events["y"] = (found >> 11) & 0x7FF, found & 0x7FF
        events["t"] = high[at] << 6 | (found >> 22) & 0x3F
        events["p"] = kind[at]
        yield events


def _evt3(words: Iterator[NDArray[np.uint32]]) -> Iterator[NDArray[Any]]:
    """16-bit words: changes of the state (row, time, column, polarity), and events at it."""
    clock = _Clock(12)
    row, low, column, polarity = -1, 0, 0, -1
    for some in words:
        kind, value = some >> 12, (some & 0xFFF).astype(np.int64)
        ys = _last(kind == 0, value & 0x7FF, row)
        high, changed = clock.read(kind == 8, value)
        # A new upper part of the time begins with a lower part of 0.
        lows = _last((kind == 6) | changed, np.where(kind == 6, value, 0), low)
        # Vectors advance the column that a base sets.
        steps = np.where(kind == 4, 12, np.where(kind == 5, 8, 0))
        passed = np.cumsum(steps) - steps
        bases = _last(kind == 3, (value & 0x7FF) - passed, column)
        polarities = _last(kind == 3, value >> 11, polarity)
        known = (high >= 0) & (ys >= 0)

        single = np.flatnonzero((kind == 2) & known)
        vector = np.flatnonzero(((kind == 4) | (kind == 5)) & known & (polarities >= 0))
        bits = (value[vector, None] >> np.arange(12)) & 1
        bits[kind[vector] == 5, 8:] = 0
        which, bit = np.nonzero(bits)
        many = vector[which]
        at = np.concatenate([single, many])
        order = np.argsort(at, kind="stable")
        events = np.empty(len(at), EVENT)
        x = np.concatenate([value[single] & 0x7FF, bases[many] + passed[many] + bit])
        events["x"] = np.minimum(x, np.iinfo(np.uint16).max)[order]
        events["p"] = np.concatenate([value[single] >> 11, polarities[many]])[order]
        at = at[order]
        events["y"], events["t"] = ys[at], high[at] << 12 | lows[at]
        yield events
        row, low, polarity = int(ys[-1]), int(lows[-1]), int(polarities[-1])
        column = int(bases[-1] + steps.sum())


class _Clock:
    """The upper part of a time, of so many bits, which goes on where it begins again."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._value = -1
        self._turns = 0

    def read(
        self, places: NDArray[np.bool_], values: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """For each word ``[n]``: the upper part by then, -1 before the first, and whether this
        word changed it.

        Args:
            places: words that set it.
            values: what they set.
        """
        at = np.flatnonzero(places)
        told = values[at]
        first = told[:1] if self._value < 0 else [self._value]
        steps = np.diff(np.concatenate([first, told]))
        half = 1 << (self._bits - 1)
        turns = self._turns + np.cumsum((steps < -half).astype(np.int64) - (steps > half))
        before = -1 if self._value < 0 else self._value + (self._turns << self._bits)
        full = told + (turns << self._bits)
        changed = np.zeros(len(places), dtype=bool)
        held = np.concatenate([[before], full])
        changed[at] = np.diff(held) != 0
        if len(told):
            self._value, self._turns = int(told[-1]), int(turns[-1])
        return _held(held, at, len(places)), changed


def _last(places: NDArray[np.bool_], values: NDArray[np.int64], before: int) -> NDArray[np.int64]:
    """The value by each word ``[n]``: of the last of ``places`` up to it; ``before`` the first."""
    at = np.flatnonzero(places)
    return _held(np.concatenate([[before], values[at]]), at, len(places))


def _held(values: NDArray[np.int64], at: NDArray[np.intp], n: int) -> NDArray[np.int64]:
    """The first of ``values`` up to the first place of ``at``, the second up to the next, …"""
    held: NDArray[np.int64] = np.repeat(values, np.diff(at, prepend=0, append=n))
    return held
