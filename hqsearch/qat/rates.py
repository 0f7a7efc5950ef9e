"""Firing rates of a network over a fixed part of a split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hqsearch.hardware import LayerRate, Workload
from hqsearch.hardware.rates import RateMeter
from hqsearch.training.batches import Samples

#: Samples that firing rates are measured on, and how many of them run at a time.
RATE_SAMPLES = 256
RATE_BATCH = 32


def rate_batches(samples: Samples, count: int = RATE_SAMPLES) -> Iterator[Tensor]:
    """At most ``count`` samples as the network sees them, ``[T, N, C, H, W]``, N small.

    They are spread evenly over the split, which lies sorted by class for most recorded sets.
    """
    frames, chosen = samples.frames, spread_evenly(len(samples.frames), count)
    for start in range(0, len(chosen), RATE_BATCH):
        batch = frames[chosen[start : start + RATE_BATCH]].swapaxes(0, 1)
        yield samples.to_float(torch.from_numpy(np.ascontiguousarray(batch)))


def spread_evenly(samples: int, count: int) -> npt.NDArray[np.int64]:
    """At most ``count`` of so many samples, by number."""
    return np.unique(np.linspace(0, samples - 1, count).round().astype(np.int64))


def measure_rates(model: nn.Module, workload: Workload, samples: Samples) -> dict[str, LayerRate]:
    """Firing rates of ``model``, on the CPU in evaluation mode, over ``samples``, by path.

    Args:
        workload: of the model, which says what is to be measured.
    """
    with RateMeter(model, workload) as meter, torch.no_grad():
        for batch in rate_batches(samples):
            model(batch)
    return meter.rates()
