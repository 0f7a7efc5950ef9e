"""Gumbel-softmax samples of the choices, and how their temperature falls.

A sample is ``softmax((logits + G) / τ)`` with standard Gumbel noise G (Jang et al. 2017,
arXiv 1611.01144; Maddison et al. 2017, arXiv 1611.00712): close to one-hot at low τ, close to
uniform at high τ. The straight-through variant is one-hot forward and soft backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hqsearch.errors import DefinitionError
from hqsearch.supernet.options import ScheduleName


@dataclass(frozen=True)
class Temperature:
    """τ over a search: from ``start`` to ``end``; ``constant`` stays at ``end``.

    Raises:
        DefinitionError: a temperature that is not positive.
    """

    start: float
    end: float
    schedule: ScheduleName = "exponential"

    def __post_init__(self) -> None:
        if not (self.start > 0 and self.end > 0):
            raise DefinitionError(
                f"temperatures must be positive, not {self.start} and {self.end}."
            )

    def at(self, progress: float) -> float:
        """τ when the part ``progress`` (0 to 1) of the search is done.

        >>> Temperature(4.0, 1.0).at(0.5)
        2.0
        """
        if self.schedule == "constant":
            return self.end
        if self.schedule == "linear":
            return self.start + (self.end - self.start) * progress
        return float(self.start * (self.end / self.start) ** progress)


def seeded(*index: int) -> torch.Generator:
    """The generator of an event, by (seed, epoch, step, …)."""
    state = np.random.SeedSequence(list(index)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]) >> 1)


def probabilities(logits: Tensor, choices: Sequence[int]) -> list[Tensor]:
    """Selection probabilities per dimension of flat logits ``[Σ choices]``."""
    return [torch.softmax(part, 0) for part in torch.split(logits, list(choices))]


def sample(
    logits: Tensor,
    choices: Sequence[int],
    temperature: float,
    hard: bool,
    generator: torch.Generator,
) -> list[Tensor]:
    """One mixture: per dimension a vector of the simplex, differentiable in ``logits``.

    Args:
        logits: flat, ``[Σ choices]``.
        choices: number of values per dimension.
        temperature: τ > 0.
        hard: exactly one-hot forward, the soft sample's gradient backward.
        generator: of the noise.
    """
    uniform = torch.rand(logits.shape, generator=generator, dtype=torch.float64)
    # Away from 0 and 1, where the logarithms are infinite.
    noise = -torch.log(-torch.log(uniform.clamp(1e-12, 1 - 1e-12)))
    scaled = (logits + noise.to(logits.dtype)) / temperature
    mixture = [torch.softmax(part, 0) for part in torch.split(scaled, list(choices))]
    if not hard:
        return mixture
    # The added difference is exactly zero, so that the sum stays exactly one-hot.
    return [_one_hot(soft) + (soft - soft.detach()) for soft in mixture]


def _one_hot(soft: Tensor) -> Tensor:
    hot = torch.zeros_like(soft)
    hot[soft.detach().argmax()] = 1.0
    return hot
