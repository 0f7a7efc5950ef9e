"""Tensor operations between the modules, in hand-counted small networks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hqsearch.hardware import Operation
from hqsearch.hardware.trace import trace_workload
from hqsearch.models.neurons import LIF

T, N = 3, 4


def frames(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 4, (T, N, *shape), generator=generator).float()


class BatchFirst(nn.Module):
    """Time as the second axis, a residual sum, and a norm that nothing absorbs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 5)
        self.neuron = LIF()
        self.second = nn.Linear(5, 5)
        self.norm = nn.BatchNorm1d(5)
        self.position = nn.Parameter(torch.zeros(5))
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.transpose(0, 1))
        spikes = self.neuron(x.transpose(0, 1)).transpose(0, 1)
        hidden = self.norm(self.second(spikes).flatten(0, 1)).unflatten(0, (N, T))
        return self.head((hidden + spikes + self.position).mean(1))


def test_other_axis_orders_and_unabsorbed_norms() -> None:
    workload = trace_workload(BatchFirst(), frames(5), 2)
    layers = workload.layers
    assert [layers[p].timesteps for p in ("first", "second", "head")] == [T, T, 1]
    assert (layers["second"].norm, layers["second"].neuron) == ("norm", None)
    adds = [op for op in workload.operations if op.kind == "add"]
    assert [(op.input_kind, op.outputs) for op in adds] == [("real", 5), ("real", 5)]
    assert workload.unquantized == (("position", 5),)


def test_pooled_spikes_stay_integers_unless_padding_blurs_the_unit() -> None:
    def net(pool: nn.Module) -> nn.Module:
        return nn.Sequential(nn.Conv1d(2, 4, 1), LIF(), pool, nn.Conv1d(4, 2, 1))

    class Single(nn.Module):
        def __init__(self, pool: nn.Module) -> None:
            super().__init__()
            self.net = net(pool)

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x.flatten(0, 1))

    kinds = {}
    for name, pool in (
        ("max", nn.MaxPool1d(2)),
        ("mean", nn.AvgPool1d(2)),
        ("padded", nn.AvgPool1d(2, padding=1)),
    ):
        op = trace_workload(Single(pool), frames(2, 6), 2).layers["net.3"]
        kinds[name] = (op.input_kind, op.input_levels, op.unit, op.timesteps)
    assert kinds == {
        "max": ("binary", 1, 1.0, T),
        "mean": ("integer", 2, 0.5, T),
        "padded": ("real", 0, 1.0, T),
    }


class Between(nn.Module):
    """A neuron, an operation on its spikes [T, N, 4], a layer."""

    def __init__(self, operation: Callable[[Tensor], Tensor], width: int) -> None:
        super().__init__()
        self.operation = operation
        self.first, self.neuron, self.last = nn.Linear(5, 4), LIF(), nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.operation(self.neuron(self.first(x))))


def between(operation: Callable[[Tensor], Tensor], width: int = 4) -> dict[str, Operation]:
    workload = trace_workload(Between(operation, width), frames(5), 2)
    return {op.path: op for op in workload.operations}


def test_constants_scale_the_unit_and_cost_nothing() -> None:
    halved, divided = between(lambda s: s * 0.5), between(lambda s: s / -4)
    assert list(halved) == ["first", "neuron", "last"]
    assert (halved["last"].input_kind, halved["last"].unit) == ("binary", 0.5)
    assert divided["last"].unit == 0.25


def test_scales_for_each_channel_are_a_norm() -> None:
    operations = between(lambda s: s * torch.arange(4.0))
    scale = operations["scale"]
    assert (scale.kind, scale.macs, scale.timesteps) == ("norm", 4 * T, T)
    assert operations["last"].input_kind == "real"


def test_sums_count_what_they_add() -> None:
    operations = between(lambda s: s + s + s)
    assert [operations[p].output_bits for p in ("add", "add_2")] == [2, 2]
    last = operations["last"]
    assert (last.input_kind, last.input_levels) == ("integer", 3)
    constant = between(lambda s: s + 1.0)
    assert "add" not in constant
    assert constant["last"].input_kind == "real"


def test_products_of_spikes_are_gated_by_one_of_them() -> None:
    def attention(s: Tensor) -> Tensor:  # [T, N, 4] -> 2 tokens of width 2
        tokens = s.unflatten(2, (2, 2))[..., :1]
        return (tokens @ tokens.transpose(-2, -1)).flatten(2)

    operations = between(attention)
    product = operations["product"]
    assert (product.kind, product.macs_per_step) == ("attention", 2 * 1 * 2)
    assert (product.operand_bits, product.output_bits, product.rate_path) == (1, 1, "neuron")
    masked = between(lambda s: s * s)
    assert masked["product"].macs_per_step == 4
    spread = between(lambda s: s * s[..., :1])  # broadcast: still one product for each output
    assert spread["product"].macs_per_step == 4


def test_a_product_of_square_matrices_is_no_elementwise_one() -> None:
    def attention(s: Tensor) -> Tensor:  # 2 tokens of width 2
        tokens = s.unflatten(2, (2, 2))
        return (tokens @ tokens).flatten(2)

    product = between(attention)["product"]
    assert product.macs_per_step == 2 * 2 * 2
    assert product.output_bits == 2  # up to 2 coincidences of spikes


@pytest.mark.parametrize(
    ("pool", "width", "reads", "valid"),
    [
        (nn.MaxPool2d(3, stride=1, padding=1), 4, 4 * 9, 4 * 4),
        (nn.MaxPool2d((2, 1), stride=1, padding=(1, 0), dilation=(2, 1)), 4, 4 * 2, 4 * 1),
        (nn.AvgPool2d(3, stride=1, padding=1), 4, 4 * 9, 4 * 4),
        (nn.MaxPool2d(2, stride=1), 1, 4, 4),
        (nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True), 4, 4 * 9, 3 * 3),
    ],
)
def test_pooling_windows_do_not_read_padding(
    pool: nn.Module, width: int, reads: int, valid: int
) -> None:
    def operation(s: Tensor) -> Tensor:  # pictures of 2 × 2 in one channel
        return pool(s.unflatten(2, (1, 2, 2)).flatten(0, 1)).reshape(T, N, -1)

    (op,) = (op for op in between(operation, width).values() if op.kind == "pool")
    assert (op.macs_per_step, op.valid_macs) == (reads, valid * T)


def test_means_are_real_and_sums_integers() -> None:
    mean, total = between(lambda s: s.mean(0)), between(lambda s: s.sum(0))
    assert (mean["last"].input_kind, mean["last"].timesteps) == ("real", 1)
    assert (total["last"].input_kind, total["last"].input_levels) == ("integer", T)
    assert (mean["mean"].kind, mean["mean"].macs) == ("pool", 4 * T)


def test_steps_that_are_split_and_joined_keep_their_time() -> None:
    def loop(s: Tensor) -> Tensor:
        return torch.stack([step.clone() for step in s.unbind(0)])

    def halves(s: Tensor) -> Tensor:
        return torch.cat(list(s.chunk(2, dim=2)), dim=2)

    for operation in (loop, halves, lambda s: s.transpose(0, 1).contiguous().transpose(0, 1)):
        last = between(operation)["last"]
        assert (last.timesteps, last.input_kind) == (T, "binary")
