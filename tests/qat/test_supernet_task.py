"""A supernet's training as a task of ``short-qat``: derived candidates, kills, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hqsearch.evaluators.short_qat import ShortQat
from torch import Tensor

from hqsearch.definition import embedded, load_study
from hqsearch.evaluator import OtherTask, Setup, SupernetResult, SupernetTask
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.problem.candidate import Candidate
from hqsearch.qat.relaxation import QatRelaxation
from hqsearch.testing import prepare_here

# The task

SMALL = {
    "data.train": 44,
    "data.validation": 11,
    "data.test": 11,
    "data.size": 16,
    "model.timesteps": 2,
    "model.embed_dim": 16,
    "model.depth": 1,
    "model.heads": 2,
    "evaluation.parent_epochs": 1,
    "evaluation.parent_threads": 1,
    "evaluation.batch_size": 11,
}
PAYLOAD = {"target": {"energy": 0.3}, "epochs": 3, "warmup": 1, "held_out": 0.25, "top": 2}
USER_NETWORK = """
import torch
from torch import nn
from hqsearch.models.neurons import LIF

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv = nn.Conv2d(2, 8, 3, stride=4, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.fire = LIF()
        self.head = nn.Linear(8, classes)

    def forward(self, x):
        y = self.norm(self.conv(x.flatten(0, 1))).unflatten(0, x.shape[:2])
        return self.head(self.fire(y).mean((0, 3, 4)))

def build(*, timesteps, size, classes, in_channels):
    return Net(classes)
"""


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> ShortQat:
    """A prepared small gesture study that cannot read its validation and test splits."""
    folder = tmp_path_factory.mktemp("prepared")
    made = make_evaluator(Setup(load_study(embedded("studies")["gesture"], SMALL), folder))
    assert isinstance(made, ShortQat)
    prepare_here(made)
    none: Any = None
    (part,) = made.parts.values()
    part.frames = replace(part.frames, validation=none, test=none)
    return made


@pytest.fixture(scope="module")
def uninterrupted(
    evaluator: ShortQat, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, SupernetResult]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, evaluator.strategy_task(SupernetTask.from_json(PAYLOAD), 7, folder)


def test_the_task_derives_candidates_under_the_target(
    evaluator: ShortQat, uninterrupted: tuple[Path, SupernetResult]
) -> None:
    folder, details = uninterrupted
    stored = json.loads(json.dumps(details.to_json(), allow_nan=False))
    assert SupernetResult.from_json(stored) == details
    limit = 0.3 * evaluator.reference()["energy"]
    keys = [found.key for found in details.candidates]
    assert len(set(keys)) == 2
    energies = evaluator.cheap([Candidate.from_key(key) for key in keys])[:, 0]
    assert (energies <= limit).all()
    assert set(details.probabilities) == set(evaluator.space.names)
    history = json.loads((folder / "history.json").read_text())
    rates = [epoch["rates"] for epoch in history["epochs"]]
    assert len(rates) == 3
    assert rates[0] != rates[2]


def test_a_killed_training_ends_like_an_uninterrupted_one(
    evaluator: ShortQat,
    uninterrupted: tuple[Path, SupernetResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = QatRelaxation.loss

    def dies_in_the_second_epoch(self: QatRelaxation, *args: Any) -> Tensor:
        if self._rates and args[2] == "logits":
            raise KeyboardInterrupt
        return original(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(QatRelaxation, "loss", dies_in_the_second_epoch)
        with pytest.raises(KeyboardInterrupt):
            evaluator.strategy_task(SupernetTask.from_json(PAYLOAD), 7, tmp_path)
    epochs = json.loads((tmp_path / "checkpoint.json").read_text())["epoch"]
    assert epochs == 1
    folder, details = uninterrupted
    resumed = evaluator.strategy_task(SupernetTask.from_json(PAYLOAD), 7, tmp_path)
    assert resumed.earlier["cpu_seconds"] > 0
    assert replace(resumed, earlier=None) == details
    assert (tmp_path / "history.json").read_text() == (folder / "history.json").read_text()


def test_a_users_own_network(tmp_path: Path) -> None:
    """``[model] path``: the task needs nothing of it but weight layers."""
    (tmp_path / "net.py").write_text(USER_NETWORK)
    head, _, rest = embedded("studies")["gesture"].read_text().partition("[model]")
    model = '[model]\npath = "net.py:build"\ntimesteps = 2\n\n[evaluation]'
    (tmp_path / "own.toml").write_text(head + model + rest.partition("[evaluation]")[2])
    small = {k: v for k, v in SMALL.items() if not k.startswith("model.")}
    setup = Setup(load_study(tmp_path / "own.toml", small), tmp_path / "state")
    evaluator = make_evaluator(setup)
    evaluator.check()
    prepare_here(evaluator)
    details = evaluator.strategy_task(SupernetTask.from_json(PAYLOAD), 0, tmp_path / "task")
    assert set(details.probabilities) == {"conv", "head"}
    found = Candidate.from_key(details.candidates[0].key)
    assert evaluator.cheap([found])[0, 0] <= 0.3 * evaluator.reference()["energy"]


def test_other_kinds_of_tasks_are_refused(evaluator: ShortQat, tmp_path: Path) -> None:
    assert "supernet" in evaluator.strategy_tasks
    with pytest.raises(ValueError, match="does no task 'dance'"):
        evaluator.strategy_task(OtherTask("dance"), 0, tmp_path)
