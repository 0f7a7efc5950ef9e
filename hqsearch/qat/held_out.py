"""Samples taken apart and put together: a part of the training split held out, by class, for a
supernet's logits to learn on; two splits as one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hqsearch.errors import DefinitionError
from hqsearch.training.batches import Samples, StoredFrames

_SPLIT = 0


def held_out_part(
    labels: NDArray[np.int64], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the samples to learn weights on, and of those held out for the logits.

    ``fraction`` of every class is held out, at least one sample, and at least one stays; both
    are sorted.

    Raises:
        DefinitionError: no class has two samples.
    """
    generator = np.random.default_rng([seed, _SPLIT])
    held = []
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        held.append(members[:count])
    chosen = np.sort(np.concatenate(held))
    if not len(chosen):
        raise DefinitionError(
            f"the training split of {len(labels)} samples is too small to hold a part of it out "
            "for the supernet's logits; every class needs two samples."
        )
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def rows_of(samples: Samples, chosen: NDArray[np.int64]) -> Samples:
    """The samples at ``chosen``; frames that are memory-mapped are read one by one."""
    return Samples(_Rows(samples.frames, chosen), samples.labels[chosen], samples.to_float)


class _Rows:
    """Rows of frames that may be memory-mapped: read one by one, never all at once."""

    def __init__(self, frames: StoredFrames, chosen: NDArray[np.int64]) -> None:
        self._frames, self._chosen = frames, chosen
        self.shape = (len(chosen), *frames.shape[1:])

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Any:
        return self._frames[self._chosen[index]]


def joined(first: Samples, second: Samples) -> Samples:
    """The samples of two splits, one after the other."""
    labels = np.concatenate([np.asarray(first.labels), np.asarray(second.labels)])
    return Samples(_Joined(first.frames, second.frames), labels, first.to_float)


class _Joined:
    """Frames of two splits, one after the other; read one by one, as they may be memory-mapped."""

    def __init__(self, first: StoredFrames, second: StoredFrames) -> None:
        self._first, self._second = first, second
        self.shape = (len(first) + len(second), *first.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, np.ndarray | slice):
            return np.stack([self[int(i)] for i in np.arange(len(self))[index]])
        own = len(self._first)
        return self._first[index] if index < own else self._second[index - own]
