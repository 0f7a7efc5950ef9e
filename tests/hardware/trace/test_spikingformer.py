"""Spikingformer-8-512 (Zhou et al., arXiv 2304.11954) on ImageNet, against its published log.

The log counts 0.347330 G multiply-accumulates (first convolution over 4 steps, head with its
biases) and 6.517541 G accumulates: 7.4635 mJ. The accumulates depend on firing rates that are
not published, so for them only the arithmetic is checked.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from hqsearch.hardware import CostModel, Workload, load_profile
from hqsearch.hardware.trace import trace_workload
from hqsearch.models.neurons import LIF

T, DIM, DEPTH, HEADS, CLASSES = 4, 512, 8, 8, 1000


class ConvNorm(nn.Module):
    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x.flatten(0, 1))).unflatten(0, x.shape[:2])


class Tokenizer(nn.Module):
    """Five 3×3 convolutions, a neuron and a max-pool before all but the first."""

    def __init__(self) -> None:
        super().__init__()
        widths = [3, DIM // 8, DIM // 4, DIM // 2, DIM, DIM]
        self.stages = nn.ModuleList(ConvNorm(a, b, 3) for a, b in pairwise(widths))
        self.neurons = nn.ModuleList(LIF() for _ in widths[2:])
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages[0](x)
        for neuron, stage in zip(self.neurons, list(self.stages)[1:], strict=True):
            x = stage(self.pool(neuron(x).flatten(0, 1)).unflatten(0, x.shape[:2]))
        return x


class Block(nn.Module):
    """Pre-activation: neurons before the weights, real-valued residual sums."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("q", "k", "v"):
            self.add_module(name, ConvNorm(DIM, DIM, 1))
            self.add_module(f"{name}_neuron", LIF())
        self.neuron, self.attention_neuron = LIF(), LIF(threshold=0.5)
        self.proj = ConvNorm(DIM, DIM, 1)
        self.fc1_neuron, self.fc1 = LIF(), ConvNorm(DIM, 4 * DIM, 1)
        self.fc2_neuron, self.fc2 = LIF(), ConvNorm(4 * DIM, DIM, 1)

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.neuron(x)
        q, k, v = (
            self.get_submodule(f"{name}_neuron")(self.get_submodule(name)(spikes))
            .flatten(3)
            .unflatten(2, (HEADS, DIM // HEADS))
            .transpose(-2, -1)
            for name in ("q", "k", "v")
        )
        mixed = (q @ k.transpose(-2, -1)) @ v * 0.125
        mixed = mixed.transpose(-2, -1).reshape(x.shape)
        x = x + self.proj(self.attention_neuron(mixed))
        return x + self.fc2(self.fc2_neuron(self.fc1(self.fc1_neuron(x))))


class Spikingformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = Tokenizer()
        self.block = nn.Sequential(*(Block() for _ in range(DEPTH)))
        self.head = nn.Linear(DIM, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(self.patch_embed(x)).flatten(3).mean(3).mean(0))


@cache
def workload() -> Workload:
    with torch.device("meta"):
        model = Spikingformer()
    return trace_workload(model, torch.zeros(T, 1, 3, 224, 224, device="meta"), None)


def test_the_published_multiply_accumulates() -> None:
    layers = workload().layers
    first, head = layers["patch_embed.stages.0.conv"], layers["head"]
    assert first.macs == 3 * 64 * 9 * 224**2 * T
    assert first.macs + head.macs + head.bias == 347_329_512
    real = [path for path, op in layers.items() if op.input_kind == "real"]
    assert real == ["patch_embed.stages.0.conv", "head"]
    assert all(op.input_kind == "binary" for p, op in layers.items() if p not in real)
    assert len(layers) == 5 + 6 * DEPTH + 1


def test_neurons_first_leave_norms_before_a_residual_sum_unabsorbed() -> None:
    layers = workload().layers
    assert layers["block.0.q.conv"].neuron == "block.0.q_neuron"
    assert layers["block.0.fc1.conv"].neuron == "block.0.fc2_neuron"
    for path in ("block.0.proj.conv", "block.0.fc2.conv", "patch_embed.stages.4.conv"):
        assert layers[path].norm is not None
        assert layers[path].neuron is None
    adds = [op for op in workload().operations if op.kind == "add"]
    assert len(adds) == 2 * DEPTH
    assert {op.input_kind for op in adds} == {"real"}


def test_the_published_energy() -> None:
    layers = workload().layers
    first = layers["patch_embed.stages.0.conv"]  # published with the operations on padding
    real = replace(first, macs_per_step=347_330_000, padding_macs_per_step=0, timesteps=1)
    spiking = replace(
        layers["block.0.q.conv"], macs_per_step=6_517_541_000, timesteps=1, rate=1.0, activity=1.0
    )
    log = Workload((real, spiking), 1)
    costs = CostModel(log, load_profile("sop-45nm"), {})
    assert costs.energy({}).total / 1000 == pytest.approx(7.4635, abs=5e-5)  # mJ
