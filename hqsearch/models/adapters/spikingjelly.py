"""Neurons of SpikingJelly (2.0 and before): single-step or multi-step, state in ``memories``.

They derive from a ``MemoryModule`` and have a ``v_threshold``; ``reset`` puts their memories back,
which ``functional.reset_net`` does for a whole network.
"""

from __future__ import annotations

import sys
from typing import Any

from torch import nn

from hqsearch.models.adapters.facts import Adapter, NeuronFacts, Output, number, reset_to

_PLACES = (
    "spikingjelly.activation_based.base",
    "spikingjelly.clock_driven.base",
    "spikingjelly.clock_driven.neuron",
)
#: Whose potential is linear in the input between spikes.
_LINEAR = ("IFNode", "LIFNode", "ParametricLIFNode", "SimpleIFNode", "SimpleLIFNode")
_LINEAR_BEFORE = ("MultiStepIFNode", "MultiStepLIFNode", "MultiStepParametricLIFNode")
#: Spikes of either sign, or of several levels: what they emit is looked at when they run.
_GRADED = ("Ternary", "ILIF", "ActivationAware", "STBIF", "FewSpike", "LIAF")


def _remembers(module: nn.Module) -> bool:
    bases = (getattr(sys.modules.get(place), "MemoryModule", None) for place in _PLACES)
    return any(base is not None and isinstance(module, base) for base in bases)


def facts(module: nn.Module) -> NeuronFacts | None:
    """Of ``v_threshold``, ``v_reset`` and ``tau`` (or ``w``, where it is learned)."""
    if not _remembers(module) or not hasattr(module, "v_threshold"):
        return None
    told: Any = module
    name = type(told).__name__
    library = type(told).__module__.startswith("spikingjelly.")
    graded = not library or any(part in name for part in _GRADED)
    output: Output = "measured" if graded else "binary"
    learned = number(told.w.sigmoid()) if hasattr(told, "w") else None
    return NeuronFacts(
        source="SpikingJelly",
        tau=1.0 / learned if learned else number(getattr(told, "tau", None)),
        threshold=number(told.v_threshold),
        reset=reset_to(told.v_reset) if hasattr(told, "v_reset") else "unknown",
        output=output,
        levels=None if graded else 1,
        scales=library and name in (*_LINEAR, *_LINEAR_BEFORE),
    )


def clear(module: nn.Module) -> bool:
    """Every module that remembers, dropout masks and recurrent containers among them."""
    if not _remembers(module):
        return False
    told: Any = module
    told.reset()
    return True


ADAPTER = Adapter("SpikingJelly", facts, clear)
