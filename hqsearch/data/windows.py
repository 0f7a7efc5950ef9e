"""Recordings cut into windows of one length, each a sample; a recording is read once for all."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from hqsearch.data.framing import Events
from hqsearch.data.samples import Sample, SampleList
from hqsearch.data.spec import DataSpec
from hqsearch.data.splits import SplitItem
from hqsearch.data.splits_grouped import split_groups
from hqsearch.errors import DataError

#: A rest at the end of a recording that is at least this share of a window is one.
ALMOST = 0.9
#: Recordings whose events are kept while their windows are cut.
_KEPT = 4
_NAMED = 3


def cut(spec: DataSpec, whole: SampleList, unit: str, workers: int) -> SampleList:
    """The windows of ``whole`` recordings, split so that those of one recording, or of one group,
    stay together.

    Windows follow each other from a recording's first event; a rest that is shorter is left out,
    and so are windows of fewer events than timesteps.

    Args:
        whole: one sample for each recording; its splits are the folders that are there.
        unit: of times in files that do not say it.

    Raises:
        DataError: no window is left, or fewer than the splits need.
    """
    length = spec.window_microseconds
    assert length is not None
    recent = _Recent()
    pools, spare, empty, short = {}, 0, 0, []
    with ThreadPoolExecutor(workers) as threads:
        for name, recordings in whole.splits.items():
            windows: list[Sample] = []
            tables = threads.map(lambda s: _starts(recent.events(s, unit), length), recordings)
            for sample, table in zip(recordings, tables, strict=True):
                used = [start for start, events in table if events >= spec.timesteps]
                empty += len(table) - len(used)
                spare += bool(table)
                if not table:
                    short.append(sample.origin)
                windows += [_window(sample, start, length, recent) for start in used]
            pools[name] = windows
    notes = _notes(spec, pools, spare, empty, short)
    if not pools["train"]:
        raise DataError(f"no recording is as long as [data] window = {spec.window!r}. Shorten it.")
    items = {name: [SplitItem(s.label, group=_group(s)) for s in p] for name, p in pools.items()}
    chosen = split_groups(
        spec, items["train"], items["test"] or None, whole.classes, items["validation"] or None
    )
    sources = {
        "train": (pools["train"], chosen.train),
        "validation": (pools["validation"] or pools["train"], chosen.validation),
        "test": (pools["test"] or pools["train"], chosen.test),
    }
    splits = {name: [windows[i] for i in some] for name, (windows, some) in sources.items()}
    return replace(whole, splits=splits, warnings=(*whole.warnings, *notes, *chosen.warnings))


def _group(sample: Sample) -> str:
    return sample.group or sample.origin


def _window(sample: Sample, start: int, length: int, recent: _Recent) -> Sample:
    return replace(
        sample, window=(start, length), cut=partial(recent.window, sample, start, start + length)
    )


def _starts(events: Events, length: int) -> list[tuple[int, int]]:
    """Start in microseconds and number of events of each window; ``events`` in order of time."""
    first, last = int(events["t"][0]), int(events["t"][-1])
    count = int((last - first + 1) / length + 1 - ALMOST)
    edges = first + length * np.arange(count + 1, dtype=np.int64)
    places = np.searchsorted(events["t"], edges)
    return [(int(e), int(n)) for e, n in zip(edges[:-1], np.diff(places), strict=True)]


def _notes(
    spec: DataSpec, pools: dict[str, list[Sample]], cut_up: int, empty: int, short: Sequence[str]
) -> list[str]:
    total = sum(map(len, pools.values()))
    notes = [f"{total:,} windows of {spec.window} were cut from {cut_up:,} recordings."]
    if empty:
        notes.append(
            f"{empty:,} windows of fewer than {spec.timesteps} events, one for each frame, were "
            "left out."
        )
    if short:
        more = f" and {len(short) - _NAMED} more" if len(short) > _NAMED else ""
        notes.append(f"{', '.join(short[:_NAMED])}{more}: shorter than {spec.window}, so left out.")
    return notes


@dataclass
class _Entry:
    lock: threading.Lock
    events: Events | None = None


class _Recent:
    """Events of the recordings that were read last, in order of time; for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Entry] = OrderedDict()

    def events(self, sample: Sample, unit: str | None) -> Events:
        """All events of a recording."""
        with self._lock:
            entry = self._kept.setdefault(sample.origin, _Entry(threading.Lock()))
            self._kept.move_to_end(sample.origin)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        with entry.lock:
            if entry.events is None:
                events = sample.events(unit)
                if (np.diff(events["t"]) < 0).any():
                    events = events[np.argsort(events["t"], kind="stable")]
                entry.events = events
            return entry.events

    def window(self, sample: Sample, start: int, stop: int, unit: str | None) -> Events:
        """The events from ``start`` to before ``stop``, in microseconds."""
        events = self.events(sample, unit)
        low, high = np.searchsorted(events["t"], [start, stop])
        return events[low:high]
