"""A dry run: what it finds in networks and data, all at once, and that nothing is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hqsearch as hq
from hqsearch.data.looking import split_facts
from hqsearch.errors import InputError
from hqsearch.models.neurons import LIF
from hqsearch.qat import dry_run


class Net(nn.Module):
    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.conv, self.norm, self.lif = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), LIF()
        self.head = nn.Linear(4, classes)

    def body(self, x: Tensor) -> Tensor:
        return self.lif(self.norm(self.conv(x.flatten(0, 1))).unflatten(0, x.shape[:2]))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((3, 4))).mean(0)


class NormedHead(Net):
    """Batch normalisation of ``[N, C]``, which one sample is too few for."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.last(self.body(x).mean((0, 3, 4))))


class WrongAndForgetful(Net):
    """Keeps what it has seen, and cannot be trained on either."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        self.seen = self.seen + x.mean().detach()
        return super().forward(x) + self.seen


class Rectifier(nn.Module):
    v_threshold = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return x.relu()


class WithRectifier(Net):
    def __init__(self) -> None:
        super().__init__()
        self.lif = Rectifier()


def split(n: int, seed: int, classes: Any = None) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 3 if classes is None else np.asarray(classes)
    return generator.poisson(0.5, (n, 2, 2, 8, 8)).astype(np.uint8), labels


def study(folder: Path, model: Any, data: hq.Frames | None = None, **settings: Any) -> hq.Study:
    given = {"evaluation.parent_epochs": 1, "evaluation.epochs": 1, "evaluation.batch_size": 10}
    return hq.Study(
        "mine",
        studies_dir=folder / "studies",
        model=model,
        data=data or hq.Frames(split(21, 0), split(9, 1)),
        choices=["4u", "fp32"],
        settings={**given, **{f"evaluation.{k}": v for k, v in settings.items()}},
    )


def test_what_is_found_of_a_network_that_works(tmp_path: Path) -> None:
    found = study(tmp_path, Net, batch_size=7).check()
    assert found.ok
    facts = found.as_json()["facts"]
    assert facts["network"]["output"] == [3, 3]
    assert facts["neurons"] == {
        "lif": "by hqsearch, tau 2, threshold 1, reset to 0, output binary, takes in normalisation"
    }
    assert facts["samples"]["train"] == {"0": 7, "1": 7, "2": 7}
    uniform = facts["costs"]["uniform"]
    assert uniform["4u"]["energy"] < uniform["fp32"]["energy"]
    assert facts["outlook"]["disk_bytes"] > 0
    assert "network: frames [2, 3, 2, 8, 8] to logits [3, 3]" in repr(found)
    memory = facts["memory"]
    assert memory["total"] == sum(v for k, v in memory.items() if k != "total")
    assert memory["activations"] > 7 * 2 * 4 * 8 * 8 * 4  # the convolution's output of a batch
    assert "memory of a training, at least:" in repr(found)
    assert not (tmp_path / "studies").exists()


TASK = """
import torch
from hqsearch.training import Task

class Shares(Task):
    \"\"\"A target is a row of shares, of frames that are cut off at 1.\"\"\"

    def prepare(self, inputs, labels):
        return inputs.clamp(max=1.0), torch.nn.functional.one_hot(labels, 3).float()

    def loss(self, output, target, label_smoothing=0.0):
        assert target.shape == output.shape
        return torch.nn.functional.cross_entropy(output, target.to(output.dtype))

    def scores(self, output, target):
        return SCORES
"""


def test_a_task_is_tried_as_it_is_trained(tmp_path: Path) -> None:
    file = tmp_path / "task.py"
    file.write_text(TASK.replace("SCORES", "(output.argmax(1) == target.argmax(1)).float()"))
    assert study(tmp_path, Net, batch_size=7, task=f"{file}:Shares").check().ok
    file = tmp_path / "many.py"
    file.write_text(TASK.replace("SCORES", "2.0 * target.sum(1)"))
    (problem,) = study(tmp_path, Net, batch_size=7, task=f"{file}:Shares").check().problems
    assert "the task's scores must lie from 0 to 1" in problem


def test_a_large_network_of_hqsearchs_own_is_tried_with_fewer_choices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = {"data.size": 16, "model.timesteps": 2, "model.embed_dim": 16, "model.depth": 1}
    settings = {**small, "model.heads": 2}
    whole = hq.Study("gesture", settings=settings).check()
    assert whole.ok
    assert not [note for note in whole.notes if "one training step" in note]
    monkeypatch.setattr(dry_run, "TRIED_MACS", 1.0)
    found = hq.Study("gesture", settings=settings).check()
    assert found.ok
    (note,) = [note for note in found.notes if "one training step" in note]
    assert note.startswith("one training step was tried with fp32 alone: all 7 would take long")


def test_a_last_batch_of_one(tmp_path: Path) -> None:
    asked = study(tmp_path, NormedHead())
    (problem,) = asked.check().problems
    assert "21 training samples in batches of 10 leave a last batch of one" in problem
    assert "batch_size" in problem
    with pytest.raises(InputError, match="batch_size"):
        asked.run("random", evaluations=2, executor="in-process")
    assert not (tmp_path / "studies").exists()
    assert study(tmp_path, Net(), batch_size=10).check().ok  # every pixel counts
    assert study(tmp_path, NormedHead(), batch_size=7).check().ok


def test_state_that_is_left_is_named(tmp_path: Path) -> None:
    (problem,) = study(tmp_path, WrongAndForgetful()).check().problems
    assert "the network (seen) keeps state from one batch to the next" in problem


def test_what_only_looks_like_a_neuron_is_told(tmp_path: Path) -> None:
    found = study(tmp_path, WithRectifier(), batch_size=7).check()
    assert found.ok
    (note,) = [n for n in found.notes if "looks like a spiking neuron" in n]
    assert "Rectifier (lif) looks like a spiking neuron (it has a v_threshold)" in note


def test_data_that_say_little_are_told(tmp_path: Path) -> None:
    train = split(21, 0, [0] * 18 + [1] * 2 + [2])
    validation = split(9, 1)
    validation[0][3] = train[0][5]
    notes = study(tmp_path, Net, hq.Frames(train, validation), batch_size=7).check().notes
    assert any("classes are uneven: 18 training samples of 0, 1 of 2" in note for note in notes)
    assert any(
        "validation sample 3 of validation is the same sample as train sample 5" in note
        for note in notes
    )


def test_a_class_that_nobody_learns() -> None:
    from hqsearch.data.spec import DataSpec

    given = hq.Frames(split(6, 0, [0, 0, 0, 1, 1, 1]), split(9, 1))
    spec = DataSpec(timesteps=2, **given.table())
    facts = split_facts(spec, given)
    assert facts is not None
    assert "no training sample of 2: nothing can be learned of it" in facts.notes
