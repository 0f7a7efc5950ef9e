"""Neurons by their names, on both networks."""

from __future__ import annotations

import pytest
import torch

from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.models import build_model
from hqsearch.models.integer_neurons import IntegerLIF, IntegerNeuron
from hqsearch.models.neuron_choice import NEURONS, check_neuron, make_neuron
from hqsearch.models.neurons import LIF

SMALL = {"embed_dim": 16, "depth": 1, "heads": 2, "pooled_stages": 3}
FRAMES = {"timesteps": 2, "size": 16, "classes": 3}


@pytest.mark.parametrize(
    "name, kind", [("lif", LIF), ("integer", IntegerNeuron), ("integer-lif", IntegerLIF)]
)
def test_every_name_makes_its_neuron(name, kind):
    assert set(NEURONS) == {"lif", "integer", "integer-lif"}
    plain, gate = make_neuron(name, None), make_neuron(name, None, attention=True)
    assert type(plain) is type(gate) is kind
    if name == "lif":
        assert (plain.threshold, gate.threshold) == (1.0, 0.5)
    else:
        assert (plain.unit, gate.unit) == (0.25, 0.5)
        assert make_neuron(name, 2).levels == 2


@pytest.mark.parametrize("name", NEURONS)
def test_a_spikformer_takes_any_neuron_and_learns(name):
    model = build_model("spikformer", {**SMALL, "neuron": name}, **FRAMES)
    frames = torch.randint(0, 5, (2, 3, 2, 16, 16)).float()
    loss = model(frames).square().sum()
    loss.backward()
    grads = [p.grad for n, p in model.named_parameters() if n.endswith("conv1.weight")]
    assert loss.isfinite()
    assert float(grads[0].abs().sum()) > 0


def test_the_default_is_what_it_was():
    one, other = (
        build_model("spikformer", o, **FRAMES) for o in (SMALL, {**SMALL, "neuron": "lif"})
    )
    assert repr(one) == repr(other)
    assert isinstance(one.tokenizer.neuron1, LIF)


@pytest.mark.parametrize(
    "neuron, levels, text",
    [
        ("integer", 0, "from 1 to 255, not 0"),
        ("integer", 2.0, "whole number"),
        ("integer", True, "whole number"),
        ("lif", 4, "does not apply to neuron 'lif'"),
        (4, None, "must be a name"),
    ],
)
def test_what_cannot_be_is_refused(neuron, levels, text):
    with pytest.raises(DefinitionError, match=text):
        check_neuron("spikformer", neuron, levels)


def test_an_unknown_neuron_is_refused_with_the_nearest():
    with pytest.raises(UnknownName, match="integer-lif"):
        build_model("spikformer", {**SMALL, "neuron": "integer_lif"}, **FRAMES)
