"""What is read of the neurons of other libraries, and that their state is put to rest."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.models import adapters
from hqsearch.models.adapters import Adapter, NeuronFacts, clear_state, neuron_facts
from hqsearch.models.adapters.declared import Declared, declare
from hqsearch.models.adapters.facts import reset_to
from hqsearch.models.neurons import LIF, SpikingNeuron


def library(place: str) -> Any:
    """An installed library, whatever it warns of when it is imported."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(place)
    except ModuleNotFoundError as error:
        pytest.skip(f"needs {place} (pip install --no-deps -r .ci/zoo.txt): {error}")


def told(module: nn.Module) -> tuple[Any, ...]:
    facts = neuron_facts(module)
    assert facts is not None
    return facts.reset, facts.output, facts.levels, facts.absorbs


def test_of_hqsearch() -> None:
    facts = neuron_facts(LIF(tau=3.0, threshold=0.5))
    assert facts == NeuronFacts("hqsearch", 3.0, 0.5, "zero", "binary", 1, 1.0, True)
    assert "takes in normalisation" in str(facts)
    assert neuron_facts(nn.ReLU()) is None


def test_of_snntorch() -> None:
    snn = library("snntorch")
    facts = neuron_facts(snn.Leaky(beta=0.75, threshold=2.0, reset_mechanism="zero"))
    assert facts == NeuronFacts("snnTorch", 4.0, 2.0, "zero", "binary", 1, 1.0, True)
    assert told(snn.Leaky(beta=0.9)) == ("subtract", "binary", 1, False)
    assert told(snn.Synaptic(alpha=0.9, beta=0.9, reset_mechanism="none"))[0] == "none"
    graded = neuron_facts(snn.Leaky(beta=0.9, graded_spikes_factor=0.5))
    assert graded is not None
    assert graded.unit == 0.5
    lstm = neuron_facts(snn.SLSTM(4, 4, reset_mechanism="zero"))
    assert lstm is not None
    assert not lstm.absorbs  # its dynamics are not linear


def test_of_spikingjelly() -> None:
    neuron = library("spikingjelly.activation_based.neuron")
    facts = neuron_facts(neuron.LIFNode(tau=3.0, v_threshold=0.5))
    assert facts == NeuronFacts("SpikingJelly", 3.0, 0.5, "zero", "binary", 1, 1.0, True)
    assert told(neuron.IFNode(v_reset=None)) == ("subtract", "binary", 1, False)
    assert told(neuron.LIFNode(v_reset=-0.5))[0] == "value"
    learned = neuron_facts(neuron.ParametricLIFNode(init_tau=4.0))
    assert learned is not None
    assert learned.tau == pytest.approx(4.0)
    assert not told(neuron.QIFNode())[3]


def test_of_norse() -> None:
    norse = library("norse.torch")
    facts = neuron_facts(norse.LIFCell())
    assert facts is not None
    assert (facts.source, facts.threshold, facts.reset) == ("norse", 1.0, "zero")
    assert facts.tau == pytest.approx(10.0)
    assert facts.absorbs
    assert neuron_facts(norse.LICell()) is None  # it fires no spikes


def test_of_sinabs() -> None:
    layers, activation = library("sinabs.layers"), library("sinabs.activation")
    facts = neuron_facts(layers.LIF(tau_mem=5.0, spike_threshold=2.0))
    assert facts == NeuronFacts("sinabs", 5.0, 2.0, "subtract", "integer", None, 1.0, True)
    single = layers.IAF(spike_fn=activation.SingleSpike, reset_fn=activation.MembraneReset())
    assert told(single) == ("zero", "binary", 1, True)
    assert told(layers.IAF(spike_fn=activation.MaxSpike(3)))[1:3] == ("integer", 3)
    assert neuron_facts(layers.ExpLeak(tau_mem=5.0)) is None


def test_state_is_put_to_rest() -> None:
    snn, layers = library("snntorch"), library("sinabs.layers")
    neuron = library("spikingjelly.activation_based.neuron")
    mine = [snn.Leaky(beta=0.9, init_hidden=True), layers.IAF(), neuron.LIFNode(v_threshold=0.5)]
    x = torch.full((2, 3, 4), 0.8)
    for module in mine:
        first = module(x)
        assert not torch.equal(first, module(x)), module  # what is left changes the answer
        assert clear_state(module)
        assert torch.equal(first, module(x)), module
        clear_state(module)
        assert all(tensor.numel() < 2 for tensor in module.state_dict().values())
    assert not clear_state(nn.Sequential(LIF(), nn.ReLU()))


class Mine(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.v_threshold, self.v_reset, self.tau, self.v = 0.5, None, 4.0, 1.0

    def reset(self) -> None:
        self.v = 0.0

    def forward(self, x: Tensor) -> Tensor:
        return x


def test_of_a_declaration() -> None:
    model = nn.Sequential(Mine(), nn.ReLU())
    assert neuron_facts(model[0]) is None
    declare(model, [Declared("Mine")])
    facts = neuron_facts(model[0])
    assert facts == NeuronFacts("[model] neurons", 4.0, 0.5, "subtract", "measured")
    assert clear_state(model)
    assert model[0].v == 0.0
    said = Declared("test_adapters.Mine", 2.0, 1.0, "zero", "binary")
    declare(model, [said])
    facts = neuron_facts(model[0])
    assert facts == NeuronFacts("[model] neurons", 2.0, 1.0, "zero", "binary", 1, 1.0, True)


def test_a_class_that_is_not_there_and_two_that_are_one() -> None:
    model = nn.Sequential(Mine())
    with pytest.raises(UnknownName, match=r"unknown neuron class 'Mein'.*did you mean 'Mine'"):
        declare(model, [Declared("Mein")])
    with pytest.raises(DefinitionError, match=r"'Mine' and 'test_adapters.Mine' both mean"):
        declare(model, [Declared("Mine"), Declared("test_adapters.Mine")])


def test_two_libraries_that_claim_one_class(monkeypatch: pytest.MonkeyPatch) -> None:
    def facts(module: nn.Module) -> NeuronFacts | None:
        return NeuronFacts("other") if isinstance(module, SpikingNeuron) else None

    other = Adapter("other", facts, lambda module: False)
    monkeypatch.setattr(adapters, "ADAPTERS", (*adapters.ADAPTERS, other))
    with pytest.raises(DefinitionError, match="is a neuron of hqsearch and other"):
        neuron_facts(LIF())


def test_resets() -> None:
    assert [reset_to(v) for v in (0, 0.0, None, 0.1, torch.zeros(3), torch.ones(3), "x")] == [
        "zero",
        "zero",
        "subtract",
        "value",
        "zero",
        "value",
        "unknown",
    ]
