"""QSD-Transformer: spike-driven transformer v2 with integer neurons (ICLR 2025, arXiv 2501.13492).

Re-implemented from a specification of the public code (bollossom/QSD-Transformer), with its sizes,
not its quantizer: layers are quantized by a study's choices. Five convolutions that change the
width, four convolution blocks between them, transformer blocks in the last two stages, and a head
that reads the neurons of the mean over space. The residual stream is real; a neuron stands before
every convolution that reads it.

Timesteps and batch are one axis inside, ``[T * N, C, h, w]``. A picture is one frame: a network of
stateless neurons computes it once however many timesteps it has, for T copies would be alike; with
stateful neurons the first convolution is computed once and its current given T times.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hqsearch.errors import DefinitionError
from hqsearch.models.attention import LinearAttentionProducts
from hqsearch.models.neuron_choice import check_neuron, make_neuron
from hqsearch.models.neurons import SpikingNeuron
from hqsearch.models.repconv import RepConv, fold_all
from hqsearch.sides import Size, sides

#: What the learned gains of the transformer blocks' branches start from.
LAYER_SCALE = 1e-6
_STAGES = 4


@dataclass(frozen=True)
class QsdConfig:
    """Size of a QSD-Transformer.

    Attributes:
        embed_dims: channels e0 … e3 of the four stages; the first convolution has e0 / 2.
        depth: transformer blocks; three quarters of them are in the third stage.
        heads: attention heads; must divide e2 and e3.
        timesteps: T of event frames, and of pictures that stateful neurons see T times.
        size: height and width of the input in pixels, or (height, width).
        classes: number of logits.
        in_channels: channels of the input.
        mlp_ratio: width of the hidden MLP layer in units of a block's channels.
        conv_ratio: the same of the hidden layer of a convolution block.
        strides: of the first four strided convolutions; the fifth has stride 1.
        neuron: ``integer``, ``integer-lif`` or ``lif`` (:mod:`hqsearch.models.neuron_choice`).
        levels: D of an integer neuron; None: 4.
        fold: whether RepConvs are one 3x3 convolution each once the parent is trained.

    Raises:
        DefinitionError: a value that cannot be built.
    """

    embed_dims: tuple[int, ...]
    depth: int
    timesteps: int
    size: Size
    classes: int
    in_channels: int = 3
    heads: int = 8
    mlp_ratio: int = 4
    conv_ratio: int = 4
    strides: tuple[int, ...] = (2, 2, 2, 2)
    neuron: str = "integer"
    levels: int | None = None
    fold: bool = False

    def __post_init__(self) -> None:
        check_neuron("qsd", self.neuron, self.levels)
        if not isinstance(self.fold, bool):
            raise DefinitionError(f"qsd: fold must be true or false, not {self.fold!r}.")
        for name in ("embed_dims", "strides"):
            values = getattr(self, name)
            if not isinstance(values, list | tuple) or len(values) != _STAGES:
                raise DefinitionError(
                    f"qsd: {name} must be {_STAGES} whole numbers, one for each stage; "
                    f"{values!r} was given."
                )
            object.__setattr__(self, name, tuple(_whole(name, v, 1) for v in values))
        for name in (
            "depth", "timesteps", "classes", "in_channels", "heads", "mlp_ratio",
            "conv_ratio",
        ):  # fmt: skip
            _whole(name, getattr(self, name), 1)
        for side in sides(self.size):
            _whole("size", side, 1)
        first, *_, third, fourth = self.embed_dims
        if first % 2:
            raise DefinitionError(f"qsd: the first of embed_dims must be even, not {first}.")
        for width in (third, fourth):
            if width % self.heads:
                raise DefinitionError(
                    f"qsd: embed_dims {width} is not a multiple of heads {self.heads}."
                )

    @property
    def blocks(self) -> tuple[int, int]:
        """Transformer blocks in the third and in the fourth stage."""
        third = 3 * self.depth // 4
        return third, self.depth - third

    def make_neuron(self, attention: bool = False) -> SpikingNeuron:
        """A new neuron of this network; ``attention``: it reads attention's products."""
        return make_neuron(self.neuron, self.levels, attention=attention)


class Fire(nn.Module):
    """A neuron on images ``[T * N, ...]``, to which a stateful one sees ``[T, N, ...]``."""

    def __init__(self, config: QsdConfig, attention: bool = False) -> None:
        super().__init__()
        self.timesteps = config.timesteps
        self.neuron = config.make_neuron(attention)

    def forward(self, x: Tensor) -> Tensor:
        if self.neuron.stateless:
            fired: Tensor = self.neuron(x)
            return fired
        fired = self.neuron(x.unflatten(0, (self.timesteps, -1)))
        return fired.flatten(0, 1)


class Downsample(nn.Module):
    """Neuron (not before the first), convolution with a bias, normalisation."""

    def __init__(
        self, config: QsdConfig, inputs: int, outputs: int, stride: int, kernel: int = 3
    ) -> None:
        super().__init__()
        self.fire = Fire(config) if kernel == 3 else nn.Identity()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(self.fire(x)))
        return out


class SeparableConv(nn.Module):
    """Pointwise to twice the channels, depthwise 7x7, pointwise back, which reads real values."""

    def __init__(self, config: QsdConfig, channels: int) -> None:
        super().__init__()
        hidden = 2 * channels
        self.fire1 = Fire(config)
        self.expand = nn.Conv2d(channels, hidden, 1, bias=False)
        self.expand_norm = nn.BatchNorm2d(hidden)
        self.fire2 = Fire(config)
        self.depthwise = nn.Conv2d(hidden, hidden, 7, padding=3, groups=hidden, bias=False)
        self.reduce = nn.Conv2d(hidden, channels, 1, bias=False)
        self.reduce_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.fire2(self.expand_norm(self.expand(self.fire1(x))))
        out: Tensor = self.reduce_norm(self.reduce(self.depthwise(hidden)))
        return out


class QsdConvBlock(nn.Module):
    """A separable convolution and two 3x3 ones, each added to its input."""

    def __init__(self, config: QsdConfig, channels: int) -> None:
        super().__init__()
        hidden = config.conv_ratio * channels
        self.separable = SeparableConv(config, channels)
        self.fire1 = Fire(config)
        self.conv1 = nn.Conv2d(channels, hidden, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(hidden)
        self.fire2 = Fire(config)
        self.conv2 = nn.Conv2d(hidden, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.separable(x)
        hidden = self.fire2(self.norm1(self.conv1(self.fire1(x))))
        out: Tensor = x + self.norm2(self.conv2(hidden))
        return out


class QsdAttention(nn.Module):
    """q, k, v by RepConvs with normalisations and neurons; their products fire; projected."""

    def __init__(self, config: QsdConfig, channels: int) -> None:
        super().__init__()
        self.fire = Fire(config)
        for name in ("q", "k", "v"):
            self.add_module(name, RepConv(channels))
            self.add_module(f"{name}_norm", nn.BatchNorm2d(channels))
            self.add_module(f"{name}_fire", Fire(config))
        spikes = self.fire.neuron
        self.products = LinearAttentionProducts(
            config.heads, unit=spikes.unit, levels=spikes.levels
        )
        self.products_fire = Fire(config, attention=True)
        self.proj = RepConv(channels)
        self.proj_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fire(x)
        q, k, v = (
            self.get_submodule(f"{n}_fire")(
                self.get_submodule(f"{n}_norm")(self.get_submodule(n)(x))
            )
            for n in ("q", "k", "v")
        )
        mixed = self.products_fire(self.products(q, k, v))
        out: Tensor = self.proj_norm(self.proj(mixed))
        return out


class QsdMlp(nn.Module):
    """Two pointwise layers with biases, a neuron before each, a normalisation behind."""

    def __init__(self, config: QsdConfig, channels: int) -> None:
        super().__init__()
        hidden = config.mlp_ratio * channels
        self.fire1 = Fire(config)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc1_norm = nn.BatchNorm2d(hidden)
        self.fire2 = Fire(config)
        self.fc2 = nn.Conv2d(hidden, channels, 1)
        self.fc2_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.fire2(self.fc1_norm(self.fc1(self.fire1(x))))
        out: Tensor = self.fc2_norm(self.fc2(hidden))
        return out


class QsdBlock(nn.Module):
    """Attention and MLP, each times a learned gain per channel and added to its input."""

    def __init__(self, config: QsdConfig, channels: int) -> None:
        super().__init__()
        self.attention = QsdAttention(config, channels)
        self.mlp = QsdMlp(config, channels)
        self.attention_scale = nn.Parameter(torch.full((channels,), LAYER_SCALE))
        self.mlp_scale = nn.Parameter(torch.full((channels,), LAYER_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention_scale.view(-1, 1, 1) * self.attention(x)
        out: Tensor = x + self.mlp_scale.view(-1, 1, 1) * self.mlp(x)
        return out


class Qsd(nn.Module):
    """The whole network; weight layers are registered in the order of execution."""

    def __init__(self, config: QsdConfig) -> None:
        super().__init__()
        self.config = config
        e0, e1, e2, e3 = config.embed_dims
        s0, s1, s2, s3 = config.strides
        third, fourth = config.blocks
        self.stem = Downsample(config, config.in_channels, e0 // 2, s0, kernel=7)
        self.conv1_1 = QsdConvBlock(config, e0 // 2)
        self.down1 = Downsample(config, e0 // 2, e0, s1)
        self.conv1_2 = QsdConvBlock(config, e0)
        self.down2 = Downsample(config, e0, e1, s2)
        self.conv2_1 = QsdConvBlock(config, e1)
        self.conv2_2 = QsdConvBlock(config, e1)
        self.down3 = Downsample(config, e1, e2, s3)
        self.blocks3 = nn.Sequential(*(QsdBlock(config, e2) for _ in range(third)))
        self.down4 = Downsample(config, e2, e3, 1)
        self.blocks4 = nn.Sequential(*(QsdBlock(config, e3) for _ in range(fourth)))
        self.fire = Fire(config)
        self.head = nn.Linear(e3, config.classes)
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
        stream = self.stem(x.flatten(0, 1).contiguous(memory_format=torch.channels_last))
        if steps < config.timesteps and not self.fire.neuron.stateless:
            steps = config.timesteps
            stream = stream.repeat(steps, 1, 1, 1).contiguous(memory_format=torch.channels_last)
        stream = self.conv1_2(self.down1(self.conv1_1(stream)))
        stream = self.conv2_2(self.conv2_1(self.down2(stream)))
        stream = self.blocks4(self.down4(self.blocks3(self.down3(stream))))
        logits: Tensor = self.head(self.fire(stream.mean(dim=(2, 3))))
        return logits if steps == 1 else logits.unflatten(0, (steps, -1)).mean(dim=0)

    def fold(self) -> None:
        """Make every RepConv one convolution, in place; evaluation gives the same to rounding."""
        fold_all(self)


#: Published sizes: all have 8 heads and MLP ratio 4.
PUBLISHED: dict[str, dict[str, object]] = {
    "qsd-8-256": {"embed_dims": (48, 96, 192, 256), "depth": 8},
    "qsd-15m": {"embed_dims": (64, 128, 256, 360), "depth": 8},
    "qsd-8-384": {"embed_dims": (96, 192, 384, 480), "depth": 8},
    "qsd-8-512": {"embed_dims": (128, 256, 512, 640), "depth": 8},
    "qsd-8-768": {"embed_dims": (192, 384, 768, 960), "depth": 8},
    "qsd-12-512": {"embed_dims": (128, 256, 512, 640), "depth": 12},
}


def _whole(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise DefinitionError(f"qsd: {name} must be a whole number, not {value!r}.")
    if value < least:
        raise DefinitionError(f"qsd: {name} must be at least {least}, not {value}.")
    return value
