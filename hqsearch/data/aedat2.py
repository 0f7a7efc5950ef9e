"""AEDAT 2.0, which jAER writes and which recordings of the DVS128 are in.

Big-endian pairs of a 32-bit address and a 32-bit time in microseconds, after lines that begin with
``#`` (docs.inivation.com, "AEDAT 2.0"). What an address means depends on the camera. Polarity and
orientation are those that jAER shows (its ``DVS128`` and ``DavisBaseCamera``): of a DVS128, bit 0
is 0 for ON, columns count from the right and rows from below. tonic's ``read_dvs_128`` swaps rows
and columns, and takes 1 for ON.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hqsearch.data.arrays import CutOff, Unusable

_EVENT = 8
#: Longest header; jAER writes all preferences of a camera into it.
_HEADER = 1 << 24
_VERSION = re.compile(rb"#!AER-DAT(\d+\.\d+)\s*")


@dataclass(frozen=True)
class _Chip:
    """A camera, and where an address holds what.

    Attributes:
        sensor: (width, height) in pixels.
        x, y: lowest bit and number of bits; both count down in the picture.
        p: bit of the polarity.
        on: its value for ON.
        other: bits that are set in what is no event of brightness: pictures, triggers.
        unused: bits that no address has set.
    """

    sensor: tuple[int, int]
    x: tuple[int, int]
    y: tuple[int, int]
    p: int
    on: int
    other: int
    unused: int


def _davis(width: int, height: int) -> _Chip:
    return _Chip((width, height), (12, 10), (22, 9), 11, 1, 1 << 31 | 1 << 10, 0)


_DVS128 = _Chip((128, 128), (1, 7), (8, 7), 0, 0, 1 << 31 | 1 << 15, 0x7FFF0000)
#: What the name of a camera's class in jAER holds -> the camera.
CHIPS = {
    "dvs128": _DVS128,
    "davis240": _davis(240, 180),
    "davis346": _davis(346, 260),
    "davis640": _davis(640, 480),
}


def check_aedat2(file: IO[bytes], size: int) -> None:
    """Look at the header and the size of an .aedat file.

    Raises:
        Unusable: it is damaged or foreign, or of another version or camera.
    """
    _, start = _read_header(file)
    left = size - start
    if left <= 0:
        raise CutOff("nothing follows its header")
    if left % _EVENT:
        raise CutOff(f"{left} bytes of events are no multiple of {_EVENT}, an event's size")


def aedat2_sensor(path: Path) -> tuple[int, int]:
    """(width, height) of the camera that a file was recorded with.

    Raises:
        Unusable: as :func:`check_aedat2`.
    """
    with path.open("rb") as file:
        return _read_header(file)[0].sensor


def read_aedat2(path: Path) -> NDArray[Any]:
    """Events ``[n]`` of a file that :func:`check_aedat2` accepts; their clock has 32 bits.

    Raises:
        Unusable: addresses that the camera does not have.
    """
    with path.open("rb") as file:
        chip, start = _read_header(file)
    raw = np.fromfile(path, dtype=[("address", ">u4"), ("t", ">i4")], offset=start)
    address = raw["address"].astype(np.uint32)
    kept = address & chip.other == 0
    address = address[kept]
    if (address & chip.unused).any():
        raise Unusable(
            f"it holds addresses such as {int(address[address & chip.unused != 0][0]):#x}, which "
            f"its camera ({chip.sensor[0]} x {chip.sensor[1]} pixels) does not have"
        )
    events: NDArray[Any] = np.empty(
        len(address), dtype=[("x", "i4"), ("y", "i4"), ("t", "i4"), ("p", "u1")]
    )
    for name, (low, bits), side in zip(("x", "y"), (chip.x, chip.y), chip.sensor, strict=True):
        place = (address >> low) & ((1 << bits) - 1)
        events[name] = side - 1 - place.astype(np.int32)
    events["p"] = ((address >> chip.p) & 1) == chip.on
    events["t"] = raw["t"][kept]
    return events


def _read_header(file: IO[bytes]) -> tuple[_Chip, int]:
    """The camera, and how many bytes come before the events.

    A byte of an event may be a ``#``, so a line of the header is text, too. A file that names no
    camera is one of a DVS128, whose addresses are checked.
    """
    file.seek(0)
    first = file.readline(200)
    match = _VERSION.fullmatch(first)
    if match is None:
        raise Unusable("it does not start with #!AER-DAT2.0")
    version = match[1].decode()
    if version != "2.0":
        advice = "Name it .aedat4" if version.startswith("4") else "Save it as AEDAT 4 with DV"
        raise Unusable(f"it is AEDAT {version}; .aedat files of version 2.0 are read. {advice}")
    start, chip = len(first), _DVS128
    while start < _HEADER:
        line = file.readline(_HEADER)
        text = line.decode("utf-8", "replace")
        if not line.startswith(b"#") or not text.rstrip("\r\n").replace("\t", " ").isprintable():
            return chip, start
        if "\ufffd" in text:
            return chip, start
        if not line.endswith(b"\n"):
            raise CutOff("it ends in its header")
        start += len(line)
        name = re.match(r"#\s*AEChip:\s*(\S+)", text)
        if name is not None:
            chip = _chip(name[1])
        if "end of ascii header" in text.lower():
            return chip, start
    raise Unusable("its header has no end")


def _chip(name: str) -> _Chip:
    for part, chip in CHIPS.items():
        if part in name.rpartition(".")[2].lower():
            return chip
    raise Unusable(
        f"its camera is {name[:80]}; {', '.join(sorted(CHIPS))} are read. Save the recording as "
        f".npy, or as AEDAT 4 with DV"
    )
