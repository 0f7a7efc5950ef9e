"""What a folder of recordings holds: every unusable file at once, the unit of time, and figures
that show whether something is off."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hqsearch.data.clock import (
    UNIT_NAMES,
    UNITS,
    Clock,
    ClockError,
    mend_clock,
    read_clock,
    recognise_unit,
)
from hqsearch.data.samples import Problem, Progress, Sample, SampleList, refuse_all
from hqsearch.errors import DataError

#: An outlier is so many times above or below the median.
OUTLIER_FACTOR = 10.0
#: Frames get less than this many ticks of a clock that is worth a warning.
_FEW_TICKS = 10
#: So many times apart are the times of recordings that are in different units.
_UNITS_APART = 100.0
_NAMED = 3
#: Recordings between two calls of ``progress``; reading is quick.
_TOLD_EVERY = 50


@dataclass(frozen=True)
class RecordingSummary:
    """One recording.

    Attributes:
        origin: where it comes from.
        label: its class.
        events: how many.
        duration: from the first to the last event, in seconds.
        on: share of ON events.
    """

    origin: str
    label: str
    events: int
    duration: float
    on: float


@dataclass(frozen=True)
class DataSummary:
    """All recordings of a study.

    Attributes:
        unit: of the times in the files: ``ns``, ``us``, ``ms`` or ``s``.
        recognised: the unit was neither given nor said by the files.
        notes: what was mended, and what a person should look at.
    """

    recordings: tuple[RecordingSummary, ...]
    unit: str
    recognised: bool
    notes: tuple[str, ...] = ()

    def range_of(self, figure: str) -> tuple[float, float, float]:
        """(least, median, most) of ``events``, ``duration`` or ``on``."""
        values = np.array([getattr(r, figure) for r in self.recordings], dtype=float)
        return float(values.min()), float(np.median(values)), float(values.max())

    def __str__(self) -> str:
        """The line that is told at preparation."""
        duration, events = self.range_of("duration"), self.range_of("events")
        on = self.range_of("on")
        how = " (recognised; if wrong, set [data] time_unit)" if self.recognised else ""
        return (
            f"{len(self.recordings):,} recordings, each (least / median / most): "
            f"{' / '.join(f'{value:.3g}' for value in duration)} s long, "
            f"{' / '.join(f'{value:,.0f}' for value in events)} events, "
            f"{' / '.join(f'{100 * value:.0f}' for value in on)} % of them ON; "
            f"times in {UNIT_NAMES[self.unit]}{how}"
        )

    def outliers(self) -> tuple[str, ...]:
        """Recordings unlike the others, named, a line for each way to be so."""
        told = []
        for figure, what in (("duration", "duration"), ("events", "number of events")):
            middle = self.range_of(figure)[1]
            odd = [
                r.origin
                for r in self.recordings
                if not middle / OUTLIER_FACTOR <= getattr(r, figure) <= middle * OUTLIER_FACTOR
            ]
            if odd:
                told.append(
                    f"{_some(odd)}: the {what} is more than {OUTLIER_FACTOR:g} times above or "
                    f"below the median ({middle:,.6g}{' s' if figure == 'duration' else ''})."
                )
        if 0.05 < self.range_of("on")[1] < 0.95:
            odd = [r.origin for r in self.recordings if r.on in (0.0, 1.0)]
            if odd:
                told.append(f"{_some(odd)}: all events have one polarity.")
        return tuple(told)


def summarise(
    listed: SampleList,
    timesteps: int,
    unit: str | None,
    workers: int,
    problems: Sequence[Problem] = (),
    progress: Progress | None = None,
) -> DataSummary:
    """Read all recordings of ``listed``.

    Args:
        timesteps: frames per sample, which a clock must be fine enough for.
        unit: of the times in files that do not say it; None: recognise it.
        problems: files that are known to be unusable, named with those that are found.

    Raises:
        DataError: recordings that cannot be used, all of them named; or a unit that cannot be
            told.
    """
    named = {origin for origin, _ in problems}
    samples = [s for part in listed.splits.values() for s in part if s.origin not in named]
    looks: list[_Look] = []
    unusable = list(problems)
    with ThreadPoolExecutor(workers) as pool:
        for done, result in enumerate(pool.map(lambda s: _try_look(s, unit), samples), 1):
            if isinstance(result, str):
                unusable.append((samples[done - 1].origin, result))
            else:
                looks.append(result)
            if progress is not None and done % _TOLD_EVERY == 0:
                progress("reading recordings", done, len(samples))
    unusable += [(look.sample.origin, text) for look in looks if (text := look.problem(timesteps))]
    refuse_all(unusable)
    untold = [look for look in looks if look.sample.unit is None]
    known = unit or (_common_unit(untold) if untold else "us")
    recordings = tuple(look.summary(listed.classes, known) for look in looks)
    summary = DataSummary(recordings, known, unit is None and bool(untold))
    return replace(summary, notes=(*_notes(looks, timesteps), *summary.outliers()))


@dataclass(frozen=True)
class _Look:
    """What one reading of a recording showed."""

    sample: Sample
    clock: Clock
    on: float
    told: tuple[str, ...]

    def problem(self, timesteps: int) -> str:
        """Why these events cannot be framed; "" where they can."""
        n, clock = self.clock.events, self.clock
        if clock.span == 0:
            if n == 1:
                return f"{self.sample.origin}: holds one event, which fills no frames. Remove it."
            return (
                f"{self.sample.origin}: all its {n:,} events have one time. If the resolution of "
                f"its clock was lost, save times with all their digits; else remove it."
            )
        if clock.is_coarse(timesteps):
            return (
                f"{self.sample.origin}: its clock makes {clock.span / clock.tick:.0f} ticks from "
                f"the first to the last event, too coarse a resolution for {timesteps} frames. "
                f"Lower timesteps, or save times with all their digits."
            )
        return ""

    def summary(self, classes: tuple[str, ...], unit: str) -> RecordingSummary:
        seconds = self.clock.span * UNITS[self.sample.unit or unit] / 1e6
        label = classes[self.sample.label]
        return RecordingSummary(self.sample.origin, label, self.clock.events, seconds, self.on)


def _try_look(sample: Sample, unit: str | None) -> _Look | str:
    try:
        raw: NDArray[Any] = sample.columns() if sample.columns else sample.read()
        if unit is not None and sample.unit not in (None, unit):
            return (
                f"{sample.origin}: files of this kind have times in {UNIT_NAMES[sample.unit]}; "
                f"[data] time_unit = {unit!r} does not apply. Remove it."
            )
        times, keep, told = mend_clock(raw)
        return _Look(sample, read_clock(times[keep]), float((raw["p"][keep] > 0).mean()), told)
    except DataError as error:
        return str(error)
    except ClockError as error:
        return f"{sample.origin}: {error}."


def _common_unit(looks: Sequence[_Look]) -> str:
    """The unit of all, as recognised.

    Raises:
        DataError: it cannot be told, or recordings, each taken for itself, are in different units.
    """
    first = looks[0].sample.origin
    try:
        common = recognise_unit([look.clock for look in looks])
    except ClockError as error:
        also = f" and {len(looks) - 1} more" if len(looks) > 1 else ""
        raise DataError(f"{first}{also}: {error}.") from error
    groups: dict[str, list[_Look]] = {}
    for look in looks:
        try:
            groups.setdefault(recognise_unit([look.clock]), []).append(look)
        except ClockError:
            continue
    if not groups:
        return common
    (unit, most), *others = sorted(groups.items(), key=lambda item: -len(item[1]))
    usual = np.median([look.clock.span for look in most])
    for other, some in others:
        apart = np.median([look.clock.span for look in some]) / usual
        many = len(some) >= max(2, 0.1 * len(looks))
        if many and not 1 / _UNITS_APART < apart < _UNITS_APART:
            raise DataError(
                f"times look like {UNIT_NAMES[unit]} in most, such as {most[0].sample.origin}, and "
                f"like {UNIT_NAMES[other]} in {_some([look.sample.origin for look in some])}. Save "
                f"all in one unit, or say which it is: time_unit in [data]."
            )
    return common


def _notes(looks: Sequence[_Look], timesteps: int) -> list[str]:
    notes = []
    reasons: dict[str, list[str]] = {}
    for look in looks:
        for told in look.told:
            reasons.setdefault(told, []).append(look.sample.origin)
    notes += [f"{_some(origins)}: {reason}." for reason, origins in reasons.items()]
    coarse = [look for look in looks if look.clock.is_coarse(_FEW_TICKS * timesteps)]
    if coarse:
        ticks = np.median([look.clock.span / look.clock.tick for look in coarse]) / timesteps
        notes.append(
            f"{_some([look.sample.origin for look in coarse])}: the resolution of the clock is "
            f"coarse ({ticks:.1f} ticks of time in a frame), so frames are uneven."
        )
    return notes


def _some(origins: Sequence[str]) -> str:
    more = f" and {len(origins) - _NAMED} more" if len(origins) > _NAMED else ""
    return ", ".join(origins[:_NAMED]) + more
