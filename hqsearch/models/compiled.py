"""Batch normalization and LIF neurons by compiled loops, as autograd functions.

What is computed is what ``neuron(norm(x))`` computes with torch, in another order of rounding; the
kernels are in :mod:`hqsearch.models.lif_kernels`. They serve float32 on a CPU with few threads;
everything else (other devices and types, layouts, watched modules, recorded or traced operations)
takes the way through torch.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.module import _has_any_global_hook
from torch.utils._python_dispatch import _get_current_dispatch_mode

if TYPE_CHECKING:
    from hqsearch.models.lif_kernels import Doubles, Floats
    from hqsearch.models.neurons import LIF

#: The kernels use one thread; with more than this, torch's own are as fast.
MOST_THREADS = 4
#: Scale and offset of a neuron without a normalization.
_ALONE = np.ones(1), np.zeros(1)


def can_fire(x: Tensor) -> bool:
    """Whether the kernels serve a current ``[T, ...]``."""
    return (
        type(x) is Tensor
        and not _is_recorded()
        and x.dtype == torch.float32
        and x.device.type == "cpu"
        and x.ndim > 1
        and x.numel() > 0
        and torch.get_num_threads() <= MOST_THREADS
        and _channels_last(x).is_contiguous()
        and _has_kernels()
    )


def can_fire_normed(norm: nn.Module, neuron: nn.Module, x: Tensor) -> TypeGuard[nn.BatchNorm2d]:
    """Whether norm and neuron may become one: they train, and nobody watches what is between."""
    return (
        type(norm) is nn.BatchNorm2d
        and not _is_recorded()
        and norm.training
        and norm.affine
        and norm.track_running_stats
        and norm.momentum is not None
        and norm.weight.dtype == x.dtype
        and norm.weight.device == x.device
        and torch.is_grad_enabled()
        and x.requires_grad
        and x.ndim == 4
        and x.shape[1] == norm.num_features
        and x.numel() > x.shape[1]
        and x.is_contiguous(memory_format=torch.channels_last)
        and not any(map(_is_watched, (norm, neuron)))
        and can_fire(x)
    )


def spikes_of(x: Tensor, neuron: LIF) -> Tensor:
    """Spikes of a current ``[T, ...]`` for which :func:`can_fire`."""
    constants = (neuron.tau, neuron.threshold, neuron.alpha)
    if torch.is_grad_enabled() and x.requires_grad:
        learned: Tensor = _Fire.apply(x, constants)
        return learned
    return _fire(x, x.shape[0], *_ALONE, constants)


def normed_spikes(norm: nn.BatchNorm2d, neuron: LIF, x: Tensor, timesteps: int) -> Tensor:
    """Spikes of ``neuron(norm(x))`` for images ``[T * N, C, h, w]``; updates running statistics."""
    constants = (neuron.tau, neuron.threshold, neuron.alpha)
    spikes: Tensor = _NormedFire.apply(x, norm.weight, norm.bias, norm, timesteps, constants)
    return spikes


class _Fire(torch.autograd.Function):
    """A neuron alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, constants: tuple[float, float, float]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.constants = constants
        return _fire(x, x.shape[0], *_ALONE, constants)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        scale, offset = _ALONE
        affine = (scale, offset, offset)
        into, _, _ = _fire_backward(x, x.shape[0], affine, grads[0], ctx.constants)
        return into, None


class _NormedFire(torch.autograd.Function):
    """A neuron behind batch normalization by the statistics of the batch."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        norm: nn.BatchNorm2d,
        timesteps: int,
        constants: tuple[float, float, float],
    ) -> Tensor:
        from hqsearch.models.lif_kernels import statistics

        mean, variance = np.empty(x.shape[1]), np.empty(x.shape[1])
        statistics(_rows(x, 1)[0], mean, variance)
        _update(norm, mean, variance, x.numel() // x.shape[1])
        rstd = 1.0 / np.sqrt(variance + norm.eps)
        scale = rstd * weight.detach().numpy()
        offset = bias.detach().numpy() - mean * scale
        ctx.save_for_backward(x)
        ctx.about = (timesteps, constants, rstd, (scale, offset, mean))
        return _fire(x, timesteps, scale, offset, constants)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        from hqsearch.models.lif_kernels import normalization_backward

        (x,) = ctx.saved_tensors
        timesteps, constants, rstd, affine = ctx.about
        into, plain, crossed = _fire_backward(x, timesteps, affine, grads[0], constants)
        # With y = (x - mean) rstd weight + bias: dL/dweight = Σ g (x - mean) rstd, dL/dbias = Σ g.
        scale, _, mean = affine
        count = x.numel() // x.shape[1]
        share, tilt = plain / count, crossed * rstd**2 / count
        normalization_backward(_rows(x, 1)[0], scale, mean, share, tilt, _rows(into, 1)[0])
        return into, _float(crossed * rstd), _float(plain), None, None, None


def _fire(
    x: Tensor,
    timesteps: int,
    scale: Doubles,
    offset: Doubles,
    constants: tuple[float, float, float],
) -> Tensor:
    from hqsearch.models.lif_kernels import fire_forward

    tau, threshold, _ = constants
    spikes = torch.empty_like(x)
    fire_forward(_rows(x, timesteps), scale, offset, _rows(spikes, timesteps), tau, threshold)
    return spikes


def _fire_backward(
    x: Tensor,
    timesteps: int,
    affine: tuple[Doubles, Doubles, Doubles],
    grad: Tensor,
    constants: tuple[float, float, float],
) -> tuple[Tensor, Doubles, Doubles]:
    """Gradient of the current, its sums over every channel, and of it times x - mean.

    Args:
        x: what the neuron, or the normalization before it, was given.
        timesteps: T.
        affine: scale, offset and mean ``[C]``.
        grad: of the spikes.
        constants: tau, threshold and alpha.
    """
    from hqsearch.models.lif_kernels import fire_backward

    into, channels = torch.empty_like(x), len(affine[0])
    if grad.stride() != x.stride():
        grad = torch.empty_like(x).copy_(grad)
    plain, crossed = np.empty(channels), np.empty(channels)
    rows = (_rows(grad, timesteps), _rows(into, timesteps))
    fire_backward(_rows(x, timesteps), *affine, *rows, plain, crossed, *constants)
    return into, plain, crossed


def _update(norm: nn.BatchNorm2d, mean: Doubles, variance: Doubles, count: int) -> None:
    """Running statistics after a batch, as torch keeps them: the variance is unbiased there."""
    momentum = norm.momentum
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert momentum is not None
    unbiased = variance * (count / (count - 1))
    for running, found in ((norm.running_mean, mean), (norm.running_var, unbiased)):
        running.mul_(1.0 - momentum).add_(_float(found), alpha=momentum)
    norm.num_batches_tracked.add_(1)


def _channels_last(x: Tensor) -> Tensor:
    """A view whose last axis is the channel's: of ``[..., C, h, w]`` in channels-last memory."""
    if x.is_contiguous() or x.ndim < 4:
        return x
    return x.movedim(-3, -1)


def _rows(x: Tensor, count: int) -> Floats:
    """The memory of a dense tensor as ``[count, K]``."""
    array: Floats = _channels_last(x.detach()).reshape(count, -1).numpy()
    return array


def _float(values: Doubles) -> Tensor:
    return torch.from_numpy(values).float()


def _is_recorded() -> bool:
    """Whether somebody follows torch's operations, who would miss those of the kernels."""
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # type: ignore[attr-defined]
        or _get_current_dispatch_mode() is not None
    )


@cache
def _has_kernels() -> bool:
    """Whether numba can keep compiled code here: it needs a folder that it may write to."""
    try:
        from hqsearch.models import lif_kernels  # noqa: F401
    except (ImportError, RuntimeError):
        return False
    return True


def _is_watched(module: nn.Module) -> bool:
    """Whether hooks want to see the module's own call."""
    own = (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )
    return any(own) or _has_any_global_hook()
