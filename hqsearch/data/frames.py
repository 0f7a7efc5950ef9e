"""Frames as a study uses them: three splits of memory-mapped uint8, with their origin.

A frame folder holds ``<split>-frames.npy`` (uint8 ``[n, T, C, size, size]``; of events, C is 2,
channel 0 OFF and 1 ON), ``<split>-labels.npy`` (int64 ``[n]``) and ``frames.json``; it is
written once and then only read, by any number of processes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hqsearch.data.arrays import open_npy
from hqsearch.data.encoding import Encoding, get_encoding
from hqsearch.errors import DataError, UnknownName

SPLITS = ("train", "validation", "test")
DESCRIPTION = "frames.json"
#: Below this many validation samples the standard error of an accuracy is told.
ENOUGH_VALIDATION = 1000
#: Key of the description → its type.
_TOLD: Mapping[str, Any] = {
    "classes": list, "encoding": str, "fingerprint": str, "simulated": bool, "warnings": list,
    "step": (int, float), "signed": bool, "summary": str, "empty": list, "mean": list, "std": list,
}  # fmt: skip
#: Keys that releases before did not write, or that are not needed for all frames.
_MAY_LACK: Mapping[str, Any] = {
    "step": 1.0, "signed": False, "summary": "", "empty": [], "mean": [], "std": [],
}  # fmt: skip
#: Lists of numbers; all others are of texts.
_NUMBERS = ("mean", "std")


@dataclass(frozen=True)
class Split:
    """One split.

    Attributes:
        frames: uint8 ``[n, T, C, size, size]``, memory-mapped read-only; of pictures T is 1. Of
            frames that were given without a test split, that one has n = 0.
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
        told = _description(folder / DESCRIPTION)
        splits = {name: _open_split(folder, name, told) for name in SPLITS}
        return FrameData(
            train=splits["train"],
            validation=splits["validation"],
            test=splits["test"],
            classes=tuple(told["classes"]),
            encoding=get_encoding(
                told["encoding"], told["step"], told["signed"], told["mean"], told["std"]
            ),
            fingerprint=told["fingerprint"],
            simulated=told["simulated"],
            warnings=tuple(told["warnings"]),
            folder=folder,
            summary=told["summary"],
        )
    except FileNotFoundError as error:
        raise DataError(f"no prepared frames in {folder}: run the study to make them.") from error
    except (ValueError, RecursionError, UnknownName) as error:
        raise DataError(
            f"the frames in {folder} are damaged ({error}). Delete that folder; it is made again."
        ) from error


def _description(path: Path) -> dict[str, Any]:
    """What is told of the frames, complete.

    Raises:
        ValueError: it is damaged, naming the key.
    """
    told = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(told, dict):
        raise ValueError(f"{path.name} holds no table")
    told = {**_MAY_LACK, **told}
    for key, kind in _TOLD.items():
        value = told.get(key)
        entries = value if isinstance(value, list) else ()
        entry = (int, float) if key in _NUMBERS else str
        if not isinstance(value, kind) or not all(isinstance(one, entry) for one in entries):
            raise ValueError(f"{path.name}: {key}")
    return told


def _open_split(folder: Path, name: str, told: Mapping[str, Any]) -> Split:
    """One split, its frames memory-mapped; what is empty cannot be mapped.

    Raises:
        ValueError: frames and labels are not those of a split.
    """
    frames = open_npy(folder / f"{name}-frames.npy", name not in told["empty"])
    labels = open_npy(folder / f"{name}-labels.npy", False)
    if frames.dtype != np.uint8 or frames.ndim != 5 or labels.shape != frames.shape[:1]:
        raise ValueError(f"{name}: {frames.dtype} {frames.shape}, {labels.shape} labels")
    if labels.dtype != np.int64 or not ((labels >= 0) & (labels < len(told["classes"]))).all():
        raise ValueError(f"{name}: labels of none of the {len(told['classes'])} classes")
    return Split(frames, labels)


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
