"""Samples and figures of a study's prepared frames."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hqsearch.analysis.pictures.facts import Facts, NothingToDraw
from hqsearch.data.frames import SPLITS, FrameData, Split, open_frames

#: Classes and timesteps that are shown.
CLASSES, STEPS = 12, 8
#: Samples of a class and split that figures rest on, evenly spaced.
MOST = 200


@dataclass(frozen=True)
class ClassFigures:
    """Of one class in one split.

    Attributes:
        split: ``train``, ``validation`` or ``test``.
        label: the class.
        samples: how many there are.
        mean: value of a pixel as stored, over the samples looked at.
        low, high: a tenth of the samples are below and above these means.
        active: share of pixels that are not zero.
        on: share of the first channel's values in all; None where there is one channel.
    """

    split: str
    label: int
    samples: int
    mean: float
    low: float
    high: float
    active: float
    on: float | None


@dataclass(frozen=True)
class DataPicture:
    """What a sheet of data shows.

    Attributes:
        title: of the study.
        classes: names; labels are their indices.
        shown: labels with a row of frames.
        frames: ``[row, step, channel, size, size]`` uint8, one training sample of each.
        steps: timesteps that are shown, of those there are.
        encoding: of the values.
        figures: per class and split.
        notes: what a person should know: simulated, small splits.
    """

    title: str
    classes: tuple[str, ...]
    shown: tuple[int, ...]
    frames: npt.NDArray[np.uint8]
    steps: tuple[int, ...]
    encoding: str
    figures: tuple[ClassFigures, ...]
    notes: tuple[str, ...]


def data_picture(facts: Facts) -> DataPicture:
    """Frames and figures of a study's data.

    Raises:
        NothingToDraw: the study has prepared none.
        DataError: what was prepared is missing or damaged.
    """
    prepared = facts.folder / "prepared.json"
    if not prepared.exists():
        raise NothingToDraw(
            f"study {facts.name!r} has prepared no frames in {facts.folder}: its evaluator has no "
            "data, or it has not been run"
        )
    data = open_frames(facts.folder / json.loads(prepared.read_text())["frames"])
    present = [label for label in range(len(data.classes)) if (data.train.labels == label).any()]
    shown = tuple(present[:CLASSES])
    first = [int(np.flatnonzero(data.train.labels == label)[0]) for label in shown]
    length = data.train.frames.shape[1]
    count = min(STEPS, length)
    steps = tuple(round(i * (length - 1) / max(count - 1, 1)) for i in range(count))
    return DataPicture(
        title=facts.title,
        classes=data.classes,
        shown=shown,
        frames=np.asarray(data.train.frames[first][:, list(steps)]),
        steps=steps,
        encoding=data.encoding.name,
        figures=tuple(_figures(data, present)),
        notes=(*facts.notes, *data.warnings),
    )


def _figures(data: FrameData, labels: list[int]) -> list[ClassFigures]:
    found = []
    for name in SPLITS:
        split: Split = getattr(data, name)
        for label in labels:
            places = np.flatnonzero(split.labels == label)
            if len(places):
                found.append(_of_class(name, label, split, places))
    return found


def _of_class(name: str, label: int, split: Split, places: npt.NDArray[np.int64]) -> ClassFigures:
    looked = places[np.unique(np.linspace(0, len(places) - 1, MOST).round().astype(int))]
    frames = split.frames[looked]
    means = frames.mean(axis=(1, 2, 3, 4))
    total = float(frames.sum(dtype=np.float64))
    first = float(frames[:, :, 0].sum(dtype=np.float64))
    low, high = np.percentile(means, [10, 90])
    return ClassFigures(
        split=name,
        label=label,
        samples=len(places),
        mean=float(means.mean()),
        low=float(low),
        high=float(high),
        active=float((frames > 0).mean()),
        on=first / total if frames.shape[2] == 2 and total else None,
    )
