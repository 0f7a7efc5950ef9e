"""Frames of any height and width: tokens, logits, and what a network costs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hqsearch.errors import DefinitionError
from hqsearch.hardware.trace import trace_workload
from hqsearch.models import build_model
from hqsearch.models.spikformer import SpikformerConfig

NETWORKS: dict[str, dict[str, Any]] = {
    "spikformer": {"embed_dim": 16, "depth": 1, "heads": 2, "pooled_stages": 3},
    "qsd": {"embed_dims": [4, 8, 16, 16], "depth": 2, "heads": 2},
}


def _model(name: str, size: Any) -> torch.nn.Module:
    options: dict[str, Any] = {"timesteps": 2, "classes": 3, "in_channels": 2, "seed": 1}
    return build_model(name, NETWORKS[name], size=size, **options).eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_each_side_counts(name: str) -> None:
    model = _model(name, (16, 24))
    with torch.no_grad():
        assert model(torch.ones(2, 3, 2, 16, 24)).shape == (3, 3)
    with pytest.raises(ValueError, match=r"16, 24"):
        model(torch.ones(2, 3, 2, 24, 16))


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_are_those_of_a_square(name: str) -> None:
    """A size as a pair of equal sides is the square."""
    square, pair, wide = (_model(name, size).state_dict() for size in (16, [16, 16], (16, 48)))
    for key, value in square.items():
        assert torch.equal(pair[key], value)
        assert torch.equal(wide[key], value)


@pytest.mark.parametrize("name", NETWORKS)
def test_costs_grow_with_the_area(name: str) -> None:
    """Layers that see positions work on three times as many where one side is thrice as long."""
    work = []
    for size in (16, (16, 48)):
        sides = (16, 48) if isinstance(size, tuple) else (16, 16)
        traced = trace_workload(_model(name, size), torch.zeros(2, 1, 2, *sides), 4)
        work.append({path: layer.macs for path, layer in traced.layers.items()})
    for path, macs in work[0].items():
        assert work[1][path] == macs * (1 if path == "head" else 3), path


def test_tokens_are_rounded_up_on_each_side() -> None:
    config = SpikformerConfig(
        embed_dim=16, depth=1, heads=2, timesteps=2, pooled_stages=3, size=(18, 32), classes=3
    )
    assert config.tokens == 3 * 4


@pytest.mark.parametrize("size", [(16, 0), (16.5, 16), (16, True), "16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_sides_that_cannot_be_are_refused(name: str, size: Any) -> None:
    with pytest.raises(DefinitionError, match="size must be"):
        _model(name, size)
