"""What is known of one spiking neuron, wherever it comes from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

#: What a spike does to the membrane potential: to 0; to another value; its threshold is
#: subtracted; nothing; or something that is not known.
Reset = Literal["zero", "value", "subtract", "none", "unknown"]
#: What a neuron emits: 0 or one spike, a number of spikes, any values, or what is not known
#: before it has run.
Output = Literal["binary", "integer", "real", "measured"]

RESETS: Final[tuple[Reset, ...]] = ("zero", "value", "subtract", "none", "unknown")
OUTPUTS: Final[tuple[Output, ...]] = ("binary", "integer", "real", "measured")


@dataclass(frozen=True)
class NeuronFacts:
    """What costs and absorption assume of a neuron.

    Attributes:
        source: who says so: a library's name, ``hqsearch``, or ``[model] neurons``.
        tau: membrane time constant in timesteps; None where it has no single one.
        threshold: membrane potential at which it fires; None where it has no single one.
        reset: what a spike does to the potential.
        output: what it emits.
        levels: most unit spikes of one output; None where only a run shows it.
        unit: size of one unit spike.
        scales: whether a neuron with threshold and input times a fires as before, for any a ≠ 0
            (with the comparison turned round below 0): its dynamics are linear between spikes.
        stateful: whether it keeps a potential from step to step.
    """

    source: str
    tau: float | None = None
    threshold: float | None = None
    reset: Reset = "unknown"
    output: Output = "measured"
    levels: int | None = None
    unit: float = 1.0
    scales: bool = False
    stateful: bool = True

    @property
    def absorbs(self) -> bool:
        """Whether it can take a scale and a normalisation before it into its threshold."""
        return self.reset == "zero" and self.output in ("binary", "integer") and self.scales

    def __str__(self) -> str:
        parts = [f"by {self.source}"]
        parts += [] if self.tau is None else [f"tau {self.tau:.4g}"]
        parts += [] if self.threshold is None else [f"threshold {self.threshold:.4g}"]
        parts += [f"reset {_RESET_WORDS[self.reset]}", f"output {self.output}"]
        parts += ["takes in normalisation"] if self.absorbs else []
        return ", ".join(parts)


_RESET_WORDS: Final[dict[Reset, str]] = {
    "zero": "to 0",
    "value": "to a value that is not 0",
    "subtract": "by subtraction",
    "none": "none",
    "unknown": "not known",
}


@dataclass(frozen=True)
class Adapter:
    """How the neurons of one library are read.

    Attributes:
        name: of the library, for people.
        facts: what is known of a module; None where it is no neuron of this library.
        clear: puts a module of this library that keeps state back to where it started; False
            where there is nothing of this library to clear.
    """

    name: str
    facts: Callable[[nn.Module], NeuronFacts | None]
    clear: Callable[[nn.Module], bool]


def number(value: Any) -> float | None:
    """A single finite number out of what libraries keep numbers in; None of anything else."""
    if isinstance(value, Tensor):
        if value.numel() != 1 or value.is_meta:
            return None
        value = value.detach().item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def reset_to(value: Any) -> Reset:
    """The reset that a potential after a spike stands for; None is a subtraction.

    >>> reset_to(0.0), reset_to(None), reset_to(-65)
    ('zero', 'subtract', 'value')
    """
    if value is None:
        return "subtract"
    if isinstance(value, Tensor) and value.numel() != 1 and not value.is_meta:
        return "zero" if not bool(value.detach().ne(0).any()) else "value"
    read = number(value)
    if read is None:
        return "unknown"
    return "zero" if read == 0 else "value"


def emptied(buffer: Tensor) -> Tensor:
    """A buffer of no elements, as libraries have it before the first batch."""
    return torch.zeros(0, device=buffer.device, dtype=buffer.dtype)
