"""Weight layers, norms and neurons as wholes: loops, rates, integers, what a neuron absorbs."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from hqsearch.hardware import Following
from hqsearch.hardware.rates import RateMeter
from hqsearch.hardware.trace import trace_workload
from hqsearch.models import integer_neurons as builtin
from hqsearch.models.adapters.declared import MARK, Declared
from hqsearch.models.neurons import LIF, SpikingNeuron

T, N = 3, 4


def frames(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 4, (T, N, *shape), generator=generator).float()


class Loop(nn.Module):
    """One timestep at a time, stacked again: what single-step models do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 4, 3, padding=1, groups=2)
        self.neuron = LIF()
        self.head = nn.Linear(4 * 6, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        current = torch.stack([self.conv(step) for step in x])
        return self.head(self.neuron(current).flatten(2)).mean(0)


def test_time_loops_count_every_step_once() -> None:
    workload = trace_workload(Loop(), frames(2, 6), None)
    conv, head = workload.layers["conv"], workload.layers["head"]
    assert (conv.timesteps, conv.macs_per_step, conv.weights) == (T, 4 * 6 * 3, 12)
    assert (head.timesteps, head.macs_per_step, head.bias) == (T, 72, 0)
    assert conv.input_kind == "real"
    assert head.input_kind == "binary"
    assert (conv.norm, conv.neuron) == (None, "neuron")
    assert conv.padding_macs_per_step == 4 * 2  # one tap at each end of each output channel


def test_norms_that_belong_to_no_layer_are_operations_and_parameters() -> None:
    class Standalone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(5, 5), nn.Linear(5, 2)
            self.neuron, self.norm = LIF(), nn.BatchNorm1d(5)

        def forward(self, x: Tensor) -> Tensor:
            spikes = self.neuron(self.first(x))
            summed = (spikes + spikes).flatten(0, 1)
            return self.head(self.norm(summed)).unflatten(0, x.shape[:2]).mean(0)

    workload = trace_workload(Standalone(), frames(5), 2)
    (norm,) = (op for op in workload.operations if op.kind == "norm")
    assert (norm.path, norm.channels, norm.timesteps) == ("norm", 5, T)
    assert workload.unquantized == (("norm", 10),)
    assert workload.layers["head"].input_kind == "real"


def test_measured_rates_are_exact() -> None:
    batch = frames(5)
    first = trace_workload(nn.Sequential(nn.Linear(5, 2)), batch, 2).layers["0"]
    nonzero = (batch != 0).double().mean((0, 2))
    assert first.rate == pytest.approx(float(nonzero.mean()))
    assert first.activity == pytest.approx(float(batch.mean()))
    assert first.rate_se == pytest.approx(float(nonzero.std()) / N**0.5)


class IntegerNeuron(SpikingNeuron):
    """Amplitudes k/4 stand for k unit spikes, as in QSD-Transformer's I-LIF."""

    unit, levels = 0.25, 4

    def __init__(self) -> None:
        super().__init__(2.0, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return (x.clamp(0, 1) * 4).round() / 4


def test_integer_neurons_count_unit_spikes() -> None:
    model = nn.Sequential(nn.Linear(5, 6), IntegerNeuron(), nn.Linear(6, 2))
    workload = trace_workload(model, frames(5), 2)
    op = workload.layers["2"]
    assert (op.input_kind, op.input_levels, op.input_bits) == ("integer", 4, 3)
    with torch.no_grad():
        hidden = model[1](model[0](frames(5)))
    assert op.activity == pytest.approx(float(hidden.mean()) * 4, rel=1e-6)
    with torch.no_grad(), RateMeter(model, workload) as meter:
        model(frames(5))
    assert meter.rates()["2"].activity == pytest.approx(op.activity)


@pytest.mark.parametrize("levels", [1, 3, 5, 7])
@pytest.mark.parametrize("kind", [builtin.IntegerNeuron, builtin.IntegerLIF])
def test_built_in_integer_neurons_of_any_levels(kind: type[SpikingNeuron], levels: int) -> None:
    """Units that are no powers of two are integers up to rounding."""
    torch.manual_seed(levels)
    norm = nn.BatchNorm1d(6)
    model = nn.Sequential(nn.Linear(5, 6), kind(levels, 2.0), nn.Linear(6, 2)).eval()
    op = trace_workload(model, frames(5), 2).layers["2"]
    assert op.input_levels == levels
    assert op.input_kind == ("binary" if levels == 1 else "integer")
    assert op.unit == 2.0 / levels
    normed = nn.Sequential(nn.Linear(5, 6), nn.Flatten(0, 1), norm, kind(levels), nn.Linear(6, 2))
    neuron = trace_workload(normed, frames(5), 2)
    absorbed = Following("2", "3" if kind is builtin.IntegerNeuron else None)
    assert neuron.following["0"] == absorbed
    (update,) = (op for op in neuron.operations if op.kind == "neuron")
    assert update.stateful == (kind is builtin.IntegerLIF)


class Foreign(nn.Module):
    """A hand-written neuron; ``attributes`` are what it says of itself."""

    def __init__(self, **attributes: object) -> None:
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Tensor:
        return (x > 0).float()


def declared(reset: str | None, output: str | None = "binary", **attributes: object) -> nn.Module:
    """One that a study declares."""
    neuron = Foreign(**attributes)
    entry = Declared("Foreign", reset=cast(Any, reset), output=cast(Any, output))
    setattr(neuron, MARK, entry)
    return neuron


class SoftReset(SpikingNeuron):
    """A user's neuron that subtracts its threshold."""

    v_reset = None

    def forward(self, x: Tensor) -> Tensor:
        return (x > 0).float()


@pytest.mark.parametrize(
    ("neuron", "absorbs"),
    [
        (LIF(), True),
        (SoftReset(2.0, 1.0), False),
        (declared("zero"), True),
        (declared("zero", None), False),
        (declared("subtract"), False),
        (declared(None, v_reset=0.0), False),
        (declared(None), False),
    ],
)
def test_only_a_hard_reset_to_zero_takes_a_norm_in(neuron: nn.Module, absorbs: bool) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(5, 6), nn.Linear(6, 2)
            self.norm, self.neuron = nn.BatchNorm1d(6), neuron

        def forward(self, x: Tensor) -> Tensor:
            current = self.norm(self.first(x).flatten(0, 1)).unflatten(0, x.shape[:2])
            return self.head(self.neuron(current))

    workload = trace_workload(Net(), frames(5), 2)
    assert workload.following["first"] == Following("norm", "neuron" if absorbs else None)
    assert workload.following["first"].absorbed == absorbs
    # It is a neuron either way.
    assert workload.layers["head"].input_kind == "binary"
    assert [op.path for op in workload.operations if op.kind == "neuron"] == ["neuron"]


def test_a_rectifier_with_a_threshold_is_no_neuron() -> None:
    class Rectifier(nn.Module):
        v_threshold, v_reset = 1.0, 0.0

        def forward(self, x: Tensor) -> Tensor:
            return x.relu()

    model = nn.Sequential(nn.Linear(5, 6), Rectifier(), nn.Linear(6, 2))
    workload = trace_workload(model, frames(5), 2)
    assert [op.kind for op in workload.operations] == ["weight", "compare", "weight"]
    assert workload.layers["2"].input_kind == "real"
    assert workload.following["0"].neuron is None


def test_a_declared_neuron_that_emits_something_else_is_real() -> None:
    class Rectifier(Foreign):
        def forward(self, x: Tensor) -> Tensor:
            return x.relu()

    neuron = Rectifier()
    setattr(neuron, MARK, Declared("Rectifier", output="binary", reset="zero"))
    model = nn.Sequential(nn.Linear(5, 6), neuron, nn.Linear(6, 2))
    assert trace_workload(model, frames(5), 2).layers["2"].input_kind == "real"


def test_a_neuron_that_returns_its_state_too() -> None:
    class Leaky(SpikingNeuron):
        def forward(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
            v = 0.5 * v + x
            return (v > 1).float(), v

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.neuron, self.head = nn.Linear(5, 6), Leaky(2.0, 1.0), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            v, out = torch.zeros(x.shape[1], 6), []
            for step in x:
                spikes, v = self.neuron(self.first(step), v)
                out.append(self.head(spikes) + v.mean(1, keepdim=True))
            return torch.stack(out).mean(0)

    workload = trace_workload(Net(), frames(5), 2)
    ops = {op.path: op for op in workload.operations}
    assert (ops["neuron"].timesteps, ops["neuron"].outputs) == (T, 6)
    assert (ops["head"].input_kind, ops["head"].timesteps) == ("binary", T)
    assert ops["mean"].input_kind == "real"  # a membrane potential is no spike
