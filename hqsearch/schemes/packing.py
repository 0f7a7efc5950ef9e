"""Codes as bytes: ``bits`` bits a code, without gaps, from the lowest bit of the first byte on.

Code number i takes the bits i · bits … (i + 1) · bits - 1 of the stream, its own lowest bit
first; bit j of the stream is bit j mod 8 of byte j div 8 (little-endian). What is written is the
code modulo 2^bits: two's complement for codes of both signs, the code itself for others. The
last byte is filled up with zeros.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def whole_bytes(bits: int) -> int:
    """Bytes that hold ``bits`` bits: what a tensor of that many takes in a file.

    Every tensor starts at a byte of its own; :mod:`hqsearch.hardware.storage` counts by this.

    >>> whole_bytes(16), whole_bytes(17)
    (2, 3)
    """
    return -(-bits // 8)


def pack_codes(codes: npt.ArrayLike, bits: int, low: int, high: int) -> bytes:
    """Pack codes of any shape in C order.

    Args:
        codes: integers within ``low`` and ``high``.
        bits: of a code, 1 to 8.
        low: lowest code.
        high: highest code; at most ``low + 2^bits - 1``.

    Raises:
        ValueError: a code outside of the range.

    >>> pack_codes([1, -1, 7], 4, -8, 7).hex()
    'f107'
    """
    flat = np.asarray(codes).reshape(-1).astype(np.int64)
    if flat.size and (flat.min() < low or flat.max() > high):
        raise ValueError(f"codes must lie within {low} and {high}.")
    stream = (flat[:, None] >> np.arange(bits)) & 1
    return np.packbits(stream.astype(np.uint8).reshape(-1), bitorder="little").tobytes()


def unpack_codes(packed: bytes, bits: int, low: int, high: int, count: int) -> npt.NDArray[np.int8]:
    """The ``count`` codes that :func:`pack_codes` has packed, ``[count]``.

    Raises:
        ValueError: too few or too many bytes, or bits that stand for no code.

    >>> unpack_codes(bytes.fromhex("f107"), 4, -8, 7, 3).tolist()
    [1, -1, 7]
    """
    size = whole_bytes(count * bits)
    if len(packed) != size:
        raise ValueError(f"{count} codes of {bits} bits take {size} bytes, not {len(packed)}.")
    stream = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little")
    places = stream[: count * bits].reshape(count, bits).astype(np.int64) << np.arange(bits)
    codes = (places.sum(axis=1) - low) % 2**bits + low
    if codes.size and codes.max() > high:
        raise ValueError(f"the bytes hold {int(codes.max())}, which is no code.")
    return np.asarray(codes, np.int8)
