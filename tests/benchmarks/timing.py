"""Side-by-side timing for the benchmarks: interleaved, so that a busy machine hits all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import nn

from hqsearch.models import build_model
from hqsearch.training import Schedule, keep_freed_memory, make_optimizer

#: The network and batch of the study `gesture`.
OPTIONS = {"embed_dim": 64, "depth": 2, "heads": 4, "pooled_stages": 3}
TIMESTEPS, SIZE, CLASSES, BATCH = 8, 32, 11, 32


def gesture_network(seed: int = 0) -> nn.Module:
    """The Spikformer of the study `gesture`."""
    return build_model(
        "spikformer", OPTIONS, timesteps=TIMESTEPS, size=SIZE, classes=CLASSES, seed=seed
    )


def training_step(model: nn.Module) -> Callable[[], None]:
    """One full step: forward, backward, optimizer."""
    keep_freed_memory()
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 4, (TIMESTEPS, BATCH, 2, SIZE, SIZE), generator=generator).float()
    labels = torch.randint(0, CLASSES, (BATCH,), generator=generator)
    optimizer = make_optimizer(model, Schedule(epochs=1, learning_rate=5e-4))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(frames), labels).backward()
        optimizer.step()

    return step


def interleaved(steps: Mapping[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Median seconds of each step, one after the other ``repeats`` times, after two warm-ups.

    With one thread they are the processor's, which a busy machine lengthens less.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(repeats + 2):
        for name, step in steps.items():
            start = clock()
            step()
            if repeat >= 2:
                seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def table(title: str, seconds: Mapping[str, float], base: str) -> str:
    """Milliseconds, and ratios to ``base``."""
    lines = [title, f"{'':<28}{'ms':>9}{'ratio':>9}"]
    lines += [f"{k:<28}{v * 1e3:>9.1f}{v / seconds[base]:>9.2f}" for k, v in seconds.items()]
    return "\n".join(lines)
