"""Which modules are neurons, and which of them take in a normalisation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hqsearch.models import neurons
from hqsearch.models.neurons import LIF
from hqsearch.models.recognition import (
    absorbs_normalization,
    is_neuron,
    looks_like_a_neuron,
    spikes_of,
)


def module(**attributes: object) -> nn.Module:
    """A module of nobody's library that has these attributes."""
    foreign = nn.Module()
    for name, value in attributes.items():
        setattr(foreign, name, value)
    return foreign


class SpikingNeuron(nn.Module):
    """Somebody's base class of the same name as hqsearch's and snnTorch's."""


class Silent(neurons.SpikingNeuron):
    """A user's own that says nothing of its reset."""


class Subtracting(neurons.SpikingNeuron):
    v_reset = None


@pytest.mark.parametrize(
    ("candidate", "neuron", "absorbs"),
    [
        (LIF(), True, True),
        (Silent(2.0, 1.0), True, True),
        (Subtracting(2.0, 1.0), True, False),
        (SpikingNeuron(), False, False),
        (module(v_threshold=1.0, v_reset=0.0), False, False),
        (module(threshold=1.0, tau=2.0), False, False),
        (nn.Linear(2, 2), False, False),
    ],
)
def test_neurons_and_what_they_absorb(candidate: nn.Module, neuron: bool, absorbs: bool) -> None:
    assert is_neuron(candidate) == neuron
    assert absorbs_normalization(candidate) == absorbs


def test_a_users_class_can_be_named() -> None:
    assert not is_neuron(nn.ReLU())
    assert is_neuron(nn.ReLU(), (nn.ReLU,))


@pytest.mark.parametrize(
    ("candidate", "why"),
    [
        (module(v_threshold=1.0), "it has a v_threshold"),
        (module(threshold=1.0, beta=0.9), "it has a threshold and a time constant"),
        (SpikingNeuron(), "it derives from a SpikingNeuron"),
        (LIF(), None),
        (nn.ReLU(), None),
    ],
)
def test_what_looks_like_a_neuron_is_told(candidate: nn.Module, why: str | None) -> None:
    assert looks_like_a_neuron(candidate) == why


def test_the_spikes_are_the_first_tensor() -> None:
    spikes, state = torch.ones(2), torch.zeros(2)
    assert spikes_of((spikes, (state, None))) is spikes
    assert spikes_of(spikes) is spikes
    assert spikes_of("nothing") is None
