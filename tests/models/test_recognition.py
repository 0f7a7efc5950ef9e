"""Which modules are neurons, and which of them take in a normalisation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hqsearch.models import neurons
from hqsearch.models.neurons import LIF
from hqsearch.models.recognition import absorbs_normalization, is_neuron


def module(**attributes: object) -> nn.Module:
    """A module of another library that has these attributes."""
    foreign = nn.Module()
    for name, value in attributes.items():
        setattr(foreign, name, value)
    return foreign


class SpikingNeuron(nn.Module):
    """Another library's base class of the same name, as snnTorch has one."""

    def __init__(self, reset_mechanism: str) -> None:
        super().__init__()
        self.threshold, self.reset_mechanism = 1.0, reset_mechanism


class Leaky(SpikingNeuron):
    """Without ``tau``: known by its base class alone."""


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
        (Leaky("zero"), True, True),
        (Leaky("subtract"), True, False),
        (Leaky("none"), True, False),
        (module(v_threshold=1.0, v_reset=0.0), True, True),
        (module(v_threshold=1.0, v_reset=0.1), True, False),
        (module(v_threshold=1.0, v_reset=None), True, False),
        (module(v_threshold=1.0, v_reset=torch.zeros(4)), True, False),
        (module(v_threshold=1.0), True, False),
        (module(threshold=1.0, tau=2.0), True, False),
        (module(threshold=1.0), False, False),
        (module(tau=2.0), False, False),
        (nn.Linear(2, 2), False, False),
    ],
)
def test_neurons_and_what_they_absorb(candidate: nn.Module, neuron: bool, absorbs: bool) -> None:
    assert is_neuron(candidate) == neuron
    assert absorbs_normalization(candidate) == absorbs


def test_a_users_class_can_be_named() -> None:
    assert not is_neuron(nn.ReLU())
    assert is_neuron(nn.ReLU(), (nn.ReLU,))
