"""A small spiking network for pictures: convolution blocks, then transformer blocks.

Made for studies of real pictures on a CPU, from parts of QSD-Transformer
(:mod:`hqsearch.models.qsd`): a real residual stream, a neuron before every convolution that reads
it, linear attention. It has plain 3x3 convolutions and pointwise q, k, v instead of separable ones
and RepConvs, so every layer but the first reads spikes. It is nobody's published network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hqsearch.errors import DefinitionError
from hqsearch.models.attention import LinearAttentionProducts
from hqsearch.models.neuron_choice import check_neuron, make_neuron
from hqsearch.models.neurons import SpikingNeuron
from hqsearch.models.spikformer import Pointwise
from hqsearch.sides import Size, sides

_STAGES = 3


@dataclass(frozen=True)
class ConvformerConfig:
    """Size of the network.

    Attributes:
        widths: channels of the three stages; the second and third halve height and width.
        depth: transformer blocks, in the third stage.
        heads: attention heads; must divide the last of ``widths``.
        timesteps: T; pictures come once and neurons with a state see them T times.
        size: height and width of the input in pixels, or (height, width) where they differ.
        classes: number of logits.
        in_channels: channels of the input.
        conv_ratio: width of the hidden layer of a convolution block in units of its channels.
        mlp_ratio: the same of the MLP of a transformer block.
        neuron: ``integer``, ``integer-lif`` or ``lif`` (:mod:`hqsearch.models.neuron_choice`).
        levels: D of an integer neuron; None: 4.

    Raises:
        DefinitionError: a value that cannot be built.
    """

    widths: tuple[int, ...]
    depth: int
    heads: int
    timesteps: int
    size: Size
    classes: int
    in_channels: int = 3
    conv_ratio: int = 2
    mlp_ratio: int = 4
    neuron: str = "integer"
    levels: int | None = None

    def __post_init__(self) -> None:
        check_neuron("convformer", self.neuron, self.levels)
        if not isinstance(self.widths, list | tuple) or len(self.widths) != _STAGES:
            raise DefinitionError(
                f"convformer: widths must be {_STAGES} whole numbers, one for each stage; "
                f"{self.widths!r} was given."
            )
        object.__setattr__(self, "widths", tuple(_whole("widths", w) for w in self.widths))
        for name in (
            "depth", "heads", "timesteps", "classes", "in_channels", "conv_ratio",
            "mlp_ratio",
        ):  # fmt: skip
            _whole(name, getattr(self, name))
        for side in sides(self.size):
            _whole("size", side)
        if self.widths[-1] % self.heads:
            raise DefinitionError(
                f"convformer: the last of widths, {self.widths[-1]}, is not a multiple of heads "
                f"{self.heads}."
            )


class _Fire(nn.Module):
    """A neuron on images ``[T * N, ...]``, to which a stateful one sees ``[T, N, ...]``."""

    def __init__(self, config: ConvformerConfig, attention: bool = False) -> None:
        super().__init__()
        self.timesteps = config.timesteps
        self.neuron: SpikingNeuron = make_neuron(config.neuron, config.levels, attention=attention)

    def forward(self, x: Tensor) -> Tensor:
        if self.neuron.stateless:
            fired: Tensor = self.neuron(x)
            return fired
        fired = self.neuron(x.unflatten(0, (self.timesteps, -1)))
        return fired.flatten(0, 1)


class _FiringConv(nn.Module):
    """Neuron, 3x3 convolution, normalisation."""

    def __init__(
        self, config: ConvformerConfig, inputs: int, outputs: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.fire = _Fire(config)
        self.conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(self.fire(x)))
        return out


class ConvformerConvBlock(nn.Module):
    """Two firing 3x3 convolutions through a wider hidden layer, added to their input."""

    def __init__(self, config: ConvformerConfig, width: int) -> None:
        super().__init__()
        hidden = config.conv_ratio * width
        self.expand = _FiringConv(config, width, hidden)
        self.reduce = _FiringConv(config, hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.reduce(self.expand(x))
        return out


class ConvformerAttention(nn.Module):
    """q, k, v as spikes; their products fire; projected."""

    def __init__(self, config: ConvformerConfig, width: int) -> None:
        super().__init__()
        self.fire = _Fire(config)
        for name in ("q", "k", "v"):
            self.add_module(name, Pointwise(width, width, bias=False))
            self.add_module(f"{name}_norm", nn.BatchNorm2d(width))
            self.add_module(f"{name}_fire", _Fire(config))
        spikes = self.fire.neuron
        self.products = LinearAttentionProducts(
            config.heads, unit=spikes.unit, levels=spikes.levels
        )
        self.products_fire = _Fire(config, attention=True)
        self.proj = Pointwise(width, width, bias=False)
        self.proj_norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fire(x)
        q, k, v = (
            self.get_submodule(f"{n}_fire")(
                self.get_submodule(f"{n}_norm")(self.get_submodule(n)(x))
            )
            for n in ("q", "k", "v")
        )
        out: Tensor = self.proj_norm(self.proj(self.products_fire(self.products(q, k, v))))
        return out


class ConvformerMlp(nn.Module):
    """Two pointwise layers, a neuron before each."""

    def __init__(self, config: ConvformerConfig, width: int) -> None:
        super().__init__()
        hidden = config.mlp_ratio * width
        self.fire1 = _Fire(config)
        self.fc1 = Pointwise(width, hidden, bias=False)
        self.fc1_norm = nn.BatchNorm2d(hidden)
        self.fire2 = _Fire(config)
        self.fc2 = Pointwise(hidden, width, bias=False)
        self.fc2_norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.fire2(self.fc1_norm(self.fc1(self.fire1(x))))
        out: Tensor = self.fc2_norm(self.fc2(hidden))
        return out


class ConvformerBlock(nn.Module):
    """Attention and MLP, each added to its input."""

    def __init__(self, config: ConvformerConfig, width: int) -> None:
        super().__init__()
        self.attention = ConvformerAttention(config, width)
        self.mlp = ConvformerMlp(config, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x)
        out: Tensor = x + self.mlp(x)
        return out


class Convformer(nn.Module):
    """The whole network; weight layers are registered in the order of execution."""

    def __init__(self, config: ConvformerConfig) -> None:
        super().__init__()
        self.config = config
        first, second, third = config.widths
        self.stem = nn.Conv2d(config.in_channels, first, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(first)
        self.conv1 = ConvformerConvBlock(config, first)
        self.down1 = _FiringConv(config, first, second, stride=2)
        self.conv2 = ConvformerConvBlock(config, second)
        self.down2 = _FiringConv(config, second, third, stride=2)
        self.blocks = nn.Sequential(*(ConvformerBlock(config, third) for _ in range(config.depth)))
        self.fire = _Fire(config)
        self.head = nn.Linear(third, config.classes)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[N, classes]`` of frames ``[T, N, C, H, W]``, or of pictures with T = 1.

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
        steps = x.shape[0]
        images = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        stream = self.stem_norm(self.stem(images))
        if steps < config.timesteps and not self.fire.neuron.stateless:
            steps = config.timesteps
            stream = stream.repeat(steps, 1, 1, 1).contiguous(memory_format=torch.channels_last)
        stream = self.conv2(self.down1(self.conv1(stream)))
        stream = self.blocks(self.down2(stream))
        logits: Tensor = self.head(self.fire(stream.mean(dim=(2, 3))))
        return logits if steps == 1 else logits.unflatten(0, (steps, -1)).mean(dim=0)


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DefinitionError(f"convformer: {name} must be a whole number from 1, not {value!r}.")
    return value
