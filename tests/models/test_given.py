"""Networks that are given as Python objects."""

from __future__ import annotations

import copy
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from hqsearch.errors import PluginError
from hqsearch.models import GivenModel, file_reference

DATA = {"timesteps": 2, "size": 8, "classes": 3, "in_channels": 2}


def build(classes: int, width: int = 4) -> nn.Module:
    return nn.Sequential(nn.Linear(2, width), nn.Linear(width, classes))


def identity(source: Any, options: dict[str, Any] | None = None, seed: int = 0) -> dict[str, Any]:
    return GivenModel(source).identity(options or {}, DATA, seed)


def test_equal_objects_are_known_by_the_same() -> None:
    module = build(3)
    assert identity(module) == identity(copy.deepcopy(module))
    assert identity(build) == identity(build)
    assert identity(module)["layers"] == {"0": [4, 2], "1": [3, 4]}


def test_each_part_tells_what_differs() -> None:
    def other(classes: int, width: int = 4) -> nn.Module:
        return build(classes, width)

    base = identity(build)

    def differing(told: dict[str, Any]) -> set[str]:
        return {key for key in base if told[key] != base[key]}

    assert differing(identity(build, seed=1)) == {"weights"}
    assert differing(identity(build, {"width": 5})) == {"layers", "weights"}
    assert differing(identity(other)) == {"name", "source"}


def test_buffers_and_scalars_count_as_weights() -> None:
    module = nn.BatchNorm1d(3)
    before = identity(module)["weights"]
    module.num_batches_tracked += 1
    assert identity(module)["weights"] != before


def test_the_global_generator_is_left_alone_and_a_module_is_copied() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    GivenModel(build).build({}, DATA, 1)
    assert torch.equal(torch.random.get_rng_state(), before)
    module = build(3)
    built = GivenModel(module).build({}, DATA, 1)
    assert built is not module
    assert torch.equal(built[0].weight, module[0].weight)


def test_options_of_a_module_are_refused() -> None:
    with pytest.raises(PluginError, match="is a network already"):
        GivenModel(build(3)).build({"width": 3}, DATA, 0)


def test_a_source_that_cannot_be_read_is_none() -> None:
    namespace: dict[str, Any] = {"nn": nn}
    exec("def made(classes):\n    return nn.Linear(2, classes)", namespace)
    assert identity(namespace["made"])["source"] is None
    assert identity(namespace["made"])["name"] == "made"


@pytest.fixture
def module_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(text: str, name: str = "given_network") -> ModuleType:
        file = tmp_path / f"{name}.py"
        file.write_text(text)
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return make


def test_what_a_file_can_be_asked_for_has_a_reference(module_of: Any, tmp_path: Path) -> None:
    module = module_of("def build():\n    pass\nclass Net:\n    pass\nother = build\n")
    assert file_reference(module.build) == f"{tmp_path / 'given_network.py'}:build"
    assert file_reference(module.Net) == f"{tmp_path / 'given_network.py'}:Net"


def test_what_it_cannot_be_asked_for_has_none(module_of: Any) -> None:
    inner = module_of("def outer():\n    def build():\n        pass\n    return build\n").outer()
    relative = module_of("def build():\n    from . import x\n", "relative_network").build
    for source in (inner, relative, lambda: 3, nn.Linear(2, 2), 3):
        assert file_reference(source) is None
    inner.__module__ = "__main__"
    assert file_reference(inner) is None
