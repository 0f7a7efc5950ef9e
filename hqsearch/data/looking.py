"""A look at a study's data before any of it is framed: a few samples, and what the splits hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hqsearch.data.encoding import Encoding, encoding_of, get_encoding
from hqsearch.data.given import Frames
from hqsearch.data.prepare import frame_sample, list_samples, list_source, survey
from hqsearch.data.samples import Sample
from hqsearch.data.sources import source_of
from hqsearch.data.spec import DataSpec
from hqsearch.definition.data import FRAMES, SIMULATED
from hqsearch.machine import cores

#: A class that has so many times fewer training samples than another is told.
IMBALANCE = 5.0


@dataclass(frozen=True)
class SplitFacts:
    """What the splits hold.

    Attributes:
        classes: names, in the order of their labels.
        samples: split → class → number of samples.
        summary: durations and events, where there are recordings.
        notes: imbalance, and recordings that are in two splits.
    """

    classes: tuple[str, ...]
    samples: dict[str, dict[str, int]] = field(default_factory=dict)
    summary: str = ""
    notes: tuple[str, ...] = ()


def few_frames(spec: DataSpec, count: int, given: Frames | None = None) -> NDArray[np.uint8] | None:
    """Stored frames uint8 ``[n, T, C, H, W]`` of at most ``count`` training samples of recordings.

    None where looking costs more than a look should: simulated ones, and frames that another
    process was given.
    """
    if spec.dataset == FRAMES:
        return None if given is None else given.stored.splits["train"][0][:count]
    if spec.dataset == SIMULATED:
        return None
    other = source_of(spec)
    if other is not None:
        return other.few(count)
    listed = list_samples(spec)
    train = listed.splits["train"]
    chosen = [
        train[i] for i in np.unique(np.linspace(0, len(train) - 1, count).round().astype(int))
    ]
    unit = survey(spec, list_source(spec), cores()).unit
    encoding = get_encoding(spec.encoding)
    return np.stack([frame_sample(s, unit, listed.sensor, spec, encoding) for s in chosen])


def encoding_seen(spec: DataSpec, given: Frames | None = None) -> Encoding:
    """How what :func:`few_frames` gives becomes what the network sees."""
    if given is not None:
        return given.stored.encoding
    other = source_of(spec)
    return encoding_of(spec) if other is None else other.encoding()


def split_facts(spec: DataSpec, given: Frames | None = None) -> SplitFacts | None:
    """Classes of each split, imbalance, and samples that are in two of them; None where it is
    not known before the data are made."""
    if spec.dataset == SIMULATED or (spec.dataset == FRAMES and given is None):
        return None
    other = source_of(spec)
    labels: Mapping[str, Sequence[int]]
    keys: Mapping[str, Sequence[tuple[str, str]]]
    if other is not None:
        labels, keys, classes, summary = other.labels(), other.keys(), other.classes(), ""
    elif spec.dataset == FRAMES:
        assert given is not None
        stored = given.stored
        labels = {name: y.tolist() for name, (_, y) in stored.splits.items()}
        keys = given.keys()
        classes, summary = stored.classes, ""
    else:
        listed = list_samples(spec)
        labels = {name: [s.label for s in part] for name, part in listed.splits.items()}
        looked = survey(spec, list_source(spec), cores())
        # Whoever has as many events, as long and as ON as another, to the last digit, is the same.
        by_origin = {r.origin: f"{r.events} {r.duration!r} {r.on!r}" for r in looked.recordings}
        keys = {
            name: [(by_origin[s.origin], Path(s.origin).name) for s in part]
            for name, part in listed.splits.items()
        }
        classes = listed.classes
        summary = "; ".join([str(looked), *_cut_and_kept(spec, listed.splits)])
    samples = {
        name: {classes[label]: n for label, n in sorted(Counter(found).items())}
        for name, found in labels.items()
    }
    notes = (
        *_imbalance(samples.get("train", {}), classes),
        *_absent(samples, classes),
        *_repeated(keys),
    )
    return SplitFacts(tuple(classes), samples, summary, notes)


def _cut_and_kept(spec: DataSpec, splits: Mapping[str, Sequence[Sample]]) -> list[str]:
    """How recordings were cut into samples and which were kept together, in words."""
    told = []
    if spec.window is not None:
        windows, recordings = (
            ", ".join(f"{len(of(part)):,} in {name}" for name, part in splits.items())
            for of in (list, lambda part: {s.origin for s in part})
        )
        told.append(f"windows of {spec.window}: {windows} (of recordings: {recordings})")
    if spec.group is not None:
        groups = {name: {s.group for s in part} for name, part in splits.items()}
        number = ", ".join(f"{len(some):,} in {name}" for name, some in groups.items())
        total = len(set().union(*groups.values()))
        told.append(f"{total:,} groups by {spec.group!r}, none in two splits: {number}")
    return told


def _imbalance(train: dict[str, int], classes: tuple[str, ...]) -> list[str]:
    missing = [name for name in classes if name not in train]
    if missing:
        return [f"no training sample of {', '.join(missing)}: nothing can be learned of it"]
    most, least = max(train, key=train.__getitem__), min(train, key=train.__getitem__)
    if train[most] < IMBALANCE * train[least]:
        return []
    return [
        f"classes are uneven: {train[most]} training samples of {most}, {train[least]} of {least}; "
        "accuracy counts samples, so a rare class hardly counts"
    ]


def _absent(samples: Mapping[str, Mapping[str, int]], classes: Sequence[str]) -> list[str]:
    """Classes of which nothing is measured."""
    told = []
    for split in ("validation", "test"):
        missing = [name for name in classes if name not in samples.get(split, {})]
        if missing and samples.get(split):
            listed = ", ".join(missing[:8]) + (", …" if len(missing) > 8 else "")
            told.append(f"no {split} sample of {listed}: how well they are told is not measured")
    return told


def _repeated(keys: Mapping[str, Sequence[tuple[str, str]]]) -> list[str]:
    """Samples that are in two splits: what is measured on them was learned by heart."""
    told = []
    for name, other, why in (
        ("validation", "train", "an accuracy on it says little"),
        ("test", "train", "an accuracy on it says little"),
        ("test", "validation", "confirming on it says no more than the search did"),
    ):
        seen = dict(keys.get(other, ()))
        twice = [(seen[key], mine) for key, mine in keys.get(name, ()) if key in seen]
        if twice:
            first, mine = twice[0]
            more = f", and {len(twice) - 1} more" if len(twice) > 1 else ""
            told.append(
                f"{mine} of {name} is the same sample as {first} of {other}{more}: {why}; remove "
                "one of them"
            )
    return told
