"""Small quantized networks of several kinds, and the same in integers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hqsearch.export.network import IntegerNetwork, integer_network
from hqsearch.export.packed_layers import quantized_layers
from hqsearch.hardware import Workload
from hqsearch.hardware.trace import trace_workload
from hqsearch.models import build_model, weight_layers
from hqsearch.models.neurons import LIF
from hqsearch.quant import quantize_model

BITS = 4


class Convolutional(nn.Module):
    """A user's convolutional network: groups, strides, both poolings, a flattened Linear."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 6, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(
            6, 8, (3, 5), stride=(1, 2), padding=(2, 2), dilation=(2, 1), groups=2
        )
        self.norm2 = nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d(2)
        self.average = nn.AvgPool2d(2)
        self.hidden = nn.Linear(8 * 2 * 1, 12)
        self.neuron1, self.neuron2, self.neuron3 = (
            LIF(),
            LIF(threshold=0.6),
            LIF(tau=4.0, threshold=0.05),
        )
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        shape = x.shape[:2]
        y = self.neuron1(self.norm1(self.conv1(x.flatten(0, 1))).unflatten(0, shape))
        y = self.pool(y.flatten(0, 1))
        y = self.neuron2(self.norm2(self.conv2(y)).unflatten(0, shape)).flatten(0, 1)
        y = self.average(y).flatten(1).unflatten(0, shape)
        y = self.neuron3(self.hidden(y))
        out: Tensor = self.head(y).mean(0)
        return out


class Dense(nn.Module):
    """Fully connected: all of a frame, flattened; nothing normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(42, 20), nn.Linear(20, 9), nn.Linear(9, 4)])
        self.neurons = nn.ModuleList([LIF(threshold=0.4), LIF(tau=1.0, threshold=0.2)])

    def forward(self, x: Tensor) -> Tensor:
        y = self.neurons[0](self.layers[0](x.flatten(2)))
        y = self.neurons[1](self.layers[1](y))
        out: Tensor = self.layers[2](y).sum(0)
        return out


class Tokens(nn.Module):
    """A Conv1d over tokens, then Linear layers on each, tokens before features."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv1d(2, 10, 3, padding=1)
        self.second = nn.Linear(10, 5)
        self.neurons = nn.ModuleList([LIF(threshold=0.4), LIF(threshold=0.3)])
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.neurons[0](self.mix(x.flatten(0, 1).flatten(2)).unflatten(0, x.shape[:2]))
        y = self.neurons[1](self.second(y.transpose(2, 3)))
        out: Tensor = self.head(y.mean((0, 2)))
        return out


def settled(model: nn.Module, seed: int) -> nn.Module:
    """In evaluation, with normalisations of both signs and some that multiply by 0."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                size = module.weight.shape
                module.weight.copy_(torch.rand(size, generator=generator) + 0.8)
                module.weight[0] *= -1
                module.weight[-1] = 0.0
                module.bias.copy_(torch.rand(size, generator=generator) * 1.2)
                module.running_mean.copy_(torch.randn(size, generator=generator) * 0.1)
                module.running_var.copy_(torch.rand(size, generator=generator) * 0.3 + 0.05)
    return model.eval()


def qsd(seed: int = 0, levels: int = 4, timesteps: int = 2, **options: Any) -> nn.Module:
    """16 × 16 frames, a residual stream of real values, integer neurons, RepConvs folded."""
    given = {"embed_dims": [8, 8, 16, 16], "depth": 2, "heads": 2, "strides": [1, 2, 2, 1]}
    given |= {"levels": levels, "fold": True, **options}
    model = build_model(
        "qsd", given, timesteps=timesteps, size=16, classes=5, in_channels=2, seed=seed
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, gains in model.named_parameters():
            if name.endswith("_scale"):
                gains.copy_(torch.rand(gains.shape, generator=generator) * 0.6 + 0.2)
    return settled(model, seed)


def spikformer(timesteps: int = 4, seed: int = 0, **options: Any) -> nn.Module:
    """16 × 16 frames, four tokens, one block."""
    size = options.pop("size", 16)
    given = {"embed_dim": 16, "depth": 1, "heads": 2, "pooled_stages": 3, **options}
    model = build_model("spikformer", given, timesteps=timesteps, size=size, classes=5, seed=seed)
    return settled(model, seed)


def made(kind: str, seed: int = 0) -> tuple[nn.Module, tuple[int, ...]]:
    """A network, and the shape ``[T, C, H, W]`` of its frames."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "convolutional":
            return settled(Convolutional(), seed), (5, 2, 8, 8)
        if kind == "dense":
            return Dense().eval(), (4, 2, 3, 7)
        if kind == "tokens":
            return Tokens().eval(), (4, 2, 3, 7)
    if kind == "qsd":
        return qsd(seed), (2, 2, 16, 16)
    if kind == "stateful qsd":
        return qsd(seed, levels=3, timesteps=4, neuron="integer-lif"), (4, 2, 16, 16)
    if kind == "integer spikformer":
        return spikformer(seed=seed, neuron="integer", levels=3), (4, 2, 16, 16)
    return spikformer(seed=seed), (4, 2, 16, 16)


def frames_of(shape: Sequence[int], samples: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Sparse frames ``[N, T, C, H, W]``."""
    generator = np.random.default_rng(seed)
    drawn = generator.poisson(0.7, (samples, *shape)).clip(0, 2**BITS - 1)
    return np.asarray(drawn, np.uint8)


def in_integers(
    model: nn.Module, shape: Sequence[int], choices: Sequence[str] | None
) -> tuple[IntegerNetwork, Workload]:
    """A network quantized by ``choices``, in turn, as integers that went through JSON.

    None: it is quantized already.
    """
    if choices is not None:
        layers = [layer.path for layer in weight_layers(model)]
        quantize_model(model, {p: choices[i % len(choices)] for i, p in enumerate(layers)})
    frames = torch.zeros(shape[0], 1, *shape[1:])
    workload = trace_workload(model, frames, BITS)
    stored = quantized_layers(model, workload)
    network = integer_network(model, stored, shape[0], shape[1:], BITS)
    return IntegerNetwork.of_packed(json.loads(json.dumps(network.described())), stored), workload


def torch_logits(model: nn.Module, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Of the network itself, ``[N, classes]``, in float32."""
    with torch.no_grad():
        logits: Tensor = model(torch.from_numpy(frames).float().transpose(0, 1))
    return np.asarray(logits.numpy(), np.float32)
