"""What is stored fires the same spikes, and takes the bytes that are reported."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from hqsearch.errors import DefinitionError
from hqsearch.export.packed_file import read_packed, write_packed
from hqsearch.export.packed_layers import levels_of, neuron_threshold, quantized_layers
from hqsearch.export.packed_model import pack_network, rebuild
from hqsearch.hardware import CostModel, load_profile
from hqsearch.models.neurons import LIF
from hqsearch.quant import quantize_model
from hqsearch.schemes.choice import all_choices

from .conftest import FRAMES, traced

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


def test_a_neuron_without_one_positive_threshold_is_refused():
    with pytest.raises(ValueError, match=r"\(Identity\) is not known"):
        neuron_threshold(nn.Identity())
    neuron = LIF()
    assert neuron_threshold(neuron) == 1.0
    neuron.threshold = torch.ones(3)
    with pytest.raises(ValueError, match=r"\(LIF\) has the threshold None"):
        neuron_threshold(neuron)


class Tied(nn.Module):
    """Two convolutions of one weight, the first absorbed, the second as ``second`` says."""

    def __init__(self, absorbed: bool) -> None:
        super().__init__()
        self.start = nn.Conv2d(2, 3, 1)
        self.start_neuron = LIF()
        self.first = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(3)
        self.neuron = LIF()
        self.second = nn.Conv2d(3, 3, 3, padding=1)
        self.second.weight = self.first.weight
        self.last_neuron = LIF(threshold=0.2) if absorbed else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        def fired(neuron: nn.Module, current: torch.Tensor) -> torch.Tensor:
            spikes: torch.Tensor = neuron(current.unflatten(0, x.shape[:2]))
            return spikes.flatten(0, 1)

        y = fired(self.start_neuron, self.start(x.flatten(0, 1)))
        y = self.second(fired(self.neuron, self.norm(self.first(y))))
        y = y if self.last_neuron is None else fired(self.last_neuron, y)
        return y.mean((2, 3)).unflatten(0, x.shape[:2]).mean(0)


def tied(absorbed: bool, choice: str) -> tuple[Tied, torch.Tensor, Any]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, frames = Tied(absorbed).eval(), torch.randint(0, 4, FRAMES).float()
        model.norm.running_mean.normal_()
    workload = traced(model, frames)
    quantize_model(model, {"start": "4u", "first": choice, "second": choice})
    return model, frames, workload


@pytest.mark.parametrize("choice", ["3u", "4l", "fp32"])
def test_a_shared_weight_is_stored_once(choice, tmp_path):
    model, frames, workload = tied(True, choice)
    packed = pack_network(model, workload, {})
    assert {p: layer.weights_of for p, layer in packed.layers.items()} == {
        "start": None, "first": None, "second": "first",
    }  # fmt: skip
    costs = CostModel(workload, load_profile("horowitz-45nm-memory"), {})
    report = costs.storage({"start": "4u", "first": choice, "second": choice})
    sizes = write_packed(packed, tmp_path / "m.hq")
    assert 8 * sizes.tensors == report.bits
    again = rebuild(read_packed(tmp_path / "m.hq"), lambda: Tied(True))
    with torch.no_grad():
        torch.testing.assert_close(again(frames), model(frames), rtol=1e-5, atol=1e-5)


def test_a_shared_weight_without_its_scale_is_refused():
    model, _, workload = tied(False, "3u")
    with pytest.raises(DefinitionError, match=r"'second' cannot be stored: it shares .* 'first'"):
        quantized_layers(model, workload)


def test_a_shared_weight_cannot_be_multiplied_by_zero():
    model, _, workload = tied(True, "3u")
    model.norm.weight.data[1] = 0.0
    with pytest.raises(DefinitionError, match="whose weights it shares with another"):
        quantized_layers(model, workload)
