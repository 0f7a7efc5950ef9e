"""Writes what cameras' own tools write: Prophesee EVT 2.0, EVT 3.0 and DAT, and jAER's AEDAT 2.0.

Events are in order of time, in microseconds. Words are made one by one, as the formats' documents
say, and not as the readers take them apart.
"""

from __future__ import annotations

import struct
from pathlib import Path

from numpy.typing import NDArray


def raw_header(version: str, sensor: tuple[int, int]) -> bytes:
    """As Metavision Studio writes it."""
    width, height = sensor
    return (
        f"% camera_integrator_name Prophesee\n% evt {version}\n"
        f"% format EVT{version[0]};height={height};width={width}\n% geometry {width}x{height}\n"
        f"% end\n"
    ).encode()


def write_evt2(
    path: Path, x: NDArray, y: NDArray, t: NDArray, p: NDArray, sensor: tuple[int, int]
) -> None:
    """A word for the upper part of the time wherever it changes, a trigger now and then."""
    words, high = [], -1
    for k, (column, row, time, on) in enumerate(zip(x, y, t, p, strict=True)):
        if int(time) >> 6 != high:
            high = int(time) >> 6
            words.append(8 << 28 | high & 0xFFFFFFF)
        if k % 50 == 7:
            words.append(0xA << 28 | 1)
        words.append(int(on) << 28 | (int(time) & 63) << 22 | int(column) << 11 | int(row))
    path.write_bytes(raw_header("2.0", sensor) + struct.pack(f"<{len(words)}I", *words))


def write_evt3(
    path: Path,
    x: NDArray,
    y: NDArray,
    t: NDArray,
    p: NDArray,
    sensor: tuple[int, int],
    triggers: bool = True,
) -> None:
    """Neighbours of one time, row and polarity, in order of column, go into one vector."""
    words: list[int] = []
    high = low = row = -1
    k = 0
    while k < len(x):
        time = int(t[k])
        if time >> 12 != high:
            high, low = time >> 12, -1
            words.append(8 << 12 | high & 0xFFF)
        if time & 0xFFF != low:
            low = time & 0xFFF
            words.append(6 << 12 | low)
        if int(y[k]) != row:
            row = int(y[k])
            words.append(row)
        stop = k + 1
        while (
            stop < len(x)
            and (t[stop], y[stop], p[stop]) == (t[k], y[k], p[k])
            and x[stop] > x[stop - 1]
        ):
            stop += 1
        if stop == k + 1:
            words.append(2 << 12 | int(p[k]) << 11 | int(x[k]))
        else:
            words += _vectors([int(column) for column in x[k:stop]], int(p[k]))
        if triggers and k % 50 == 7:
            words += [0xA << 12 | 1, 0xE << 12 | 3, 0xF << 12]
        k = stop
    path.write_bytes(raw_header("3.0", sensor) + struct.pack(f"<{len(words)}H", *words))


def _vectors(columns: list[int], polarity: int) -> list[int]:
    words = [3 << 12 | polarity << 11 | columns[0]]
    base, width = columns[0], 12
    while base <= columns[-1]:
        bits = sum(1 << c - base for c in columns if base <= c < base + width)
        words.append((4 if width == 12 else 5) << 12 | bits)
        base, width = base + width, 8 if width == 12 else 12
    return words


def write_dat(
    path: Path, x: NDArray, y: NDArray, t: NDArray, p: NDArray, sensor: tuple[int, int]
) -> None:
    """Version 2: the time, then 14 bits of column, 14 of row, and the polarity."""
    header = f"% Data file containing CD events.\n% Version 2\n% Width {sensor[0]}\n"
    header += f"% Height {sensor[1]}\n"
    events = [
        struct.pack("<II", int(time) & 0xFFFFFFFF, int(on) << 28 | int(row) << 14 | int(column))
        for column, row, time, on in zip(x, y, t, p, strict=True)
    ]
    path.write_bytes(header.encode() + bytes([12, 8]) + b"".join(events))


def write_aedat2(
    path: Path,
    x: NDArray,
    y: NDArray,
    t: NDArray,
    p: NDArray,
    sensor: tuple[int, int],
    named: bool = True,
) -> None:
    """Of a DVS128, or of a DAVIS where ``sensor`` is larger; with a special event now and then."""
    lines = ["#!AER-DAT2.0", "# This is a raw AE data file - do not edit"]
    dvs128 = sensor == (128, 128)
    if named:
        chip = "ch.unizh.ini.jaer.chip.retina.DVS128" if dvs128 else f"x.davis.DAVIS{sensor[0]}C"
        lines += [f"# AEChip: {chip}"]
    content = "".join(f"{line}\r\n" for line in lines).encode()
    for k, (column, row, time, on) in enumerate(zip(x, y, t, p, strict=True)):
        right, up = sensor[0] - 1 - int(column), sensor[1] - 1 - int(row)
        if dvs128:
            address, special = up << 8 | right << 1 | 1 - int(on), 1 << 15
        else:
            address, special = up << 22 | right << 12 | int(on) << 11, 1 << 31 | 1 << 10
        clock = (int(time) + 2**31) % 2**32 - 2**31
        if k % 50 == 7:
            content += struct.pack(">Ii", special | address, clock)
        content += struct.pack(">Ii", address, clock)
    path.write_bytes(content)
