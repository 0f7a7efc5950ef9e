"""Absorbed normalization fires the same spikes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hqsearch.models.integer_neurons import IntegerNeuron
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


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["2u", "4u", "4l"]),
    st.integers(0, 10_000),
    st.booleans(),
    st.sampled_from([1, 3, 4, 8]),
)
def test_absorbed_thresholds_of_an_integer_neuron_count_the_same_spikes(choice, seed, bias, levels):
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    conv = nn.Conv2d(3, 6, 3, padding=1, bias=bias).double()
    norm, neuron = normalization(6, seed), IntegerNeuron(levels, gain=2.0)
    images = torch.randint(0, levels + 1, (4, 3, 5, 5), generator=generator).double()
    quantizer = make_quantizer(choice, conv.weight)
    scale = quantizer.scale().detach()
    codes = encode(conv.weight.detach(), scale, choice)
    with torch.no_grad():
        # What comes in are integers times a unit spike, which is part of the scale.
        weight = quantizer(conv.weight)
        full = nn.functional.conv2d(images / levels, weight, conv.bias, padding=1)
        fired = neuron(norm(full))
        sums = nn.functional.conv2d(images, integers(codes, choice).double(), padding=1)
    absorbed = absorb(norm, integer_unit(scale, choice) / levels, neuron.threshold, conv.bias)
    counted = fire_absorbed(sums.unsqueeze(0), absorbed, neuron.tau, levels)[0]
    assert torch.equal(counted * neuron.unit, fired)
    assert bool(absorbed.flipped[1])
    assert set(counted.unique().tolist()) <= set(map(float, range(levels + 1)))


def test_an_integer_neuron_fires_j_spikes_from_its_jth_threshold_on():
    """Of 4 levels, at every (2j - 1) / 8 and at the numbers next to it, in float32."""
    edges = torch.tensor([(2 * j - 1) / 8 for j in range(1, 5)])
    below = torch.nextafter(edges, torch.tensor(0.0))
    identity = nn.BatchNorm2d(1, eps=0.0, affine=False).eval()
    absorbed = absorb(identity, torch.ones(1), IntegerNeuron(4).threshold)
    x = torch.stack([below, edges]).view(1, 1, 1, 2, 4)
    counted = fire_absorbed(x, absorbed, 1.0, levels=4)
    assert torch.equal(counted / 4, IntegerNeuron(4)(x))
    assert counted.view(2, 4).tolist() == [[0, 1, 2, 3], [1, 2, 3, 4]]


def test_a_normalization_without_gain_or_statistics():
    plain = nn.BatchNorm2d(2, affine=False).eval()
    absorbed = absorb(plain, torch.tensor([0.5, 0.25]), 1.0)
    torch.testing.assert_close(absorbed.threshold, torch.tensor([2.0, 4.0]), rtol=1e-4, atol=0)
    with pytest.raises(ValueError, match="running statistics"):
        absorb(nn.BatchNorm2d(2, track_running_stats=False), torch.ones(2), 1.0)
