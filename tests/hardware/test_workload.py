"""A workload is plain data: JSON, stated rates, other timesteps, what is looked up."""

from __future__ import annotations

import json
from functools import cache

import pytest
import torch
from torch import nn

from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.hardware import Following, LayerRate, Workload, rates_from_json, rates_to_json
from hqsearch.hardware.trace import trace_workload
from hqsearch.models import build_model
from hqsearch.models.neurons import LIF


@cache
def spikformer_workload() -> Workload:
    options = {"embed_dim": 32, "depth": 1, "heads": 2, "pooled_stages": 3}
    model = build_model("spikformer", options, timesteps=16, size=32, classes=3).to("meta")
    return trace_workload(model, torch.zeros(16, 1, 2, 32, 32, device="meta"), 4)


def test_json_round_trip() -> None:
    model = nn.Sequential(nn.Linear(5, 6), LIF(), nn.Linear(6, 2))
    workload = trace_workload(model, torch.ones(3, 4, 5), 2)
    assert Workload.from_json(json.dumps(workload.to_json())) == workload
    assert Workload.from_json(json.loads(json.dumps(workload.to_json()))) == workload
    with pytest.raises(DefinitionError, match="no workload"):
        Workload.from_json({"timesteps": 1})
    rates = {
        "a": LayerRate(0.5, 1.0, float("nan")),
        "b": LayerRate(0.1, 0.1, 0.01),
        "c": LayerRate(0.1, 0.2, 0.01, 0.3, 0.4),
    }
    again = rates_from_json(json.loads(json.dumps(rates_to_json(rates))))
    assert (again["b"], again["c"]) == (rates["b"], rates["c"])
    assert again["a"].se != again["a"].se
    with pytest.raises(DefinitionError, match="firing rate of 'a' is missing"):
        rates_from_json({"a": {"rate": None, "activity": None, "se": None}})


def test_a_workload_that_was_counted_another_way_is_refused() -> None:
    """Version 0.1 counted padding and said nothing of how it counted."""
    new = ("padding_macs_per_step", "rate_per_use", "activity_per_use")
    data = spikformer_workload().with_rate(0.2).to_json()
    del data["counting"], data["unread"]
    for item in data["operations"]:
        for key in new:
            del item[key]
    with pytest.raises(DefinitionError, match=r"counted in way 1.*prepare the study again"):
        Workload.from_json(data)
    old = Workload.from_json(data, earlier=True)
    assert (old.counting, old.with_rate(0.1).counting) == (1, 1)
    assert all(op.valid_macs == op.macs for op in old.operations)
    assert Workload.from_json(old.to_json(), earlier=True) == old
    with pytest.raises(DefinitionError, match="counted in way 3"):
        Workload.from_json({**data, "counting": 3}, earlier=True)


def test_what_follows_the_layers() -> None:
    following = spikformer_workload().following
    assert list(following) == list(spikformer_workload().layers)
    assert following["tokenizer.conv1"] == Following("tokenizer.norm1", "tokenizer.neuron1")
    assert following["tokenizer.conv1"].absorbed
    assert not Following(None, "neuron").absorbed
    assert not Following("norm", None).absorbed


def test_stated_rates() -> None:
    workload = spikformer_workload()
    assert workload.layers["tokenizer.conv2"].rate is None
    stated = workload.with_rate(0.2)
    assert stated.layers["tokenizer.conv2"].rate == pytest.approx(0.2)
    q = stated.layers["blocks.0.attention.q"]
    assert (q.rate, q.activity) == (pytest.approx(1 - 0.8**2), pytest.approx(0.4))
    assert stated.layers["head"].rate is None
    for bad in (-0.1, 1.5):
        with pytest.raises(DefinitionError, match="firing rate"):
            workload.with_rate(bad)
    with pytest.raises(UnknownName, match=r"tokenizer\.conv2"):
        workload.layer("tokenizer.conv22")
