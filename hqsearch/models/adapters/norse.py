"""Neurons of norse (1.1): functions of input and state, which is passed along and never kept.

A module returns ``(spikes, state)``; its constants are in ``p``. Leaky integrators without a
threshold (``LI``, ``LICell``, …) fire no spikes and are no neurons here.
"""

from __future__ import annotations

import sys
from typing import Any

from torch import nn

from hqsearch.models.adapters.facts import Adapter, NeuronFacts, number, reset_to

_BASES = ("SNNCell", "SNNRecurrentCell", "SNN", "SNNRecurrent")
#: Whose current and potential are linear in the input between spikes.
_LINEAR = ("LIF", "LIFCell", "LIFBoxCell", "IAF", "IAFCell", "LIFRefrac", "LIFRefracCell")


def facts(module: nn.Module) -> NeuronFacts | None:
    """Of ``p.v_th``, ``p.v_reset``, ``p.v_leak`` and ``p.tau_mem_inv``, with the step ``dt``."""
    snn = sys.modules.get("norse.torch.module.snn")
    bases = tuple(getattr(snn, name) for name in _BASES if hasattr(snn, name))
    if not bases or not isinstance(module, bases):
        return None
    told: Any = module
    constants = told.p
    constants = getattr(constants, "lif", constants)  # of refractory neurons
    if not hasattr(constants, "v_th"):
        return None
    rate = number(getattr(constants, "tau_mem_inv", None))
    step = number(getattr(told, "dt", None))
    leak = number(getattr(constants, "v_leak", 0.0))
    known = type(told).__module__.startswith("norse.")
    return NeuronFacts(
        source="norse",
        tau=1.0 / (rate * step) if rate and step else None,
        threshold=number(constants.v_th),
        reset=reset_to(constants.v_reset) if hasattr(constants, "v_reset") else "unknown",
        output="binary" if known else "measured",
        levels=1 if known else None,
        scales=known and type(told).__name__ in _LINEAR and leak == 0.0,
    )


def clear(module: nn.Module) -> bool:
    """Nothing is kept."""
    return False


ADAPTER = Adapter("norse", facts, clear)
