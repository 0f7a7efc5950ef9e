"""Multi-step spiking neurons: tensors ``[T, ...]`` in, spikes of the same shape out.

The leaky integrate-and-fire (LIF) neuron of Spikformer (Zhou et al., ICLR 2023) does three things
per timestep, written down here as pure functions::

    charge   h[t] = v[t-1] + (x[t] - v[t-1]) / tau
    fire     s[t] = h[t] >= threshold
    reset    v[t] = 0 where s[t] else h[t]             (hard reset, detached from the gradient)

and learns through a sigmoid surrogate, ds/dh = alpha * sigma * (1 - sigma) with
sigma = sigmoid(alpha * (h - threshold)) (Neftci et al., IEEE SPM 2019). :class:`LIF` runs them
over all timesteps inside one autograd function, so that nothing but the recursion itself loops;
on a CPU in float32 by compiled loops (:mod:`hqsearch.models.compiled`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hqsearch.models.compiled import can_fire, can_fire_normed, normed_spikes, spikes_of


def charge(v: Tensor, x: Tensor, tau: float, out: Tensor | None = None) -> Tensor:
    """Membrane potential ``v + (x - v) / tau`` before firing; the input decays too."""
    return torch.lerp(v, x, 1.0 / tau, out=out)


def fire(h: Tensor, threshold: float, out: Tensor | None = None) -> Tensor:
    """Spikes: 1.0 where ``h >= threshold``, else 0.0, in the type of ``h``."""
    return torch.ge(h, threshold, out=torch.empty_like(h) if out is None else out)


def reset(h: Tensor, spikes: Tensor, out: Tensor | None = None) -> Tensor:
    """Hard reset to 0 where a spike was fired (``spikes`` is 0 or 1)."""
    return torch.addcmul(h, h, spikes, value=-1.0, out=out)


class _MultiStepLIF(torch.autograd.Function):
    """Forward and backward over all timesteps, in any dense memory layout of ``x``.

    Elementwise work on fresh memory costs more than the arithmetic itself, so the backward pass
    turns the saved membrane potentials into the gradient in place. A second backward pass
    through one graph is therefore refused by autograd's version check.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, tau: float, threshold: float, alpha: float) -> Tensor:
        h, spikes, v = torch.empty_like(x), torch.empty_like(x), torch.empty_like(x[0])
        for t, (h_t, s_t, x_t) in enumerate(zip(h, spikes, x, strict=True)):
            if t:
                charge(v, x_t, tau, out=h_t)
            else:
                torch.mul(x_t, 1.0 / tau, out=h_t)
            fire(h_t, threshold, out=s_t)
            if t + 1 < x.shape[0]:
                reset(h_t, s_t, out=v)
        ctx.save_for_backward(h, spikes)
        ctx.constants = (tau, threshold, alpha)
        return spikes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        h, spikes = ctx.saved_tensors
        tau, threshold, alpha = ctx.constants
        # With G[t] = g[t] * sigma * (1 - sigma) and R[t] = (tau / alpha) * dL/dx[t]:
        #   R[t] = G[t] + (1 - 1/tau) * (1 - s[t]) * R[t+1]
        steps = h.shape[0]
        slab = max(1, min(steps, _SLAB // max(1, h[0].numel())))
        scratch = torch.empty_like(h[:slab])
        shift = h.new_tensor(-alpha * threshold)
        for end in range(steps, 0, -slab):
            start = max(0, end - slab)
            sigma = scratch[: end - start]
            torch.add(shift, h[start:end], alpha=alpha, out=sigma).sigmoid_()
            _times_sigmoid_slope(grads[0][start:end], sigma, grad_input=h[start:end])
            for t in range(min(end, steps - 1) - 1, start - 1, -1):
                h[t].add_(reset(h[t + 1], spikes[t], out=scratch[0]), alpha=1.0 - 1.0 / tau)
        return h.mul_(alpha / tau), None, None, None


#: Elements that are worked on at once in the backward pass: 1 MiB of float32 stays in cache.
_SLAB = 1 << 18
_times_sigmoid_slope = torch.ops.aten.sigmoid_backward.grad_input


class SpikingNeuron(nn.Module):
    """Base of all neurons: what a cost model needs to know about one.

    Attributes:
        tau: membrane time constant in timesteps (1 keeps nothing of the past).
        threshold: membrane potential at which it fires.
        v_reset: membrane potential after a spike; a neuron that subtracts its threshold
            instead sets None, and takes in no normalisation.
        stateless: whether it keeps no membrane potential from step to step.
        unit: size of one unit spike.
        levels: unit spikes that it fires at most.
    """

    v_reset: float | None = 0.0
    stateless = False
    unit = 1.0
    levels = 1

    def __init__(self, tau: float, threshold: float) -> None:
        super().__init__()
        self.tau = tau
        self.threshold = threshold

    def extra_repr(self) -> str:
        return f"tau={self.tau}, threshold={self.threshold}"


class LIF(SpikingNeuron):
    """Leaky integrate-and-fire over all timesteps, hard reset to 0, sigmoid surrogate.

    Args:
        tau: membrane time constant, at least 1.
        threshold: firing threshold, positive.
        alpha: slope of the sigmoid surrogate.

    Raises:
        ValueError: a constant outside its range.
    """

    def __init__(self, tau: float = 2.0, threshold: float = 1.0, alpha: float = 4.0) -> None:
        if tau < 1 or threshold <= 0 or alpha <= 0:
            raise ValueError(
                f"LIF needs tau >= 1, threshold > 0 and alpha > 0; got tau {tau}, "
                f"threshold {threshold}, alpha {alpha}."
            )
        super().__init__(tau, threshold)
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [T, ...] input current; returns spikes [T, ...], 0.0 or 1.0."""
        if can_fire(x):
            return spikes_of(x, self)
        if not (torch.is_grad_enabled() and x.requires_grad):
            return _spikes_only(x, self.tau, self.threshold)
        spikes: Tensor = _MultiStepLIF.apply(x, self.tau, self.threshold, self.alpha)
        return spikes


def fire_normed(norm: nn.Module, neuron: nn.Module, x: Tensor, timesteps: int) -> Tensor:
    """Normalize and fire: ``neuron(norm(x))`` on images ``[T * N, C, h, w]``.

    In training the two become one pass over memory where they can; whoever hooks one of them, and
    every evaluation, sees them as the modules that they are.

    Args:
        norm: batch normalization, or anything else between a layer and its neuron.
        neuron: sees ``[T, N, C, h, w]``.
        x: what a layer gave.
        timesteps: T.
    """
    if type(neuron) is LIF and can_fire_normed(norm, neuron, x):
        return normed_spikes(norm, neuron, x, timesteps)
    fired: Tensor = neuron(norm(x).unflatten(0, (timesteps, -1)))
    return fired.flatten(0, 1)


def _spikes_only(x: Tensor, tau: float, threshold: float) -> Tensor:
    """The forward pass where no gradient is wanted: keeps one timestep's potential.

    Step by step the operations of :class:`_MultiStepLIF`, so that the same spikes come of the
    same current, an infinite one included.
    """
    x = x.detach()
    spikes, v, h = torch.empty_like(x), torch.empty_like(x[0]), torch.empty_like(x[0])
    for t, (x_t, s_t) in enumerate(zip(x, spikes, strict=True)):
        if t:
            charge(v, x_t, tau, out=h)
        else:
            torch.mul(x_t, 1.0 / tau, out=h)
        reset(h, fire(h, threshold, out=s_t), out=v)
    return spikes
