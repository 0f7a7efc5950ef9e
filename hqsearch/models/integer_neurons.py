"""Neurons that emit integers: the one of QSD-Transformer, and the stateful one its name promises.

The integer neuron ("IE-LIF" in Qiu et al., ICLR 2025, arXiv 2501.13492) is stateless in the public
code, a quantized ReLU without leak or reset::

    m = round(clamp(D x, 0, D)), half up        output  gain · m / D

with gradient ``gain`` where 0 < x < 1 and else 0. An output of m / D stands for m unit spikes:
m >= j exactly where x >= (2j - 1) / (2D). :class:`IntegerLIF` adds what the paper's text has and
its code has not, a leak and a reset by subtraction::

    charge   h[t] = v[t-1] + x[t]
    fire     m[t] = round(clamp(D h[t], 0, D))
    reset    v[t] = leak · (h[t] - m[t] / D)             (detached from the gradient)

(a reconstruction, after the integer LIF of SpikeYOLO, Luo et al., ECCV 2024); with one timestep it
is the integer neuron. :func:`virtual_steps` gives the binary spikes that integers stand for.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hqsearch.models.neurons import SpikingNeuron

#: Levels D of the public code, and the part of a membrane that the next step still has.
LEVELS = 4
LEAK = 0.25


def round_half_up(x: Tensor, levels: int) -> Tensor:
    """``round(clamp(levels * x, 0, levels))`` of any shape, half rounding up; 0.0 … ``levels``.

    Adding a half and rounding down would round twice: the number next below a half goes up.

    >>> round_half_up(torch.tensor([-1.0, 0.124, 0.125, 0.5, 9.0]), 4).tolist()
    [0.0, 0.0, 1.0, 2.0, 4.0]
    """
    scaled = (x * levels).clamp_(0, levels)
    low = scaled.floor()
    return low.add_(scaled.sub_(low).ge_(0.5))


class _Fire(torch.autograd.Function):
    """Integers times ``unit``; the gradient is that of ``gain * clamp(x, 0, 1)`` inside."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, levels: int, gain: float) -> Tensor:
        ctx.save_for_backward((x > 0) & (x < 1))
        ctx.gain = gain
        return round_half_up(x, levels).mul_(gain / levels)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        passed = grads[0] * inside
        return passed if ctx.gain == 1.0 else passed.mul_(ctx.gain), None, None


class IntegerNeuron(SpikingNeuron):
    """Rounds its input to 0, 1, … ``levels`` unit spikes; keeps nothing from step to step.

    Args:
        levels: D, at least 1.
        gain: of its output, positive; one unit spike is ``gain / levels``.

    Attributes:
        unit: size of one unit spike.
        stateless: it has no membrane potential, and T copies of one input give one output.

    Raises:
        ValueError: a constant outside its range.
    """

    stateless = True

    def __init__(self, levels: int = LEVELS, gain: float = 1.0) -> None:
        if levels < 1 or gain <= 0:
            raise ValueError(
                f"an integer neuron needs levels >= 1 and gain > 0; got levels {levels}, "
                f"gain {gain}."
            )
        super().__init__(tau=1.0, threshold=0.5 / levels)
        self.levels, self.gain = levels, float(gain)
        self.unit = self.gain / levels

    def forward(self, x: Tensor) -> Tensor:
        """``x`` of any shape; integers times ``unit`` of that shape."""
        fired: Tensor = _Fire.apply(x, self.levels, self.gain)
        return fired

    def extra_repr(self) -> str:
        return f"levels={self.levels}, gain={self.gain}"


class IntegerLIF(SpikingNeuron):
    """The integer neuron with a membrane: what it did not fire leaks and adds to the next step.

    It subtracts what it fires, so it takes in no normalisation.

    Args:
        levels: D, at least 1.
        gain: of its output, positive; one unit spike is ``gain / levels``.
        leak: part of the rest that the next step still has, 0 to 1.

    Raises:
        ValueError: a constant outside its range.
    """

    v_reset = None

    def __init__(self, levels: int = LEVELS, gain: float = 1.0, leak: float = LEAK) -> None:
        if levels < 1 or gain <= 0 or not 0 <= leak < 1:
            raise ValueError(
                f"an integer LIF needs levels >= 1, gain > 0 and 0 <= leak < 1; got levels "
                f"{levels}, gain {gain}, leak {leak}."
            )
        super().__init__(tau=1.0 / (1.0 - leak), threshold=0.5 / levels)
        self.levels, self.gain, self.leak = levels, float(gain), leak
        self.unit = self.gain / levels

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [T, ...] input current; integers times ``unit`` [T, ...]."""
        fired: list[Tensor] = []
        rest: Tensor | None = None
        for current in x.unbind(0):
            h = current if rest is None else rest + current
            fired.append(_Fire.apply(h, self.levels, self.gain))
            rest = (h - fired[-1].detach() / self.gain) * self.leak
        return torch.stack(fired)

    def extra_repr(self) -> str:
        return f"levels={self.levels}, gain={self.gain}, leak={self.leak}"


def virtual_steps(values: Tensor, levels: int, unit: float) -> Tensor:
    """Integers times ``unit``, of any shape ``[...]``, as binary spikes ``[levels, ...]``.

    Ones first, then zeros. A linear layer of each virtual step, summed and times ``unit``, gives
    what it gives of ``values``; products of two expanded tensors need the sums first.

    >>> virtual_steps(torch.tensor([0.0, 0.5, 1.0]), 4, 0.25).tolist()
    [[0.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]
    """
    counts = (values / unit).round()
    step = torch.arange(levels, device=values.device, dtype=values.dtype)
    return (counts.unsqueeze(0) > step.view(-1, *[1] * values.ndim)).to(values.dtype)
