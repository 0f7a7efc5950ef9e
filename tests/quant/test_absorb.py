"""Absorbed normalization fires the same spikes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hqsearch.models.neurons import LIF
from hqsearch.quant import (
    absorb,
    encode,
    fire_absorbed,
    integer_unit,
    integers,
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
