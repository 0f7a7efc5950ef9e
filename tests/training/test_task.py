"""What networks are trained for: classification, and a user's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hqsearch.training import CLASSIFICATION, Samples, Schedule, Task, evaluate, train
from hqsearch.training.batches import Augmentation, training_batches
from hqsearch.training.task import checked_scores, mean_score


class Half(Task):
    """Everything is half right, and the target is the number of the class."""

    def prepare(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return inputs * 2, labels.float()

    def loss(self, output: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
        return (output.mean(1) - target).square().mean()

    def scores(self, output: Tensor, target: Tensor) -> Tensor:
        return torch.full((len(target),), 0.5)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(2)).mean(0)


def samples(n: int = 7) -> Samples:
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 3, (n, 2, 2, 2, 2)).astype(np.uint8)
    return Samples(frames, np.arange(n) % 3, lambda x: x.float())


def test_a_task_of_ones_own() -> None:
    model = Net()
    result = train(model, samples(), Schedule(2, 1e-2, batch_size=4, shift=0), task=Half())
    assert [record.accuracy for record in result.history] == [0.5, 0.5]
    assert result.history[1].loss < result.history[0].loss
    found = evaluate(model, samples(), task=Half())
    assert (found.accuracy, found.is_binary) == (0.5, False)
    assert not found.correct.any()
    assert evaluate(model, samples()).is_binary


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "sgd"},
        {"optimizer": "adam"},
        {"decay": "linear"},
        {"decay": "constant"},
        {"flip": True},
    ],
)
def test_recipes_change_what_is_learned(change: dict[str, object]) -> None:
    plain, other = Net(), Net()
    keys = {"epochs": 2, "learning_rate": 1e-2, "batch_size": 4, "shift": 0}
    train(plain, samples(), Schedule(**keys))
    train(other, samples(), Schedule(**keys, **change))
    assert not torch.equal(plain.head.weight, other.head.weight)


def test_loader_workers_change_no_number() -> None:
    data = samples(11)
    args = (data.frames, data.labels, 4, (3, 1), Augmentation(1, True))
    for alone, ahead in zip(training_batches(*args), training_batches(*args, 3), strict=True):
        assert torch.equal(alone[0], ahead[0])
        assert torch.equal(alone[1], ahead[1])


def test_scores() -> None:
    assert mean_score(np.ones(4)) == (1.0, 0.25)
    with pytest.raises(ValueError, match="not one for each sample"):
        checked_scores(torch.zeros(3), 4)
    with pytest.raises(ValueError, match="from 0 to 1"):
        checked_scores(torch.full((4,), 1.5), 4)


def test_outputs_that_are_no_logits() -> None:
    refused = CLASSIFICATION.refused
    assert refused(torch.zeros(5, 3), 5, 3) is None
    assert "logits of every timestep" in str(refused(torch.zeros(2, 5, 3), 5, 3))
    assert "a tuple of 2 ([5, 3], [5])" in str(refused((torch.zeros(5, 3), torch.zeros(5)), 5, 3))
    assert (
        refused(torch.zeros(5, 4), 5, 3)
        == "returns [5, 4], and logits [N, classes] = [5, 3] are needed"
    )
