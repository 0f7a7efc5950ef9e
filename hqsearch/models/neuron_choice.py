"""The neuron of a built-in network by its name: ``[model] neuron`` and ``levels``."""

from __future__ import annotations

from typing import Literal, get_args

from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.models.integer_neurons import LEVELS, IntegerLIF, IntegerNeuron
from hqsearch.models.neurons import LIF, SpikingNeuron

#: ``lif``: binary, leaky, hard reset. ``integer``: that of QSD-Transformer's code. ``integer-lif``:
#: the same with a leak and a reset.
NeuronName = Literal["lif", "integer", "integer-lif"]
NEURONS: tuple[str, ...] = get_args(NeuronName)
#: Threshold of a LIF, and gain of an integer neuron, that read attention's products.
ATTENTION_THRESHOLD = 0.5
ATTENTION_GAIN = 2.0


def check_neuron(network: str, neuron: str, levels: int | None) -> None:
    """Refuse a neuron that there is not.

    Args:
        network: for the message.
        neuron: one of :data:`NEURONS`.
        levels: of an integer neuron; None: 4.

    Raises:
        UnknownName: no such neuron.
        DefinitionError: levels that cannot be, or for a neuron that has none.
    """
    if not isinstance(neuron, str):
        raise DefinitionError(f"{network}: neuron must be a name, not {neuron!r}.")
    if neuron not in NEURONS:
        raise UnknownName("neuron", neuron, NEURONS, f"[model] of {network!r}")
    if levels is None:
        return
    if isinstance(levels, bool) or not isinstance(levels, int) or not 1 <= levels <= 255:
        raise DefinitionError(
            f"{network}: levels must be a whole number from 1 to 255, not {levels!r}."
        )
    if neuron == "lif":
        raise DefinitionError(
            f"{network}: levels does not apply to neuron 'lif', which fires 0 or 1; remove it, or "
            "choose neuron = 'integer' or 'integer-lif'."
        )


def make_neuron(neuron: str, levels: int | None, *, attention: bool = False) -> SpikingNeuron:
    """A new neuron; ``attention``: it reads the products of attention."""
    if neuron == "lif":
        return LIF(threshold=ATTENTION_THRESHOLD) if attention else LIF()
    kind = IntegerNeuron if neuron == "integer" else IntegerLIF
    return kind(LEVELS if levels is None else levels, ATTENTION_GAIN if attention else 1.0)
