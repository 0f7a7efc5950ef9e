"""Clocks: wraps, strays, gaps, and units, each kind with several examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hqsearch.data.clock import (
    ClockError,
    mend_clock,
    read_clock,
    recognise_unit,
    to_microseconds,
)
from hqsearch.data.files import as_events
from hqsearch.errors import DataError

RNG = np.random.default_rng(0)
#: 400 events over 0.1 s, in microseconds.
TRUE = np.sort(RNG.integers(0, 100_000, 400))
TRUE[0], TRUE[-1] = 0, 100_000
P = RNG.integers(0, 2, 400)


def table(times: NDArray[Any], p: NDArray[Any] = P, x: NDArray[Any] | None = None) -> NDArray[Any]:
    times = np.asarray(times)
    kinds = [("x", "u2"), ("y", "u2"), ("t", times.dtype), ("p", "u1")]
    out: NDArray[Any] = np.zeros(len(times), dtype=kinds)
    out["t"], out["p"] = times, np.resize(p, len(times))
    out["x"] = RNG.integers(0, 16, len(times)) if x is None else x
    out["y"] = RNG.integers(0, 16, len(times))
    return out


def since_first(times: NDArray[Any]) -> NDArray[Any]:
    return times - times.min()


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("u4", ((TRUE + 2**32 - 50_000) % 2**32).astype("u4")),
        ("u4 in i8", (TRUE + 2**32 - 50_000) % 2**32),
        ("i4 to the negative", (TRUE + 2**31 - 50_000).astype("u4").astype("i4")),
        ("31 bits", (TRUE + 2**31 - 50_000) % 2**31),
        ("24 bits", (TRUE + 2**24 - 30_000) % 2**24),
        (".bin's 23 bits", (TRUE + 2**23 - 99_000) % 2**23),
        ("u2, twice", (TRUE + 40_000).astype("u2")),
        ("u2 in i8, twice", (TRUE + 40_000) % 2**16),
        ("i2", (TRUE + 20_000).astype("u2").astype("i2")),
        ("wraps after the first event", (TRUE + 2**32 - 1) % 2**32),
        ("big-endian", ((TRUE + 2**32 - 50_000) % 2**32).astype(">u4")),
    ],
)
def test_wraps_are_undone(name: str, times: NDArray[Any]) -> None:
    mended, keep, told = mend_clock(table(times))
    np.testing.assert_array_equal(since_first(mended), TRUE)
    assert keep.all(), name
    assert told == ("its clock wraps; that was undone",)


def test_wraps_of_a_clock_that_was_made_seconds() -> None:
    times = ((TRUE + 2**32 - 50_000) % 2**32) / 1e6
    mended, _, told = mend_clock(table(times))
    np.testing.assert_allclose(since_first(mended), TRUE / 1e6, atol=1e-6)
    assert told


def test_a_wrap_with_events_slightly_out_of_order() -> None:
    times = (TRUE + 2**32 - 50_000) % 2**32
    swap = int(np.flatnonzero(np.diff(times) < 0)[0])
    times[[swap, swap + 1]] = times[[swap + 1, swap]]
    mended, _, _ = mend_clock(table(times))
    np.testing.assert_array_equal(np.sort(since_first(mended)), TRUE)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("shuffled", table(RNG.permutation(TRUE))),
        ("by polarity", table(np.r_[TRUE[::2], TRUE[1::2]], p=np.repeat([1, 0], 200))),
        ("by polarity to 2**23", table(np.r_[TRUE[::2], TRUE[1::2]] * 83, np.repeat([0, 1], 200))),
        (
            "by column",
            table(np.concatenate([TRUE[i::4] for i in range(4)]), x=np.arange(400) // 100),
        ),
        ("jitter", table(TRUE + RNG.integers(-200, 200, 400))),
        ("backwards", table(TRUE[::-1])),
        ("negative start", table(TRUE - 50_000)),
        ("the same time often", table(TRUE // 5_000 * 5_000)),
        ("one time", table(np.full(30, 7))),
        ("one event", table(np.array([7]))),
    ],
)
def test_what_is_no_fault_stays(name: str, raw: NDArray[Any]) -> None:
    mended, keep, told = mend_clock(raw)
    np.testing.assert_array_equal(mended, raw["t"].astype(np.int64))
    assert keep.all(), name
    assert told == ()


@pytest.mark.parametrize(
    "times",
    [
        np.r_[TRUE, TRUE],
        np.r_[TRUE, TRUE // 2],
        np.r_[TRUE + 5_000_000, TRUE, TRUE + 700_000],
        np.r_[TRUE, TRUE] / 1e6,
    ],
)
def test_a_clock_that_was_set_back_is_refused(times: NDArray[Any]) -> None:
    with pytest.raises(ClockError, match=r"clock jumps back [12] times .*make a file of each"):
        mend_clock(table(times))


@pytest.mark.parametrize("zeros", [1, 3])
@pytest.mark.parametrize("offset", [10**6, 10**9, 1_700_000_000_000_000])
def test_strays_at_zero_are_left_out(zeros: int, offset: int) -> None:
    times = np.r_[np.zeros(zeros, dtype=np.int64), TRUE + offset]
    mended, keep, told = mend_clock(table(times))
    np.testing.assert_array_equal(since_first(mended[keep]), TRUE)
    assert "time 0" in told[0]


@pytest.mark.parametrize(
    "times",
    [
        np.r_[TRUE, 2**32 - 1],  # a damaged last event
        np.r_[-(10**9), TRUE],
        np.sort((TRUE + 2**32 - 50_000) % 2**32),  # wrapped, then sorted
        np.r_[TRUE, TRUE + 10**8],
        np.r_[TRUE / 1e6, 1.7e9],
    ],
)
def test_a_clock_that_jumps_is_refused(times: NDArray[Any]) -> None:
    with pytest.raises(ClockError, match=r"clock jumps: .* a gap of"):
        mend_clock(table(times))


def test_a_long_gap_is_told() -> None:
    assert "a gap" in mend_clock(table(np.r_[TRUE, 350_000]))[2][0]
    assert mend_clock(table(np.r_[TRUE, TRUE + 350_000]))[2] == ()


@pytest.mark.parametrize(
    ("unit", "times"),
    [
        ("us", TRUE),
        ("us", TRUE.astype(float)),
        ("us", TRUE + 10**9),
        ("us", TRUE - 50_000),
        ("us", TRUE + 1_700_000_000_000_000),
        ("us", TRUE + 0.25),
        ("ms", TRUE // 1000),
        ("ms", (TRUE // 1000).astype(float)),
        ("ms", TRUE // 100 + 1_700_000_000_000),
        ("ms", TRUE / 100 + 0.001),
        ("ms", (TRUE / 1e3).astype("f4")),
        ("s", TRUE / 1e6),
        ("s", (TRUE / 1e6).astype("f4")),
        ("s", TRUE / 1e4),
        ("s", TRUE / 1e6 + 1.7e9),
        ("s", TRUE / 1e6 - 3),
        ("ns", TRUE * 10**6),
        ("ns", TRUE * 1000 + 1_700_000_000_000_000_000),
    ],
)
def test_units_are_recognised(unit: str, times: NDArray[Any]) -> None:
    assert recognise_unit([read_clock(times)]) == unit


def test_units_that_cannot_be_told() -> None:
    with pytest.raises(ClockError, match=r"unit cannot be told: seconds .*time_unit"):
        recognise_unit([read_clock(TRUE // 10_000)])
    assert recognise_unit([read_clock(np.array([5]))]) == "us"
    assert recognise_unit([]) == "us"


@pytest.mark.parametrize(
    ("unit", "change"),
    [
        ("us", lambda t: t),
        ("ms", lambda t: t / 1e3),
        ("s", lambda t: t / 1e6),
        ("s", lambda t: t / 1e6 - 7),
        ("ns", lambda t: t * 1000),
        ("ns", lambda t: t * 1e3),
    ],
)
def test_units_become_microseconds(
    unit: str, change: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    np.testing.assert_array_equal(to_microseconds(change(TRUE), unit), TRUE)
    events = as_events(table(change(TRUE)), unit, "here")
    np.testing.assert_array_equal(events["t"], TRUE)


def test_float32_seconds_keep_their_order_and_length() -> None:
    times = to_microseconds((TRUE / 1e6).astype("f4"), "s")
    assert np.abs(times - TRUE).max() <= 1


def test_times_that_span_more_than_142_years() -> None:
    with pytest.raises(DataError, match=r"here: times span more than 142 years"):
        as_events(table(TRUE * 10**12), "ms", "here")


@pytest.mark.parametrize(("times", "coarse"), [(TRUE, False), (TRUE // 10_000, True)])
def test_a_coarse_clock_is_known_by_its_ticks(times: NDArray[Any], coarse: bool) -> None:
    assert read_clock(times).is_coarse(16) is coarse
    assert not read_clock(times[:10]).is_coarse(16)
