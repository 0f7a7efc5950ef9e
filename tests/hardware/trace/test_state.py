"""What the parts of a trace share."""

from __future__ import annotations

from collections import Counter

import torch

from hqsearch.hardware.trace.state import TraceState
from hqsearch.hardware.trace.tags import TensorTag


def test_operations_without_a_module_are_numbered_within_a_call() -> None:
    trace = TraceState(timesteps=3, samples=2)
    assert [trace.operation_path("add") for _ in range(3)] == ["add", "add_2", "add_3"]
    trace.scopes.append(("block.0", Counter()))
    paths = [trace.operation_path(what) for what in ("add", "product", "add")]
    assert paths == ["block.0.add", "block.0.product", "block.0.add_2"]
    trace.scopes.pop()
    assert trace.operation_path("add") == "add_4"


def test_inputs_that_were_not_followed_are_problems() -> None:
    trace = TraceState(timesteps=3, samples=2)
    x, tag = torch.zeros(3, 2), TensorTag("real", "frames", 3)
    trace.tags[x] = tag
    assert trace.input_tag("a", x) is tag
    assert trace.problems == []
    assert trace.input_tag("b", torch.zeros(3, 2)) is None
    (problem,) = trace.problems
    assert problem.startswith("the input of 'b' could not be followed (test_state.py:")


def test_nothing_is_measured_on_the_meta_device() -> None:
    trace = TraceState(timesteps=3, samples=2)
    tag, x = TensorTag("binary", "spikes", 3, levels=1), torch.ones(3, 2, 5)
    totals = trace.operations.add("neuron", "n", tag, x, x, 0, tail=1)
    trace.measure(totals, x.to("meta"), 1.0)
    assert totals.rates.result() is None
    trace.measure(totals, x * 0.5, 0.5)
    measured = totals.rates.result()
    assert measured is not None
    assert (measured.rate, measured.activity) == (1.0, 1.0)
