"""The order of bits is fixed: files that were written stay readable."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hqsearch.schemes.packing import pack_codes, unpack_codes


def test_bits_by_hand() -> None:
    # 3 bits each, lowest first: -1 = 111, 2 = 010 (bits 0 1 0), -4 = 100 (bits 0 0 1).
    assert pack_codes([-1, 2, -4], 3, -4, 3) == bytes([0b00_010_111, 0b1])
    assert pack_codes([1, 0, 0, 1, 1, 1, 1, 1, 1], 1, 0, 1) == bytes([0b1111_1001, 1])
    assert pack_codes([-128, 127], 8, -128, 127) == bytes([0x80, 0x7F])
    assert pack_codes(np.array([[1, -1], [0, 1]]), 2, -1, 1) == bytes([0b01_00_11_01])


@given(st.integers(1, 8), st.booleans(), st.data())
def test_round_trip(bits: int, signed: bool, data: st.DataObject) -> None:
    low = -(2 ** (bits - 1)) if signed else 0
    high = min(low + 2**bits - 1, 127)
    codes = data.draw(st.lists(st.integers(low, high), max_size=41))
    packed = pack_codes(codes, bits, low, high)
    assert len(packed) == (len(codes) * bits + 7) // 8
    assert unpack_codes(packed, bits, low, high, len(codes)).tolist() == codes


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="within -1 and 1"):
        pack_codes([0, 2], 2, -1, 1)
    with pytest.raises(ValueError, match="take 2 bytes, not 1"):
        unpack_codes(b"\x00", 3, -4, 3, 5)
    with pytest.raises(ValueError, match="hold 2, which is no code"):
        unpack_codes(b"\x02", 2, -1, 1, 1)
