"""Which parameters and buffers of a network its forward pass reads.

A deployed file must hold what is read and nothing else: public networks keep position
embeddings and norms that their forward pass never touches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from hqsearch.models.layers import WEIGHT_LAYERS


class StateRead:
    """The state of a model, and which of it the calls so far have read.

    A tensor counts as read with its whole storage, through any view of it.
    """

    def __init__(self, model: nn.Module) -> None:
        self.modules: Mapping[str, nn.Module] = dict(model.named_modules())
        # The tensors themselves: a storage's address says nothing once it is gone.
        self._values: Mapping[str, Tensor] = model.state_dict(keep_vars=True)
        self._places = {name: _place(value) for name, value in self._values.items()}
        self._state = set(self._places.values())
        self._read: set[int] = set()
        self._counted: set[int] = set()

    def saw(self, args: Any, kwargs: Any) -> None:
        """Arguments of one tensor operation."""
        for value in tree_leaves((args, kwargs)):
            if isinstance(value, Tensor):
                self._read.update(self._state & {_place(value)})

    def counts(self, tensors: Iterable[Tensor]) -> None:
        """These are stored with an operation, and are no longer loose."""
        self._counted.update(_place(tensor) for tensor in tensors)

    def loose(self) -> tuple[tuple[str, int], ...]:
        """What is read and belongs to no weight layer and no norm: (path, number of values)."""
        wholes = self._wholes()
        return tuple(
            (name, value.numel())
            for name, value in self._values.items()
            if self._places[name] in self._read - self._counted and _whole_of(name, wholes) is None
        )

    def unread(self) -> tuple[tuple[str, int], ...]:
        """What nothing read: (path, number of values), weight layers and norms as wholes."""
        wholes = self._wholes()
        counts: dict[str, int] = {}
        for name, value in self._values.items():
            whole = _whole_of(name, wholes)
            # A counter of batches belongs to training; of a layer that runs all else is read.
            if self._places[name] not in self._read and not name.endswith("num_batches_tracked"):
                counts[whole or name] = counts.get(whole or name, 0) + value.numel()
        return tuple(counts.items())

    def _wholes(self) -> frozenset[str]:
        kinds = (*WEIGHT_LAYERS, nn.modules.batchnorm._BatchNorm)
        return frozenset(p for p, module in self.modules.items() if isinstance(module, kinds))


def _place(value: Tensor) -> int:
    """Identity of the memory behind a tensor, on any device; sparse ones have no single one."""
    return value.untyped_storage()._cdata if value.layout == torch.strided else id(value)


def _whole_of(name: str, wholes: frozenset[str]) -> str | None:
    """The weight layer or norm that a value of the state belongs to."""
    path = name
    while path:
        path = path.rpartition(".")[0]
        if path in wholes:
            return path
    return None
