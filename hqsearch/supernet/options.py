"""How a supernet is trained: one table for the strategy's options and its tasks' payloads.

Without torch, for the strategy reads it on the driver. The defaults were chosen by the ablation
of ``tests/benchmarks/supernet_toy.py``; the paper publishes none of them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hqsearch.definition import Strict

Positive = Annotated[float, Field(gt=0.0)]
ScheduleName = Literal["exponential", "linear", "constant"]


class TrainingOptions(Strict):
    """What the strategy's options and a task's payload have in common."""

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 15
    warmup: Annotated[int, Field(ge=0, le=10_000)] = 3
    """Epochs, of all, in which logits are frozen."""
    temperature: tuple[Positive, Positive] = (5.0, 0.5)
    """Of the Gumbel-softmax, at the start and at the end."""
    schedule: ScheduleName = "exponential"
    hard: bool = False
    """Straight-through one-hot samples instead of soft ones."""
    learning_rate: Positive = 1e-3
    """Peak of the weights' one-cycle."""
    logit_learning_rate: Positive = 0.1
    weight_steps: Annotated[int, Field(ge=1, le=1000)] = 1
    """Weight steps per logit step."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    clip: Positive = 5.0
    """Largest norm of the weights' gradient; of the logits', in multiples of its mean."""
    gains: tuple[float, float, float] = (5.0, 0.1, 10.0)
    """Proportional, integral and derivative gain of the multipliers of targets."""
    held_out: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.3
    """Part of the training split that logits learn from, and weights do not."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] | None = None
    """The evaluator's own by default."""
    top: Annotated[int, Field(ge=1, le=1000)] = 2
    """Candidates that are derived: the most probable ones within the limits."""

    @model_validator(mode="after")
    def _logits_learn(self) -> TrainingOptions:
        if self.warmup >= self.epochs:
            raise ValueError(
                f"warmup ({self.warmup}) must be less than epochs ({self.epochs}): "
                "logits learn after it"
            )
        return self


class SupernetOptions(TrainingOptions):
    """A supernet task's payload.

    ``held_out`` and ``batch_size`` concern the evaluator's relaxation alone.
    """

    target: dict[str, Positive] = Field(default_factory=dict)
    """Metric → fraction of fp32 that the expected and the derived cost stay under."""
    beta: dict[str, Annotated[float, Field(ge=0.0)]] = Field(default_factory=dict)
    """Metric → fixed weight of its cost (as a fraction of fp32) in the loss."""
    budgets: dict[str, Positive] = Field(default_factory=dict)
    """Metric → the study's own limit, in the metric's unit."""
    structure: str = ""
    """Key of the structural part that is searched; the only one without structural dimensions."""
