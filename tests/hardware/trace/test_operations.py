"""Calls add up to operations; readers decide what a neuron absorbs."""

from __future__ import annotations

import torch
from torch import nn

from hqsearch.hardware import Following
from hqsearch.hardware.trace.operations import TracedOperations
from hqsearch.hardware.trace.state_read import StateRead
from hqsearch.hardware.trace.tags import TensorTag

T, N = 3, 2
STEP = TensorTag("binary", "spikes", 1, levels=1)
OUTPUT = TensorTag("real", "other", T, layer="fc")


def traced() -> TracedOperations:
    """One layer ``fc`` of 5 inputs and 4 outputs, called once for each of T steps."""
    operations = TracedOperations(T, N)
    for _ in range(T):
        x, out = torch.zeros(N, 5), torch.zeros(N, 4)
        totals = operations.add("weight", "fc", STEP, x, out, macs=N * 20, tail=1)
        totals.extra = {"weights": 20, "bias": 0, "channels": 4}
    return operations


def network() -> nn.Module:
    return nn.ModuleDict({"fc": nn.Linear(5, 4, bias=False), "norm": nn.BatchNorm1d(4)})


def test_calls_of_one_step_add_up() -> None:
    workload = traced().workload(StateRead(network()))
    (layer,) = workload.operations
    assert (layer.timesteps, layer.macs_per_step, layer.positions) == (T, 20, 1)
    assert (layer.inputs, layer.outputs) == (5, 4)
    assert (layer.input_shape, layer.output_shape) == ((5,), (4,))
    assert workload.unquantized == ()


def test_another_shape_is_another_operation() -> None:
    operations = TracedOperations(T, N)
    tag = TensorTag("binary", "spikes", T, levels=1)
    for width in (6, 8, 6):
        x = torch.zeros(T, N, width)
        operations.add("pool", "pool", tag, x, x, macs=0, tail=1)
    paths = [(op.path, op.timesteps) for op in operations.workload(StateRead(network())).operations]
    assert paths == [("pool", 2 * T), ("pool@2", T)]


def test_only_a_neuron_that_reads_alone_absorbs() -> None:
    def following(*readers: str | None) -> Following:
        operations = traced()
        operations.normalized_by("fc", "norm")
        for reader in readers:
            operations.read_by(OUTPUT, reader)
        return operations.workload(StateRead(network())).following["fc"]

    assert following("n") == following("n", "n") == Following("norm", "n")
    for readers in ((), (None,), ("n", None), ("n", "m")):
        assert following(*readers) == Following("norm", None)


def test_norms_in_a_row_are_joined() -> None:
    operations = traced()
    for norm in ("norm", "more", "norm"):
        operations.normalized_by("fc", norm)
    assert operations.workload(StateRead(network())).layers["fc"].norm == "norm+more"


def test_parameters_outside_the_layers_are_counted() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.norm = nn.Linear(5, 4), nn.BatchNorm1d(4)
            self.position = nn.Parameter(torch.zeros(7))

    operations, net = traced(), Net()
    state = StateRead(net)
    state.saw([net.position[1:], net.fc.weight], {})
    x = torch.zeros(T, N, 4)
    norm = operations.add("norm", "norm", TensorTag("real", "other", T), x, x, x.numel(), tail=1)
    norm.extra = {"channels": 4}
    assert operations.workload(state).unquantized == (("position", 7), ("norm", 8))
