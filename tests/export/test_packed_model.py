"""A file gives the network again that was written to it, for every scheme and width."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

from hqsearch.errors import InputError
from hqsearch.export.packed_file import read_packed, sizes_of, write_packed
from hqsearch.export.packed_model import pack_network, rebuild
from hqsearch.hardware import CostModel, load_profile
from hqsearch.models import build_model
from hqsearch.models.adapters.declared import Declared
from hqsearch.models.adopting import adopt
from hqsearch.models.integer_neurons import IntegerNeuron
from hqsearch.plugins import file_identity
from hqsearch.quant import quantize_model
from hqsearch.schemes.choice import all_choices

from .conftest import Various, traced, various

LAYERS = ("conv", "plain", "residual", "head")
ABOUT = {"model": {"name": None, "object": "Various", "options": {}, "given": {}}}


@pytest.mark.parametrize("choice", all_choices())
def test_round_trip(choice, network, tmp_path):
    model, frames = network(3)
    model.norm.weight.data[0] = 0.3
    workload = traced(model, frames)
    quantize_model(model, dict.fromkeys(LAYERS, choice))
    packed = pack_network(model, workload, ABOUT)
    sizes = write_packed(packed, tmp_path / "m.hq")
    again = read_packed(tmp_path / "m.hq")
    assert again.about == ABOUT
    assert again.choices == dict.fromkeys(LAYERS, choice)
    tensors, written = again.tensors(), packed.tensors()
    assert {k: v.tobytes() for k, v in tensors.items()} == {
        k: v.tobytes() for k, v in written.items()
    }
    costs = CostModel(workload, load_profile("horowitz-45nm-memory"), {})
    assert 8 * sizes.tensors == costs.storage(dict.fromkeys(LAYERS, choice)).bits
    assert sizes.file == (tmp_path / "m.hq").stat().st_size
    assert sizes == sizes_of(again, tmp_path / "m.hq")
    loaded = rebuild(again, Various)
    with torch.no_grad():
        torch.testing.assert_close(loaded(frames), model(frames), rtol=1e-5, atol=1e-5)


def test_mixed_layers_and_norms_in_a_row(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(various(4))
    model[0].norm = nn.Sequential(model[0].norm, nn.BatchNorm2d(5, affine=False))
    model.eval()
    frames = torch.randint(0, 4, (4, 5, 2, 7, 7)).float()
    workload = traced(model, frames)
    choices = {"0.conv": "3l", "0.plain": "5u", "0.residual": "2u"}
    quantize_model(model, choices)
    write_packed(pack_network(model, workload, ABOUT), tmp_path / "m.hq")
    with torch.random.fork_rng():
        fresh = nn.Sequential(various(4))
        fresh[0].norm = nn.Sequential(fresh[0].norm, nn.BatchNorm2d(5, affine=False))
    loaded = rebuild(read_packed(tmp_path / "m.hq"), fresh)
    with torch.no_grad():
        torch.testing.assert_close(loaded(frames), model(frames), rtol=1e-5, atol=1e-5)
    assert Counter(read_packed(tmp_path / "m.hq").choices.values()) == Counter(
        ["3l", "5u", "2u", "fp32"]
    )


def test_integer_neurons_take_in_scales_and_see_counts_of_spikes(tmp_path):
    """As QSD-Transformer has them: a spike of k/4 is k unit spikes."""

    def make() -> nn.Module:
        return nn.Sequential(
            nn.Flatten(0, 1), nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), IntegerNeuron(),
            nn.Conv2d(5, 4, 3), nn.BatchNorm2d(4), IntegerNeuron(gain=2.0), nn.Flatten(),
            nn.Linear(36, 3),
        )  # fmt: skip

    torch.manual_seed(1)
    model, frames = make().eval(), torch.randint(0, 4, (1, 5, 2, 7, 7)).float()
    workload = traced(model, frames)
    quantize_model(model, {"1": "4u", "4": "4l", "8": "8u"})
    packed = pack_network(model, workload, ABOUT)
    assert [layer.unit for layer in packed.layers.values()] == [1.0, 0.25, 0.5]
    assert packed.layers["4"].threshold is not None
    write_packed(packed, tmp_path / "m.hq")
    loaded = rebuild(read_packed(tmp_path / "m.hq"), make)
    with torch.no_grad():
        torch.testing.assert_close(loaded(frames), model(frames), rtol=1e-5, atol=1e-5)


def test_a_users_network_is_made_ready_as_it_was(tmp_path: Path):
    """Its neurons are those that the study declares, its logits the mean over time."""
    file = tmp_path / "net.py"
    file.write_text(NET)
    name = f"{file}:build"
    adopted = {
        "frames": [4, 1, 2, 7, 7],
        "neurons": [{"cls": "Mine", "tau": 2.0, "threshold": 0.7, "reset": "zero"}],
        "seed": 0,
        "readout": "mean",
    }
    given = {"timesteps": 4, "size": 7, "classes": 3, "in_channels": 2}
    identity = file_identity(name, Path())
    told = {"name": name, "options": {}, "given": given, "identity": identity, "adopted": adopted}
    declared = [Declared(**neuron) for neuron in adopted["neurons"]]
    model = adopt(build_model(name, {}, **given), adopted["frames"], declared, None, 0, "mean")
    model.eval()
    frames = torch.randint(0, 4, (4, 5, 2, 7, 7)).float()
    workload = traced(model, frames)
    assert workload.layers["conv"].neuron is None  # nothing says that it is linear
    quantize_model(model, {"conv": "3u", "head": "4u"})
    write_packed(pack_network(model, workload, {"model": told}), tmp_path / "m.hq")
    loaded = rebuild(read_packed(tmp_path / "m.hq"))
    with torch.no_grad():
        assert loaded(frames).shape == (5, 3)
        torch.testing.assert_close(loaded(frames), model(frames), rtol=1e-5, atol=1e-5)


NET = """
import torch
from torch import nn


class Mine(nn.Module):
    def forward(self, x):
        v, out = torch.zeros_like(x[0]), []
        for x_t in x:
            v = v + (x_t - v) / 2
            out.append((v >= 0.7).float())
            v = v * (1 - out[-1])
        return torch.stack(out)


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv, self.norm, self.fire = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), Mine()
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        y = self.norm(self.conv(x.flatten(0, 1))).unflatten(0, x.shape[:2])
        return self.head(self.fire(y).mean((3, 4)))


def build(*, classes):
    return Net(classes)
"""


class TestRefusals:
    @pytest.fixture
    def packed(self, network, tmp_path):
        model, frames = network(0)
        workload = traced(model, frames)
        quantize_model(model, {"conv": "4u"})
        write_packed(pack_network(model, workload, ABOUT), tmp_path / "m.hq")
        return read_packed(tmp_path / "m.hq")

    def test_a_network_that_no_file_holds(self, packed):
        with pytest.raises(InputError, match=r"Python object \(Various\).*model="):
            rebuild(packed)

    def test_another_network(self, packed):
        with pytest.raises(InputError, match=r"'head' \[3, 7\].*\[9, 7\]: it is another one"):
            rebuild(packed, Various(9))
        with pytest.raises(InputError, match="no such layer"):
            rebuild(packed, nn.Linear(2, 2))

    def test_something_that_builds_no_network(self, packed):
        with pytest.raises(InputError, match="must be a function"):
            rebuild(packed, 3)

    def test_a_users_file_that_is_gone_or_has_changed(self, network, tmp_path: Path):
        file = tmp_path / "net.py"
        file.write_text(
            "import sys\nfrom torch import nn\n\n\ndef build():\n    return nn.Linear(3, 2)\n"
        )
        model = nn.Linear(3, 2)
        name = f"{file}:build"
        given = {"timesteps": 2, "size": 8, "classes": 2, "in_channels": 2}
        identity = file_identity(name, Path())
        told = {"name": name, "options": {}, "given": given, "identity": identity}
        workload = traced(model, torch.ones(2, 4, 3))
        packed = pack_network(model, workload, {"model": told})
        frames = torch.rand(4, 3)
        with torch.no_grad():
            assert torch.equal(rebuild(packed)(frames), model(frames))
        file.write_text(file.read_text().replace("3, 2", "2, 3"))
        with pytest.raises(InputError, match="is not what it was"):
            rebuild(packed)
        file.unlink()
        with pytest.raises(InputError, match="cannot be read here"):
            rebuild(packed)
