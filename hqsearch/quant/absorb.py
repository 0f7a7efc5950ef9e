"""Batch normalization without multipliers: absorb it into the neuron that follows.

Folding BN into quantized weights would break their codes. Where a leaky integrate-and-fire
neuron with a hard reset to 0 follows, BN and the layer's scale need no folding: with integer
sums z in units of scale, ``BN(scale * z + bias) = a z + d``, so the neuron's recursion in units
of ``a`` is

    u[t] = (1 - 1/tau) u[t-1] + (z[t] + d/a) / tau        fires where  u[t] >= threshold / a

for a > 0; a < 0 flips the comparison, and a == 0 leaves a neuron that sees the constant d. An
integer neuron of D levels keeps nothing and compares ``z + d/a`` with (2j - 1) times its first
threshold, 1 / (2D), over a, j = 1 … D. Storage then holds one threshold and one bias per channel.
Where no such neuron follows, BN remains a per-channel multiply, which a cost model counts; a traced
workload tells which is the case (``Workload.following``).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

Norm = nn.BatchNorm1d | nn.BatchNorm2d


@dataclass(frozen=True)
class Absorbed:
    """Per-channel constants ``[C]`` of a neuron that has taken a scale and a BN in.

    Attributes:
        threshold: in units of the layer's integer sums (of the original input where gain is 0).
        bias: added to the sums at every timestep, same unit.
        gain: 1.0 where the sums are used, 0.0 where BN multiplies by zero.
        flipped: the neuron fires where the potential is *below or at* the threshold.
    """

    threshold: Tensor
    bias: Tensor
    gain: Tensor
    flipped: Tensor


def absorb(
    norm: Norm, scale: Tensor, threshold: float, layer_bias: Tensor | None = None
) -> Absorbed:
    """Constants of the neuron after ``norm`` after a layer with per-channel ``scale`` ``[C]``.

    Args:
        norm: batch normalization with running statistics, as used in evaluation.
        scale: weight of one unit of the sums: ``integer_unit`` of the layer's scales, ones for
            an fp32 layer.
        threshold: the neuron's threshold; its reset must be hard, to 0.
        layer_bias: the layer's own bias ``[C]``.

    Raises:
        ValueError: a norm that keeps no running statistics.
    """
    slope, offset = normalized(norm, scale.dtype)
    if layer_bias is not None:
        offset = offset + slope * layer_bias.detach().to(scale.dtype)
    slope = slope * scale
    unit = torch.where(slope == 0, torch.ones_like(scale), slope)
    return Absorbed(threshold / unit, offset / unit, (slope != 0).to(scale.dtype), slope < 0)


def normalized(norm: Norm, kind: torch.dtype) -> tuple[Tensor, Tensor]:
    """``(a, d)``, each ``[C]`` of type ``kind``: in evaluation ``norm(x)`` is ``a x + d``.

    Raises:
        ValueError: a norm that keeps no running statistics.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("this batch normalization keeps no running statistics to absorb.")
    mean, variance = norm.running_mean.to(kind), norm.running_var.to(kind)
    gamma = torch.ones_like(mean) if norm.weight is None else norm.weight.detach().to(kind)
    beta = torch.zeros_like(mean) if norm.bias is None else norm.bias.detach().to(kind)
    slope = gamma / torch.sqrt(variance + norm.eps)
    return slope, beta - slope * mean


def fire_absorbed(sums: Tensor, absorbed: Absorbed, tau: float, levels: int = 0) -> Tensor:
    """Spikes of the absorbed neuron; the reference for hardware and for the equality test.

    Args:
        sums: ``[T, N, C, ...]`` sums of ``integers`` of the codes, before any scale.
        absorbed: constants ``[C]``; of an integer neuron, from its first threshold.
        tau: membrane time constant of the neuron.
        levels: D of an integer neuron, which has no membrane; 0: a leaky one of binary spikes.

    Returns:
        Spikes ``[T, N, C, ...]``: 0 or 1; of an integer neuron 0 … ``levels``.
    """
    shape = [-1] + [1] * (sums.ndim - 3)
    threshold, bias, gain, flipped = (
        part.view(shape)
        for part in (absorbed.threshold, absorbed.bias, absorbed.gain, absorbed.flipped)
    )
    if levels:
        current = sums * gain + bias
        counts = torch.zeros_like(sums)
        for step in range(1, 2 * levels, 2):
            edge = threshold * step
            counts += torch.where(flipped, current <= edge, current >= edge)
        return counts
    potential = torch.zeros_like(sums[0])
    spikes = torch.empty_like(sums)
    for t, total in enumerate(sums):
        potential = potential + (total * gain + bias - potential) / tau
        fired = torch.where(flipped, potential <= threshold, potential >= threshold)
        spikes[t] = fired
        potential = potential.masked_fill(fired, 0.0)
    return spikes
