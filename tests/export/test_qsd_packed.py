"""QSD-Transformer and integer neurons in a packed file: they compute again what they computed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from hqsearch.export.packed_file import read_packed, write_packed
from hqsearch.export.packed_model import pack_network, rebuild
from hqsearch.models import build_model, weight_layers
from hqsearch.quant import quantize_model

from .conftest import traced

QSD = {"embed_dims": [8, 8, 16, 16], "depth": 2, "heads": 2, "strides": [1, 2, 2, 1]}
SPIKFORMER = {"embed_dim": 16, "depth": 1, "heads": 2, "pooled_stages": 2}


@pytest.mark.parametrize(
    "name, options",
    [
        ("qsd", QSD),
        ("qsd", {**QSD, "fold": True}),
        ("qsd", {**QSD, "neuron": "integer-lif", "levels": 3}),
        ("spikformer", {**SPIKFORMER, "neuron": "integer"}),
    ],
)
def test_round_trip(name, options, tmp_path: Path):
    given = {"timesteps": 2, "size": 16, "classes": 5, "in_channels": 2}
    model = build_model(name, options, **given, seed=5)
    frames = torch.randint(0, 6, (2, 6, 2, 16, 16), generator=torch.Generator().manual_seed(0))
    frames = frames.float()
    for parameter in (p for n, p in model.named_parameters() if n.endswith("_scale")):
        nn.init.ones_(parameter)
    quantize_model(model, {layer.path: "4u" for layer in weight_layers(model)})
    with torch.no_grad():
        for _ in range(3):
            model.train()(frames)  # statistics of its own
    model.eval()
    built = {"name": name, "options": options, "given": given}
    packed = pack_network(model, traced(model, frames), {"model": built})
    write_packed(packed, tmp_path / "m.hq")
    again = rebuild(read_packed(tmp_path / "m.hq"))
    with torch.no_grad():
        one, other = model(frames), again(frames)
    assert float(one.std()) > 0
    torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-3)
