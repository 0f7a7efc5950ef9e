"""Correctness of samples as text."""

from __future__ import annotations

import numpy as np
import pytest

from hqsearch.evaluator.per_sample import pack_correct, unpack_correct


@pytest.mark.parametrize("count", [1, 7, 8, 9, 1000])
def test_what_is_packed_comes_back(count: int) -> None:
    correct = np.random.default_rng(count).random(count) < 0.6
    packed = pack_correct(correct)
    assert packed.isascii()
    assert len(packed) <= 4 * -(-count // 24)
    back = unpack_correct(packed, count)
    assert back.dtype == np.bool_
    np.testing.assert_array_equal(back, correct)
