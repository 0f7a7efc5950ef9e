"""Clocks of recordings: wraps undone, gaps found, the unit recognised, all as microseconds.

Files do not say in which unit their times are, clocks of 16 to 32 bits wrap, and cameras leave
events at time zero. What can be told from the times is mended; what cannot is refused with the
reason. Frames depend on proportions of time alone, so the unit matters for what a person is told
and for clocks that are too coarse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Name of a unit -> how many microseconds it has.
UNITS = {"ns": 1e-3, "us": 1.0, "ms": 1e3, "s": 1e6}
UNIT_NAMES = {"ns": "nanoseconds", "us": "microseconds", "ms": "milliseconds", "s": "seconds"}

#: Bits of clocks that are in use: AEDAT 2 has 32, or 31 without the sign; .bin has 23.
_CLOCK_BITS = (32, 31, 24, 23, 16)
#: Below this many events no gap is judged.
_ENOUGH = 20
#: Events on one side of a gap, as a share of all, that count as strays.
_STRAYS = 0.01
#: A gap this many times as long as everything else is a fault of the clock.
_BROKEN_GAP = 100
_HOUR_US = 3.6e9


class ClockError(ValueError):
    """Times that cannot be what they should; the message says why."""


@dataclass(frozen=True)
class Clock:
    """What the times of one recording look like, in its own unit.

    Attributes:
        events: how many.
        start: the first time.
        span: from the first to the last time.
        tick: the smallest step between two different times; 0 where there is one time only.
        instants: how many different times.
        whole: all times are whole numbers.
    """

    events: int
    start: float
    span: float
    tick: float
    instants: int
    whole: bool

    def is_coarse(self, steps: int) -> bool:
        """Whether events share their times, because the clock makes fewer than ``steps`` ticks."""
        shared = self.events >= _ENOUGH and 2 * self.instants <= self.events
        return shared and self.span < steps * self.tick


def read_clock(times: NDArray[Any]) -> Clock:
    """Describe ``times`` ``[n]``, which :func:`mend_clock` gave."""
    if len(times) == 0:
        return Clock(0, 0.0, 0.0, 0.0, 0, True)
    ordered = np.sort(times)
    steps = np.diff(ordered)
    steps = steps[steps > 0]
    return Clock(
        events=len(times),
        start=float(ordered[0]),
        span=float(ordered[-1] - ordered[0]),
        tick=float(steps.min()) if len(steps) else 0.0,
        instants=len(steps) + 1,
        whole=times.dtype.kind != "f" or bool((ordered == np.floor(ordered)).all()),
    )


def mend_clock(raw: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_], tuple[str, ...]]:
    """Undo wraps and leave out strays at zero.

    Args:
        raw: events ``[n]`` in the order of the file, with finite times below 2**62.

    Returns:
        Times ``[n]`` as int64 or float64 in the file's own unit, which events to keep ``[n]``,
        and what was mended, in words.

    Raises:
        ClockError: the clock was set back, or jumps.
    """
    bits = 8 * raw["t"].dtype.itemsize if raw["t"].dtype.kind in "iu" else 64
    times = raw["t"].astype(np.float64 if raw["t"].dtype.kind == "f" else np.int64)
    keep = np.ones(len(times), dtype=bool)
    told: list[str] = []
    if len(times) > 1 and _set_back(times).size and not _is_grouped(raw):
        unwrapped = _unwrap(times, bits)
        if unwrapped is not None:
            times = unwrapped
            told.append("its clock wraps; that was undone")
        elif np.count_nonzero(np.diff(times) < 0) < 0.2 * len(times):
            where = _set_back(times)
            raise ClockError(
                f"its clock jumps back {len(where)} times (first by "
                f"{times[where[0]] - times[where[0] + 1]:g} after event {where[0]:,}), which is no "
                f"wrap. If these are several recordings, make a file of each; if its events are "
                f"only out of order, sort them by time"
            )
    told += _judge_gap(times, keep)
    return times, keep, tuple(told)


def recognise_unit(clocks: Sequence[Clock]) -> str:
    """The unit of recordings that belong together.

    Whole numbers are microseconds, unless that makes the recordings shorter than a millisecond
    (then milliseconds) or longer than an hour (then nanoseconds). Fractions are seconds, unless
    recordings are longer than 30 of them (then milliseconds; above 30,000 microseconds). Times
    since 1970 say their unit by their size.

    Raises:
        ClockError: it cannot be told.
    """
    clocks = [c for c in clocks if c.span > 0]
    if not clocks:
        return "us"
    span = float(np.median([c.span for c in clocks]))
    start = float(np.median([c.start for c in clocks]))
    whole = all(c.whole for c in clocks)
    for unit, scale in UNITS.items():
        since_1970 = 1e15 <= start * scale <= 4.2e15
        if since_1970 and 1e3 <= span * scale <= _HOUR_US and not (whole and unit == "s"):
            return unit
    if not whole:
        return "s" if span <= 30 else "ms" if span <= 3e4 else "us"
    if span < 20:
        raise ClockError(
            f"times are whole numbers that span {span:g} only, so their unit cannot be told: "
            f"seconds that were cut to whole numbers? Save them with all their digits, or say "
            f'what they are: time_unit = "s" (or "ms", "us", "ns") in [data]'
        )
    if span < 1e3:
        return "ms"
    return "ns" if span > _HOUR_US else "us"


def to_microseconds(times: NDArray[Any], unit: str) -> NDArray[np.int64]:
    """``times`` ``[n]`` in ``unit`` as whole microseconds; where the unit is another one, since
    the first of them.

    Raises:
        ClockError: they span more than 142 years.
    """
    if len(times) and float(times.max()) - float(times.min()) >= 2**52 / UNITS[unit]:
        raise ClockError("times span more than 142 years")
    if unit == "us":
        return times.astype(np.int64)
    since = times - times.min()
    whole: NDArray[np.int64]
    if since.dtype.kind == "f":
        whole = np.rint(since * UNITS[unit]).astype(np.int64)
    else:
        whole = since // 1000 if unit == "ns" else since * int(UNITS[unit])
    return whole


def _set_back(times: NDArray[Any]) -> NDArray[np.intp]:
    """After which events time goes back by more than a twentieth of the whole."""
    steps = np.diff(times)
    return np.flatnonzero(steps < -(times.max() - times.min()) / 20)


def _is_grouped(raw: NDArray[Any]) -> bool:
    """Whether events lie together by polarity, column or row: out of order, but no fault."""
    for name in ("p", "x", "y"):
        steps = np.diff(raw[name].astype(np.int64))
        if (steps >= 0).all() or (steps <= 0).all():
            return bool(steps.any())
    return False


def _unwrap(times: NDArray[Any], bits: int) -> NDArray[Any] | None:
    """Times that go on where the clock began again; None where it did not wrap."""
    steps = np.diff(times)
    span = times.max() - times.min()
    # A clock as wide as its field wraps wherever it jumps; others must jump to its very start.
    candidates: list[tuple[float, float]] = [(2**bits, 0.5)] if bits < 64 else []
    scales = (1.0,) if times.dtype.kind != "f" else (1.0, 1e-3, 1e-6)
    more = (1000,) if times.dtype.kind != "f" else ()
    for factor in (*scales, *more):
        candidates += [(2**b * factor, 1 / 64) for b in _CLOCK_BITS]
    for modulus, slack in candidates:
        jumps = np.abs(steps) > modulus / 2
        off = np.abs(modulus - np.abs(steps[jumps])) > slack * modulus
        if span > 1.01 * modulus or not jumps.any() or off.any():
            continue
        turns = np.where(jumps, -np.sign(steps), 0).cumsum()
        whole = times.dtype.kind != "f"
        shift = turns.astype(np.int64) * int(modulus) if whole else turns * modulus
        unwrapped = times.copy()
        unwrapped[1:] += shift
        if not _set_back(unwrapped).size:
            return unwrapped
    return None


def _judge_gap(times: NDArray[Any], keep: NDArray[np.bool_]) -> list[str]:
    """Find the longest gap; clears ``keep`` for strays at zero."""
    ordered = np.sort(times)
    n = len(ordered)
    if n < _ENOUGH:
        return []
    steps = np.diff(ordered)
    at = int(steps.argmax())
    gap, rest = float(steps[at]), float(ordered[-1] - ordered[0] - steps[at])
    strays = max(1, int(_STRAYS * n))
    before, after = at + 1, n - at - 1
    if before <= strays and ordered[0] == ordered[at] == 0 and gap > 2 * rest > 0:
        keep &= times != 0
        return ["events at time 0, long before all others, were left out"]
    if gap > _BROKEN_GAP * rest > 0:
        raise ClockError(
            f"its clock jumps: {before:,} events, then a gap of {gap:g} (at time "
            f"{ordered[at]:g}), then {after:,} events; all else takes {rest:g}. Remove the events "
            f"of the one side, or mend the clock (one that wrapped before its events were sorted?)"
        )
    if min(before, after) <= strays and gap > rest:
        return ["a gap takes more than half of its time, with hardly an event on one side"]
    return []
