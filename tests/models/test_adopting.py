"""What a user's network goes through before it is worked on."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import Tensor, nn

from hqsearch.errors import PluginError
from hqsearch.models.adopting import adopt, fold_weights, paths_run
from hqsearch.models.layers import weight_layers
from hqsearch.models.neurons import SpikingNeuron
from hqsearch.quant import quantize_model, read_codes

FRAMES = (2, 1, 2, 4, 4)


class Keeping(SpikingNeuron):
    """Keeps its potential, and says how to put it to rest."""

    def __init__(self) -> None:
        super().__init__(2.0, 1.0)
        self.v: Tensor | None = None

    def reset_state(self) -> None:
        self.v = None

    def forward(self, x: Tensor) -> Tensor:
        self.v = x if self.v is None else self.v + x
        return (self.v > 1).float()


class Net(nn.Module):
    def __init__(self, first: nn.Module, neuron: nn.Module) -> None:
        super().__init__()
        self.first, self.neuron, self.head = first, neuron, nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.neuron(self.first(x.flatten(0, 1))).mean((2, 3))).unflatten(
            0, x.shape[:2]
        )


def test_state_is_cleared_before_and_after_every_batch() -> None:
    model = adopt(Net(nn.Conv2d(2, 3, 1), Keeping()), FRAMES)
    x = torch.rand(FRAMES) * 3
    first = model(x)
    assert torch.equal(first, model(x))
    assert model.neuron.v is None
    assert torch.equal(first, copy.deepcopy(model)(x))


def test_readout() -> None:
    x = torch.rand(FRAMES)
    plain = Net(nn.Conv2d(2, 3, 1), nn.Identity())
    out = plain(x)
    for kind, wanted in (("mean", out.mean(0)), ("sum", out.sum(0)), ("last", out[-1])):
        read = adopt(copy.deepcopy(plain), FRAMES, readout=kind)
        assert torch.equal(read(x), wanted)


def test_lazy_layers_get_the_same_start_every_time() -> None:
    made = [adopt(Net(nn.LazyConv2d(3, 1), nn.ReLU()), FRAMES, seed=3) for _ in range(2)]
    assert made[0].first.weight.shape == (3, 2, 1, 1)
    assert torch.equal(made[0].first.weight, made[1].first.weight)
    with pytest.raises(PluginError, match="lazy layers cannot be given their shapes"):
        adopt(nn.Sequential(nn.Flatten(0), nn.LazyConv2d(3, 1)), FRAMES)
    model = Net(nn.Conv2d(2, 3, 1), nn.ReLU())
    model.unused = nn.LazyLinear(2)
    with pytest.raises(PluginError, match=r"unused\.\w+.* never run"):
        adopt(model, FRAMES)


def test_reparametrised_weights_become_plain_ones_of_the_same_value() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        old = torch.nn.utils.weight_norm(nn.Linear(3, 2))
    new = torch.nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    model = nn.Sequential(old, new).eval()
    x = torch.rand(5, 3)
    before = model(x)
    assert fold_weights(model) == ["0", "1"]
    assert torch.equal(model(x), before)
    quantize_model(model, {"0": "4u", "1": "2l"})
    assert {path: codes.choice for path, codes in read_codes(model).items()} == {
        "0": "4u",
        "1": "2l",
    }


def test_what_runs_and_what_is_shared() -> None:
    model = Net(nn.Conv2d(2, 3, 1), nn.ReLU())
    model.unused = nn.Linear(3, 2)
    model.head2 = nn.Linear(3, 2)
    model.head2.weight = model.head.weight
    assert paths_run(model, torch.zeros(FRAMES)) == {"first", "head"}
    assert {layer.path: layer.tied for layer in weight_layers(model)} == {
        "first": None,
        "head": None,
        "unused": None,
        "head2": "head",
    }


def test_layers_that_share_a_weight_share_its_scales() -> None:
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    model = nn.Sequential(first, second)
    quantize_model(model, {"0": "4u", "1": "4u"})
    codes = read_codes(model)
    assert torch.equal(codes["0"].codes, codes["1"].codes)
    names = {id(p) for p in model.parameters()}
    assert len(names) == 4  # one weight, one set of scales, two biases
    model(torch.rand(2, 3)).sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 0.1 * parameter.grad
    assert torch.equal(first.weight, second.weight)
