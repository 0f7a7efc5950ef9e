"""What is stored fires the same spikes, and takes the bytes that are reported."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hqsearch.errors import DefinitionError
from hqsearch.export.packed_layers import levels_of, neuron_threshold, quantized_layers
from hqsearch.hardware import CostModel, load_profile
from hqsearch.quant import quantize_model
from hqsearch.schemes.choice import all_choices

from .conftest import traced

CHOICES = all_choices()
LAYERS = ("conv", "plain", "residual", "head")


@pytest.mark.parametrize("choice", CHOICES)
def test_bytes_are_the_reported_storage(choice, network):
    model, frames = network(0)
    model.norm.weight.data[0] = 0.3  # 1b has no code for 0
    workload = traced(model, frames)
    quantize_model(model, dict.fromkeys(LAYERS, choice))
    layers = quantized_layers(model, workload)
    costs = CostModel(workload, load_profile("horowitz-45nm-memory"), {})
    report = costs.storage(dict.fromkeys(LAYERS, choice))
    assert [layer.path for layer in report.layers] == list(layers)
    for counted in report.layers:
        stored = sum(value.nbytes for value in layers[counted.path].tensors().values())
        assert 8 * stored == counted.total


@pytest.mark.parametrize("choice", ["3u", "4l", "fp32"])
def test_absorbed_constants_fire_the_same_spikes(choice, network):
    model, frames = network(1)
    workload = traced(model, frames)
    quantize_model(model, {"conv": choice})
    layer = quantized_layers(model, workload)["conv"]
    images = frames.flatten(0, 1).double()
    sums = nn.functional.conv2d(images, levels_of(layer), padding=1).unflatten(0, (4, 5))
    threshold, bias = (
        torch.from_numpy(c.real()).view(-1, 1, 1) for c in (layer.threshold, layer.bias)
    )
    u, fired = torch.zeros_like(sums[0]), []
    for total in sums:
        u = u + (total + bias - u) / 2.0
        fired.append(torch.where(threshold < 0, u <= threshold, u >= threshold))
        u = u.masked_fill(fired[-1], 0.0)
    with torch.no_grad():
        current = model.double().norm(model.conv(images)).unflatten(0, (4, 5))
        assert torch.equal(torch.stack(fired).double(), model.neuron(current))
    assert layer.threshold.values[1] < 0
    assert not levels_of(layer)[0].any()


def test_a_channel_that_next_to_nothing_multiplies_is_constant(network):
    model, frames = network(2)
    model.norm.weight.data[3] = 1e-12
    workload = traced(model, frames)
    quantize_model(model, {"conv": "4u"})
    layer = quantized_layers(model, workload)["conv"]
    assert not layer.codes[3].any()
    assert layer.threshold.real()[3] == 1.0
    assert layer.threshold.shift > 10  # the other channels keep their precision


def test_binary_weights_cannot_be_multiplied_by_zero(network):
    model, frames = network(0)
    workload = traced(model, frames)
    quantize_model(model, {"conv": "1b"})
    with pytest.raises(DefinitionError, match=r"'conv'.*multiplies a channel by 0, and 1b has no"):
        quantized_layers(model, workload)


@pytest.mark.parametrize("threshold", [None, -1.0, torch.ones(3)])
def test_a_neuron_without_one_threshold_is_refused(threshold):
    neuron = nn.Identity()
    neuron.v_threshold = threshold
    with pytest.raises(ValueError, match="no single positive threshold"):
        neuron_threshold(neuron)
