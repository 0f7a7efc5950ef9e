"""Spikformer for event cameras (Zhou et al., ICLR 2023, arXiv 2209.15425).

Four 3x3 convolution stages turn frames into tokens, a position convolution is added to them,
transformer blocks with spiking self-attention follow, and a linear head reads the mean over
tokens and timesteps. Every convolution and linear layer but the head is followed by batch
normalization and a multi-step spiking neuron, so everything between two layers is a spike or, after
a residual add, a small integer.

Inside, timesteps and batch are one axis and tokens stay an image, ``[T * N, D, h, w]`` in
channels-last memory; layers on tokens are 1x1 convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqsearch.errors import DefinitionError
from hqsearch.models.attention import AttentionProducts
from hqsearch.models.neuron_choice import check_neuron, make_neuron
from hqsearch.models.neurons import SpikingNeuron, fire_normed
from hqsearch.sides import Size, sides

STAGES = 4


@dataclass(frozen=True)
class SpikformerConfig:
    """Size of a Spikformer.

    Attributes:
        embed_dim: token width D; the tokenizer stages have D/8, D/4, D/2 and D channels.
        depth: number of transformer blocks.
        heads: attention heads; must divide ``embed_dim``.
        timesteps: T of the input.
        pooled_stages: how many of the four tokenizer stages halve height and width.
        size: height and width of the input in pixels, or (height, width).
        classes: number of logits.
        in_channels: channels of the input (2: ON and OFF events).
        mlp_ratio: width of the hidden MLP layer in units of ``embed_dim``.
        neuron: ``lif``, ``integer`` or ``integer-lif`` (:mod:`hqsearch.models.neuron_choice`).
        levels: unit spikes that an integer neuron fires at most; None: 4.

    Raises:
        DefinitionError: a value that cannot be built.
    """

    embed_dim: int
    depth: int
    heads: int
    timesteps: int
    pooled_stages: int
    size: Size
    classes: int
    in_channels: int = 2
    mlp_ratio: int = 4
    neuron: str = "lif"
    levels: int | None = None

    def __post_init__(self) -> None:
        check_neuron("spikformer", self.neuron, self.levels)
        values = [(n, v) for n, v in vars(self).items() if n not in ("neuron", "levels", "size")]
        for name, value in [*values, *(("size", side) for side in sides(self.size))]:
            if isinstance(value, bool) or not isinstance(value, int):
                raise DefinitionError(f"spikformer: {name} must be a whole number, not {value!r}.")
            low = 0 if name == "pooled_stages" else 1
            if value < low:
                raise DefinitionError(f"spikformer: {name} must be at least {low}, not {value}.")
        if self.pooled_stages > STAGES:
            raise DefinitionError(
                f"spikformer: pooled_stages must be at most {STAGES}, not {self.pooled_stages}."
            )
        if self.embed_dim % 8:
            raise DefinitionError(
                f"spikformer: embed_dim must be a multiple of 8, not {self.embed_dim}."
            )
        if self.embed_dim % self.heads:
            raise DefinitionError(
                f"spikformer: embed_dim {self.embed_dim} is not a multiple of heads {self.heads}."
            )

    def make_neuron(self, attention: bool = False) -> SpikingNeuron:
        """A new neuron of this network; ``attention``: it reads attention's products."""
        return make_neuron(self.neuron, self.levels, attention=attention)

    @property
    def tokens(self) -> int:
        """Number of tokens L after the tokenizer."""
        height, width = sides(self.size)
        for _ in range(self.pooled_stages):
            height, width = (height + 1) // 2, (width + 1) // 2
        return height * width


class Tokenizer(nn.Module):
    """Frames ``[T * N, C, H, W]`` to tokens ``[T * N, D, h, w]``, position information added."""

    def __init__(self, config: SpikformerConfig) -> None:
        super().__init__()
        self.timesteps = config.timesteps
        self.pooled_stages = config.pooled_stages
        before = config.in_channels
        for stage in range(1, STAGES + 1):
            width = config.embed_dim >> (STAGES - stage)
            self.add_module(f"conv{stage}", _conv3x3(before, width))
            self.add_module(f"norm{stage}", nn.BatchNorm2d(width))
            self.add_module(f"neuron{stage}", config.make_neuron())
            before = width
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.position = _conv3x3(before, before)
        self.position_norm = nn.BatchNorm2d(before)
        self.position_neuron = config.make_neuron()

    def forward(self, x: Tensor, copies: int = 1) -> Tensor:
        for stage in range(1, STAGES + 1):
            layer, norm, neuron = (
                self.get_submodule(f"{kind}{stage}") for kind in ("conv", "norm", "neuron")
            )
            current = layer(x)
            if stage == 1 and copies > 1:
                current = current.repeat(copies, 1, 1, 1)
                current = current.contiguous(memory_format=torch.channels_last)
            x = fire_normed(norm, neuron, current, self.timesteps)
            if stage <= self.pooled_stages:
                x = self.pool(x)
        position = self.position(x)
        return x + fire_normed(self.position_norm, self.position_neuron, position, self.timesteps)


class SpikingSelfAttention(nn.Module):
    """q, k, v as spikes; their products fire again; projected. Images in and out."""

    def __init__(self, config: SpikformerConfig) -> None:
        super().__init__()
        width = config.embed_dim
        self.timesteps = config.timesteps
        for name in ("q", "k", "v"):
            self.add_module(name, Pointwise(width, width, bias=False))
            self.add_module(f"{name}_norm", nn.BatchNorm2d(width))
            self.add_module(f"{name}_neuron", config.make_neuron())
        spikes = config.make_neuron()
        self.products = AttentionProducts(config.heads, unit=spikes.unit, levels=spikes.levels)
        self.neuron = config.make_neuron(attention=True)
        self.proj = Pointwise(width, width)
        self.proj_norm = nn.BatchNorm2d(width)
        self.proj_neuron = config.make_neuron()

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            fire_normed(
                self.get_submodule(f"{name}_norm"),
                self.get_submodule(f"{name}_neuron"),
                self.get_submodule(name)(x),
                self.timesteps,
            )
            for name in ("q", "k", "v")
        )
        mixed = _spikes(self.neuron, self.products(q, k, v), self.timesteps)
        return fire_normed(self.proj_norm, self.proj_neuron, self.proj(mixed), self.timesteps)


class SpikingMLP(nn.Module):
    """Two pointwise layers, each with normalization and a neuron. Images in and out."""

    def __init__(self, config: SpikformerConfig) -> None:
        super().__init__()
        width, hidden = config.embed_dim, config.embed_dim * config.mlp_ratio
        self.timesteps = config.timesteps
        self.fc1 = Pointwise(width, hidden)
        self.fc1_norm = nn.BatchNorm2d(hidden)
        self.fc1_neuron = config.make_neuron()
        self.fc2 = Pointwise(hidden, width)
        self.fc2_norm = nn.BatchNorm2d(width)
        self.fc2_neuron = config.make_neuron()

    def forward(self, x: Tensor) -> Tensor:
        hidden = fire_normed(self.fc1_norm, self.fc1_neuron, self.fc1(x), self.timesteps)
        return fire_normed(self.fc2_norm, self.fc2_neuron, self.fc2(hidden), self.timesteps)


class Block(nn.Module):
    """Self-attention and MLP, each added to its input."""

    def __init__(self, config: SpikformerConfig) -> None:
        super().__init__()
        self.attention = SpikingSelfAttention(config)
        self.mlp = SpikingMLP(config)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x)
        out: Tensor = x + self.mlp(x)
        return out


class Spikformer(nn.Module):
    """The whole network; layers are found under ``tokenizer.``, ``blocks.<i>.`` and ``head``."""

    def __init__(self, config: SpikformerConfig) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = Tokenizer(config)
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.depth)))
        self.head = nn.Linear(config.embed_dim, config.classes)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[N, classes]`` of frames ``x`` ``[T, N, C, H, W]``, or of pictures with T = 1.

        Of a picture the first convolution is computed once; its neurons see it T times.

        Raises:
            ValueError: another shape than the configuration says.
        """
        config = self.config
        frame = (config.in_channels, *sides(config.size))
        if x.ndim != 5 or x.shape[0] not in (1, config.timesteps) or tuple(x.shape[2:]) != frame:
            raise ValueError(
                f"expected frames [T, N, C, H, W] with T = {config.timesteps}, or 1 for pictures, "
                f"and [C, H, W] = {list(frame)}; got {list(x.shape)}."
            )
        copies = config.timesteps // x.shape[0]
        images = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        # Channels last: what comes back is then in the layout of everything else.
        tokens = self.blocks(self.tokenizer(images, copies)).permute(0, 2, 3, 1).mean(dim=(1, 2))
        logits: Tensor = self.head(tokens.unflatten(0, (config.timesteps, -1)).mean(dim=0))
        return logits


def _spikes(neuron: nn.Module, current: Tensor, timesteps: int) -> Tensor:
    """Fire on images ``[T * N, C, h, w]``: the neuron sees ``[T, N, C, h, w]``."""
    fired: Tensor = neuron(current.unflatten(0, (timesteps, -1)))
    return fired.flatten(0, 1)


class Pointwise(nn.Conv2d):
    """A linear layer on tokens that stay an image: a 1x1 convolution, computed as a matmul.

    In channels-last memory the tokens are rows already; forward and backward are a third faster
    than the convolution's on CPUs.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.permute(0, 2, 3, 1)
        if not tokens.is_contiguous():
            return super().forward(x)
        return F.linear(tokens, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


def _conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
