"""Neurons of sinabs (3.1): input ``[N, T, …]``, or ``[N·T, …]`` in their ``Squeeze`` forms.

State is kept in buffers that a state dict holds, and is shuffled when the size of a batch
changes; here every batch starts at rest. By default a neuron emits as many spikes in a step as
thresholds fit into its potential (``MultiSpike``) and subtracts them.
"""

from __future__ import annotations

import sys
from typing import Any

from torch import nn

from hqsearch.models.adapters.facts import Adapter, NeuronFacts, Output, Reset, emptied, number

#: Whose potential is linear in the input between spikes.
_LINEAR = ("LIF", "LIFSqueeze", "IAF", "IAFSqueeze")


def _is_one(module: nn.Module) -> bool:
    place: Any = sys.modules.get("sinabs.layers")
    base = getattr(place, "StatefulLayer", None)
    return base is not None and isinstance(module, base)


def facts(module: nn.Module) -> NeuronFacts | None:
    """Of ``spike_threshold``, ``spike_fn``, ``reset_fn``, ``tau_mem`` and ``min_v_mem``."""
    if not _is_one(module) or not hasattr(module, "spike_fn"):
        return None
    told: Any = module
    if told.spike_fn is None:  # ExpLeak: a leaky integrator
        return None
    fires = getattr(told.spike_fn, "__name__", type(told.spike_fn).__name__)
    outputs: dict[str, tuple[Output, int | None]] = {
        "SingleSpike": ("binary", 1),
        "MultiSpike": ("integer", None),
        "MaxSpike": ("integer", getattr(told.spike_fn, "max_num_spikes_per_bin", None)),
    }
    output, levels = outputs.get(fires, ("measured", None))
    threshold = number(getattr(told, "spike_threshold", None))
    return NeuronFacts(
        source="sinabs",
        tau=number(getattr(told, "tau_mem_calculated", None)),
        threshold=threshold,
        reset=_reset(told.reset_fn, threshold),
        output=output,
        levels=levels,
        scales=type(told).__name__ in _LINEAR and getattr(told, "min_v_mem", None) is None,
    )


def _reset(function: Any, threshold: float | None) -> Reset:
    if type(function).__name__ == "MembraneReset":
        return "zero" if number(function.reset_value) == 0 else "value"
    subtracted = getattr(function, "subtract_value", 0.0)
    known = type(function).__name__ == "MembraneSubtract" and subtracted in (None, threshold)
    return "subtract" if known else "unknown"


def clear(module: nn.Module) -> bool:
    """Its own buffers hold state, and nothing else."""
    if not _is_one(module):
        return False
    for name, buffer in module._buffers.items():
        if buffer is not None and buffer.numel():
            module._buffers[name] = emptied(buffer)
    return True


ADAPTER = Adapter("sinabs", facts, clear)
