"""Neurons of hqsearch: :class:`hqsearch.models.neurons.SpikingNeuron` and what derives from it."""

from __future__ import annotations

from torch import nn

from hqsearch.models.adapters.facts import Adapter, NeuronFacts, number, reset_to
from hqsearch.models.neurons import SpikingNeuron


def facts(module: nn.Module) -> NeuronFacts | None:
    """Attributes of the base class; ``levels`` and ``unit`` where it emits integers."""
    if not isinstance(module, SpikingNeuron):
        return None
    levels = int(getattr(module, "levels", 1))
    return NeuronFacts(
        source="hqsearch",
        tau=number(module.tau),
        threshold=number(module.threshold),
        reset=reset_to(module.v_reset),
        output="binary" if levels == 1 else "integer",
        levels=levels,
        unit=float(getattr(module, "unit", 1.0)),
        scales=True,
        stateful=not getattr(module, "stateless", False),
    )


def clear(module: nn.Module) -> bool:
    """They keep nothing between calls, unless a user's own says how to reset it."""
    reset = getattr(module, "reset_state", None)
    if not isinstance(module, SpikingNeuron) or not callable(reset):
        return False
    reset()
    return True


ADAPTER = Adapter("hqsearch", facts, clear)
