"""The toy's differentiable relaxation: expected errors, interactions and costs of a mixture.

A mixture is read as independent draws of every dimension's value, so the expectation of an
interaction √(e·e') is the product of the expectations of √e and √e', and a one-hot mixture is
the candidate itself. There are no weights and no data; a batch is nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from hqsearch.evaluator import Evaluator
from hqsearch.supernet.relaxation import Learn, Relaxation

from ._toy_network import (
    INTERACTION,
    LAYERS,
    NEIGHBOURS,
    added_loss,
    costs_of,
    energy_share,
    error_growth,
    error_of,
    steps_of,
)

#: Steps that an epoch pretends to have: those of 1,100 samples, 30 % held out, batches of 32.
STEPS = 24


class ToyRelaxation(Relaxation):
    """Its loss is −log(accuracy / peak), in expectation, in one structural part."""

    def __init__(self, toy: Evaluator, part: str = "") -> None:
        space, steps = toy.space.parts[part], steps_of(toy.space, part)
        self.choices = tuple(int(n) for n in space.cardinalities)
        self.metrics = toy.metrics
        layers = {layer.path: layer for layer in LAYERS}
        self._place: dict[str, int] = {
            path: d for d, dimension in enumerate(space.dimensions) for path in dimension.layers
        }
        #: Per layer the errors ``[n_values]`` of its dimension's values; of its pin where pinned.
        self._errors: dict[str, Tensor] = {
            path: torch.tensor([error_of(layers[path], v) for v in space.dimensions[d].values])
            for path, d in self._place.items()
        }
        for path, choice in space.pinned:
            self._errors[path] = torch.tensor([error_of(layers[path], choice)])
        self._errors = {path: e * error_growth(steps) for path, e in self._errors.items()}
        self._added_loss = added_loss(steps)
        scale = torch.tensor([energy_share(steps), 1.0, 1.0], dtype=torch.float64)
        reference = torch.tensor([toy.reference()[m] for m in self.metrics], dtype=torch.float64)

        def fraction(paths: Sequence[str], choice: str) -> Tensor:
            total = sum(torch.from_numpy(costs_of(layers[p], choice)) for p in paths)
            return torch.as_tensor(scale * total / reference, dtype=torch.float32)

        self._fixed = torch.zeros(len(self.metrics))
        for path, choice in space.pinned:
            self._fixed += fraction([path], choice)
        #: Per dimension ``[n_values, n_metrics]``.
        self._costs = [
            torch.stack([fraction(d.layers, v) for v in d.values]) for d in space.dimensions
        ]

    def weight_batches(self, epoch: int) -> Iterator[Any]:
        return iter(range(STEPS))

    def logit_batches(self, epoch: int) -> Iterator[Any]:
        return iter(range(STEPS))

    def loss(self, mixture: Sequence[Tensor], batch: Any, learn: Learn) -> Tensor:
        total = torch.zeros(())
        for layer in LAYERS:
            total = total + self._mean(mixture, layer.path, self._errors[layer.path])
        for left, right in ((LAYERS[i].path, LAYERS[j].path) for i, j in NEIGHBOURS):
            a, b = self._errors[left].sqrt(), self._errors[right].sqrt()
            if left in self._place and self._place[left] == self._place.get(right):
                both = self._mean(mixture, left, a * b)
            else:
                both = self._mean(mixture, left, a) * self._mean(mixture, right, b)
            total = total + INTERACTION * both
        return total + self._added_loss

    def costs(self, mixture: Sequence[Tensor]) -> Tensor:
        total = self._fixed
        for g, table in zip(mixture, self._costs, strict=True):
            total = total + g @ table
        return total

    def _mean(self, mixture: Sequence[Tensor], path: str, values: Tensor) -> Tensor:
        """Expectation of per-value numbers ``[n_values]`` of a layer."""
        place = self._place.get(path)
        return values[0] if place is None else mixture[place] @ values
