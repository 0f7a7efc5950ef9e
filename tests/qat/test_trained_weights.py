"""From a user's trained checkpoint: its accuracy is the user's own, and other weights differ."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import hqsearch as hq
from hqsearch.errors import DefinitionError, StudyMismatch
from hqsearch.models.neurons import LIF
from hqsearch.training import load_tensors

NET = """
import torch
from torch import nn
from parts import Block

class Net(nn.Module):
    def __init__(self, classes, in_channels):
        super().__init__()
        self.block = Block(in_channels)
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        return self.head(self.block(x).mean((3, 4))).mean(0)

def build(*, classes, in_channels):
    return Net(classes, in_channels)
"""
PARTS = """
from torch import nn
from hqsearch.models.neurons import LIF

class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.lif = LIF()

    def forward(self, x):
        return self.lif(self.norm(self.conv(x.flatten(0, 1))).unflatten(0, x.shape[:2]))
"""


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.lif = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), LIF()

    def forward(self, x: Tensor) -> Tensor:
        return self.lif(self.norm(self.conv(x.flatten(0, 1))).unflatten(0, x.shape[:2]))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block, self.head = Block(), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(x).mean((3, 4))).mean(0)


def split(n: int, seed: int) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    made = generator.poisson(0.2 + 0.3 * labels[:, None, None, None, None], (n, 2, 2, 8, 8))
    return made.astype(np.uint8), labels


def batch(part: tuple[Any, Any]) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(part[0].swapaxes(0, 1).copy()).float(), torch.from_numpy(part[1])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder: a network of two files, and the weights that a script of theirs trained."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "parts.py").write_text(PARTS)
    torch.manual_seed(3)
    model = Net().train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    x, y = batch(split(30, 0))
    for _ in range(8):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    torch.save({"model": model.state_dict(), "epoch": 8}, tmp_path / "trained.pt")
    return tmp_path


def study(folder: Path, **changes: Any) -> hq.Study:
    keys: dict[str, Any] = {"weights": "trained.pt", "settings": {}, **changes}
    settings = {"evaluation.epochs": 1, "evaluation.batch_size": 10, **keys.pop("settings")}
    return hq.Study(
        "mine",
        studies_dir=folder / "studies",
        model=str(folder / "net.py:build"),
        data=hq.Frames(split(30, 0), split(21, 1), split(21, 2)),
        choices=["4u", "fp32"],
        settings=settings,
        **keys,
    )


def test_the_parent_is_the_users_own(folder: Path) -> None:
    run = study(folder).run("random", evaluations=3, executor="in-process")
    model = Net().eval()
    model.load_state_dict(torch.load(folder / "trained.pt", weights_only=True)["model"])
    x, y = batch(split(21, 1))
    with torch.no_grad():
        accuracy = float((model(x).argmax(1) == y).double().mean())
    (told,) = [note for note in run.notes if note.startswith("parent:")]
    assert told.startswith(f"parent: {100 * accuracy:.1f} % ")
    assert told.endswith("your weights as given")
    (parent,) = (folder / "studies").rglob("parent.safetensors")
    kept = load_tensors(parent)
    assert all(torch.equal(kept[name], value) for name, value in model.state_dict().items())

    # Other weights under the same network are another study.
    torch.save(Net().state_dict(), folder / "trained.pt")
    with pytest.raises(StudyMismatch, match="weights"):
        study(folder).run("random", evaluations=4, executor="in-process")


def test_it_is_fine_tuned_where_that_is_asked_for(folder: Path) -> None:
    tuned = study(folder, settings={"evaluation.parent_epochs": 1})
    run = tuned.run("random", evaluations=2, executor="in-process")
    (told,) = [note for note in run.notes if note.startswith("parent:")]
    model = Net().eval()
    model.load_state_dict(torch.load(folder / "trained.pt", weights_only=True)["model"])
    x, y = batch(split(21, 1))
    with torch.no_grad():
        before = float((model(x).argmax(1) == y).double().mean())
    assert told.endswith(f"your weights, fine-tuned for 1 epochs; {100 * before:.1f} % as given")


def test_what_does_not_fit_is_told_before_anything_is_made(folder: Path) -> None:
    for changes, match in (
        ({"weights": "nowhere.pt"}, "there is no file"),
        ({"rename": [["head", "tail"]]}, r"missing 'head.weight' \(nearest: 'tail.weight'\)"),
        ({"weights": None, "settings": {"evaluation.parent_epochs": 0}}, "trains no parent"),
    ):
        asked = study(folder, **changes)
        found = asked.check()
        assert any(re.search(match, problem) for problem in found.problems), found
        with pytest.raises(DefinitionError, match=match):
            asked.run("random", evaluations=2, executor="in-process")
    assert not (folder / "studies").exists()
