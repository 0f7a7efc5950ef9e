from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hqsearch.data import ENCODINGS, get_encoding
from hqsearch.errors import UnknownName


@given(st.integers(0, 100_000))
def test_log2_is_the_floor_of_log2_clipped_to_four_bits(count: int) -> None:
    stored = int(get_encoding("log2").store(np.array([count]))[0])
    assert stored == min(15, (count + 1).bit_length() - 1)


@given(st.lists(st.integers(0, 2000), min_size=1, max_size=20))
def test_integer_encodings_keep_within_their_declared_width(counts: list[int]) -> None:
    for name, bits in ENCODINGS.items():
        encoding = get_encoding(name)
        seen = encoding.to_float(torch.from_numpy(encoding.store(np.array(counts))))
        assert seen.dtype == torch.float32
        if bits is not None:
            assert bool((seen == seen.round()).all())
            assert float(seen.min()) >= 0
            assert float(seen.max()) <= 2**bits - 1


def test_count_and_log1p_values() -> None:
    counts = np.array([0, 1, 254, 255, 900])
    count, log1p = get_encoding("count"), get_encoding("log1p")
    assert count.to_float(torch.from_numpy(count.store(counts))).tolist() == [0, 1, 254, 255, 255]
    expected = 0.5 * np.log1p(np.minimum(counts, 255))
    seen = log1p.to_float(torch.from_numpy(log1p.store(counts))).numpy()
    np.testing.assert_allclose(seen, expected, rtol=1e-6)
    assert log1p.bits is None


def test_unknown_encoding_suggests() -> None:
    with pytest.raises(UnknownName, match="did you mean 'log2'"):
        get_encoding("log")
