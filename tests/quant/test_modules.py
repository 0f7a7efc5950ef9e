"""Quantizers on the layers of a network, and the integers that come out."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.models import build_model, weight_layers
from hqsearch.quant import decode, exponents, quantize_model, quantizer_of, read_codes, scale_of

CYCLE = ["2u", "4u", "2l", "4l", "fp32", "8u"]


class Any(nn.Module):
    """A network with every kind of weight layer."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Conv1d(2, 4, 3, padding=1)
        self.image = nn.Conv2d(1, 3, 3)
        self.out = nn.Linear(12, 2, bias=False)

    def forward(self, x):
        return self.out(self.image(self.line(x).unsqueeze(1)).flatten(1))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Any()


def test_every_kind_of_layer_is_quantized_and_read_back(model):
    before = {p.path: model.get_submodule(p.path).weight.clone() for p in weight_layers(model)}
    x = torch.randn(5, 2, 4)
    plain = model(x)
    quantize_model(model, {"line": "4u", "image": "3l", "out": "2u"})
    assert not torch.equal(model(x), plain)
    codes = read_codes(model)
    assert list(codes) == ["line", "image", "out"]
    for path, layer in codes.items():
        module = model.get_submodule(path)
        assert layer.codes.shape == before[path].shape
        assert torch.equal(layer.weight, module.weight)
        assert torch.equal(decode(layer.codes, layer.scale, layer.choice), module.weight)
        if module.bias is None:
            assert layer.bias is None
        else:
            assert torch.equal(layer.bias, module.bias)
    assert codes["image"].exponents.dtype == torch.int8
    assert torch.equal(scale_of(codes["image"].exponents), codes["image"].scale)
    assert torch.equal(exponents(codes["image"].scale), codes["image"].exponents)
    assert codes["line"].exponents is None


def test_fp32_and_layers_left_out_stay_as_they_are(model):
    plain = model(torch.ones(1, 2, 4))
    keys = list(model.state_dict())
    quantize_model(model, {"line": "fp32"})
    assert torch.equal(model(torch.ones(1, 2, 4)), plain)
    assert list(model.state_dict()) == keys
    layer = read_codes(model)["line"]
    assert (layer.choice, layer.codes, layer.scale) == ("fp32", None, None)
    assert torch.equal(layer.weight, model.line.weight)


def test_layers_keep_their_place_in_the_list(model):
    before = weight_layers(model)
    quantize_model(model, {"line": "4u", "out": "2l"})
    assert weight_layers(model) == before


def test_weights_and_scales_learn_and_a_copy_is_independent(model):
    quantize_model(model, {"line": "4u", "image": "4l", "out": "2u"})
    other = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.randn(8, 2, 4)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    optimizer.step()
    assert not torch.equal(model.line.weight, other.line.weight)
    assert quantizer_of(other.line) is not quantizer_of(model.line)


def test_a_spikformer_with_mixed_choices():
    options = {"embed_dim": 16, "depth": 1, "heads": 2, "pooled_stages": 2}
    model = build_model("spikformer", options, timesteps=2, size=16, classes=3)
    paths = [layer.path for layer in weight_layers(model)]
    choices = {path: CYCLE[i % len(CYCLE)] for i, path in enumerate(paths)}
    quantize_model(model, choices)
    codes = read_codes(model)
    assert {path: layer.choice for path, layer in codes.items()} == choices
    for path, layer in codes.items():
        assert torch.equal(layer.weight, model.get_submodule(path).weight)
    assert torch.isfinite(model(torch.ones(2, 2, 2, 16, 16))).all()


def test_what_does_not_exist_is_refused(model):
    with pytest.raises(UnknownName, match="did you mean 'line'"):
        quantize_model(model, {"lin": "4u"})
    with pytest.raises(DefinitionError, match="unknown choice '9u'"):
        quantize_model(model, {"line": "9u"})
    quantize_model(model, {"line": "4u"})
    with pytest.raises(ValueError, match="quantized already"):
        quantize_model(model, {"line": "2u"})
