"""Scores of a trained parent, layer by layer and choice by choice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hqsearch.problem.space import Dimension, Space
from hqsearch.qat.scores import score_choices
from hqsearch.training import Samples, Task


class Net(nn.Module):
    """Frames ``[T, N, C, H, W]`` → logits; ``idle`` counts for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(8, 16), nn.Linear(16, 3)
        self.idle = nn.Linear(8, 16)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        flat = frames.mean(0).flatten(1)
        return self.head(torch.relu(self.body(flat)) + 0 * self.idle(flat))


def test_scores_are_paired_increases_and_leave_the_parent_alone() -> None:
    torch.manual_seed(0)
    model = Net()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    space = Space(
        tuple(
            Dimension(name, "weights", ("2u", "4u", "fp32"), (name,))
            for name in ("body", "head", "idle")
        )
    )
    frames = np.random.default_rng(0).integers(0, 4, (40, 2, 2, 2, 2), dtype=np.uint8)
    with torch.no_grad():
        images = torch.from_numpy(frames).float().swapaxes(0, 1)
        labels = (8 * model(images)).argmax(1).numpy()
    training = Samples(frames, labels, lambda x: x.float())
    found = score_choices(model, space, training, seed=0)
    again = score_choices(model, space, training, seed=0)
    assert found == again
    scores, errors = found.scores, found.standard_errors
    assert scores is not None
    assert errors is not None
    for name in ("body", "head"):
        assert abs(scores[name]["2u"]) > abs(scores[name]["4u"]) > 0
        assert errors[name]["2u"] > 0
    assert scores["idle"] == {"2u": 0.0, "4u": 0.0, "fp32": 0.0}
    assert found.samples == 40
    after = model.state_dict()
    assert set(after) == set(before)
    assert all(torch.equal(after[k], v) for k, v in before.items())


class Ordered(Task):
    """A class is a number; the network's first logit is to be it."""

    def prepare(self, inputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, object]:
        return inputs / 2, {"wanted": labels.double()}

    def loss(self, output: torch.Tensor, target: Any, label_smoothing: float = 0.0) -> torch.Tensor:
        return (output[:, 0] - target["wanted"]).square().mean() + label_smoothing


def test_scores_are_of_the_loss_that_the_study_trains_with() -> None:
    torch.manual_seed(0)
    model = Net()
    space = Space((Dimension("head", "weights", ("2u", "fp32"), ("head",)),))
    frames = np.random.default_rng(0).integers(0, 4, (9, 2, 2, 2, 2), dtype=np.uint8)
    training = Samples(frames, np.arange(9) % 3, lambda x: x.float())
    inputs = torch.from_numpy(frames).float().swapaxes(0, 1)
    labels = torch.arange(9) % 3
    with torch.no_grad():
        smooth = nn.functional.cross_entropy(model(inputs).double(), labels, label_smoothing=0.2)
        own = (model(inputs / 2)[:, 0].double() - labels).square().mean()
    plain = score_choices(model, space, training, seed=0)
    smoothed = score_choices(model, space, training, seed=0, label_smoothing=0.2)
    ordered = score_choices(model, space, training, 0, "cpu", Ordered(), 0.5)
    assert smoothed.loss == pytest.approx(float(smooth), rel=1e-6)
    assert ordered.loss == pytest.approx(float(own) + 0.5, rel=1e-6)
    found = [result.scores["head"]["2u"] for result in (plain, smoothed, ordered)]
    assert len(set(found)) == 3
