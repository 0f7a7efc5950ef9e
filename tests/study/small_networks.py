"""Networks for studies that take seconds."""

from __future__ import annotations

from typing import Any

from torch import nn

from hqsearch.models import build_model


def build(*, timesteps: int, size: Any, classes: int, in_channels: int) -> nn.Module:
    """A Spikformer of eight channels."""
    options = {"embed_dim": 8, "depth": 1, "heads": 2, "pooled_stages": 2}
    return build_model(
        "spikformer", options, timesteps=timesteps, size=size, classes=classes,
        in_channels=in_channels,
    )  # fmt: skip
