"""What the logits minimize: the task's loss, weighted costs, and costs under a target.

A weighted cost is added to the loss of the same sample, as β · Σ g · cost. A target is reached
by a multiplier that follows the constraint ``log(cost / target) <= 0`` on the expected cost,
which has no sampling noise.
With gains (proportional, integral) this is the augmented Lagrangian, its penalty weight the
proportional gain and its multiplier step the integral one; a derivative gain makes it the PID
controller of Stooke et al. 2020 (arXiv 2007.03964). The loss's and the costs' gradients are
divided by running means of their norms, so that the multiplier is a number around 1 whatever the
network, the loss and the hardware profile are, and nobody tunes a β. A reconstruction: how the
paper's β enters the loss is not published.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from hqsearch.errors import UnknownName

#: Weight of the past in the running means of gradient norms.
MEMORY = 0.95
#: Excess beyond which the integral does not grow faster: a search starts far from its target.
SATURATION = 1.5


@dataclass(frozen=True)
class Gains:
    """Of the multiplier's controller, per logit step."""

    proportional: float = 5.0
    integral: float = 0.1
    derivative: float = 10.0


@dataclass
class _Norm:
    """Running mean of a gradient's norm, corrected for its start at zero."""

    total: float = 0.0
    weight: float = 0.0

    def update(self, gradient: Tensor) -> float:
        self.total = MEMORY * self.total + (1 - MEMORY) * float(gradient.norm())
        self.weight = MEMORY * self.weight + (1 - MEMORY)
        return max(self.total / self.weight, 1e-12)


@dataclass
class _Constraint:
    column: int
    target: float
    integral: float = 0.0
    multiplier: float = 0.0
    excess: float | None = None
    norm: _Norm = field(default_factory=_Norm)

    def follow(self, cost: float, gains: Gains) -> float:
        """Take in the present cost; returns the multiplier."""
        excess = math.log(max(cost, 1e-12) / self.target)
        change = 0.0 if self.excess is None else excess - self.excess
        step = min(max(excess, -SATURATION), SATURATION)
        self.integral = max(0.0, self.integral + gains.integral * step)
        self.excess = excess
        self.multiplier = max(
            0.0, self.integral + gains.proportional * step + gains.derivative * change
        )
        return self.multiplier


class Target:
    """The logits' objective and the state of its multipliers.

    Args:
        metrics: the columns of the costs.
        limits: metric → fraction of fp32 that its expected cost is brought under.
        beta: metric → fixed weight of its cost, in units of the loss.
        gains: of the multipliers.

    Raises:
        UnknownName: a metric that is no column.
    """

    def __init__(
        self,
        metrics: Sequence[str],
        limits: Mapping[str, float],
        beta: Mapping[str, float],
        gains: Gains | None = None,
    ) -> None:
        for name in (*limits, *beta):
            if name not in metrics:
                raise UnknownName("cost", name, metrics, "the supernet's target")
        self._gains = gains or Gains()
        self._beta = {list(metrics).index(name): weight for name, weight in beta.items()}
        self._constraints = {
            name: _Constraint(list(metrics).index(name), limit) for name, limit in limits.items()
        }
        self._loss_norm = _Norm()

    def penalty(self, costs: Tensor) -> Tensor:
        """Σ β · cost of a sample's costs ``[n_metrics]``, a scalar in units of the loss."""
        total = torch.zeros(())
        for column, weight in self._beta.items():
            total = total + weight * costs[column]
        return total

    def direction(self, loss_gradient: Tensor, costs: Tensor, logits: Tensor) -> Tensor:
        """The objective's gradient ``[n_logits]``, up to a positive factor; steps multipliers.

        Args:
            loss_gradient: of the task's loss and the penalty, ``[n_logits]``.
            costs: expected costs ``[n_metrics]`` as fractions of fp32, with their graph.
            logits: ``[n_logits]``.
        """
        total = loss_gradient / self._loss_norm.update(loss_gradient)
        for constraint in self._constraints.values():
            cost = costs[constraint.column]
            (gradient,) = torch.autograd.grad(cost, logits, retain_graph=True)
            norm = constraint.norm.update(gradient)
            multiplier = constraint.follow(float(cost.detach()), self._gains)
            if multiplier > 0:
                total += multiplier / norm * gradient
        return total

    @property
    def multipliers(self) -> dict[str, float]:
        """The present multiplier of every limited metric."""
        return {name: c.multiplier for name, c in self._constraints.items()}

    def state(self) -> dict[str, Any]:
        """JSON-able; floats survive JSON bit for bit."""
        return {
            "loss": asdict(self._loss_norm),
            "constraints": {name: asdict(c) for name, c in self._constraints.items()},
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self._loss_norm = _Norm(**state["loss"])
        for name, saved in state["constraints"].items():
            self._constraints[name] = _Constraint(**{**saved, "norm": _Norm(**saved["norm"])})
