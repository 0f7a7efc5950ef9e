"""Firing rates of a network over a fixed part of a split, alone or while it is evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hqsearch.hardware import LayerRate, Workload
from hqsearch.hardware.rates import RateMeter
from hqsearch.qat.held_out import rows_of
from hqsearch.training import EvalResult, evaluate
from hqsearch.training.batches import Samples
from hqsearch.training.task import CLASSIFICATION, Task

#: Samples that firing rates are measured on, and how many of them run at a time.
RATE_SAMPLES = 256
RATE_BATCH = 32


def rate_batches(
    samples: Samples, count: int = RATE_SAMPLES, *, task: Task = CLASSIFICATION
) -> Iterator[Tensor]:
    """At most ``count`` samples as the network sees them, ``[T, N, C, H, W]``, N small.

    They are spread evenly over the split, which lies sorted by class for most recorded sets.
    """
    frames, chosen = samples.frames, spread_evenly(len(samples.frames), count)
    for start in range(0, len(chosen), RATE_BATCH):
        rows = chosen[start : start + RATE_BATCH]
        batch = np.ascontiguousarray(frames[rows].swapaxes(0, 1))
        labels = torch.from_numpy(np.asarray(samples.labels, np.int64)[rows])
        yield task.prepare(samples.to_float(torch.from_numpy(batch)), labels)[0]


def spread_evenly(samples: int, count: int) -> npt.NDArray[np.int64]:
    """At most ``count`` of so many samples, by number."""
    return np.unique(np.linspace(0, samples - 1, count).round().astype(np.int64))


def measure_rates(
    model: nn.Module, workload: Workload, samples: Samples, task: Task = CLASSIFICATION
) -> dict[str, LayerRate]:
    """Firing rates of ``model``, on the CPU in evaluation mode, over ``samples``, by path.

    Args:
        workload: of the model, which says what is to be measured.
        task: how batches are prepared.
    """
    with RateMeter(model, workload) as meter, torch.no_grad(), parametrize.cached():
        for batch in rate_batches(samples, task=task):
            model(batch)
    return meter.rates()


def evaluate_with_rates(
    model: nn.Module,
    workload: Workload,
    samples: Samples,
    *,
    task: Task = CLASSIFICATION,
    counting: AbstractContextManager[Any] | None = None,
) -> tuple[EvalResult, dict[str, LayerRate]]:
    """``evaluate`` and :func:`measure_rates` of ``model`` on the CPU, in one pass over ``samples``.

    The samples whose rates are measured go first; every rate is what it is without the others.

    Args:
        counting: entered for those samples: whatever else is to be counted on them.

    Raises:
        FloatingPointError: as :func:`hqsearch.training.evaluate`.
        ValueError: no samples.
    """
    measured = spread_evenly(len(samples), RATE_SAMPLES)
    others = np.setdiff1d(np.arange(len(samples)), measured)
    with RateMeter(model, workload) as meter, counting or nullcontext():
        parts = [evaluate(model, rows_of(samples, measured), batch_size=RATE_BATCH, task=task)]
    if len(others):
        parts.append(evaluate(model, rows_of(samples, others), task=task))
    scores = np.empty(len(samples), np.float64)
    for places, part in zip((measured, others), parts, strict=False):
        scores[places] = part.scores
    loss = sum(part.loss * len(part.correct) for part in parts) / len(samples)
    return EvalResult.of(scores, loss, task), meter.rates()
