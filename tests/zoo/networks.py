"""Networks as people bring them: a function ``build(*, timesteps, classes, in_channels)`` each.

Everything is tiny: frames ``[T, N, 2, 8, 8]``, three classes. ``library`` is what must be
installed; ``readout``, ``neurons`` and ``unknown`` are what a study has to say besides.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqsearch.models.neurons import LIF

CLASSES, CHANNELS, SIZE = 3, 2, 8


@dataclass(frozen=True)
class Entry:
    """One network, and what a study says of it.

    refused: words of the sentence by which ``check`` refuses it; None: it must be searched.
    """

    build: Callable[..., nn.Module]
    library: str = ""
    model: dict[str, Any] = field(default_factory=dict)
    refused: str | None = None


ZOO: dict[str, Entry] = {}


def entry(name: str, library: str = "", refused: str | None = None, **model: Any) -> Any:
    def register(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        ZOO[name] = Entry(build, library, model, refused)
        return build

    return register


class Steps(nn.Module):
    """Convolution, norm and neuron for every step at once, then a head on the means."""

    def __init__(self, conv: nn.Module, norm: nn.Module, neuron: nn.Module, width: int = 4) -> None:
        super().__init__()
        self.conv, self.norm, self.neuron = conv, norm, neuron
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        current = self.norm(self.conv(x.flatten(0, 1)))
        return self.head(self.neuron(current.unflatten(0, x.shape[:2])).mean((3, 4))).mean(0)


def steps(conv: nn.Module | None = None, **parts: Any) -> Steps:
    conv = conv or nn.Conv2d(CHANNELS, 4, 3, padding=1, bias=False)
    return Steps(conv, parts.get("norm") or nn.BatchNorm2d(4), parts.get("neuron") or LIF())


# Plain torch, with hqsearch's neuron


@entry("plain")
def plain(**_: Any) -> nn.Module:
    return steps()


@entry("depthwise")
def depthwise(**_: Any) -> nn.Module:
    return steps(nn.Sequential(nn.Conv2d(2, 2, 3, padding=1, groups=2), nn.Conv2d(2, 4, 1)))


@entry("dilated, strided")
def dilated(**_: Any) -> nn.Module:
    return steps(nn.Conv2d(2, 4, 3, padding=2, dilation=2, stride=2))


@entry("grouped")
def grouped(**_: Any) -> nn.Module:
    return steps(nn.Conv2d(2, 4, 3, padding=1, groups=2))


@entry("circular padding")
def circular(**_: Any) -> nn.Module:
    return steps(nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular"))


@entry("group norm")
def group_norm(**_: Any) -> nn.Module:
    return steps(norm=nn.GroupNorm(2, 4))


@entry("channels last")
def channels_last(**_: Any) -> nn.Module:
    return steps().to(memory_format=torch.channels_last)


@entry("dropout")
def dropout(**_: Any) -> nn.Module:
    return steps(nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Dropout(0.2)))


@entry("lazy")
def lazy(**_: Any) -> nn.Module:
    return steps(nn.LazyConv2d(4, 3, padding=1))


@entry("old weight norm")
def old_weight_norm(**_: Any) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return steps(torch.nn.utils.weight_norm(nn.Conv2d(2, 4, 3, padding=1)))


@entry("weight norm")
def weight_norm(**_: Any) -> nn.Module:
    return steps(torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 4, 3, padding=1)))


@entry("spectral norm")
def spectral_norm(**_: Any) -> nn.Module:
    return steps(torch.nn.utils.parametrizations.spectral_norm(nn.Conv2d(2, 4, 3, padding=1)))


class Two(Steps):
    """With a second convolution behind the neuron, used as a subclass says."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), LIF())
        self.second, self.norm2, self.neuron2 = (
            nn.Conv2d(4, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            LIF(),
        )

    def block(self, x: Tensor, conv: nn.Module, norm: nn.Module, neuron: nn.Module) -> Tensor:
        return neuron(norm(conv(x.flatten(0, 1))).unflatten(0, x.shape[:2]))

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(x, self.conv, self.norm, self.neuron)
        return self.head(self.body(x).mean((3, 4))).mean(0)

    def body(self, x: Tensor) -> Tensor:
        return self.block(x, self.second, self.norm2, self.neuron2)


@entry("reused layer")
class Reused(Two):
    def __init__(self, **_: Any) -> None:
        super().__init__()

    def body(self, x: Tensor) -> Tensor:
        return super().body(super().body(x))


@entry("tied weights")
class Tied(Two):
    def __init__(self, **_: Any) -> None:
        super().__init__()
        self.third, self.neuron3 = nn.Conv2d(4, 4, 3, padding=1), LIF()
        self.third.weight = self.second.weight

    def body(self, x: Tensor) -> Tensor:
        return self.block(super().body(x), self.third, self.norm2, self.neuron3)


@entry("unused layer")
class Unused(Two):
    def __init__(self, **_: Any) -> None:
        super().__init__()
        self.auxiliary = nn.Linear(4, CLASSES)


@entry("real residual")
class RealResidual(Two):
    def __init__(self, **_: Any) -> None:
        super().__init__()

    def body(self, x: Tensor) -> Tensor:
        current = self.norm2(self.second(x.flatten(0, 1))).unflatten(0, x.shape[:2])
        return self.neuron2(current + 0.5 * x) + current


@entry("batch norm after linear")
class NormedHead(Two):
    def __init__(self, **_: Any) -> None:
        super().__init__()
        self.hidden, self.hidden_norm = nn.Linear(4, 5), nn.BatchNorm1d(5)
        self.head = nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(x, self.conv, self.norm, self.neuron)
        return self.head(self.hidden_norm(self.hidden(x.mean((0, 3, 4)))).relu())


@entry("interpolation, transposed convolution")
class UpAndDown(Two):
    def __init__(self, **_: Any) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)

    def body(self, x: Tensor) -> Tensor:
        x = super().body(x)
        small = F.max_pool2d(x.flatten(0, 1), 2)
        up = F.interpolate(self.up(small), scale_factor=0.5, mode="bilinear", align_corners=False)
        return (up + F.interpolate(small, size=4)).unflatten(0, x.shape[:2])


@entry("hybrid with attention")
class Hybrid(Two):
    """A spiking front, then layer norm, attention and GELU as everywhere else."""

    def __init__(self, **_: Any) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.layer_norm, self.mlp = nn.LayerNorm(4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.block(x, self.conv, self.norm, self.neuron)
        tokens = spikes.mean(0).flatten(2).transpose(1, 2)
        normed = self.layer_norm(tokens)
        tokens = tokens + self.attention(normed, normed, normed, need_weights=False)[0]
        tokens = tokens + F.gelu(self.mlp(tokens))
        return self.head(tokens.mean(1))


@entry("softmax, einsum, functional layers")
class Functional(Two):
    def __init__(self, **_: Any) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(4, 4) / 2)
        self.kernel = nn.Parameter(torch.randn(4, 4, 3, 3) / 6)

    def body(self, x: Tensor) -> Tensor:
        y = F.conv2d(x.flatten(0, 1), self.kernel, padding=1).unflatten(0, x.shape[:2])
        weights = torch.einsum("tnchw,cd->tndhw", x, self.matrix).softmax(2)
        return F.linear((y * weights).movedim(2, -1), self.matrix).movedim(-1, 2)


class Gate(torch.autograd.Function):
    """A Heaviside step with a triangular surrogate, as people write it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grads[0] * (1 - x.abs()).clamp_min(0)


class HandWritten(nn.Module):
    """A leaky neuron of a user's own: one step a call, its potential inside."""

    def __init__(self) -> None:
        super().__init__()
        self.tau, self.v_threshold, self.v = 2.0, 1.0, None

    def reset(self) -> None:
        self.v = None

    def forward(self, x: Tensor) -> Tensor:
        v = torch.zeros_like(x) if self.v is None else self.v
        v = v + (x - v) / self.tau
        spikes = Gate.apply(v - self.v_threshold)
        self.v = v * (1 - spikes.detach())
        return spikes


class Forgetful(HandWritten):
    """The same, and nothing resets it."""

    reset = None  # type: ignore[assignment]


class StepByStep(nn.Module):
    """A loop over timesteps that writes its outputs into memory made before it."""

    def __init__(self, neuron: nn.Module, per_step: bool = False) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.neuron, self.head = neuron, nn.Linear(4, CLASSES)
        self.per_step = per_step

    def forward(self, x: Tensor) -> Tensor:
        out = []
        for frame in x:
            out.append(self.head(self.neuron(self.norm(self.conv(frame))).mean((2, 3))))
        logits = torch.stack(out)
        return logits if self.per_step else logits.mean(0)


@entry(
    "hand-written, declared",
    neurons=[{"class": "HandWritten", "reset": "zero", "output": "binary"}],
)
def declared(**_: Any) -> nn.Module:
    return StepByStep(HandWritten())


@entry("hand-written, undeclared", refused="keeps state from one batch to the next")
def undeclared(**_: Any) -> nn.Module:
    return StepByStep(Forgetful())


@entry("neuron class that is not there", refused="did you mean", neurons=["HandWriten"])
def misspelt(**_: Any) -> nn.Module:
    return StepByStep(HandWritten())


@entry("arithmetic in forward")
class Inline(nn.Module):
    """No neuron module at all: membrane arithmetic in forward, outputs written into memory."""

    def __init__(self, **_: Any) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        v = torch.zeros(x.shape[1], 4, SIZE, SIZE, device=x.device)
        out = torch.zeros(x.shape[0], x.shape[1], 4, device=x.device)
        for t, frame in enumerate(x):
            v = 0.5 * v + self.conv(frame)
            spikes = Gate.apply(v - 1.0)
            v = v - spikes.detach()
            out[t] = spikes.mean((2, 3))
        return self.head(out.mean(0))


@entry("logits of every step", readout="sum")
def per_step(**_: Any) -> nn.Module:
    return StepByStep(neuron=_PerStepLIF(), per_step=True)


@entry("logits of every step, nothing said", refused="readout")
def per_step_refused(**_: Any) -> nn.Module:
    return StepByStep(neuron=_PerStepLIF(), per_step=True)


class _PerStepLIF(nn.Module):
    """Fires without a memory."""

    def forward(self, x: Tensor) -> Tensor:
        return Gate.apply(x - 1.0)


@entry("no surrogate gradient", refused="no gradient comes out of it")
class NoGradient(nn.Module):
    def __init__(self, **_: Any) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(2, 3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return (
            (self.head((self.conv(x.flatten(0, 1)) > 0).float().mean((2, 3))) > 0)
            .float()
            .unflatten(0, x.shape[:2])
            .mean(0)
        )


@entry("NaN from the start", refused="gives NaN")
class NotANumber(Two):
    def __init__(self, **_: Any) -> None:
        super().__init__()
        nn.init.constant_(self.head.bias, float("nan"))


@entry("an operation that nobody knows", refused='unknown = "real"')
class Odd(Two):
    def __init__(self, **_: Any) -> None:
        super().__init__()

    def body(self, x: Tensor) -> Tensor:
        return torch.special.i0(super().body(x))


@entry("the same, counted as real", unknown="real")
def odd_as_real(**_: Any) -> nn.Module:
    return Odd()


@entry("bfloat16", refused="float")
def bfloat16(**_: Any) -> nn.Module:
    return steps().to(torch.bfloat16)


@entry("float64 inside")
class Double(Two):
    """Doubles in the middle; the weights that are searched stay single."""

    def __init__(self, **_: Any) -> None:
        super().__init__()

    def body(self, x: Tensor) -> Tensor:
        return super().body(x).double().float()
