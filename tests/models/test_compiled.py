"""The compiled neuron, alone and behind a normalization, against torch in float64."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from hqsearch.models import compiled
from hqsearch.models.compiled import can_fire, can_fire_normed
from hqsearch.models.lif_kernels import surrogate_slope
from hqsearch.models.neurons import LIF, fire_normed
from hqsearch.models.spikformer import Spikformer, SpikformerConfig

TIMESTEPS = 4


def images(channels: int, side: int, samples: int = 3, seed: int = 0) -> torch.Tensor:
    shape = (TIMESTEPS * samples, channels, side, side)
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 2 + 1.5
    return values.contiguous(memory_format=torch.channels_last)


def normalization(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        norm.weight.uniform_(-1.5, 1.5, generator=generator)
        norm.bias.uniform_(0.0, 1.0, generator=generator)
    return norm


def run(norm: nn.BatchNorm2d, neuron: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Spikes, gradients of input, weight and bias, and running statistics."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    spikes = fire_normed(norm, neuron, x, TIMESTEPS)
    grad = torch.randn(x.shape, generator=torch.Generator().manual_seed(2)).to(x.dtype)
    spikes.backward(grad)
    assert x.grad is not None
    assert norm.weight.grad is not None
    assert norm.bias.grad is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    found = [spikes, x.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var]
    return [tensor.detach() for tensor in found]


@pytest.mark.parametrize(
    ("channels", "side"), [(1, 4), (3, 7), (8, 16), (16, 5), (64, 4), (1025, 2)]
)
@pytest.mark.parametrize("tau", [1.0, 2.0, 5.0])
def test_normalization_and_neuron_are_those_of_torch_in_double_precision(
    channels: int, side: int, tau: float
) -> None:
    x, neuron = images(channels, side), LIF(tau, threshold=1.0 / tau)
    assert can_fire_normed(normalization(channels), neuron, x.clone().requires_grad_())
    found = run(normalization(channels), neuron, x)
    expected = run(normalization(channels).double(), neuron, x.double())
    assert torch.equal(found[0].double(), expected[0])
    assert 0 < found[0].sum() < found[0].numel()
    for single, double in zip(found[1:], expected[1:], strict=True):
        torch.testing.assert_close(single.double(), double, rtol=2e-5, atol=2e-5)


def test_many_samples_keep_their_digits_where_the_mean_is_large() -> None:
    x = images(8, 32, samples=16) + 1000.0
    norm = normalization(8)
    run(norm, LIF(), x)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    doubled = x.double()
    torch.testing.assert_close(
        norm.running_mean.double(), 0.1 * doubled.mean((0, 2, 3)), rtol=1e-6, atol=0
    )
    torch.testing.assert_close(
        norm.running_var.double(), 0.9 + 0.1 * doubled.var((0, 2, 3)), rtol=1e-6, atol=0
    )
    assert norm.num_batches_tracked == 1


@pytest.mark.parametrize("tau", [1.0, 1.5, 2.0, 3.0, 5.0])
def test_alone_it_fires_and_learns_as_torch_does(
    monkeypatch: pytest.MonkeyPatch, tau: float
) -> None:
    x = images(5, 6).unflatten(0, (TIMESTEPS, -1))
    grad = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    results = []
    for most in (4, 0):
        monkeypatch.setattr(compiled, "MOST_THREADS", most)
        leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
        assert can_fire(leaf.detach()) == (most == 4)
        spikes = LIF(tau)(leaf)
        spikes.backward(grad)
        with torch.no_grad():
            assert torch.equal(LIF(tau)(x), spikes)
        results.append((spikes.detach(), leaf.grad))
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-5, atol=1e-6)


def test_a_gradient_in_another_layout_and_a_second_pass() -> None:
    x = images(6, 4).requires_grad_()
    spikes = fire_normed(normalization(6), LIF(), x, TIMESTEPS)
    spikes.sum().backward(retain_graph=True)  # expanded: every stride is 0
    assert x.grad is not None
    first, x.grad = x.grad, None
    spikes.backward(torch.ones(spikes.shape))
    assert torch.equal(first, x.grad)
    assert bool(first.abs().sum() > 0)


def test_the_slope_of_the_sigmoid() -> None:
    z = np.linspace(-100, 100, 20001, dtype=np.float32)
    with np.errstate(over="ignore"):
        sigma = 1.0 / (1.0 + np.exp(-z.astype(np.float64)))
    found = np.array([surrogate_slope(value) for value in z])
    np.testing.assert_allclose(found, sigma * (1 - sigma), atol=1e-7)
    assert np.isnan(surrogate_slope(np.float32("nan")))


def test_what_is_no_number_shows_in_the_statistics_and_the_gradient() -> None:
    x, norm = images(2, 4), normalization(2)
    x[0, 1, 0, 0] = float("nan")
    leaf = x.requires_grad_()
    fire_normed(norm, LIF(), leaf, TIMESTEPS).sum().backward()
    assert norm.running_mean is not None
    assert norm.weight.grad is not None
    assert leaf.grad is not None
    assert norm.running_mean.isnan().tolist() == [False, True]
    assert norm.weight.grad.isnan().tolist() == [False, True]
    assert bool(leaf.grad[:, 1].isnan().all())
    assert not bool(leaf.grad[:, 0].isnan().any())


def test_whoever_watches_a_module_sees_its_call() -> None:
    for watched in ("norm", "neuron"):
        modules = {"norm": normalization(3), "neuron": LIF()}
        seen: list[torch.Tensor] = []
        modules[watched].register_forward_hook(lambda m, a, out, seen=seen: seen.append(out))
        fire_normed(*modules.values(), images(3, 4).requires_grad_(), TIMESTEPS)
        assert len(seen) == 1


class _Other(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


def test_what_is_not_served_takes_the_way_through_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    x, norm = images(3, 4), normalization(3)
    learned = x.clone(memory_format=torch.preserve_format).requires_grad_()
    assert can_fire_normed(norm, LIF(), learned)
    for module in (normalization(3).eval(), nn.BatchNorm2d(3, affine=False), nn.Identity()):
        assert not can_fire_normed(module, LIF(), learned)
    assert not can_fire_normed(nn.BatchNorm2d(3, track_running_stats=False), LIF(), learned)
    assert not can_fire_normed(nn.BatchNorm2d(3, momentum=None), LIF(), learned)
    assert not can_fire_normed(norm, LIF(), x)
    assert not can_fire_normed(norm, LIF(), x.contiguous().requires_grad_())
    assert not can_fire_normed(norm, LIF(), x.double().requires_grad_())
    assert torch.equal(fire_normed(norm, _Other(), learned, TIMESTEPS), norm(learned) + 1)
    monkeypatch.setattr(compiled, "MOST_THREADS", 0)
    assert not can_fire_normed(norm, LIF(), learned)
    assert not can_fire(x[:0])


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.filterwarnings("ignore")  # tracing is deprecated, and warns of loops
def test_whoever_follows_operations_sees_them() -> None:
    x = images(3, 4)
    with _Recorder() as recorder:
        fire_normed(normalization(3), LIF(), x.requires_grad_(), TIMESTEPS)
    assert {"native_batch_norm", "ge"} <= set(recorder.names)
    traced = torch.jit.trace(LIF(), torch.zeros(2, 5))
    other = torch.randn(2, 5, generator=torch.Generator().manual_seed(0)) * 3
    assert torch.equal(traced(other), LIF()(other))
    assert 0 < LIF()(other).sum() < 10


def test_without_a_place_for_compiled_code_torch_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    x = images(3, 4).requires_grad_()
    monkeypatch.setitem(sys.modules, "hqsearch.models.lif_kernels", None)
    monkeypatch.delattr("hqsearch.models.lif_kernels", raising=False)
    compiled._has_kernels.cache_clear()
    try:
        assert not can_fire_normed(normalization(3), LIF(), x)
        assert fire_normed(normalization(3), LIF(), x, TIMESTEPS).shape == x.shape
    finally:
        compiled._has_kernels.cache_clear()


def test_a_network_learns_alike_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames of real values: no potential of the first layers lies exactly at the threshold."""
    config = SpikformerConfig(16, 1, 2, timesteps=2, pooled_stages=3, size=16, classes=3)
    frames = torch.rand(2, 4, 2, 16, 16, generator=torch.Generator().manual_seed(0)) * 3
    results = []
    for most in (4, 0):
        monkeypatch.setattr(compiled, "MOST_THREADS", most)
        torch.manual_seed(0)
        network = Spikformer(config)
        logits = network(frames)
        nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
        results.append([logits.detach(), *(p.grad for p in network.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
