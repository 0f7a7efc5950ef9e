"""Small networks with everything that a file must hold, and their workloads."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hqsearch.hardware import Workload
from hqsearch.hardware.trace import trace_workload
from hqsearch.models.neurons import LIF

#: T, N, C, H, W of the frames.
FRAMES = (4, 5, 2, 7, 7)


class Various(nn.Module):
    """Absorbed with and without normalisation, residual, a norm and a parameter of its own."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 5, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(5)
        self.neuron = LIF()
        self.plain = nn.Conv2d(5, 7, 1)
        self.plain_neuron = LIF(threshold=0.5)
        self.residual = nn.Conv2d(7, 7, 3, padding=1, groups=7)
        self.residual_norm = nn.BatchNorm2d(7)
        self.own_norm = nn.BatchNorm2d(7)
        self.last_neuron = LIF()
        self.position = nn.Parameter(torch.randn(7, 1, 1))
        self.head = nn.Linear(7, classes)

    def forward(self, x: Tensor) -> Tensor:
        def fired(neuron: nn.Module, current: Tensor) -> Tensor:
            spikes: Tensor = neuron(current.unflatten(0, x.shape[:2]))
            return spikes.flatten(0, 1)

        y = fired(self.neuron, self.norm(self.conv(x.flatten(0, 1))))
        y = fired(self.plain_neuron, self.plain(y))
        y = y + self.residual_norm(self.residual(y)) + self.position
        y = fired(self.last_neuron, self.own_norm(y)).mean((2, 3))
        out: Tensor = self.head(y.unflatten(0, x.shape[:2]).mean(0))
        return out


def various(classes: int = 3) -> Various:
    """In evaluation, with normalisations that have seen data: of either sign, and one zero."""
    network = Various(classes)
    for norm in (network.norm, network.residual_norm, network.own_norm):
        with torch.no_grad():
            norm.weight.normal_().mul_(1.5)
            norm.bias.normal_().add_(0.5)
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2.0)
    with torch.no_grad():
        network.norm.weight[:2] = torch.tensor([0.0, -1.0])
        network.norm.bias[0] = 1.3
    return network.eval()


@pytest.fixture
def network() -> Callable[[int], tuple[Various, Tensor]]:
    """``network(seed)``: a network and frames of it."""

    def make(seed: int) -> tuple[Various, Tensor]:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return various(), torch.randint(0, 4, FRAMES).float()

    return make


def traced(model: nn.Module, frames: Tensor) -> Workload:
    """The workload of a network on 4-bit frames."""
    return trace_workload(model, frames, 4, unknown="real")
