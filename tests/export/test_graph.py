"""Graphs as JSON: there and back, and what is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from hqsearch.errors import DefinitionError
from hqsearch.export.graph import GRAPH_VERSION, KINDS, Graph, Logits, TimeSum
from hqsearch.export.network import IntegerNetwork, integer_network
from hqsearch.export.packed_layers import quantized_layers
from hqsearch.models import weight_layers
from hqsearch.quant import quantize_model

from .conftest import traced
from .integer_networks import BITS, in_integers, made


@pytest.mark.parametrize("kind", ["convolutional", "spikformer"])
def test_there_and_back(kind: str) -> None:
    network, _ = in_integers(*made(kind), ["4u", "2l"])
    graph = network.graph
    assert Graph.from_json(json.loads(json.dumps(graph.to_json()))) == graph
    every, once = graph.split()
    assert every + once == graph.nodes
    assert isinstance(every[-1], TimeSum)
    assert isinstance(once[-1], Logits)
    assert {node.kind for node in graph.nodes} <= set(KINDS)
    assert graph.classes == graph.values[graph.nodes[-1].output].size


def _without_layers(data: dict[str, Any]) -> None:
    data["nodes"] = data["nodes"][1:]


def _read_too_early(data: dict[str, Any]) -> None:
    data["nodes"][0]["inputs"] = [5]


def _other_kind(data: dict[str, Any]) -> None:
    data["nodes"][0]["kind"] = "softmax"


def _half_a_shape(data: dict[str, Any]) -> None:
    data["values"][1]["shape"] = [2.5]


def _no_values(data: dict[str, Any]) -> None:
    del data["values"]


def _empty(data: dict[str, Any]) -> None:
    data["nodes"] = []


@pytest.mark.parametrize(
    "damage", [_without_layers, _read_too_early, _other_kind, _half_a_shape, _no_values, _empty]
)
def test_damaged_graphs_are_refused(damage: Callable[[dict[str, Any]], None]) -> None:
    network, _ = in_integers(*made("dense"), ["4u"])
    data = json.loads(json.dumps(network.graph.to_json()))
    damage(data)
    with pytest.raises(DefinitionError, match="this is no graph of hqsearch"):
        Graph.from_json(data)


def test_a_graph_of_the_first_version_is_read() -> None:
    network, _ = in_integers(*made("dense"), ["4u"])
    data = json.loads(json.dumps({**network.graph.to_json(), "version": 1}))
    for node in data["nodes"]:
        node.pop("levels", None)
    assert Graph.from_json(data) == network.graph


def test_a_newer_graph_is_refused() -> None:
    network, _ = in_integers(*made("dense"), ["4u"])
    data = {**network.graph.to_json(), "version": GRAPH_VERSION + 1}
    with pytest.raises(DefinitionError, match=f"version {GRAPH_VERSION + 1}; this hqsearch reads"):
        Graph.from_json(data)


def test_a_graph_that_does_not_fit_its_layers_is_refused() -> None:
    model, shape = made("spikformer")
    quantize_model(model, dict.fromkeys((w.path for w in weight_layers(model)), "4u"))
    stored = quantized_layers(model, traced(model, torch.zeros(shape[0], 1, *shape[1:])))
    described = integer_network(model, stored, shape[0], shape[1:], BITS).described()
    with pytest.raises(DefinitionError, match="holds no graph of integers"):
        IntegerNetwork.of_packed(None, stored)
    fewer = {path: layer for path, layer in stored.items() if path != "head"}
    with pytest.raises(DefinitionError, match="does not fit the layers"):
        IntegerNetwork.of_packed(described, fewer)
    other = copy.deepcopy(dict(described))
    neuron = next(n for n in other["nodes"] if n["kind"] == "neuron")
    neuron["fraction"] += 1
    with pytest.raises(DefinitionError, match="made for other thresholds"):
        IntegerNetwork.of_packed(other, stored)
    other = copy.deepcopy(dict(described))
    other["constants"] = {}
    with pytest.raises(DefinitionError, match="does not fit the layers"):
        IntegerNetwork.of_packed(other, stored)
