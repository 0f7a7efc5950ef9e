"""Fixed point keeps what 32 bits can, and compares as the numbers themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hqsearch.export.bits import LARGEST, fixed_point, float_point

REALS = st.lists(
    st.floats(-1e12, 1e12, allow_nan=False).filter(lambda x: x == 0 or abs(x) > 1e-9),
    min_size=1,
    max_size=6,
)


@settings(deadline=None)
@given(REALS)
def test_outwards_is_the_nearest_integer_away_from_zero(values):
    found = fixed_point(values, "outwards")
    assert found.shift is not None
    for value, integer in zip(values, found.values.tolist(), strict=True):
        unit = 2.0**-found.shift
        assert abs(integer) == math.ceil(abs(value) / unit)
        assert np.sign(integer) == np.sign(value)


@settings(deadline=None)
@given(REALS)
def test_nearest_errs_by_half_a_unit_and_the_shift_is_the_largest(values):
    found = fixed_point(values, "nearest")
    assert found.shift is not None
    error = np.abs(found.real() - values)
    assert error.max() <= 0.5 * 2.0**-found.shift
    wide = np.abs(np.asarray(values)).max() * 2.0 ** (found.shift + 1)
    assert found.shift == 30 or wide > LARGEST - 1


@pytest.mark.parametrize("value", [2.0**31 - 0.25, 2.0**-40, 1.0, 0.0])
def test_limits_fit(value):
    found = fixed_point([value, -value], "outwards")
    assert found.values.dtype == np.int32
    assert found.real()[0] >= value
    assert found.real()[0] == -found.real()[1]


def test_what_is_no_number_is_refused():
    with pytest.raises(ValueError, match="must be finite"):
        fixed_point([1.0, math.nan], "nearest")


def test_floats_stay_as_they_are():
    found = float_point([0.1, 2.0])
    assert found.shift is None
    assert found.real().tolist() == [float(np.float32(0.1)), 2.0]
