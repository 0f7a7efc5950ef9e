"""Batch normalization without multipliers: absorb it into the neuron that follows.

Folding BN into quantized weights would break their codes. Where a leaky integrate-and-fire
neuron with a hard reset to 0 follows, BN and the layer's scale need no folding: with integer
sums z in units of scale, ``BN(scale * z + bias) = a z + d``, so the neuron's recursion in units
of ``a`` is

    u[t] = (1 - 1/tau) u[t-1] + (z[t] + d/a) / tau        fires where  u[t] >= threshold / a

for a > 0; a < 0 flips the comparison, and a == 0 leaves a neuron that sees the constant d. Storage
then holds one threshold and one bias per channel. Where no such neuron follows, BN remains a
per-channel multiply, which a cost model counts; :func:`following` tells which is the case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hqsearch.models.layers import WEIGHT_LAYERS
from hqsearch.models.neurons import SpikingNeuron

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
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("this batch normalization keeps no running statistics to absorb.")
    kind = scale.dtype
    ones = torch.ones_like(scale)
    gamma = ones if norm.weight is None else norm.weight.detach().to(kind)
    beta = torch.zeros_like(scale) if norm.bias is None else norm.bias.detach().to(kind)
    slope = gamma / torch.sqrt(norm.running_var.to(kind) + norm.eps)
    mean = norm.running_mean.to(kind)
    offset = beta - slope * (mean if layer_bias is None else mean - layer_bias.detach().to(kind))
    slope = slope * scale
    unit = torch.where(slope == 0, ones, slope)
    return Absorbed(threshold / unit, offset / unit, (slope != 0).to(kind), slope < 0)


def fire_absorbed(sums: Tensor, absorbed: Absorbed, tau: float) -> Tensor:
    """Spikes of the absorbed neuron; the reference for hardware and for the equality test.

    Args:
        sums: ``[T, N, C, ...]`` sums of ``integers`` of the codes, before any scale.
        absorbed: constants ``[C]``.
        tau: membrane time constant of the neuron.

    Returns:
        Spikes ``[T, N, C, ...]``, 0 or 1.
    """
    shape = [-1] + [1] * (sums.ndim - 3)
    threshold, bias, gain, flipped = (
        part.view(shape)
        for part in (absorbed.threshold, absorbed.bias, absorbed.gain, absorbed.flipped)
    )
    potential = torch.zeros_like(sums[0])
    spikes = torch.empty_like(sums)
    for t, total in enumerate(sums):
        potential = potential + (total * gain + bias - potential) / tau
        fired = torch.where(flipped, potential <= threshold, potential >= threshold)
        spikes[t] = fired
        potential = potential.masked_fill(fired, 0.0)
    return spikes


@dataclass(frozen=True)
class Following:
    """What reads the output of a weight layer and nothing else does.

    Attributes:
        norm: path of the batch normalization, or None.
        neuron: path of the neuron behind that norm (or behind the layer itself), or None.
    """

    norm: str | None
    neuron: str | None

    @property
    def absorbed(self) -> bool:
        """Whether a norm is there and a neuron takes it in."""
        return self.norm is not None and self.neuron is not None


class _Mark(torch.autograd.Function):
    """Identity whose node in the autograd graph says where a module begins or ends."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


#: Autograd nodes that only rearrange a tensor.
_REARRANGE = (
    "View", "UnsafeView", "ReshapeAlias", "Permute", "Transpose", "T", "Squeeze", "Unsqueeze",
    "Clone", "Alias", "Flatten", "Unflatten", "Expand", "Contiguous",
)  # fmt: skip


def following(model: nn.Module, batch: Tensor) -> dict[str, Following]:
    """For every weight layer, the norm and the neuron that alone read its output.

    Runs ``model`` once on ``batch`` in evaluation mode and reads the autograd graph; works on any
    network whose neurons derive from :class:`SpikingNeuron`. A layer used twice counts as read
    by more than one.

    Args:
        model: a network with Conv1d, Conv2d or Linear layers.
        batch: one small input of the network.
    """
    begins: dict[Any, str] = {}
    ends: dict[Any, str] = {}

    def begin(path: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            marked = _Mark.apply(inputs[0])
            begins[marked.grad_fn] = path
            return (marked, *inputs[1:])

        return hook

    def end(path: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Tensor) -> Tensor:
            marked: Tensor = _Mark.apply(output)
            ends[marked.grad_fn] = path
            return marked

        return hook

    modules = dict(model.named_modules())
    norms = {p for p, m in modules.items() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)}
    neurons = {p for p, m in modules.items() if isinstance(m, SpikingNeuron)}
    layers = [p for p, m in modules.items() if isinstance(m, WEIGHT_LAYERS)]
    handles = [
        *(modules[path].register_forward_pre_hook(begin(path)) for path in norms | neurons),
        *(modules[path].register_forward_hook(end(path)) for path in [*layers, *norms]),
    ]
    training = {path: module.training for path, module in modules.items()}
    try:
        model.eval()
        with torch.enable_grad():
            output = model(batch.detach().clone().requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
        for path, mode in training.items():
            modules[path].training = mode
    readers = _readers(output.grad_fn)
    after: dict[str, set[str]] = {}
    for node, path in ends.items():
        after.setdefault(path, set()).update(_first_marks(node, readers, begins))
    found = {}
    for path in layers:
        norm = neuron = _only(after.get(path, set()))
        if norm is None or norm not in norms:
            found[path] = Following(None, neuron if neuron in neurons else None)
        else:
            neuron = _only(after.get(norm, set()))
            found[path] = Following(norm, neuron if neuron in neurons else None)
    return found


def _readers(root: Any) -> dict[Any, list[Any]]:
    """Autograd nodes that read each node's result, found backwards from ``root``."""
    readers: dict[Any, list[Any]] = {}
    seen, stack = {root}, [root]
    while stack:
        node = stack.pop()
        for source, _ in node.next_functions:
            if source is None:
                continue
            readers.setdefault(source, []).append(node)
            if source not in seen:
                seen.add(source)
                stack.append(source)
    return readers


def _first_marks(node: Any, readers: dict[Any, list[Any]], begins: dict[Any, str]) -> set[str]:
    """Paths of the modules that read ``node`` directly or rearranged; "" for anything else."""
    found: set[str] = set()
    for reader in readers.get(node, []):
        name = reader.name().rsplit("::", 1)[-1].split("Backward")[0]
        if reader in begins:
            found.add(begins[reader])
        elif name in _REARRANGE:
            found |= _first_marks(reader, readers, begins)
        else:
            found.add("")
    return found


def _only(paths: set[str]) -> str | None:
    return next(iter(paths)) if len(paths) == 1 and "" not in paths else None
