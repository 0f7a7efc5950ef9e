"""Fake quantizers: a weight in, the value it would have after encoding and decoding out.

Every scheme has a per-channel scale with the gradient of LSQ (Esser et al., ICLR 2020): for
``Q(w) = s * q(w / s)`` it is ``dQ/ds = q(r) - r`` inside the range of the codebook and the
outermost level outside, scaled by 1 / sqrt(n * Qp); the weight's gradient is passed straight
through inside the range. What is learned (a step, or its logarithm) is said by the scheme; the
exponents of power-of-two scales practically do not move in a short training.

A quantizer knows nothing of layers: a supernet may call several of them on one weight.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from hqsearch.quant import codebooks
from hqsearch.schemes.base import LARGEST_WEIGHT, SMALLEST_SCALE
from hqsearch.schemes.choice import Choice

#: Weight of the summed error when a scale is chosen; measured on a trained Spikformer, where it
#: brings the loss of a 2u network before training from 0.32 to 0.25 (fp32: 0.13).
_COMMON_MODE = 0.3
#: A channel whose weights are below this, also relative to the layer's, counts as zero.
_VANISHING = 2.0**-24


class _Quantize(torch.autograd.Function):
    """``level(code(weight / scale)) * scale`` with the straight-through and LSQ gradients."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, scale: Tensor, choice: Choice) -> Tensor:
        spread = codebooks.per_channel(scale, weight)
        ratio = weight / spread
        scheme, bits = choice.scheme, choice.bits
        level = scheme.code_to_level(scheme.ratio_to_code(ratio, bits), bits)
        ctx.save_for_backward(ratio, level)
        ctx.choice = choice
        return level * spread

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        ratio, level = ctx.saved_tensors
        scheme, bits = ctx.choice.scheme, ctx.choice.bits
        low, high = scheme.level_range(bits)
        inside = ((ratio >= low) & (ratio <= high)).to(ratio.dtype)
        grad_weight = grads[0] * inside
        per_weight = torch.addcmul(level, ratio, inside, value=-1.0).mul_(grads[0])
        grad_scale = per_weight.flatten(1).sum(1)
        grad_scale.mul_(1.0 / math.sqrt(ratio[0].numel() * scheme.gradient_divisor(bits)))
        return grad_weight, grad_scale, None


class FakeQuantizer(nn.Module):
    """A choice and a learned scale per output channel; ``forward(weight) -> weight``.

    The learned parameter is called as its scheme says: ``step`` or ``log2_scale``, say.

    Args:
        choice: a quantized choice, such as ``4u``.
        channels: number of output channels C, the first axis of the weight.

    Raises:
        ValueError: ``fp32``.
        DefinitionError: no such choice.
    """

    def __init__(self, choice: str | Choice, channels: int) -> None:
        super().__init__()
        self.choice = codebooks.coded(choice)
        self.channels = channels
        scheme = self.choice.scheme
        start = torch.full((channels,), scheme.unset)
        self.register_parameter(scheme.parameter, nn.Parameter(start))

    def scale(self) -> Tensor:
        """Positive scales ``[C]``, differentiable."""
        scheme = self.choice.scheme
        return scheme.scale(self.get_parameter(scheme.parameter))

    def in_range(self) -> bool:
        """Whether every scale still follows its learned parameter."""
        low, high = self.choice.scheme.parameter_range
        learned = self.get_parameter(self.choice.scheme.parameter).detach()
        return bool(((learned >= low) & (learned <= high)).all())

    def initialize(self, weight: Tensor) -> None:
        """Set the scales from a trained ``weight`` ``[C, ...]``."""
        scheme = self.choice.scheme
        with torch.no_grad():
            learned = scheme.parameter_of(starting_scale(weight, self.choice))
            self.get_parameter(scheme.parameter).copy_(learned)

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


def make_quantizer(choice: str | Choice, weight: Tensor, layer: str = "the layer") -> FakeQuantizer:
    """The quantizer of ``choice`` with scales initialised from ``weight`` ``[C, ...]``.

    Args:
        choice: a quantized choice.
        weight: trained.
        layer: its path, for messages.

    Raises:
        FloatingPointError: a weight that is NaN or infinite.
        ValueError: ``fp32``, or a weight beyond ±2^48.
        DefinitionError: no such choice.
    """
    quantizer = FakeQuantizer(choice, weight.shape[0]).to(weight.device, weight.dtype)
    largest = float(weight.detach().abs().max()) if weight.numel() else 0.0
    if not math.isfinite(largest):
        raise FloatingPointError(f"the weight of {layer} is not finite.")
    if largest > LARGEST_WEIGHT:
        raise ValueError(
            f"weights of {layer} reach {largest:.3g}, beyond what is quantized (2^48); "
            "leave it in fp32."
        )
    quantizer.initialize(weight.detach())
    return quantizer


def starting_scale(weight: Tensor, choice: Choice) -> Tensor:
    """:func:`best_scale`; where a channel vanishes, a scale that it can learn with, ``[C]``.

    The best scale of a channel of zeros is the smallest there is, which no gradient reaches and
    which clips whatever the weights become. Where the codebook has a zero, such a channel starts
    at the median scale of the others instead, and a layer of zeros at that of weights which are
    drawn as torch draws them, evenly within ±1 / sqrt(n). A channel vanishes if its largest
    weight is below 2^-24 and below 2^-24 of the layer's largest: float32's rounding of 1.
    """
    best = best_scale(weight, choice)
    scheme, bits = choice.scheme, choice.bits
    zero = weight.new_zeros(1)
    if not weight.numel() or bool(scheme.code_to_level(scheme.ratio_to_code(zero, bits), bits)):
        return best
    largest = weight.abs().flatten(1).amax(1)
    vanishing = largest <= _VANISHING * largest.max().clamp_max(1.0)
    vanishing |= best <= 2.0 * SMALLEST_SCALE
    if not bool(vanishing.any()):
        return best
    if not bool(vanishing.all()):
        usual = best[~vanishing].median()
    else:
        n = weight[0].numel()
        drawn = (torch.arange(n, device=weight.device, dtype=weight.dtype) + 0.5) / n
        drawn[1::2].neg_()
        usual = best_scale(drawn.unsqueeze(0) / math.sqrt(n), choice)[0]
    return torch.where(vanishing, usual, best)


def best_scale(weight: Tensor, choice: Choice) -> Tensor:
    """Of the scheme's initial scales, the one of least error for each channel, ``[C]``."""
    scheme, bits = choice.scheme, choice.bits
    scales = scheme.initial_scales(weight, bits)
    if len(scales) == 1:
        return scales[0]
    errors = []
    for scale in scales:
        spread = codebooks.per_channel(scale, weight)
        level = scheme.code_to_level(scheme.ratio_to_code(weight / spread, bits), bits)
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
