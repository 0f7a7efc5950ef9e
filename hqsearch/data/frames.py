"""Frames as a study uses them: three splits of memory-mapped uint8, with their origin.

A frame folder holds ``<split>-frames.npy`` (uint8 ``[n, T, C, size, size]``; of events, C is 2,
channel 0 OFF and 1 ON), ``<split>-labels.npy`` (int64 ``[n]``) and ``frames.json``; it is
written once and then only read, by any number of processes.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hqsearch.data.encoding import Encoding, get_encoding
from hqsearch.errors import DataError

SPLITS = ("train", "validation", "test")
DESCRIPTION = "frames.json"
#: Below this many validation samples the standard error of an accuracy is told.
ENOUGH_VALIDATION = 1000


@dataclass(frozen=True)
class Split:
    """One split.

    Attributes:
        frames: uint8 ``[n, T, C, size, size]``, memory-mapped read-only. Of frames that were
            given without a test split, that one has n = 0.
        labels: int64 ``[n]``.
    """

    frames: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class FrameData:
    """All frames of a study.

    Attributes:
        classes: Class names; a label is an index into them.
        fingerprint: SHA-256 of the settings and of every frame and label.
        simulated: No recorded event is in it.
        warnings: What a person should know, such as a small validation split.
        folder: Where the frames lie; :func:`open_frames` opens it again.
        summary: One line about the recordings; empty for simulated data and for frames of
            release 0.1.
    """

    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    encoding: Encoding
    fingerprint: str
    simulated: bool
    warnings: tuple[str, ...]
    folder: Path
    summary: str = ""


def open_frames(folder: Path) -> FrameData:
    """Open a frame folder, memory-mapped and read-only.

    Raises:
        DataError: ``folder`` is none, or a file in it is damaged.
    """
    try:
        told = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        splits = {}
        for name in SPLITS:
            # What is empty cannot be mapped.
            frames = np.load(
                folder / f"{name}-frames.npy",
                mmap_mode="r" if name not in told.get("empty", ()) else None,
                allow_pickle=False,
            )
            labels = np.load(folder / f"{name}-labels.npy", allow_pickle=False)
            if frames.dtype != np.uint8 or frames.ndim != 5 or len(frames) != len(labels):
                raise ValueError(f"{name}: {frames.dtype} {frames.shape}, {len(labels)} labels")
            splits[name] = Split(frames, labels)
        return FrameData(
            train=splits["train"],
            validation=splits["validation"],
            test=splits["test"],
            classes=tuple(told["classes"]),
            encoding=get_encoding(
                told["encoding"], told.get("step", 1.0), told.get("signed", False)
            ),
            fingerprint=told["fingerprint"],
            simulated=told["simulated"],
            warnings=tuple(told["warnings"]),
            folder=folder,
            summary=told.get("summary", ""),
        )
    except FileNotFoundError as error:
        raise DataError(f"no prepared frames in {folder}: run the study to make them.") from error
    except (ValueError, KeyError, EOFError, TypeError) as error:
        raise DataError(
            f"the frames in {folder} are damaged ({error}). Delete that folder; it is made again."
        ) from error


def small_validation(n: int) -> list[str]:
    """A warning where ``n`` validation samples are few."""
    if n >= ENOUGH_VALIDATION:
        return []
    error = 100 * math.sqrt(0.9 * 0.1 / n)
    return [
        f"only {n} validation samples: an accuracy of 90 % has a standard error of "
        f"{error:.1f} points, so small differences between candidates cannot be seen "
        f"({ENOUGH_VALIDATION} samples or more are advised)."
    ]
