"""Fake quantizers: a weight in, the value it would have after encoding and decoding out.

Both learn their per-channel scale with the gradient of LSQ (Esser et al., ICLR 2020): for
``Q(w) = s * q(w / s)`` it is ``dQ/ds = q(r) - r`` inside the range of the codebook and the
outermost level outside, scaled by 1 / sqrt(n * Qp); the weight's gradient is passed straight
through inside the range. The power-of-two scheme learns log2 of its scale and rounds it, straight
through as well (reconstruction: SpikeHQ does not publish its equations).

A quantizer knows nothing of layers: a supernet may call several of them on one weight.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from hqsearch.quant import codebooks
from hqsearch.schemes.choice import Choice, parse_choice

_SMALLEST_SCALE = 2.0**-60
#: Weight of the summed error when a scale is chosen; measured on a trained Spikformer, where it
#: brings the loss of a 2u network before training from 0.32 to 0.25 (fp32: 0.13).
_COMMON_MODE = 0.3


class _Quantize(torch.autograd.Function):
    """``level(code(weight / scale)) * scale`` with the straight-through and LSQ gradients."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, scale: Tensor, choice: Choice) -> Tensor:
        spread = codebooks.per_channel(scale, weight)
        ratio = weight / spread
        level = codebooks.code_to_level(codebooks.ratio_to_code(ratio, choice), choice)
        ctx.save_for_backward(ratio, level)
        ctx.choice = choice
        return level * spread

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        ratio, level = ctx.saved_tensors
        low, high = _level_range(ctx.choice)
        inside = ((ratio >= low) & (ratio <= high)).to(ratio.dtype)
        grad_weight = grads[0] * inside
        per_weight = torch.addcmul(level, ratio, inside, value=-1.0).mul_(grads[0])
        grad_scale = per_weight.flatten(1).sum(1)
        grad_scale.mul_(1.0 / math.sqrt(ratio[0].numel() * max(1.0, high)))
        return grad_weight, grad_scale, None


class FakeQuantizer(nn.Module):
    """Base: a choice, a learned scale per output channel, ``forward(weight) -> weight``.

    Args:
        choice: a quantized choice, such as ``4u``.
        channels: number of output channels C, the first axis of the weight.
    """

    def __init__(self, choice: str | Choice, channels: int) -> None:
        super().__init__()
        self.choice = parse_choice(choice) if isinstance(choice, str) else choice
        self.channels = channels
        codebooks.code_range(self.choice)

    def scale(self) -> Tensor:
        """Positive scales ``[C]``, differentiable."""
        raise NotImplementedError

    def initialize(self, weight: Tensor) -> None:
        """Set the scales from a trained ``weight`` ``[C, ...]``."""
        raise NotImplementedError

    def forward(self, weight: Tensor) -> Tensor:
        """Quantized weight of the same shape ``[C, ...]``."""
        quantized: Tensor = _Quantize.apply(weight, self.scale(), self.choice)
        return quantized

    def codes(self, weight: Tensor) -> Tensor:
        """``int8`` codes of ``weight`` ``[C, ...]`` at the present scales."""
        with torch.no_grad():
            return codebooks.encode(weight, self.scale(), self.choice)

    def extra_repr(self) -> str:
        return f"{self.choice}, channels={self.channels}"


class UniformQuantizer(FakeQuantizer):
    """Learned step size (LSQ) per output channel, 2 to 8 bits."""

    def __init__(self, choice: str | Choice, channels: int) -> None:
        super().__init__(choice, channels)
        self.step = nn.Parameter(torch.ones(channels))

    def scale(self) -> Tensor:
        return self.step.abs().clamp_min(_SMALLEST_SCALE)

    def initialize(self, weight: Tensor) -> None:
        with torch.no_grad():
            self.step.copy_(best_step(weight, self.choice))


class PowerOfTwoQuantizer(FakeQuantizer):
    """Power-of-two levels and a power-of-two scale per output channel, 2 to 5 bits."""

    def __init__(self, choice: str | Choice, channels: int) -> None:
        super().__init__(choice, channels)
        self.log2_scale = nn.Parameter(torch.zeros(channels))

    def scale(self) -> Tensor:
        rounded = self.log2_scale + (self.log2_scale.round() - self.log2_scale).detach()
        return torch.exp2(rounded.clamp(-60.0, 60.0))

    def initialize(self, weight: Tensor) -> None:
        with torch.no_grad():
            self.log2_scale.copy_(best_exponent(weight, self.choice))


def make_quantizer(choice: str | Choice, weight: Tensor) -> FakeQuantizer:
    """The quantizer of ``choice`` with scales initialised from ``weight`` ``[C, ...]``.

    Raises:
        ValueError: ``fp32``.
        DefinitionError: no such choice.
    """
    parsed = parse_choice(choice) if isinstance(choice, str) else choice
    kind = PowerOfTwoQuantizer if parsed.scheme == "power-of-two" else UniformQuantizer
    quantizer = kind(parsed, weight.shape[0]).to(weight.device, weight.dtype)
    quantizer.initialize(weight.detach())
    return quantizer


def lsq_step(weight: Tensor, choice: Choice) -> Tensor:
    """LSQ's initial step ``2 mean|w| / sqrt(Qp)`` per channel, ``[C]``."""
    _, high = codebooks.code_range(choice)
    return 2.0 * weight.abs().flatten(1).mean(1).clamp_min(_SMALLEST_SCALE) / math.sqrt(high)


def best_step(weight: Tensor, choice: Choice) -> Tensor:
    """The step ``[C]`` of least error: parts of the one that clips nothing, and LSQ's."""
    _, high = codebooks.code_range(choice)
    whole = weight.abs().flatten(1).amax(1).clamp_min(_SMALLEST_SCALE) / high
    parts = [whole * (k / 40) for k in range(6, 43)]
    return _least_error(weight, [lsq_step(weight, choice), *parts], choice)


def best_exponent(weight: Tensor, choice: Choice) -> Tensor:
    """Integer exponents ``[C]`` (as floats) of the power-of-two scale of least error."""
    largest = weight.abs().flatten(1).amax(1).clamp_min(_SMALLEST_SCALE)
    top = torch.frexp(largest).exponent.to(weight.dtype)
    return _least_error(weight, [torch.exp2(top - k) for k in range(5)], choice).log2()


def _least_error(weight: Tensor, scales: list[Tensor], choice: Choice) -> Tensor:
    errors = []
    for scale in scales:
        spread = codebooks.per_channel(scale, weight)
        level = codebooks.code_to_level(codebooks.ratio_to_code(weight / spread, choice), choice)
        errors.append(_error(level * spread - weight))
    best = torch.stack(errors).argmin(0, keepdim=True)
    return torch.stack(scales).gather(0, best).squeeze(0)


def _error(difference: Tensor) -> Tensor:
    """How much a weight error ``[C, ...]`` disturbs the sums of each channel, ``[C]``.

    Spikes are never negative and tend to come together, so errors of one sign add up: with a
    correlation r between inputs the disturbance is sum(e^2) + r / (1 - r) * sum(e)^2.
    """
    flat = difference.flatten(1)
    return flat.square().sum(1) + _COMMON_MODE * flat.sum(1).square_()


def _level_range(choice: Choice) -> tuple[float, float]:
    low, high = codebooks.code_range(choice)
    return (float(low), float(high)) if choice.scheme == "uniform" else (-1.0, 1.0)
