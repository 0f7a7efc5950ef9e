"""What is no number inside a network is found and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hqsearch.models import build_model, weight_layers
from hqsearch.models.neurons import LIF
from hqsearch.quant import quantize_model
from hqsearch.training import Samples, Schedule, Segment, evaluate, train
from hqsearch.training.finite import NeuronWatch, is_finite, require_finite, require_finite_tensors

NAN, INF = float("nan"), float("inf")
OPTIONS = {"embed_dim": 16, "depth": 1, "heads": 2, "pooled_stages": 2}
ONE = Schedule(epochs=1, learning_rate=1e-3, batch_size=6, shift=0)


def plain(frames: Tensor) -> Tensor:
    return frames.float()


def data(count: int = 12) -> Samples:
    rng = np.random.default_rng(0)
    frames = rng.poisson(0.4, (count, 2, 2, 16, 16)).astype(np.uint8)
    return Samples(frames, np.arange(count) % 2, plain)


def network(*choices: str) -> nn.Module:
    """A small Spikformer; ``choices`` in turn on its layers, fp32 without."""
    model = build_model("spikformer", OPTIONS, timesteps=2, size=16, classes=2, seed=0)
    paths = [layer.path for layer in weight_layers(model)]
    if choices:
        quantize_model(model, {p: choices[i % len(choices)] for i, p in enumerate(paths)})
    return model


def poke(model: nn.Module, name: str, value: float) -> None:
    """One number of a parameter or buffer becomes ``value``."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    with torch.no_grad():
        tensors[name][(-1,) * tensors[name].ndim] = value


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tokenizer.norm1.running_var", "tokenizer.norm1.running_var"),
        ("blocks.0.attention.q_norm.running_mean", "blocks.0.attention.q_norm.running_mean"),
        ("tokenizer.norm4.weight", "tokenizer.norm4.weight"),
        ("blocks.0.mlp.fc2_norm.bias", "blocks.0.mlp.fc2_norm.bias"),
        ("blocks.0.attention.proj.bias", "blocks.0.attention.proj.bias"),
        ("tokenizer.conv2.parametrizations.weight.original", "tokenizer.conv2.weight"),
        ("tokenizer.conv1.parametrizations.weight.0.step", "tokenizer.conv1.weight.step"),
        ("tokenizer.conv2.parametrizations.weight.0.log2_scale", "conv2.weight.log2_scale"),
        ("tokenizer.conv3.weight", "tokenizer.conv3.weight"),
    ],
)
def test_a_network_that_holds_no_number_is_neither_trained_nor_evaluated(
    name: str, told: str, value: float
) -> None:
    model = network("4u", "2l", "fp32")
    poke(model, name, value)
    with pytest.raises(FloatingPointError, match=f"{told} is not finite when it is evaluated"):
        evaluate(model, data())
    assert model.training
    with pytest.raises(FloatingPointError, match=f"{told} is not finite before training"):
        train(model, data(), ONE)


@pytest.mark.parametrize("choices", [("2u",), ("4l",), ("fp32",), ("1b", "4u", "2l")])
def test_a_training_that_diverges_ends_with_a_name(tmp_path: Path, choices: tuple[str]) -> None:
    model = network(*choices)
    schedule = Schedule(epochs=3, learning_rate=1e12, batch_size=4, shift=0, warmup=0.0)
    with pytest.raises(FloatingPointError, match="a lower learning_rate may help"):
        train(model, data(24), schedule, Segment(checkpoint=tmp_path))


def test_no_checkpoint_is_left_of_an_epoch_that_broke(tmp_path: Path) -> None:
    class Dividing(nn.Module):
        """Its norm's statistics break where a batch is constant; its logits never do."""

        def __init__(self) -> None:
            super().__init__()
            self.norm, self.neuron, self.head = nn.BatchNorm2d(2), LIF(), nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            broken = x.flatten(0, 1) / x.sum().sub(x.sum())
            fired = self.neuron(self.norm(broken).unflatten(0, x.shape[:2]))
            logits: Tensor = self.head(fired.mean((0, 3, 4)))
            return logits

    with pytest.raises(FloatingPointError, match=r"^norm\.\w+ is not finite after epoch 1"):
        train(Dividing(), data(), ONE, Segment(checkpoint=tmp_path))
    assert not list(tmp_path.iterdir())
    with pytest.raises(FloatingPointError, match="the input of neuron is not finite in batch 1"):
        evaluate(Dividing(), data())


def test_a_scale_beyond_its_scheme_is_named() -> None:
    model = network("4l")
    poke(model, "tokenizer.conv2.parametrizations.weight.0.log2_scale", -1e12)
    with pytest.raises(FloatingPointError, match=r"conv2\.weight\.log2_scale left the range"):
        require_finite(model, "after epoch 2")


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_frames_of_an_encoding_that_makes_no_numbers_are_told(value: float) -> None:
    def encoding(frames: Tensor) -> Tensor:
        real = frames.float()
        return real.masked_fill(real == 200.0, value)

    samples = data()
    samples = Samples(samples.frames, samples.labels, encoding)
    assert 0.0 <= evaluate(network(), samples, batch_size=5).accuracy <= 1.0
    samples.frames[11, 1, 0, 3, 3] = 200  # type: ignore[index]
    with pytest.raises(FloatingPointError, match="the network's input is not finite in batch 3"):
        evaluate(network(), samples, batch_size=5)
    with pytest.raises(FloatingPointError, match="the frames of epoch 1, step 1 are not finite"):
        train(network(), samples, Schedule(1, 1e-3, batch_size=12))


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("neuron", ["tokenizer.neuron1", "blocks.0.attention.neuron"])
def test_what_a_neuron_swallows_is_named(neuron: str, value: float) -> None:
    """A user's layer may break on some samples alone; the logits stay finite."""
    model = network()
    before = {"tokenizer.neuron1": "tokenizer.norm1"}.get(neuron, "blocks.0.attention.products")

    def broken(module: nn.Module, args: object, out: Tensor) -> Tensor:
        out = out.clone()
        out[(0,) * out.ndim] = value
        return out

    model.get_submodule(before).register_forward_hook(broken)
    assert bool(model.eval()(torch.ones(2, 3, 2, 16, 16)).isfinite().all())
    with pytest.raises(FloatingPointError, match=f"the input of {neuron} is not finite in batch 1"):
        evaluate(model, data())


def test_the_watch_leaves_no_hooks_whatever_happens() -> None:
    model = network()
    with NeuronWatch(model) as watch:
        model(torch.ones(2, 1, 2, 16, 16))
        watch.end_batch("a batch")
        assert any(m._forward_pre_hooks for m in model.modules())
    assert not any(m._forward_pre_hooks for m in model.modules())
    with pytest.raises(ValueError, match="expected frames"), NeuronWatch(model):
        model(torch.ones(2, 1, 2, 5, 5))
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_large_numbers_masks_and_integers_are_nobodys_fault() -> None:
    model = nn.Linear(4, 4)
    with torch.no_grad():
        model.weight.fill_(3e38)  # their sum is infinite, they are not
    model.register_buffer("mask", torch.full((4,), -INF))
    model.register_buffer("count", torch.zeros((), dtype=torch.int64))
    require_finite(model, "now")
    require_finite(nn.LazyLinear(3), "now")
    require_finite(nn.Linear(3, 3, device="meta"), "now")
    require_finite(nn.Identity(), "now")
    half = torch.full((2, 70_000), 1.0, dtype=torch.float16)
    assert is_finite(half)
    assert is_finite(torch.full((9,), 3e38))
    assert not is_finite(torch.tensor([1.0, INF]))
    model.register_buffer("broken", torch.tensor([0.0, NAN]))
    with pytest.raises(FloatingPointError, match="broken is not finite now"):
        require_finite(model, "now")


def test_the_first_of_several_is_named_in_their_order() -> None:
    tensors = {"a": torch.ones(2), "b": torch.tensor([INF]), "c": torch.tensor([NAN])}
    with pytest.raises(FloatingPointError, match=r"^b is not finite after epoch 3"):
        require_finite_tensors(tensors, "after epoch 3")
    require_finite_tensors({"a": tensors["a"]}, "after epoch 3")
