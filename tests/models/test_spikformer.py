"""The Spikformer has the published sizes, shapes and behaviour."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hqsearch.errors import DefinitionError
from hqsearch.hardware.rates import RateMeter
from hqsearch.hardware.trace import trace_workload
from hqsearch.models import weight_layers
from hqsearch.models.neurons import LIF
from hqsearch.models.spikformer import (
    AttentionProducts,
    Pointwise,
    Spikformer,
    SpikformerConfig,
)

SMALL = SpikformerConfig(
    embed_dim=16, depth=1, heads=2, timesteps=3, pooled_stages=2, size=16, classes=4
)
PUBLISHED = SpikformerConfig(
    embed_dim=256, depth=2, heads=16, timesteps=16, pooled_stages=4, size=128, classes=11
)
#: MACs per timestep of the published network, layer by layer (head once).
MACS = [
    9_437_184,
    *[75_497_472] * 3,
    37_748_736,
    *([4_194_304] * 4 + [16_777_216] * 2) * 2,
    2_816,
]


def macs(model: Spikformer) -> dict[str, int]:
    """MACs per image of every weight layer, from the shapes seen while one image passes."""
    seen = {}

    def count(path):
        def hook(module, _, output):
            positions = output[0, 0].numel() if output.ndim == 4 else 1
            seen[path] = positions * module.weight.numel()

        return hook

    for layer in weight_layers(model):
        model.get_submodule(layer.path).register_forward_hook(count(layer.path))
    config = model.config
    with torch.no_grad():
        model.eval()(torch.zeros(config.timesteps, 1, 2, config.size, config.size))
    return seen


def test_published_parameters_and_macs():
    model = Spikformer(PUBLISHED)
    layers = weight_layers(model)
    assert sum(p.numel() for p in model.parameters()) == 2_566_923
    assert len(layers) == 18
    assert sum(layer.weights for layer in layers) == 2_553_152
    biases = [model.get_submodule(layer.path).bias for layer in layers]
    assert sum(b.numel() for b in biases if b is not None) == 3_083
    assert PUBLISHED.tokens == 64
    small_steps = Spikformer(dataclasses.replace(PUBLISHED, timesteps=1))
    assert list(macs(small_steps).values()) == MACS
    assert sum(MACS) == 374_344_448


def test_ten_classes():
    model = Spikformer(dataclasses.replace(PUBLISHED, classes=10))
    assert sum(layer.weights for layer in weight_layers(model)) == 2_552_896


def test_layer_paths_and_which_layers_have_a_bias():
    model = Spikformer(SMALL)
    paths = [layer.path for layer in weight_layers(model)]
    assert paths == [
        *(f"tokenizer.conv{i}" for i in (1, 2, 3, 4)),
        "tokenizer.position",
        *(f"blocks.0.attention.{name}" for name in ("q", "k", "v", "proj")),
        "blocks.0.mlp.fc1",
        "blocks.0.mlp.fc2",
        "head",
    ]
    with_bias = [p for p in paths if model.get_submodule(p).bias is not None]
    assert with_bias == [paths[8], *paths[9:]]


@pytest.mark.parametrize("pooled, tokens", [(0, 256), (2, 16), (3, 4), (4, 1)])
def test_pooled_stages_decide_the_tokens(pooled, tokens):
    config = dataclasses.replace(SMALL, pooled_stages=pooled)
    model = Spikformer(config)
    seen = []
    model.blocks.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    logits = model(torch.rand(3, 2, 2, 16, 16))
    assert logits.shape == (2, 4)
    assert config.tokens == tokens
    assert seen[0][2] * seen[0][3] == tokens


def test_an_odd_size_works():
    config = dataclasses.replace(SMALL, size=34, pooled_stages=3)
    assert config.tokens == 25
    assert Spikformer(config)(torch.rand(3, 1, 2, 34, 34)).shape == (1, 4)


def test_attention_is_the_scaled_product_of_heads():
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randint(0, 2, (3, 8, 2, 3), generator=generator).float() for _ in range(3))

    def tokens(x):  # [M, heads, L, depth]
        return x.flatten(2).transpose(1, 2).reshape(3, 6, 2, 4).transpose(1, 2)

    expected = tokens(q) @ tokens(k).mT @ tokens(v) * 0.25
    expected = expected.transpose(1, 2).reshape(3, 6, 8).transpose(1, 2).reshape(3, 8, 2, 3)
    assert torch.equal(AttentionProducts(2)(q, k, v), expected)


def test_every_layer_sees_spikes_or_small_integers_and_every_weight_learns():
    torch.manual_seed(0)
    model = Spikformer(SMALL)
    inputs = {}
    for layer in weight_layers(model)[1:-1]:
        model.get_submodule(layer.path).register_forward_pre_hook(
            lambda _, x, path=layer.path: inputs.update({path: x[0].detach()})
        )
    model(torch.randint(0, 6, (3, 8, 2, 16, 16)).float()).square().sum().backward()
    for path, x in inputs.items():
        assert torch.equal(x, x.round()), path
        assert x.max() <= (4 if path.endswith(("q", "k", "v", "fc1")) else 1), path
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert model.tokenizer.conv1.weight.grad.abs().max() > 0


def test_neurons_have_the_published_constants():
    model = Spikformer(SMALL)
    neurons = {n: m for n, m in model.named_modules() if isinstance(m, LIF)}
    assert {m.tau for m in neurons.values()} == {2.0}
    assert {n for n, m in neurons.items() if m.threshold != 1.0} == {"blocks.0.attention.neuron"}
    assert neurons["blocks.0.attention.neuron"].threshold == 0.5
    assert len([m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]) == 11


def test_samples_of_a_batch_do_not_mix_in_evaluation():
    torch.manual_seed(1)
    model = Spikformer(SMALL).eval()
    x = torch.randint(0, 6, (3, 5, 2, 16, 16)).float()
    with torch.no_grad():
        alone = torch.cat([model(x[:, i : i + 1]) for i in range(5)])
        torch.testing.assert_close(model(x), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 1, 2, 16, 16), (3, 1, 3, 16, 16), (3, 2, 16, 16)])
def test_another_input_shape_is_refused(shape):
    with pytest.raises(ValueError, match="expected frames"):
        Spikformer(SMALL)(torch.zeros(shape))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"embed_dim": 20}, "multiple of 8"),
        ({"heads": 3}, "multiple of heads"),
        ({"pooled_stages": 5}, "at most 4"),
        ({"pooled_stages": -1}, "at least 0"),
        ({"depth": 0}, "at least 1"),
        ({"size": 32.5}, "whole number"),
        ({"classes": True}, "whole number"),
    ],
)
def test_sizes_that_cannot_be_built_are_refused(change, words):
    with pytest.raises(DefinitionError, match=words):
        dataclasses.replace(SMALL, **change)


def test_a_pointwise_layer_is_the_convolution_it_stands_for():
    layer = Pointwise(5, 3)
    x = torch.randn(4, 5, 6, 6, generator=torch.Generator().manual_seed(0))
    expected = F.conv2d(x, layer.weight, layer.bias)
    for given in (x, x.contiguous(memory_format=torch.channels_last)):
        found = layer(given)
        torch.testing.assert_close(found, expected)
        assert found.is_contiguous(memory_format=torch.channels_last) == (given is not x)
    assert [(found.kind, found.shape) for found in weight_layers(layer)] == [
        ("conv2d", (3, 5, 1, 1))
    ]


def test_a_picture_gives_what_its_copies_give_and_its_first_layer_runs_once():
    model = Spikformer(dataclasses.replace(SMALL, timesteps=4, in_channels=3))
    picture = torch.randint(0, 256, (1, 2, 3, 16, 16)).float()
    copies = picture.expand(4, -1, -1, -1, -1)
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(picture), model(copies))
    once = trace_workload(model, picture, 8, timesteps=4)
    every = trace_workload(model, copies, 8)
    told = {path: (op.timesteps, op.macs, op.positions) for path, op in every.layers.items()}
    first = told.pop("tokenizer.conv1")
    found = {path: (op.timesteps, op.macs, op.positions) for path, op in once.layers.items()}
    assert found.pop("tokenizer.conv1") == (1, first[1] // 4, first[2])
    assert found == told
    assert [op.timesteps for op in once.operations][1:] == [
        op.timesteps for op in every.operations
    ][1:]
    with RateMeter(model, once) as meter, torch.no_grad():
        model(picture)
    with RateMeter(model, every) as copied, torch.no_grad():
        model(copies)
    rates = meter.rates()
    assert {p: r for p, r in copied.rates().items() if p != "tokenizer.conv1"} == {
        p: r for p, r in rates.items() if p != "tokenizer.conv1"
    }
