"""Absorbed normalization fires the same spikes, and is found where it applies."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hqsearch.models import build_model
from hqsearch.models.neurons import LIF
from hqsearch.quant import (
    Following,
    absorb,
    encode,
    fire_absorbed,
    following,
    integer_unit,
    integers,
    quantize_model,
)
from hqsearch.quant.fake import make_quantizer


def normalization(channels: int, seed: int) -> nn.BatchNorm2d:
    """In evaluation, float64, with negative and zero gains."""
    generator = torch.Generator().manual_seed(seed)
    norm = nn.BatchNorm2d(channels).double().eval()
    with torch.no_grad():
        norm.weight.copy_(torch.randn(channels, generator=generator, dtype=torch.double) * 2)
        norm.weight[1], norm.weight[2] = -norm.weight[1].abs() - 0.1, 0.0
        norm.bias.copy_(torch.randn(channels, generator=generator, dtype=torch.double) + 0.5)
        norm.bias[2] = 1.6
        norm.running_mean.copy_(torch.randn(channels, generator=generator, dtype=torch.double))
        norm.running_var.copy_(
            torch.rand(channels, generator=generator, dtype=torch.double).add(0.1)
        )
    return norm


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["2u", "4u", "8u", "2l", "4l"]),
    st.integers(0, 10_000),
    st.booleans(),
    st.sampled_from([0.5, 1.0]),
)
def test_integer_sums_and_absorbed_constants_fire_the_same_spikes(choice, seed, bias, threshold):
    generator = torch.Generator().manual_seed(seed)
    conv = nn.Conv2d(3, 6, 3, padding=1, bias=bias).double()
    norm, neuron = normalization(6, seed), LIF(threshold=threshold)
    x = torch.randint(0, 3, (8, 2, 3, 5, 5), generator=generator).double()
    quantizer = make_quantizer(choice, conv.weight)
    scale = quantizer.scale().detach()
    codes = encode(conv.weight.detach(), scale, choice)
    with torch.no_grad():
        images = x.flatten(0, 1)
        full = nn.functional.conv2d(images, quantizer(conv.weight), conv.bias, padding=1)
        spikes = neuron(norm(full).unflatten(0, (8, 2)))
        sums = nn.functional.conv2d(images, integers(codes, choice).double(), padding=1).unflatten(
            0, (8, 2)
        )
    assert torch.equal(sums, sums.round())
    absorbed = absorb(norm, integer_unit(scale, choice), threshold, conv.bias)
    fired = fire_absorbed(sums, absorbed, neuron.tau)
    assert torch.equal(fired, spikes)
    assert bool(absorbed.flipped[1])
    assert absorbed.gain.tolist() == [1, 1, 0, 1, 1, 1]
    assert spikes[:, :, 2].mean() > 0


def test_a_normalization_without_gain_or_statistics():
    plain = nn.BatchNorm2d(2, affine=False).eval()
    absorbed = absorb(plain, torch.tensor([0.5, 0.25]), 1.0)
    torch.testing.assert_close(absorbed.threshold, torch.tensor([2.0, 4.0]), rtol=1e-4, atol=0)
    with pytest.raises(ValueError, match="running statistics"):
        absorb(nn.BatchNorm2d(2, track_running_stats=False), torch.ones(2), 1.0)


def test_following_in_a_spikformer_with_and_without_quantizers():
    options = {"embed_dim": 16, "depth": 1, "heads": 2, "pooled_stages": 2}
    model = build_model("spikformer", options, timesteps=2, size=16, classes=3)
    batch = torch.randint(0, 3, (2, 1, 2, 16, 16)).float()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    found = following(model, batch)
    assert found["tokenizer.conv2"] == Following("tokenizer.norm2", "tokenizer.neuron2")
    assert found["blocks.0.mlp.fc1"] == Following(
        "blocks.0.mlp.fc1_norm", "blocks.0.mlp.fc1_neuron"
    )
    assert found["head"] == Following(None, None)
    assert all(item.absorbed for path, item in found.items() if path != "head")
    assert model.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    quantize_model(model, dict.fromkeys(found, "4u"))
    assert following(model, batch) == found


class Odd(nn.Module):
    """Layers followed in every other way."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d, self.e = (nn.Linear(4, 4) for _ in range(5))
        self.norm_a, self.norm_b, self.norm_c = (nn.BatchNorm1d(4) for _ in range(3))
        self.fire_a, self.fire_c, self.fire_d = LIF(), LIF(), LIF()

    def forward(self, x):  # [T, N, 4]
        steps = x.shape[0]

        def norm(module, y):
            return module(y.flatten(0, 1)).unflatten(0, (steps, -1))

        x = self.fire_a(norm(self.norm_a, self.a(x)).transpose(1, 2).contiguous())
        x = x.transpose(1, 2)
        x = x + norm(self.norm_b, self.b(x))  # normalized, no neuron
        y = norm(self.norm_c, self.c(x))
        x = self.fire_c(y) + y  # the normalized current is read twice
        x = self.fire_d(self.d(x))  # no normalization
        return self.e(x).mean(0)


def test_following_in_any_network():
    assert following(Odd(), torch.randn(3, 5, 4)) == {
        "a": Following("norm_a", "fire_a"),
        "b": Following("norm_b", None),
        "c": Following("norm_c", None),
        "d": Following(None, "fire_d"),
        "e": Following(None, None),
    }
