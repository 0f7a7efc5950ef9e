"""A linear regression whose weights are quantized by layer: a relaxation with trained weights.

``y = Σ_d s_d · x_d · w_d + noise`` with independent standard normal features, so that the best
quantized weights are the true ones rounded, and the loss of every candidate is known in closed
form. Small enough for second-order steps and for enumeration.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hqsearch.problem.candidate import Candidate
from hqsearch.problem.space import Dimension, Space
from hqsearch.supernet.relaxation import Learn, Relaxation

BITS = {"2u": 2, "4u": 4, "fp32": 32}
LAYERS, WIDTH, BATCH = 6, 8, 32
TRAINING, HELD_OUT = 768, 320
NOISE = 0.3


def quantize(weights: Tensor, bits: int) -> Tensor:
    """Rounded to a grid over ±1, straight-through gradient."""
    if bits == 32:
        return weights
    step = 2.0 ** (1 - bits)
    rounded = (weights / step).round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) * step
    return weights + (rounded - weights).detach()


class LinearProblem:
    """What an evaluator is to the supernet, and the truth about every candidate."""

    metrics = ("storage",)

    def __init__(self) -> None:
        generator = np.random.default_rng(7)
        names = [f"layer{i}" for i in range(LAYERS)]
        self.space = Space(tuple(Dimension(n, "weights", tuple(BITS), (n,)) for n in names))
        self.weights = torch.from_numpy(generator.uniform(-0.9, 0.9, (LAYERS, WIDTH))).float()
        self.scales = torch.from_numpy(np.geomspace(0.2, 2.0, LAYERS)).float()[:, None]
        self.sizes = generator.permutation(np.geomspace(1.0, 8.0, LAYERS))

    def overflows(self) -> dict[str, Any]:
        return {}

    def cheap(self, candidates: Sequence[Candidate]) -> Any:
        bits = np.array([[BITS[value] for _, value in c.items] for c in candidates])
        return (bits * self.sizes).sum(axis=1, keepdims=True)

    def reference(self) -> dict[str, float]:
        return {"storage": float(32 * self.sizes.sum())}

    def loss(self, candidate: Candidate) -> float:
        """Excess of the mean squared error over the noise, with the best quantized weights."""
        total = 0.0
        for layer, (_, value) in enumerate(candidate.items):
            error = self.weights[layer] - quantize(self.weights[layer], BITS[value])
            total += float((self.scales[layer] * error).square().sum())
        return total


class LinearRelaxation(Relaxation):
    """Starts from a parent near the true weights; finite training and held-out parts."""

    def __init__(self, problem: LinearProblem, seed: int = 0) -> None:
        self.problem, self.seed = problem, seed
        self.choices, self.metrics = (len(BITS),) * LAYERS, problem.metrics
        generator = torch.Generator().manual_seed(seed)
        apart = torch.randn(LAYERS, WIDTH, generator=generator)
        self.weights = (problem.weights + 0.3 * apart).requires_grad_()
        self.features = torch.randn(TRAINING + HELD_OUT, LAYERS, WIDTH, generator=generator)
        noise = NOISE * torch.randn(TRAINING + HELD_OUT, generator=generator)
        self.labels = (self.features * problem.scales * problem.weights).sum((1, 2)) + noise
        bits = torch.tensor(list(BITS.values()), dtype=torch.float32)
        share = torch.from_numpy(problem.sizes / problem.sizes.sum()).float()
        self._costs = share[:, None] * bits / 32

    def named_parameters(self) -> dict[str, Tensor]:
        return {"weights": self.weights}

    def no_decay(self) -> frozenset[str]:
        return frozenset({"weights"})

    def weight_batches(self, epoch: int) -> Iterator[Any]:
        return self._batches(torch.arange(TRAINING), epoch, 0)

    def logit_batches(self, epoch: int) -> Iterator[Any]:
        return self._batches(torch.arange(TRAINING, TRAINING + HELD_OUT), epoch, 1)

    def _batches(self, rows: Tensor, epoch: int, part: int) -> Iterator[Any]:
        order = np.random.default_rng([self.seed, epoch, part]).permutation(len(rows))
        for start in range(0, len(rows), BATCH):
            chosen = rows[torch.from_numpy(order[start : start + BATCH])]
            yield self.features[chosen], self.labels[chosen]

    def loss(self, mixture: Sequence[Tensor], batch: Any, learn: Learn) -> Tensor:
        weights = self.weights if learn == "weights" else self.weights.detach()
        return self.loss_at(weights, mixture, batch)

    def loss_at(self, weights: Tensor, mixture: Sequence[Tensor], batch: Any) -> Tensor:
        """Mean squared error with any weights, for unrolled steps."""
        features, labels = batch
        quantized = torch.stack([quantize(weights, bits) for bits in BITS.values()])
        mixed = torch.einsum("dk,kdw->dw", torch.stack(list(mixture)), quantized)
        predicted = (features * self.problem.scales * mixed).sum((1, 2))
        return (predicted - labels).square().mean()

    def costs(self, mixture: Sequence[Tensor]) -> Tensor:
        return (torch.stack(list(mixture)) * self._costs).sum()[None]

    def state(self) -> dict[str, Tensor]:
        return {"weights": self.weights.detach().clone()}

    def load_state(self, tensors: Any) -> None:
        with torch.no_grad():
            self.weights.copy_(tensors["weights"])
