"""Batches of event frames ``[T, N, …]``; order and augmentation come from (seed, epoch) alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Stored uint8 frames to the network's float input, any shape.
ToFloat = Callable[[Tensor], Tensor]
#: What moves in where a sample is shifted.
BorderName = Literal["zero", "reflect"]
_ORDER, _SHIFT, _FLIP = 0, 1, 2


class StoredFrames(Protocol):
    """Frames uint8 ``[n, T, C, H, W]`` that are read row by row or in slices, never whole."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: Any, /) -> Any: ...


@dataclass(frozen=True)
class Samples:
    """Stored samples, and how a network sees them.

    Attributes:
        frames: uint8 ``[n, T, C, H, W]``, may be memory-mapped.
        labels: ``[n]``.
        to_float: stored frames to the network's input.
    """

    frames: StoredFrames
    labels: NDArray[Any]
    to_float: ToFloat

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Augmentation:
    """How samples are changed in training.

    Shifts are the only augmentation unless ``flip`` asks for another: mirroring would turn left
    gestures into right ones.

    Attributes:
        shift: by up to so many pixels in x and y; smaller than a side where the border is
            ``reflect``.
        flip: mirror half of the samples left to right.
        border: what moves in: zeros, or what lies at the border, reflected.
    """

    shift: int = 0
    flip: bool = False
    border: BorderName = "zero"


def training_batches(
    frames: StoredFrames,
    labels: NDArray[Any],
    batch_size: int,
    key: tuple[int, int],
    augmentation: Augmentation,
    workers: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """All samples once, shuffled and augmented.

    Args:
        frames: ``[n, T, C, H, W]``, may be memory-mapped.
        labels: ``[n]``.
        batch_size: N; the last batch may be smaller.
        key: (seed, epoch), which decides everything.
        augmentation: of each sample.
        workers: threads that prepare batches ahead; the batches are the same.

    Yields:
        StoredFrames uint8 ``[T, N, C, H, W]`` and labels int64 ``[N]``.
    """
    order = np.random.default_rng([*key, _ORDER]).permutation(len(labels))
    shift, border = augmentation.shift, augmentation.border
    shifts = np.random.default_rng([*key, _SHIFT]).integers(-shift, shift + 1, (len(labels), 2))
    mirrored = np.zeros(len(labels), bool)
    if augmentation.flip:
        mirrored = np.random.default_rng([*key, _FLIP]).random(len(labels)) < 0.5

    def made(start: int) -> tuple[Tensor, Tensor]:
        chosen = order[start : start + batch_size]
        batch = np.zeros((frames.shape[1], len(chosen), *frames.shape[2:]), np.uint8)
        for place, index in enumerate(chosen):
            if border == "reflect":
                rows, columns = map(_reflected, shifts[index], frames.shape[-2:])
                columns = columns[::-1] if mirrored[index] else columns
                batch[:, place] = frames[index][..., rows[:, None], columns]
                continue
            (to_y, from_y), (to_x, from_x) = map(_overlap, shifts[index])
            sample = frames[index][..., ::-1] if mirrored[index] else frames[index]
            batch[:, place, :, to_y, to_x] = sample[:, :, from_y, from_x]
        return torch.from_numpy(batch), torch.from_numpy(np.asarray(labels[chosen], np.int64))

    starts = range(0, len(order), batch_size)
    if not workers:
        yield from map(made, starts)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[tuple[Tensor, Tensor]]] = deque()
        for start in starts:
            waiting.append(pool.submit(made, start))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def plain_batches(frames: StoredFrames, batch_size: int) -> Iterator[Tensor]:
    """All samples in order: uint8 ``[T, N, C, H, W]``."""
    for start in range(0, len(frames), batch_size):
        batch = np.asarray(frames[start : start + batch_size])
        # Always a copy: with one timestep a view would share memory that is mapped read-only.
        yield torch.from_numpy(np.array(batch.swapaxes(0, 1), order="C"))


def _reflected(shift: int, length: int) -> NDArray[np.int64]:
    """Where each pixel of a shifted axis comes from: ``length`` places from 0 to length - 1.

    >>> _reflected(1, 4).tolist(), _reflected(-2, 4).tolist()
    ([1, 0, 1, 2], [2, 3, 2, 1])
    """
    places = np.abs(np.arange(length) - shift)
    return np.where(places < length, places, 2 * (length - 1) - places)


def _overlap(shift: int) -> tuple[slice, slice]:
    """Target and source of a shift along one axis."""
    ahead = slice(shift, None) if shift > 0 else slice(None, shift or None)
    behind = slice(None, -shift or None) if shift > 0 else slice(-shift or None, None)
    return ahead, behind
