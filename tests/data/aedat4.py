"""Writes minimal uncompressed AEDAT 4 files, so that tests need no recorded one.

Layout: "#!AER-DAT4.0\\r\\n", a size-prefixed IOHeader flatbuffer (compression, position of the
table, XML with the streams), then packets: stream id, length, size-prefixed EventPacket
flatbuffer of 16-byte events (t int64, x int16, y int16, on uint8, padding).
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

EVENT = np.dtype(
    {
        "names": ["t", "x", "y", "on"],
        "formats": ["<i8", "<i2", "<i2", "u1"],
        "offsets": [0, 8, 10, 12],
        "itemsize": 16,
    }
)


def write_aedat4(
    path: Path, x: NDArray, y: NDArray, t: NDArray, p: NDArray, sensor: tuple[int, int]
) -> None:
    """Write one packet of events of a ``sensor`` (width, height)."""
    events = np.zeros(len(x), dtype=EVENT)
    events["t"], events["x"], events["y"], events["on"] = t, x, y, p
    header = _header(_description(sensor))
    packet = _event_packet(events)
    path.write_bytes(b"#!AER-DAT4.0\r\n" + header + struct.pack("<iI", 0, len(packet)) + packet)


def _description(sensor: tuple[int, int]) -> bytes:
    return (
        '<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/">'
        '<node name="0" path="/mainloop/Recorder/outInfo/0/">'
        '<attr key="compression" type="string">NONE</attr>'
        '<attr key="originalModuleName" type="string">capture</attr>'
        '<attr key="originalOutputName" type="string">events</attr>'
        '<attr key="typeDescription" type="string">Array of events (polarity ON/OFF).</attr>'
        '<attr key="typeIdentifier" type="string">EVTS</attr>'
        '<node name="info" path="/mainloop/Recorder/outInfo/0/info/">'
        f'<attr key="sizeX" type="int">{sensor[0]}</attr>'
        f'<attr key="sizeY" type="int">{sensor[1]}</attr>'
        '<attr key="source" type="string">test</attr>'
        "</node></node></node></dv>"
    ).encode()


def _header(description: bytes) -> bytes:
    """Root offset, vtable of three fields, table, string."""
    vtable = struct.pack("<HHHHH", 10, 24, 4, 8, 16) + b"\0\0"  # padded to 12 bytes
    start = 4 + 4 + 12  # root offset, identifier, vtable
    text = start + 24
    table = struct.pack("<iiqI", start - 8, 0, -1, text - (start + 16)) + b"\0" * 4
    body = struct.pack("<I", start) + b"IOHE" + vtable + table
    body += struct.pack("<I", len(description)) + description + b"\0"
    return struct.pack("<I", len(body)) + body


def _event_packet(events: NDArray) -> bytes:
    vtable = struct.pack("<HHH", 6, 8, 4) + b"\0\0"
    start = 4 + 4 + 8
    vector = 28  # with the size prefix in front, the events lie at a multiple of 8
    table = struct.pack("<iI", start - 8, vector - (start + 4))
    body = struct.pack("<I", start) + b"EVTS" + vtable + table
    body += b"\0" * (vector - len(body)) + struct.pack("<I", len(events)) + events.tobytes()
    return struct.pack("<I", len(body)) + body
