"""What hqsearch recognises in any network: spiking neurons, and what a neuron can take in.

Neurons are known by their class (:mod:`hqsearch.models.adapters`), or because the study declares
them; an attribute called ``v_threshold`` makes nothing a neuron.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from hqsearch.models.adapters import neuron_facts
from hqsearch.models.adapters.declared import class_name


def is_neuron(module: nn.Module, extra: tuple[type[nn.Module], ...] = ()) -> bool:
    """Whether ``module`` is a spiking neuron, or one of the classes ``extra``."""
    return isinstance(module, extra) or neuron_facts(module) is not None


def absorbs_normalization(neuron: nn.Module) -> bool:
    """Whether ``neuron`` can take the scale and normalisation before it into its threshold.

    Only one that emits 0 or 1, resets hard to 0 and is linear between spikes is known to allow it
    (see :mod:`hqsearch.quant.absorb`).
    """
    facts = neuron_facts(neuron)
    return facts is not None and facts.absorbs


def spikes_of(output: Any) -> Tensor | None:
    """The spikes in what a neuron returns: the first tensor of ``(spikes, state, …)``."""
    return next((leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)), None)


def looks_like_a_neuron(module: nn.Module) -> str | None:
    """What makes a module that is no known neuron look like one; None where nothing does."""
    if is_neuron(module):
        return None
    if hasattr(module, "v_threshold"):
        return "it has a v_threshold"
    if hasattr(module, "threshold") and (hasattr(module, "tau") or hasattr(module, "beta")):
        return "it has a threshold and a time constant"
    named = any("SpikingNeuron" in class_name(kind) for kind in type(module).mro())
    return "it derives from a SpikingNeuron" if named else None
