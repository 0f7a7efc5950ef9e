"""NaN and infinity inside a network are found and named, before they pass as a result.

A spiking neuron hides them: ``NaN >= threshold`` is false, so a network that diverged stays
silent, its logits are finite (the head's bias), and it even costs less energy. Weights, scales,
running statistics, frames and the inputs of neurons are therefore looked at. A sum is finite only
if every summand is, and costs a fiftieth of asking each one: only where a sum is not is every
number looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from hqsearch.models.recognition import is_neuron
from hqsearch.quant.fake import FakeQuantizer

#: Buffers that must not be infinite; others may well be (an attention mask, say).
_STATISTICS = ("running_mean", "running_var")


def require_finite(model: nn.Module, when: str) -> None:
    """Refuse a network that holds what is no number.

    Parameters and running statistics must be finite, other buffers must not be NaN, and learned
    scales must lie where their scheme follows them.

    Args:
        when: ends the sentence: ``"after epoch 1"``.

    Raises:
        FloatingPointError: names the first such tensor in module order.
    """
    _require(list(_tensors(model)), when)
    for path, module in model.named_modules():
        if isinstance(module, FakeQuantizer) and not module.in_range():
            name = _readable(f"{path}.{module.choice.scheme.parameter}")
            raise FloatingPointError(
                f"{name} left the range of its scheme {when}; a lower learning_rate may help."
            )


def require_finite_tensors(named: Mapping[str, Tensor], when: str) -> None:
    """:func:`require_finite` for tensors under their names, none of them infinite."""
    _require([(name, tensor, False) for name, tensor in named.items()], when)


class NeuronWatch:
    """Looks at what ``model`` and each of its neurons are given, while it is entered.

    One sum per neuron and batch, looked at together: a device is waited for once.

    Args:
        model: any network; its neurons are recognised (:mod:`hqsearch.models.recognition`).
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._sums: list[tuple[str, Tensor]] = []
        self._hooks: list[Any] = []

    def __enter__(self) -> NeuronWatch:
        neurons = [(f"the input of {p}", m) for p, m in self._model.named_modules() if is_neuron(m)]
        for name, module in [("the network's input", self._model), *neurons]:
            self._hooks.append(module.register_forward_pre_hook(self._hook(name)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def end_batch(self, what: str) -> None:
        """Look at the batch that has just run; ``what`` names it: ``"validation batch 3"``.

        Raises:
            FloatingPointError: something was not finite, or too large to be summed; the first.
        """
        seen, self._sums = self._sums, []
        if not seen:
            return
        finite = torch.stack([total for _, total in seen]).isfinite().tolist()
        if not all(finite):
            raise FloatingPointError(f"{seen[finite.index(False)][0]} is not finite in {what}.")

    def _hook(self, name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            if args and isinstance(args[0], Tensor):
                self._sums.append((name, _sum(args[0])))

        return hook


def is_finite(tensor: Tensor) -> bool:
    """Whether every number of a float tensor is finite."""
    return bool(_sum(tensor).isfinite()) or bool(tensor.isfinite().all())


def _sum(tensor: Tensor) -> Tensor:
    """Its sum, in single precision at least: half precision would end at 65,504."""
    wide = tensor.dtype in (torch.float32, torch.float64)
    return tensor.detach().sum(dtype=None if wide else torch.float32).float()


def _require(held: list[tuple[str, Tensor, bool]], when: str) -> None:
    """Refuse NaN in any of ``held`` (name, tensor, may be infinite), and infinity in some."""
    held = [item for item in held if item[1].is_floating_point() and not item[1].is_meta]
    if not held:
        return
    device = held[0][1].device
    sums = torch.stack([_sum(tensor).to(device) for _, tensor, _ in held])
    for index in (~sums.isfinite()).nonzero().flatten().tolist():
        name, tensor, infinite = held[index]
        if bool(tensor.isnan().any()) or not (infinite or is_finite(tensor)):
            raise FloatingPointError(
                f"{_readable(name)} is not finite {when}; a lower learning_rate may help."
            )


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor, bool]]:
    """Parameters and buffers in module order, shared ones once, and whether they may be inf."""
    seen: set[int] = set()
    for path, module in model.named_modules():
        own = [(*item, False) for item in module.named_parameters(recurse=False)]
        own += [(n, b, n not in _STATISTICS) for n, b in module.named_buffers(recurse=False)]
        for name, tensor, infinite in own:
            if id(tensor) not in seen and not is_lazy(tensor):
                seen.add(id(tensor))
                yield f"{path}.{name}" if path else name, tensor, infinite


def _readable(name: str) -> str:
    """The path as people write it, without what torch inserts for a parametrized weight."""
    name = re.sub(r"parametrizations\.(\w+)\.original\d*$", r"\1", name)
    return re.sub(r"parametrizations\.(\w+)\.\d+\.", r"\1.", name)
