"""Networks by name and from a user's file."""

from __future__ import annotations

import pytest
import torch

from hqsearch.definition.study import ModelDefinition
from hqsearch.errors import DefinitionError, PluginError, UnknownName
from hqsearch.models import build_model, weight_layers
from hqsearch.models.given import KEYS

OPTIONS = {"embed_dim": 16, "depth": 1, "heads": 2, "pooled_stages": 2}
DATA = {"timesteps": 2, "size": 16, "classes": 3}
USER = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, timesteps, size, classes, in_channels, width):
        super().__init__()
        self.conv = nn.Conv1d(in_channels, width, 3)
        self.norm = nn.LayerNorm(4)
        self.out = nn.Linear(width, classes)

def build(*, timesteps, size, classes, in_channels, width=4):
    return Net(timesteps, size, classes, in_channels, width)

def nothing(**options):
    return 3

number = 7
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(USER)
    return path


def test_the_seed_decides_the_weights_and_the_global_generator_is_left_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, same, other = (build_model("spikformer", OPTIONS, **DATA, seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.head.weight, other.head.weight)


def test_a_users_network(file):
    model = build_model(f"{file}:build", {"width": 6}, **DATA)
    assert [(x.path, x.kind, x.weights, x.shape) for x in weight_layers(model)] == [
        ("conv", "conv1d", 36, (6, 2, 3)),
        ("out", "linear", 18, (3, 6)),
    ]


def test_unknown_names_suggest_the_closest():
    with pytest.raises(UnknownName, match="did you mean 'spikformer'"):
        build_model("spikeformer", OPTIONS, **DATA)
    with pytest.raises(UnknownName, match="did you mean 'embed_dim'"):
        build_model("spikformer", {**OPTIONS, "embed_dims": 8}, **DATA)
    with pytest.raises(UnknownName, match="unknown key 'size'"):
        build_model("spikformer", {**OPTIONS, "size": 8}, **DATA)


def test_missing_options_are_named():
    with pytest.raises(DefinitionError, match="lacks depth, heads"):
        build_model("spikformer", {"embed_dim": 8, "pooled_stages": 1}, **DATA)


@pytest.mark.parametrize(
    "name, options, words",
    [
        ("build", {"widht": 3}, "did you mean 'width' for 'widht'"),
        ("build", {"readuot": "mean"}, "did you mean 'readout' for 'readuot'"),
        ("biuld", {}, "biuld"),
        ("number", {}, "no function"),
        ("nothing", {}, "returned a int"),
    ],
)
def test_users_files_that_do_not_fit(file, name, options, words):
    with pytest.raises(PluginError, match=words):
        build_model(f"{file}:{name}", options, **DATA)


def test_keys_that_are_none_of_a_networks_own() -> None:
    assert {*KEYS, "name", "path", "object"} == set(ModelDefinition.model_fields)


def test_a_missing_file(tmp_path):
    with pytest.raises(PluginError, match="no file"):
        build_model(f"{tmp_path}/none.py:build", {}, **DATA)


def test_a_users_network_may_leave_out_what_it_does_not_use(tmp_path):
    path = tmp_path / "few.py"
    path.write_text("from torch import nn\ndef build(classes):\n    return nn.Linear(2, classes)\n")
    assert build_model(f"{path}:build", {}, **DATA).out_features == 3
    with pytest.raises(PluginError, match="width"):
        build_model(f"{path}:build", {"width": 3}, **DATA)
