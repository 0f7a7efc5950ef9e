"""Neurons of snnTorch (1.0): one call is one timestep; state is passed along or kept inside.

``Leaky``, ``Synaptic``, ``Alpha``, ``Lapicque`` and their recurrent forms derive from
``snntorch.SpikingNeuron`` and return ``(spikes, state, …)``, or spikes alone with
``init_hidden=True``. A spike is ``graded_spikes_factor``. ``SLSTM`` and ``SConv2dLSTM`` fire from
a long short-term memory, whose dynamics are not linear.
"""

from __future__ import annotations

import sys
from typing import Any

from torch import nn

from hqsearch.models.adapters.facts import Adapter, NeuronFacts, Reset, emptied, number

#: Whose potential is linear in the input between spikes.
_LINEAR = ("Leaky", "RLeaky", "Synaptic", "RSynaptic", "Lapicque")


def _is_one(module: nn.Module) -> bool:
    library: Any = sys.modules.get("snntorch")
    base = getattr(library, "SpikingNeuron", None)
    return base is not None and isinstance(module, base)


def facts(module: nn.Module) -> NeuronFacts | None:
    """Of ``threshold``, ``reset_mechanism``, ``beta`` and ``graded_spikes_factor``."""
    if not _is_one(module):
        return None
    told: Any = module
    resets: dict[str, Reset] = {"zero": "zero", "subtract": "subtract", "none": "none"}
    factor = number(getattr(told, "graded_spikes_factor", 1.0))
    beta = number(getattr(told, "beta", None))
    plain = not getattr(told, "inhibition", False) and not getattr(told, "state_quant", False)
    linear = type(told).__module__.startswith("snntorch.") and type(told).__name__ in _LINEAR
    return NeuronFacts(
        source="snnTorch",
        tau=1.0 / (1.0 - beta) if beta is not None and 0.0 <= beta < 1.0 else None,
        threshold=number(told.threshold),
        reset=resets.get(told.reset_mechanism, "unknown"),
        output="real" if factor is None else "binary",
        levels=1 if factor is not None else None,
        unit=1.0 if factor is None else abs(factor),
        scales=linear and plain,
    )


def clear(module: nn.Module) -> bool:
    """Its potentials are buffers that no state dict holds; empty ones are made anew."""
    if not _is_one(module):
        return False
    names = module._non_persistent_buffers_set & set(module._buffers)
    for name in names:
        buffer = module._buffers[name]
        if buffer is not None and buffer.numel():
            module._buffers[name] = emptied(buffer)
    return bool(names)


ADAPTER = Adapter("snnTorch", facts, clear)
