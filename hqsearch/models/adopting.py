"""What a user's network goes through before hqsearch works on it; nothing of a built-in one.

Lazy layers get their shapes, trained weights are filled in, weights under a reparametrisation
(weight norm, spectral norm) become plain ones, declared neurons are marked, and a network that
holds neurons which keep their state is put to rest before and after every batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from hqsearch.errors import PluginError
from hqsearch.models.adapters import clear_state
from hqsearch.models.adapters.declared import Declared, declare
from hqsearch.models.layers import WEIGHT_LAYERS
from hqsearch.models.recognition import spikes_of

#: What old reparametrisations call their hooks, and how torch takes them off again.
_OLD_NORMS: Mapping[str, Callable[..., nn.Module]] = {
    "WeightNorm": torch.nn.utils.remove_weight_norm,
    "SpectralNorm": torch.nn.utils.remove_spectral_norm,
}


def adopt(
    model: nn.Module,
    frames: Sequence[int],
    neurons: Sequence[Declared] = (),
    fill: Callable[[nn.Module], object] | None = None,
    seed: int = 0,
    readout: str | None = None,
) -> nn.Module:
    """Make ``model`` ready, in place.

    Args:
        frames: shape of a batch ``[T, N, C, H, W]`` that gives lazy layers their shapes.
        neurons: classes that the study declares.
        fill: puts trained weights into it.
        seed: of what lazy layers start from.
        readout: ``mean``, ``sum`` or ``last``: what becomes of outputs ``[T, N, classes]``.

    Raises:
        UnknownName: a declared class that the network does not have.
        PluginError: lazy layers cannot be given their shapes, or a norm's counters do not fit.
    """
    declare(model, neurons)
    _give_shapes(model, frames, seed)
    if fill is not None:
        fill(model)
    fold_weights(model)
    if readout is not None:
        model.register_forward_hook(_Readout(readout, frames[0]))
    if clear_state(model):
        model.register_forward_pre_hook(_before)
        model.register_forward_hook(_after)
    return model


def fold_weights(model: nn.Module) -> list[str]:
    """Make the weights of reparametrised layers plain ones of the same value; which they are."""
    folded = []
    for path, module in model.named_modules():
        if not isinstance(module, WEIGHT_LAYERS):
            continue
        for hook in list(module._forward_pre_hooks.values()):
            remove = _OLD_NORMS.get(type(hook).__name__)
            if remove is not None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", FutureWarning)  # it is what is taken off
                    remove(module, getattr(hook, "name", "weight"))
                folded.append(path)
        for name in list(getattr(module, "parametrizations", {})):
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
            folded.append(path)
    return folded


def _give_shapes(model: nn.Module, frames: Sequence[int], seed: int) -> None:
    if not any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
        return
    training = model.training
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            model.eval()(torch.zeros(*frames))
    except Exception as error:
        raise PluginError(
            f"the network's lazy layers cannot be given their shapes: on frames {list(frames)} it "
            f"fails with {type(error).__name__}: {error}. State the sizes instead (nn.Linear for "
            "nn.LazyLinear, say)"
        ) from error
    model.train(training)
    unused = [n for n, p in model.named_parameters() if is_lazy(p)]
    if unused:
        raise PluginError(
            f"the network's lazy layers {', '.join(unused)} are never run, and so have no shape: "
            "remove them"
        )


class _Readout:
    """A hook that makes logits ``[N, classes]`` of a network's first output."""

    def __init__(self, kind: str, timesteps: int) -> None:
        self.kind, self.timesteps = kind, timesteps

    def __call__(self, model: nn.Module, args: tuple[Any, ...], out: Any) -> Any:
        first = spikes_of(out)
        if first is None or first.ndim < 3 or first.shape[0] != self.timesteps:
            return first if first is not None else out
        if self.kind == "last":
            return first[-1]
        return first.mean(0) if self.kind == "mean" else first.sum(0)


def _before(model: nn.Module, args: tuple[Any, ...]) -> None:
    clear_state(model)


def _after(model: nn.Module, args: tuple[Any, ...], out: Any) -> None:
    """Nothing of a batch is left: not in a checkpoint, and not in a copy."""
    clear_state(model)


def paths_run(model: nn.Module, frames: Tensor) -> frozenset[str]:
    """Paths of the weight layers that ``model`` calls for ``frames`` ``[T, N, C, H, W]``."""
    run: set[str] = set()
    hooks = []
    for path, module in model.named_modules():
        if isinstance(module, WEIGHT_LAYERS):

            def hook(module: nn.Module, args: Any, *, path: str = path) -> None:
                run.add(path)

            hooks.append(module.register_forward_pre_hook(hook))
    training = [(m, m.training) for m in model.modules()]
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            model.eval()(frames)
    finally:
        for handle in hooks:
            handle.remove()
        for module, mode in training:
            module.training = mode
    return frozenset(run)
