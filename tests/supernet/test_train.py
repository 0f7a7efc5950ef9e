from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hqsearch.evaluators._toy_relaxation import ToyRelaxation
from torch import Tensor

from hqsearch.errors import RunFailed, UnknownName
from hqsearch.evaluator.tasks import SupernetResult, SupernetTask
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.space import Dimension, Space
from hqsearch.supernet.options import SupernetOptions
from hqsearch.supernet.relaxation import Relaxation
from hqsearch.supernet.train import SupernetTraining, run_supernet

asked = SupernetTask.from_json
SHORT = {"epochs": 5, "warmup": 1, "learning_rate": 0.01}


class OneLayer(Relaxation):
    """One dimension of four values, each with a loss and a cost."""

    choices, metrics = (4,), ("storage",)

    def __init__(self, losses: list[float]) -> None:
        self.losses = torch.tensor(losses)
        self.shares = torch.tensor([0.1, 0.25, 0.5, 1.0])

    def weight_batches(self, epoch: int) -> Iterator[Any]:
        return iter(range(20))

    def logit_batches(self, epoch: int) -> Iterator[Any]:
        return iter(range(3))

    def loss(self, mixture: Any, batch: Any, learn: Any) -> Tensor:
        return mixture[0] @ self.losses

    def costs(self, mixture: Any) -> Tensor:
        return (mixture[0] @ self.shares)[None]


class OneLayerEvaluator:
    metrics = ("storage",)
    space = Space((Dimension("layer", "weights", ("2u", "4u", "8u", "fp32"), ("layer",)),))

    def cheap(self, candidates: Any) -> Any:
        return np.array([3.2, 8.0, 16.0, 32.0])[self.space.encode(candidates)]

    def reference(self) -> dict[str, float]:
        return {"storage": 32.0}

    def overflows(self) -> dict[str, Any]:
        return {}


def one_layer(folder: Path, losses: list[float], **payload: Any) -> SupernetResult:
    evaluator: Any = OneLayerEvaluator()
    return run_supernet(OneLayer(losses), asked({"epochs": 8, **payload}), 0, folder, evaluator)


@pytest.mark.parametrize(
    ("losses", "target", "expected"),
    [
        ([0.9, 0.5, 0.2, 0.1], 2.0, "fp32"),
        ([0.9, 0.5, 0.2, 0.1], 0.5, "8u"),
        ([0.9, 0.2, 0.5, 0.1], 0.6, "4u"),
        ([0.1, 0.2, 0.5, 0.9], 1.0, "2u"),
    ],
)
@pytest.mark.parametrize("hard", [False, True])
def test_one_layer_takes_the_best_value_under_its_target(
    tmp_path: Path, losses: list[float], target: float, expected: str, hard: bool
) -> None:
    found = one_layer(tmp_path, losses, target={"storage": target}, hard=hard, top=1)
    assert found.candidates[0].key == f"layer={expected}"
    row = found.probabilities["layer"]
    assert max(row, key=lambda value: row[value]) == expected or target < 1.0
    assert sum(row.values()) == pytest.approx(1.0, abs=1e-6)


def test_beta_decides_between_loss_and_cost(tmp_path: Path) -> None:
    keys = [
        one_layer(tmp_path / str(b), [0.9, 0.5, 0.3, 0.1], beta={"storage": b}).candidates[0]
        for b in (0.0, 0.6, 10.0)
    ]
    assert [k.key for k in keys] == ["layer=fp32", "layer=8u", "layer=2u"]


def test_a_target_that_nobody_meets_is_found_before_training(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no candidate meets storage <= 1\.6"):
        one_layer(tmp_path, [1.0] * 4, target={"storage": 0.05})
    assert not list(tmp_path.iterdir())


def test_a_target_on_no_cost_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'storage'"):
        one_layer(tmp_path, [1.0] * 4, target={"storag": 0.5})


def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="epoch 1"):
        one_layer(tmp_path, [float("nan")] * 4, target={"storage": 0.5})


def test_weights_that_are_no_number_end_the_training_with_their_name(tmp_path: Path) -> None:
    """The loss is finite all the while; no checkpoint is left of that epoch."""
    weight = torch.ones(3, requires_grad=True)

    class Silent(OneLayer):
        def named_parameters(self) -> dict[str, Tensor]:
            return {"layer.weight": weight}

        def end_epoch(self, epoch: int, mixture: Any) -> dict[str, Any]:
            if epoch == 1:
                weight.data[2] = float("nan")
            return {}

        def weight_batches(self, epoch: int) -> Iterator[Any]:
            return iter(())

    evaluator: Any = OneLayerEvaluator()
    payload = {"epochs": 4, "warmup": 0, "target": {"storage": 0.5}}
    told = r"layer\.weight is not finite after epoch 2 of the supernet"
    with pytest.raises(FloatingPointError, match=told):
        run_supernet(Silent([0.9, 0.5, 0.2, 0.1]), asked(payload), 0, tmp_path, evaluator)
    assert json.loads((tmp_path / "checkpoint.json").read_text())["epoch"] == 1


@pytest.mark.parametrize("target", [0.06, 0.1, 0.2])
def test_targets_of_the_toy_are_kept(tmp_path: Path, toy: Any, target: float) -> None:
    """Expected cost within 5 %, derived cost never above, regret at most 2 % of the range."""
    payload = {"target": {"energy": target}}
    found = run_supernet(ToyRelaxation(toy), asked(payload), 0, tmp_path, toy)
    assert found.expected["energy"] == pytest.approx(target, rel=0.05)
    limit = target * toy.reference()["energy"]
    assert all(c.costs["energy"] <= limit for c in found.candidates)
    space = toy.space
    codes = np.indices(tuple(space.cardinalities)).reshape(len(space.dimensions), -1).T
    accuracy, energy = toy.accuracy_codes(codes), toy.cheap_codes(codes)[:, 0]
    derived = Candidate.from_key(found.candidates[0].key)
    own = toy.accuracy_codes(space.encode([derived]))[0]
    regret = accuracy[energy <= limit].max() - own
    assert 0 <= regret <= 0.02 * (accuracy.max() - accuracy.min())


def test_history_tells_every_epoch(tmp_path: Path, toy: Any) -> None:
    payload = {"target": {"energy": 0.1}, **SHORT}
    found = run_supernet(ToyRelaxation(toy), asked(payload), 0, tmp_path, toy)
    content = (tmp_path / found.history["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == found.history["sha256"]
    told = json.loads(content)
    assert list(told["dimensions"]) == list(toy.space.names)
    assert [e["epoch"] for e in told["epochs"]] == [1, 2, 3, 4, 5]
    # Frozen in the first epoch; then learned, ever colder.
    even = [[1 / 5] * 5] * 8
    np.testing.assert_allclose(told["epochs"][0]["probabilities"], even, rtol=1e-6)
    assert told["epochs"][0]["logit_loss"] is None
    temperatures = [e["temperature"] for e in told["epochs"]]
    assert temperatures == sorted(temperatures, reverse=True)
    assert temperatures[0] == 5.0
    assert list(found.probabilities["stem"].values()) == told["epochs"][-1]["probabilities"][0]
    progress = json.loads((tmp_path / "progress.json").read_text())
    assert progress == {"done": 5, "total": 5}


# Bi-level: what learns from what


def training_of(linear: Any, relaxation: Any, **options: Any) -> SupernetTraining:
    settings = SupernetOptions.model_validate({**SHORT, **options})
    return SupernetTraining(relaxation, settings, {"storage": 0.3}, 0)


def gradients(linear: Any, planted: str) -> tuple[Tensor, Tensor]:
    """The weights' and the logits' first gradients, with labels of one part replaced."""
    relaxation = linear.LinearRelaxation(linear.LinearProblem())
    part = slice(0, linear.TRAINING) if planted == "training" else slice(linear.TRAINING, None)
    if planted:
        relaxation.labels[part] += 3.0
    training = training_of(linear, relaxation)
    _, logits = training.loss_gradient(0, 0, next(relaxation.logit_batches(0)), 1.0)
    assert relaxation.weights.grad is None
    training.weight_step(0, 0, next(relaxation.weight_batches(0)), 1.0)
    assert training.logits.grad is None
    return relaxation.weights.grad.clone(), logits


def test_weights_learn_from_the_training_part_and_logits_from_the_held_out_part(
    linear: Any,
) -> None:
    weights, logits = gradients(linear, "")
    other_weights, same_logits = gradients(linear, "training")
    same_weights, other_logits = gradients(linear, "held-out")
    assert torch.equal(same_logits, logits)
    assert torch.equal(same_weights, weights)
    assert not torch.equal(other_weights, weights)
    assert not torch.equal(other_logits, logits)


def test_a_logit_step_leaves_weights_alone_and_a_weight_step_logits(linear: Any) -> None:
    relaxation = linear.LinearRelaxation(linear.LinearProblem())
    training = training_of(linear, relaxation)
    before = relaxation.weights.detach().clone(), training.logits.detach().clone()
    training.logit_step(1, 0, next(relaxation.logit_batches(0)), 1.0)
    assert torch.equal(relaxation.weights, before[0])
    moved = training.logits.detach().clone()
    assert not torch.equal(moved, before[1])
    training.weight_step(1, 0, next(relaxation.weight_batches(0)), 1.0)
    assert torch.equal(training.logits, moved)
    assert not torch.equal(relaxation.weights, before[0])


# Resuming


class Cut(BaseException):
    """Stands for a power cut: nothing catches it."""


def supernet(linear: Any, folder: Path, relaxation: Any = None) -> dict[str, Any]:
    problem = linear.LinearProblem()
    payload = {"target": {"storage": 0.3}, **SHORT}
    return run_supernet(
        relaxation or linear.LinearRelaxation(problem), asked(payload), 3, folder, problem
    )


@pytest.mark.parametrize("epoch", [0, 1, 3, 4])
def test_cut_in_any_epoch_it_ends_bit_for_bit_the_same(
    tmp_path: Path, linear: Any, epoch: int
) -> None:
    whole = supernet(linear, tmp_path / "whole")
    relaxation = linear.LinearRelaxation(linear.LinearProblem())
    original = relaxation.weight_batches

    def cut(asked: int) -> Iterator[Any]:
        for step, batch in enumerate(original(asked)):
            if asked == epoch and step == 7 and relaxation.cut:
                raise Cut
            yield batch

    relaxation.cut = False
    relaxation.weight_batches = cut
    relaxation.weight_steps = lambda: sum(1 for _ in original(0))
    relaxation.cut = True
    with pytest.raises(Cut):
        supernet(linear, tmp_path / "cut", relaxation)
    resumed = supernet(linear, tmp_path / "cut")
    earlier = resumed.earlier
    # Every epoch that was saved is accounted for, and nothing where none was.
    assert (earlier is not None) == (epoch > 0)
    assert earlier is None or (earlier["seconds"] > 0 and earlier["cpu_seconds"] > 0)
    assert replace(resumed, earlier=None) == whole
    histories = [(tmp_path / f / "history.json").read_bytes() for f in ("whole", "cut")]
    assert histories[0] == histories[1]


KILLED = """
import importlib.util, sys, time
from pathlib import Path
import torch
from hqsearch.supernet.train import run_supernet
from hqsearch.evaluator import SupernetTask
torch.set_num_threads(1)
spec = importlib.util.spec_from_file_location("linear_relaxation", sys.argv[1])
linear = importlib.util.module_from_spec(spec)
spec.loader.exec_module(linear)
class Slow(linear.LinearRelaxation):
    def weight_batches(self, epoch):
        for batch in super().weight_batches(epoch):
            time.sleep(0.01 if epoch else 0)
            yield batch
payload = {"target": {"storage": 0.3}, "epochs": 5, "warmup": 1, "learning_rate": 0.01}
problem = linear.LinearProblem()
run_supernet(Slow(problem), SupernetTask.from_json(payload), 3, Path(sys.argv[2]), problem)
"""


def test_killed_in_the_middle_it_ends_bit_for_bit_the_same(tmp_path: Path, linear: Any) -> None:
    whole = supernet(linear, tmp_path / "whole")
    folder = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", KILLED, linear.__file__, str(folder)])
    try:
        while process.poll() is None:
            time.sleep(0.02)
            index = folder / "checkpoint.json"
            if index.exists() and json.loads(index.read_text())["epoch"] >= 2:
                break
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not (folder / "history.json").exists()
    resumed = supernet(linear, folder)
    # Two epochs at least, slowed down by a hundredth of a second per step but the first.
    assert (resumed.earlier or {})["seconds"] > 0.1
    assert replace(resumed, earlier=None) == whole
    assert (folder / "history.json").read_bytes() == (
        tmp_path / "whole" / "history.json"
    ).read_bytes()


def test_a_finished_training_is_not_trained_again(tmp_path: Path, linear: Any) -> None:
    whole = supernet(linear, tmp_path)
    relaxation = linear.LinearRelaxation(linear.LinearProblem())
    relaxation.loss = None
    again = supernet(linear, tmp_path, relaxation)
    assert (again.earlier or {})["seconds"] > 0
    assert replace(again, earlier=None) == whole


def test_the_checkpoint_of_another_training_is_refused(tmp_path: Path, linear: Any) -> None:
    supernet(linear, tmp_path)
    problem = linear.LinearProblem()
    with pytest.raises(RunFailed, match="another supernet"):
        run_supernet(
            linear.LinearRelaxation(problem),
            asked({**SHORT, "beta": {"storage": 1.0}}),
            3,
            tmp_path,
            problem,
        )
