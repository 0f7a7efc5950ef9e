"""What has no integer form is refused, and named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hqsearch.errors import ExportError
from hqsearch.export.graph import Layer, Rescale
from hqsearch.export.network import IntegerNetwork, integer_network
from hqsearch.export.packed_layers import quantized_layers
from hqsearch.hardware.trace import trace_workload
from hqsearch.models import build_model, weight_layers
from hqsearch.models.integer_neurons import IntegerLIF
from hqsearch.models.neurons import LIF, SpikingNeuron
from hqsearch.quant import quantize_model

SHAPE = (3, 2, 4, 4)


class Subtracting(SpikingNeuron):
    """Takes its threshold off after a spike."""

    v_reset = None

    def __init__(self) -> None:
        super().__init__(2.0, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return (x >= self.threshold).to(x.dtype)


class Different(SpikingNeuron):
    """Says that it is leaky, and is not."""

    def __init__(self) -> None:
        super().__init__(2.0, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return (x >= self.threshold).to(x.dtype)


class Whole(LIF):
    """Emits integers."""

    levels = 4


class Net(nn.Module):
    """A layer, a neuron, something, and a head; ``between`` and ``end`` are what is tried."""

    def __init__(
        self,
        neuron: nn.Module | None = None,
        between: Callable[[Tensor], Tensor] | None = None,
        end: Callable[[nn.Module, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.neuron = neuron or LIF(threshold=0.3)
        self.head = nn.Linear(4, 3)
        self.between, self.end = between, end

    def forward(self, x: Tensor) -> Tensor:
        y = self.neuron(self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
        if self.between:
            y = self.between(y)
        if self.end:
            return self.end(self.head, y)
        out: Tensor = self.head(y.mean((3, 4))).mean(0)
        return out


class Second(nn.Module):
    """Two layers, and a neuron behind the second alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.neuron, self.head = LIF(threshold=0.3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.conv(x.flatten(0, 1))).unflatten(0, x.shape[:2])
        out: Tensor = self.head(self.neuron(y).mean((3, 4))).mean(0)
        return out


class Looping(nn.Module):
    """One step after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(32, 4), nn.Linear(4, 3)
        self.neuron = LIF()

    def forward(self, x: Tensor) -> Tensor:
        steps = [self.head(self.neuron(self.first(s.flatten(1)).unsqueeze(0))[0]) for s in x]
        return torch.stack(steps).mean(0)


class Padded(nn.Module):
    def __init__(self, **options: object) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 2, **options)
        self.neuron, self.head = LIF(), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.neuron(self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
        out: Tensor = self.head(y.mean((0, 3, 4)))
        return out


def exported(model: nn.Module, choice: str = "4u", bits: int | None = 4) -> IntegerNetwork:
    quantize_model(model, {layer.path: choice for layer in weight_layers(model)})
    frames = torch.zeros(SHAPE[0], 1, *SHAPE[1:])
    workload = trace_workload(model, frames, 4, unknown="real")
    return integer_network(model, quantized_layers(model, workload), SHAPE[0], SHAPE[1:], bits)


def test_the_network_that_the_others_differ_from() -> None:
    exported(Net().eval())
    exported(Net(between=lambda y: (y * 2).div(torch.tensor(4.0))))
    exported(Padded(padding="same", dilation=2))


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize(
    ("model", "told"),
    [
        (lambda: Net(Subtracting()), r"neuron 'neuron' \(Subtracting\) does not reset hard to 0"),
        (lambda: Net(Different()), r"neuron 'neuron' \(Different\) does something else than"),
        (lambda: Net(Whole()), r"neuron 'neuron' \(Whole\) emits integers"),
        (lambda: Net(LIF(tau=3.0)), "time constant 3; only 1, 2, 4, 8"),
        (lambda: Net(between=torch.sigmoid), "operation 'sigmoid' in the network itself"),
        (lambda: Net(between=lambda y: y + 1.0), "'add' in the network itself is no sum of two"),
        (lambda: Net(between=lambda y: y - y), "'sub' in the network itself"),
        (lambda: Net(between=lambda y: y * y), "'mul' .* multiplies activations element by"),
        (lambda: Net(between=lambda y: y + y.transpose(3, 4)), "different order or shape"),
        (lambda: Net(between=lambda y: torch.cat([y, y * 2], 2)[:, :, :4]), "joins different"),
        (lambda: Net(between=lambda y: y.transpose(2, 3)), "'mean' in the network itself is over"),
        (lambda: Net(end=lambda head, y: head(y[1:].mean((0, 3, 4)))), "over something else"),
        (lambda: Net(end=lambda head, y: head(y.mean((3, 4)))), r"gives \[3, 1, 3\]; logits"),
        (Looping, "does not get all timesteps|cut from"),
        (lambda: Padded(padding=1, padding_mode="reflect"), "'conv' pads with 'reflect'"),
        (lambda: Padded(padding="same", dilation=3), "'conv' pads unevenly"),
    ],
)
def test_parts_without_an_integer_form(model: Callable[[], nn.Module], told: str) -> None:
    with pytest.raises(ExportError, match=told):
        exported(model())


def test_sums_that_can_overflow_name_the_layer_and_its_bound() -> None:
    class Large(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 700, 1)
            self.neuron, self.hidden = LIF(threshold=0.01), nn.Linear(700 * 16, 2)

        def forward(self, x: Tensor) -> Tensor:
            y = self.neuron(self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
            out: Tensor = self.hidden(y.flatten(2).sum(0) * 1.0)
            return out

    large = Large()
    with torch.no_grad():
        large.hidden.weight.fill_(1.0)
    with pytest.raises(ExportError, match=r"sums of 'hidden' can reach \d"):
        exported_with(large, {"conv": "2u", "hidden": "5l"}, steps=30)


def exported_with(model: nn.Module, choices: dict[str, str], steps: int) -> None:
    quantize_model(model, choices)
    frames = torch.zeros(steps, 1, *SHAPE[1:])
    workload = trace_workload(model, frames, 4)
    integer_network(model, quantized_layers(model, workload), steps, SHAPE[1:], 4)


def test_membranes_that_64_bits_do_not_hold() -> None:
    with pytest.raises(ExportError, match=r"membrane of 'neuron' can reach .* 64 bits hold"):
        exported_with(Net(), {"conv": "4u", "head": "4u"}, steps=60)


@pytest.mark.parametrize("bits", [None, 9])
def test_frames_that_are_no_bytes(bits: int | None) -> None:
    with pytest.raises(ExportError, match="frames of integers of at most 8 bits"):
        exported(Net(), bits=bits)


def test_real_values_are_put_into_fixed_point() -> None:
    model = Net(between=lambda y: y + 2.5 * y)
    assert (
        sum(isinstance(node, Rescale) for node in exported(model).graph.nodes) == 3
    )  # and the head's
    graph = exported(Net(nn.Identity())).graph  # the head reads means of sums
    assert isinstance(graph.nodes[0], Layer)
    assert sum(isinstance(node, Rescale) for node in graph.nodes) == 1


def test_a_layer_on_real_values_whose_neuron_took_its_scale_in_is_named() -> None:
    with pytest.raises(ExportError, match=r"'second' reads real values: .* its own neuron took"):
        exported(Second())


@pytest.mark.parametrize(
    ("leak", "told"),
    [
        (0.3, r"\(IntegerLIF\) has the leak 0.3; only 1/2, 1/4, 1/8"),
        (0.25, r"'blocks4.0.attention.q.norm1' is part of a RepConv that was not folded"),
    ],
)
def test_what_of_the_qsd_transformer_has_no_integer_form(leak: float, told: str) -> None:
    options = {"embed_dims": [8, 8, 16, 16], "depth": 1, "heads": 2, "strides": [1, 2, 2, 1]}
    sizes = {"timesteps": SHAPE[0], "size": 16, "classes": 3, "in_channels": 2}
    model = build_model("qsd", {**options, "neuron": "integer-lif"}, **sizes)
    for neuron in (m for m in model.modules() if isinstance(m, IntegerLIF)):
        neuron.leak = leak
    frames = torch.zeros(SHAPE[0], 1, 2, 16, 16)
    stored = quantized_layers(model, trace_workload(model, frames, 4))
    with pytest.raises(ExportError, match=told):
        integer_network(model, stored, SHAPE[0], (2, 16, 16), 4)
