"""Spiking neurons of other libraries: one file a library, none of which imports it.

A network that is made of a library's neurons has imported it; an adapter looks for the
library's classes among what is imported. Nothing is guessed from the names of attributes:
a module is a neuron because its class is known, or because the study declares it.
"""

from __future__ import annotations

from typing import Final

from torch import nn

from hqsearch.errors import DefinitionError
from hqsearch.models.adapters import declared, norse, own, sinabs, snntorch, spikingjelly
from hqsearch.models.adapters.facts import Adapter, NeuronFacts

#: Every library whose neurons are known.
ADAPTERS: Final[tuple[Adapter, ...]] = (
    own.ADAPTER,
    snntorch.ADAPTER,
    spikingjelly.ADAPTER,
    norse.ADAPTER,
    sinabs.ADAPTER,
)


def neuron_facts(module: nn.Module) -> NeuronFacts | None:
    """What is known of a spiking neuron; None where ``module`` is none.

    A study's declaration comes before what a library says.

    Raises:
        DefinitionError: two libraries claim its class.
    """
    said = declared.facts(module)
    if said is not None:
        return said
    claims = [found for adapter in ADAPTERS if (found := adapter.facts(module)) is not None]
    if len(claims) > 1:
        both = " and ".join(claim.source for claim in claims)
        raise DefinitionError(
            f"{declared.class_name(type(module))} is a neuron of {both}: say what it is in "
            "[model] neurons"
        )
    return claims[0] if claims else None


def clear_state(model: nn.Module) -> bool:
    """Put every module that is known to keep state back to where it started.

    Returns:
        Whether there was one.
    """
    any_kept = False
    for module in model.modules():
        if declared.clear(module):
            any_kept = True
            continue
        for adapter in ADAPTERS:
            if adapter.clear(module):
                any_kept = True
                break
    return any_kept


__all__ = ["ADAPTERS", "Adapter", "NeuronFacts", "clear_state", "neuron_facts"]
