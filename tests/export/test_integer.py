"""The integer reference: the logits of torch; where weights are powers of 2 nothing multiplies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from hqsearch.errors import DataError, ExportError
from hqsearch.export.graph import Window
from hqsearch.export.integer import add_rows, run_integers, windows

from .integer_networks import frames_of, in_integers, made, settled, spikformer, torch_logits

CHOICES = {
    "uniform": ["2u", "3u", "4u", "8u"],
    "powers of two": ["2l", "3l", "4l"],
    "everything": ["4u", "5l", "fp32", "2l", "7u"],
}


@pytest.mark.parametrize("choices", CHOICES)
@pytest.mark.parametrize(
    "kind",
    ["convolutional", "dense", "tokens", "spikformer", "integer spikformer", "qsd", "stateful qsd"],
)
def test_integers_give_the_logits_of_torch(kind: str, choices: str) -> None:
    model, shape = made(kind, seed=5 if kind == "integer spikformer" else 3)
    network, _ = in_integers(model, shape, CHOICES[choices])
    frames = frames_of(shape, 12)
    run = run_integers(network, frames)
    expected = torch_logits(model, frames)
    assert np.abs(run.logits * run.scale - expected).max() < 2e-5
    busy = [run.rates[neuron.output] for neuron in network.graph.neurons]
    assert np.median(busy) > 0.02
    assert max(busy) < 1.0
    assert expected.std(0).min() > 1e-3


def test_a_network_as_large_as_that_of_gesture() -> None:
    options = {"embed_dim": 64, "depth": 2, "heads": 4, "size": 32}
    model = spikformer(8, seed=1, **options)
    network, _ = in_integers(model, (8, 2, 32, 32), ["4u", "2l", "4l", "2u"])
    frames = frames_of((8, 2, 32, 32), 6)
    run = run_integers(network, frames)
    expected = torch_logits(model, frames)
    assert np.array_equal(run.predictions, expected.argmax(1))
    assert np.abs(run.logits * run.scale - expected).max() < 2e-5
    assert {neuron.bits for neuron in network.graph.neurons} == {32}


def test_membranes_take_64_bits_where_32_do_not_suffice() -> None:
    model = spikformer(16, seed=2)
    network, _ = in_integers(model, (16, 2, 16, 16), ["4l"])
    assert 64 in {neuron.bits for neuron in network.graph.neurons}
    frames = frames_of((16, 2, 16, 16), 6)
    run = run_integers(network, frames)
    assert np.abs(run.logits * run.scale - torch_logits(model, frames)).max() < 2e-5


class Counting(int):
    """An integer that counts what is done with it."""

    done: dict[str, int]

    def _noted(self, what: str, result: int) -> Counting:
        self.done[what] = self.done.get(what, 0) + 1
        return counting(result, self.done)

    def __mul__(self, other: int) -> Counting:
        return self._noted("multiplications", int(self) * int(other))

    __rmul__ = __mul__

    def __lshift__(self, other: int) -> Counting:
        return self._noted("shifts", int(self) << int(other))

    def __add__(self, other: int) -> Counting:
        return self._noted("additions", int(self) + int(other))

    __radd__ = __add__

    def __neg__(self) -> Counting:
        return counting(-int(self), self.done)


def counting(value: int, done: dict[str, int]) -> Counting:
    result = Counting(value)
    result.done = done
    return result


@pytest.mark.parametrize("shifts", [True, False])
@pytest.mark.parametrize("spikes", [True, False])
def test_powers_of_two_are_shifted_spikes_are_added_as_they_are(shifts: bool, spikes: bool) -> None:
    generator = np.random.default_rng(0)
    inputs = generator.integers(0, 2 if spikes else 4, (5, 7))
    weights = generator.choice([-8, -4, -1, 0, 1, 2, 16], (3, 7))
    done: dict[str, int] = {}
    counted = np.array([[counting(int(x), done) for x in row] for row in inputs], object)
    sums = add_rows(counted, weights, shifts=shifts, spikes=spikes)
    assert np.array_equal(sums.astype(np.int64), inputs @ weights.T)
    events = int((inputs != 0).sum()) * len(weights)
    assert done.get("multiplications", 0) == (0 if shifts or spikes else events)
    assert done.get("shifts", 0) == (events if shifts and not spikes else 0)
    found = add_rows(inputs, weights, shifts=shifts, spikes=spikes)
    assert np.array_equal(found, inputs @ weights.T)


def test_windows_read_zeros_on_padding() -> None:
    x = np.arange(1, 7).reshape(1, 1, 2, 3)
    read = windows(x, Window((2, 2), (1, 2), (0, 1), (1, 1)))
    assert read.tolist() == [[[0, 1, 0, 4], [2, 3, 5, 6]]]


@pytest.mark.parametrize(
    ("frames", "told"),
    [
        (
            np.zeros((2, 4, 2, 16, 15), np.uint8),
            r"\[N, 4, 2, 16, 16\]; these are \[2, 4, 2, 16, 15\]",
        ),
        (np.full((1, 4, 2, 16, 16), 16, np.uint8), "whole numbers from 0 to 15"),
        (np.zeros((1, 4, 2, 16, 16), np.float32), "float32"),
        (np.zeros((0, 4, 2, 16, 16), np.uint8), r"\[0, 4"),
    ],
)
def test_frames_that_the_network_cannot_take(frames, told: str) -> None:
    network, _ = in_integers(settled(spikformer(), 0), (4, 2, 16, 16), ["2u"])
    with pytest.raises(DataError, match=told):
        run_integers(network, frames)


def test_counts_reach_what_thresholds_allow() -> None:
    model, shape = made("qsd", seed=3)
    network, _ = in_integers(model, shape, ["4u", "2l"])
    largest: dict[int, int] = {}

    def watch(values: Mapping[int, Any]) -> None:
        for neuron in network.graph.neurons:
            seen = values[neuron.output]
            assert seen.min() >= 0
            largest[neuron.output] = max(largest.get(neuron.output, 0), int(seen.max()))

    run_integers(network, frames_of(shape, 8), watch)
    assert set(largest.values()) == {4}


def test_a_stream_that_grows_too_far_is_coarser(monkeypatch: pytest.MonkeyPatch) -> None:
    model, shape = made("qsd", seed=3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm2.weight"):
                parameter.mul_(2000.0)  # a gain of what is added to the stream
    network, _ = in_integers(model, shape, ["8u"])
    frames = frames_of(shape, 8)
    run, expected = run_integers(network, frames), torch_logits(model, frames)
    assert np.abs(run.logits * run.scale - expected).max() < 1e-3
    monkeypatch.setattr("hqsearch.export.network.STREAM_DIGITS", (16,))
    with pytest.raises(ExportError, match="beyond the 2,147,483,646 that 32 bits hold"):
        in_integers(model, shape, None)
