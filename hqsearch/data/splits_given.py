"""Splits that are given as arrays, tensors or torch Datasets, read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hqsearch.errors import DataError

_SHAPE = "[n, T, C, H, W] (samples, timesteps, channels, height, width)"


#: Frames or pictures, and labels ``[n]``.
Split = tuple[NDArray[Any], NDArray[Any]]


def read_split(name: str, split: Any) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Frames ``[n, T, C, H, W]`` and labels ``[n]`` of one split.

    Args:
        name: of the split, for messages.
        split: a pair (frames, labels), or a sequence of (frames ``[T, C, H, W]``, label) pairs.

    Raises:
        DataError: it is neither, or its shapes, values or labels cannot be used.
    """
    frames, labels = as_split(name, split)
    _check_frames(name, frames)
    return frames, _checked_labels(name, labels, len(frames))


def as_split(name: str, split: Any) -> Split:
    """The arrays of one split as they are; see :func:`read_split`.

    Raises:
        DataError: it is no split.
    """
    if isinstance(split, tuple | list) and len(split) == 2:
        frames, labels = _array(split[0]), _array(split[1])
    elif hasattr(split, "__getitem__") and hasattr(split, "__len__") and not _is_array(split):
        frames, labels = _read_pairs(name, split)
    else:
        raise DataError(
            f"Frames: {name} must be a pair (frames, labels) or a Dataset of such pairs, not "
            f"{type(split).__name__}."
        )
    return frames, labels


def check_alike(read: dict[str, tuple[NDArray[Any], NDArray[np.int64]]]) -> None:
    """All splits must hold samples of one shape.

    Raises:
        DataError: they do not.
    """
    shapes = {name: frames.shape[1:] for name, (frames, _) in read.items()}
    for name, shape in shapes.items():
        if shape != shapes["train"]:
            raise DataError(
                f"Frames: samples of train are {list(shapes['train'])}, those of {name} "
                f"{list(shape)}; all splits need one shape [T, C, H, W]."
            )


def class_names(
    given: int | Sequence[str] | None, labels: dict[str, NDArray[np.int64]]
) -> tuple[tuple[str, ...], list[str]]:
    """Names of the classes, and notes about those without a sample in train.

    Raises:
        DataError: a label outside the classes, or fewer than two of them.
    """
    most = max(int(own.max()) for own in labels.values())
    if given is None or isinstance(given, int):
        names = tuple(str(i) for i in range(most + 1 if given is None else given))
    else:
        names = tuple(str(name) for name in given)
    if most >= len(names):
        raise DataError(f"Frames: label {most} is outside the {len(names)} classes.")
    if len(names) < 2:
        raise DataError("Frames: there is but one class; nothing could be learned.")
    absent = sorted(set(range(len(names))) - set(np.unique(labels["train"]).tolist()))
    listed = ", ".join(names[i] for i in absent[:5]) + (", …" if len(absent) > 5 else "")
    return names, [f"train has no sample of class {listed}"] if absent else []


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or hasattr(value, "detach")


def _array(value: Any) -> NDArray[Any]:
    """An array; of a tensor its values."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return np.asarray(value)


def _read_pairs(name: str, dataset: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    frames, labels = [], []
    for index in range(len(dataset)):
        sample = dataset[index]
        if not (isinstance(sample, tuple | list) and len(sample) == 2):
            raise DataError(f"Frames: sample {index} of {name} is no pair (frames, label).")
        frames.append(_array(sample[0]))
        labels.append(_array(sample[1]))
        if frames[-1].shape != frames[0].shape or labels[-1].size != 1:
            raise DataError(
                f"Frames: sample {index} of {name} has shape {list(frames[-1].shape)} and "
                f"{labels[-1].size} labels; every one needs {list(frames[0].shape)} and one."
            )
    if not frames:
        raise DataError(f"Frames: {name} is empty.")
    return np.stack(frames), np.array([int(label) for label in labels])


def _check_frames(name: str, frames: NDArray[Any]) -> None:
    if frames.dtype.kind not in "buif":
        raise DataError(f"Frames: {name} holds {frames.dtype}, not numbers.")
    if frames.ndim != 5:
        hint = ""
        if frames.ndim == 4:
            hint = (
                " Pictures are given by hqsearch.Images; of one frame a sample T is 1: [:, None]."
            )
        raise DataError(f"Frames: {name} has shape {list(frames.shape)}; {_SHAPE} is needed.{hint}")
    if 0 in frames.shape:
        raise DataError(f"Frames: {name} is empty: its shape is {list(frames.shape)}.")
    if frames.dtype.kind == "f" and not all(np.isfinite(sample).all() for sample in frames):
        raise DataError(f"Frames: {name} holds NaN or infinite values.")


def _checked_labels(name: str, labels: NDArray[Any], samples: int) -> NDArray[np.int64]:
    if labels.ndim != 1 or len(labels) != samples:
        raise DataError(
            f"Frames: {name} has {samples} samples and labels of shape {list(labels.shape)}; one "
            "a sample is needed."
        )
    if labels.dtype.kind not in "ui":
        raise DataError(f"Frames: labels of {name} are {labels.dtype}; whole numbers are needed.")
    if labels.min() < 0:
        raise DataError(f"Frames: {name} has the label {labels.min()}; labels start at 0.")
    return labels.astype(np.int64)
