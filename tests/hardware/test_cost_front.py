"""The front found layer by layer is the one of enumeration."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hqsearch.hardware import CostModel, load_profile
from hqsearch.hardware.cost import all_codes
from hqsearch.hardware.cost_front import cheap_front, staircase
from hqsearch.hardware.trace import trace_workload
from hqsearch.models import build_model

CHOICES = ("2u", "4u", "2l", "4l", "fp32")


def model(profile: str = "horowitz-45nm") -> CostModel:
    """Six layers to choose for, the others in fp32."""
    options = {"embed_dim": 64, "depth": 2, "heads": 4, "pooled_stages": 3}
    network = build_model("spikformer", options, timesteps=8, size=32, classes=11).to("meta")
    workload = trace_workload(network, torch.zeros(8, 1, 2, 32, 32, device="meta"), 4)
    layers = dict.fromkeys(list(workload.layers)[4:10], CHOICES)
    return CostModel(workload.with_rate(0.17), load_profile(profile), layers)


@pytest.mark.parametrize("profile", ["horowitz-45nm", "resident-45nm", "resident-45nm-1mb"])
def test_the_cheap_front_is_exact(profile: str) -> None:
    costs = model(profile)
    codes = all_codes([len(CHOICES)] * 6)
    found = costs.estimate(codes)
    pairs = np.stack([found.energy, found.storage], axis=1)
    expected = np.unique(pairs, axis=0)
    beaten = [((expected <= p).all(1) & (expected < p).any(1)).any() for p in expected]
    expected = expected[~np.array(beaten)]
    front = cheap_front(costs)
    assert np.array_equal(np.stack([front.energy, front.storage], axis=1), expected)
    again = costs.estimate(front.codes)
    assert np.array_equal(again.energy, front.energy)
    assert np.array_equal(again.storage, front.storage)


def test_staircase() -> None:
    costs = np.array([[3.0, 1.0], [1.0, 3.0], [2.0, 3.0], [1.0, 3.0], [2.0, 2.0]])
    assert staircase(costs).tolist() == [1, 4, 0]
