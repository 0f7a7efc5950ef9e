"""A network and frames so small that a study of them takes seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import hqsearch
from hqsearch.models.neurons import LIF

#: Of a study that only has to get through.
SHORT = {"evaluation.epochs": 1, "evaluation.parent_epochs": 1, "evaluation.batch_size": 16}


class Tiny(nn.Module):
    """Conv, neuron, linear; frames ``[T, N, C, H, W]`` to logits ``[N, classes]``."""

    def __init__(self, in_channels: int = 2, classes: int = 3, width: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.lif = LIF()
        self.head = nn.Linear(width, classes)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        steps, samples = frames.shape[:2]
        current = self.norm(self.conv(frames.flatten(0, 1))).unflatten(0, (steps, samples))
        logits: torch.Tensor = self.head(self.lif(current).mean((3, 4))).mean(0)
        return logits


def split(
    samples: int, seed: int, channels: int = 2, timesteps: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Counts uint8 ``[n, T, C, 8, 8]``, more of them in later classes, and labels."""
    generator = np.random.default_rng(seed)
    labels = np.arange(samples) % 3
    mean = 0.3 + labels[:, None, None, None, None]
    shape = (samples, timesteps, channels, 8, 8)
    return generator.poisson(mean, shape).astype(np.uint8), labels


def frames(**keys: Any) -> hqsearch.Frames:
    return hqsearch.Frames(split(24, 0), split(18, 1), split(18, 2), **keys)


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(7)
    return Tiny()


@pytest.fixture
def edge(tmp_path: Path) -> Callable[..., hqsearch.Study]:
    """A study of objects, ``edge(model)``, with 2 × 2 choices unless told otherwise."""

    def make(model: Any, **keys: Any) -> hqsearch.Study:
        given = {
            "data": frames(),
            "choices": ["2u", "fp32"],
            "settings": SHORT,
            "studies_dir": tmp_path / "studies",
            **keys,
        }
        return hqsearch.Study("edge", model=model, **given)

    return make


@pytest.fixture
def toy_study(tmp_path: Path) -> hqsearch.Study:
    """The embedded toy, run once."""
    study = hqsearch.Study("toy", studies_dir=tmp_path)
    study.run("nsga2", evaluations=40)
    return study
