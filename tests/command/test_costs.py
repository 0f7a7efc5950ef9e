"""What candidates of a command cost, by each source of layers there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from hqsearch.command.costs import CodeCosts, NetworkCosts, costs_of
from hqsearch.command.options import CommandOptions
from hqsearch.definition import study_of_tables
from hqsearch.errors import DefinitionError, PluginError
from hqsearch.hardware.trace import trace_workload
from hqsearch.problem.space import Space, derive_space

NETWORK = """
import torch
from torch import nn
from hqsearch.models.neurons import LIF

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv, self.lif = nn.Conv2d(2, 4, 3, padding=1), LIF()
        self.next, self.fire, self.head = nn.Conv2d(4, 4, 1), LIF(), nn.Linear(4, classes)

    def forward(self, x):
        y = self.lif(self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
        y = self.fire(self.next(y.flatten(0, 1)).unflatten(0, x.shape[:2]))
        return self.head(y.mean((3, 4))).mean(0)

def build(*, classes):
    return Net(classes)

def looks(*, classes):
    class Looking(Net):
        def forward(self, x):
            return super().forward(x) if float(x.sum()) == 0.0 else x
    return Looking(classes)

def fails(*, classes):
    class Failing(Net):
        def forward(self, x):
            raise ZeroDivisionError("never")
    return Failing(classes)
"""
INPUT: dict[str, Any] = {"input": (2, 8, 8), "input_bits": 4, "classes": 3}


def asked(folder: Path, model: dict[str, Any] | None = None, **options: Any) -> Any:
    """A definition and its options."""
    tables: dict[str, Any] = {
        "space": {"choices": ["2u", "fp32"]},
        "evaluator": "command",
        "objective": [{"name": "accuracy"}, {"name": "storage"}],
        **({"model": model} if model else {}),
    }
    definition = study_of_tables(tables, "mine", folder, {})
    return definition, CommandOptions(command=("train", "{assignment}"), **options)


def space_of(costs: CodeCosts | NetworkCosts) -> Space:
    definition, _ = asked(Path())
    assert not isinstance(definition.space, str)
    return derive_space(definition.space, costs.layers)


def test_numbers_of_weights_tell_storage_of_codes_and_bits() -> None:
    costs = CodeCosts({"a": 4096, "b": 1024})
    space = space_of(costs)
    mixed = space.candidate({"a": "2u", "b": "fp32"})
    bits = 4096 * 2 + 1024 * 32
    assert costs.cheap(space, [mixed, mixed]).tolist() == [[bits / 8192, bits / 5120]] * 2
    assert costs.cheap(space, []).shape == (0, 2)
    assert costs.reference() == {"storage": 5120 * 32 / 8192, "average_bits": 32.0}
    assert [(layer.path, layer.weights) for layer in costs.layers] == [("a", 4096), ("b", 1024)]


def test_exactly_one_source_of_layers(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"one source of layers.*\(none is given\)"):
        costs_of(*asked(tmp_path))
    both = asked(tmp_path, {"name": "spikformer"}, layers={"a": 3})
    with pytest.raises(DefinitionError, match=r"given: \[model\], \[evaluation\] layers"):
        costs_of(*both)
    assert isinstance(costs_of(*asked(tmp_path, layers={"a": 3})), CodeCosts)


def network(folder: Path, name: str, **options: Any) -> NetworkCosts:
    (folder / "net.py").write_text(NETWORK)
    model = {"path": f"net.py:{name}", "timesteps": 2}
    costs = costs_of(*asked(folder, model, **{**INPUT, **options}))
    assert isinstance(costs, NetworkCosts)
    return costs


def test_a_network_is_traced_at_the_rate_that_is_said(tmp_path: Path) -> None:
    quiet, busy = (network(tmp_path, "build", rate=rate) for rate in (0.1, 0.4))
    assert [(x.path, x.weights) for x in quiet.layers] == [("conv", 72), ("next", 16), ("head", 12)]
    space = space_of(quiet)
    whole = space.candidate(dict.fromkeys(space.names, "fp32"))
    small = space.candidate(dict.fromkeys(space.names, "2u"))
    few, all_bits = quiet.cheap(space, [small, whole])
    assert (few < all_bits).all()
    assert all_bits.tolist() == pytest.approx(list(quiet.reference().values()))
    more = busy.cheap(space, [small])[0]
    assert more[0] > few[0]  # energy follows the rate, storage and bits do not
    assert more[1:].tolist() == few[1:].tolist()
    assert quiet.measured_energy(space, small, {}) == pytest.approx(few[0])
    assert quiet.model(space) is quiet.model(space)


def test_a_network_that_looks_at_its_values_is_run_on_some(tmp_path: Path) -> None:
    looking, plain = (network(tmp_path, name).reference() for name in ("looks", "build"))
    assert looking.pop("energy") == pytest.approx(plain.pop("energy"), rel=1e-3)  # and its sum
    assert looking == plain


def test_what_cannot_be_traced_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        PluginError, match=r"net\.py:fails fails on frames \[2, 1, 2, 8, 8\].*never"
    ):
        network(tmp_path, "fails")
    for key, text in (("input", "channels, height, width"), ("classes", "a number")):
        with pytest.raises(DefinitionError, match=f"needs {key} .{text}"):
            network(tmp_path, "build", **{key: None})
    given = asked(tmp_path, {"object": {"name": "build"}}, **INPUT)
    with pytest.raises(DefinitionError, match="reads its network from a file or by its name"):
        costs_of(*given)


def test_a_workload_in_a_file_keeps_its_rates(tmp_path: Path) -> None:
    costs = network(tmp_path, "build")
    namespace: dict[str, Any] = {}
    exec(NETWORK, namespace)
    model, frames = namespace["build"](classes=3), torch.zeros(2, 1, 2, 8, 8)
    traced = trace_workload(model.to("meta"), frames.to("meta"), 4)
    file = tmp_path / "workload.json"
    file.write_text(json.dumps(traced.to_json()))
    read = costs_of(*asked(tmp_path, workload="workload.json", rate=0.2))
    assert read.reference() == costs.reference()  # without rates: those that are assumed
    file.write_text(json.dumps(traced.with_rate(0.4).to_json()))
    known = costs_of(*asked(tmp_path, workload="workload.json", rate=0.2))
    assert known.reference()["energy"] > read.reference()["energy"]
    with pytest.raises(DefinitionError, match=r"workload: .*gone\.json: No such file"):
        costs_of(*asked(tmp_path, workload="gone.json"))
