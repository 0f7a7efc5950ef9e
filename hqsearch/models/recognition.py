"""What hqsearch recognises in any network: spiking neurons, and what a neuron can take in.

Networks of other libraries are read by the attributes that their neurons carry: SpikingJelly's
``v_threshold`` and ``v_reset``, snnTorch's ``reset_mechanism``.
"""

from __future__ import annotations

from torch import nn

#: Base class of hqsearch's neurons; snnTorch's derive from a class of the same name.
_BASE = "SpikingNeuron"


def is_neuron(module: nn.Module, extra: tuple[type[nn.Module], ...] = ()) -> bool:
    """Whether ``module`` is a spiking neuron.

    It derives from a class called ``SpikingNeuron``, has a ``v_threshold``, has a ``threshold``
    with a ``tau``, or is one of the classes ``extra``.
    """
    if isinstance(module, extra) or any(c.__name__ == _BASE for c in type(module).mro()):
        return True
    if hasattr(module, "v_threshold"):
        return True
    return hasattr(module, "threshold") and hasattr(module, "tau")


def absorbs_normalization(neuron: nn.Module) -> bool:
    """Whether ``neuron`` can take the scale and normalisation before it into its threshold.

    Only a hard reset to 0 is known to allow it (see :mod:`hqsearch.quant.absorb`), so the neuron
    must say that it resets so: ``v_reset`` is 0, or ``reset_mechanism`` is ``"zero"``.
    """
    if hasattr(neuron, "v_reset"):
        reset = neuron.v_reset
        return isinstance(reset, int | float) and reset == 0
    return getattr(neuron, "reset_mechanism", None) == "zero"
