"""Memory of a training: what is counted, and how it grows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hqsearch.models import weight_layers
from hqsearch.qat.options import QatOptions
from hqsearch.qat.training_memory import training_memory

PIXELS, HIDDEN = 2 * 4 * 4, 5


class Net(nn.Module):
    """Keeps its input for one product and the rectified values for itself and the other."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(PIXELS, HIDDEN, bias=False), nn.Linear(HIDDEN, 3)
        self.head.weight.requires_grad_(False)

    def forward(self, frames: Tensor) -> Tensor:
        return self.head(torch.relu(self.body(frames.mean(0).flatten(1))))


class Study:
    def __init__(self, **options: object) -> None:
        self.options = QatOptions.model_validate(options)


class FakePart:
    def __init__(self, **options: object) -> None:
        self.study = Study(**options)

    def build(self, *, filled: bool) -> nn.Module:
        return Net()


def memory(choices: dict[str, str] | None = None, **options: object) -> dict[str, int]:
    part: object = FakePart(**options)
    return training_memory(part, choices or {}, torch.ones(2, 3, 2, 4, 4))  # type: ignore[arg-type]


def test_every_part_of_it_is_counted() -> None:
    found = memory(batch_size=10)
    learned = 4 * (PIXELS * HIDDEN + 3)
    assert found["gradients"] == learned
    assert found["optimizer"] == 2 * learned
    assert found["parameters"] == learned + 4 * HIDDEN * 3
    assert found["activations"] == 10 * 4 * (PIXELS + HIDDEN)
    assert found["teacher"] == 0
    assert found["total"] == sum(v for k, v in found.items() if k != "total")


def test_it_follows_batch_optimizer_and_distillation() -> None:
    plain, large = memory(batch_size=8), memory(batch_size=16)
    assert large["activations"] == 2 * plain["activations"]
    assert memory(batch_size=8, optimizer="sgd")["optimizer"] == plain["optimizer"] // 2
    assert memory(distillation="logits")["teacher"] == plain["parameters"]


def test_what_quantizers_keep_does_not_grow_with_the_batch() -> None:
    choices = {layer.path: "4u" for layer in weight_layers(Net())}
    plain, quantized = memory(batch_size=10), memory(choices, batch_size=10)
    more = quantized["activations"] - plain["activations"]
    assert more > 0
    twice = memory(choices, batch_size=20)["activations"] - memory(batch_size=20)["activations"]
    assert twice == more
