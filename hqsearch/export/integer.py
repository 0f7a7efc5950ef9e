"""The reference: a network of integers in numpy, one node after the other, as it is written down.

Every sum, membrane and spike that the C code has is an integer here, too, and both give the same
logits to the bit. Layers add a row of weights for each input that is not zero; where weights are
powers of two, the input is shifted, and nothing is multiplied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hqsearch.errors import DataError
from hqsearch.export.counts import Counts, added
from hqsearch.export.graph import (
    Add,
    Graph,
    Layer,
    Logits,
    Neuron,
    Node,
    Pool,
    Product,
    Rescale,
    SpaceSum,
    TimeSum,
    Window,
)
from hqsearch.export.network import IntegerNetwork
from hqsearch.export.weights import uses_shifts

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Run:
    """What came of samples.

    logits: int64 [N, classes], in units of 2^-shift (:attr:`scale`). counts: of all samples
    together, by path. rates: mean share of values that are not zero, by number of the value.
    """

    logits: Integers
    scale: float
    counts: dict[str, Counts]
    rates: dict[int, float]

    @property
    def predictions(self) -> Integers:
        """The first of the largest logits, [N]."""
        return np.asarray(self.logits.argmax(1), np.int64)


def run_integers(
    network: IntegerNetwork,
    frames: npt.ArrayLike,
    watch: Callable[[Mapping[int, Integers]], None] | None = None,
) -> Run:
    """Run samples through a network of integers.

    Args:
        network: the network.
        frames: integers [N, T, C, H, W], as the network's encoding stores them.
        watch: is told every value of each sample, [T, *shape] by number.

    Raises:
        DataError: frames of another shape, or beyond the width that the network was made for.
    """
    given = np.asarray(frames)
    graph = network.graph
    check_frames(graph, given)
    logits, counts, rates = [], [], []
    for sample in given:
        values, counted = _run_sample(network, sample.astype(np.int64))
        logits.append(values[graph.nodes[-1].output][0])
        counts.append(counted)
        if watch is not None:
            watch(values)
        rates.append({number: float((value != 0).mean()) for number, value in values.items()})
    last = graph.nodes[-1]
    assert isinstance(last, Logits)
    mean = {number: float(np.mean([r[number] for r in rates])) for number in rates[0]}
    return Run(np.array(logits), 2.0**-last.shift, added(counts), mean)


def check_frames(graph: Graph, frames: npt.NDArray[Any]) -> None:
    """Refuse frames that the network cannot take.

    Raises:
        DataError: what is wrong.
    """
    expected = (graph.timesteps, *graph.values[0].shape)
    if frames.ndim != 1 + len(expected) or frames.shape[1:] != expected or not len(frames):
        raise DataError(
            f"the network takes frames [N, T, C, H, W] = [N, {', '.join(map(str, expected))}]; "
            f"these are {list(frames.shape)}."
        )
    low, high = frames.min(), frames.max()
    if low < 0 or high > graph.values[0].levels or not np.issubdtype(frames.dtype, np.integer):
        raise DataError(
            f"the network takes whole numbers from 0 to {graph.values[0].levels}; these are "
            f"{frames.dtype} from {low} to {high}."
        )


def _run_sample(
    network: IntegerNetwork, sample: Integers
) -> tuple[dict[int, Integers], dict[str, Counts]]:
    """Every value, [T, *shape] (behind a sum over time [1, *shape]), and what was done."""
    values: dict[int, Integers] = {0: sample}
    counts = []
    for node in network.graph.nodes:
        inputs = [values[number] for number in node.inputs]
        values[node.output], done = _run_node(network, node, inputs)
        counts.append({node.path: done})
    return values, added(counts)


def _run_node(
    network: IntegerNetwork, node: Node, inputs: list[Integers]
) -> tuple[Integers, Counts]:
    graph, x = network.graph, inputs[0]
    shape = graph.values[node.output].shape
    if isinstance(node, Layer):
        return _layer(network, node, x, shape)
    if isinstance(node, Neuron):
        return _neuron(network, node, x), Counts(updates=x.size)
    if isinstance(node, Rescale):
        return _rescale(network, node, x), Counts(multiplications=x.size)
    if isinstance(node, Add):
        return x + inputs[1], Counts(others=x.size)
    if isinstance(node, Pool):
        return _pool(node, x, shape)
    if isinstance(node, Product):
        return _product(graph, node, inputs)
    if isinstance(node, SpaceSum):
        return x.reshape(*x.shape[:2], -1).sum(2), Counts(others=x.size)
    if isinstance(node, TimeSum):
        return x.sum(0, keepdims=True), Counts(others=x.size)
    assert isinstance(node, Logits)
    factors, offsets = (part.astype(np.int64) for part in network.constants[node.output])
    return x * factors + (offsets << node.offset_shift), Counts(multiplications=x.size)


def _layer(
    network: IntegerNetwork, node: Layer, x: Integers, shape: tuple[int, ...]
) -> tuple[Integers, Counts]:
    steps, outputs = len(x), node.weights[0]
    x = x.reshape(steps, -1, *node.read)
    weights = network.weights[node.layer].reshape(node.groups, outputs // node.groups, -1)
    shifts = uses_shifts(node.choice)
    spikes = network.graph.values[node.inputs[0]].levels == 1
    sums, done = [], Counts()
    for part, rows in zip(np.split(x, node.groups, axis=1), weights, strict=True):
        read = windows(part, node.window)  # [steps, positions, inputs · taps]
        total = add_rows(read.reshape(-1, read.shape[-1]), rows, shifts=shifts, spikes=spikes)
        sums.append(total.reshape(steps, -1, len(rows)))
        uses = int((read != 0).sum()) * len(rows)
        fetched = int((read != 0).any(1).sum()) * len(rows)
        done += Counts(
            accumulations=uses,
            multiplications=0 if shifts or spikes else uses,
            shifts=uses if shifts and not spikes else 0,
            fetches=fetched,
        )
    joined = np.concatenate(sums, axis=2).swapaxes(1, 2)
    return joined.reshape(steps, *shape), done


def add_rows(
    inputs: Integers, weights: Integers, *, shifts: bool, spikes: bool = False
) -> Integers:
    """For each input that is not zero, its weights are added to the sums, times the input.

    Args:
        inputs: [rows, n]. weights: [outputs, n]. shifts: the weights are 0 or powers of two of
            either sign, and inputs are shifted. spikes: every input is 0 or 1, and weights are
            added as they are.

    Returns:
        [rows, outputs].
    """
    sums = np.zeros((len(inputs), len(weights)), inputs.dtype)
    rows, columns = np.nonzero(inputs)
    if not len(rows):
        return sums
    read = np.ascontiguousarray(weights.T)
    terms = read[columns]
    if not spikes:
        events = inputs[rows, columns][:, None]
        terms = _shifted(events, read, columns) if shifts else events * terms
    first = np.flatnonzero(np.diff(rows, prepend=-1))
    sums[rows[first]] = np.add.reduceat(terms, first, axis=0)
    return sums


def _shifted(events: Integers, weights: Integers, columns: Integers) -> Integers:
    """Events [E, 1], shifted by the powers of two ``weights[columns]``, and with their signs."""
    exponents = np.frexp(np.maximum(np.abs(weights), 1))[1] - 1
    terms: Integers = events << exponents[columns]
    np.negative(terms, out=terms, where=(weights < 0)[columns])
    np.copyto(terms, 0, where=(weights == 0)[columns])
    return terms


def windows(x: Integers, window: Window) -> Integers:
    """What every position of a window reads, 0 on padding, [steps, positions, channels · taps].

    Args:
        x: [steps, channels, rows, columns].
        window: the window.
    """
    (top, left), (down, along) = window.padding, window.stride
    padded = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)))
    reach = [d * (k - 1) + 1 for k, d in zip(window.kernel, window.dilation, strict=True)]
    views = np.lib.stride_tricks.sliding_window_view(padded, reach, (2, 3))
    views = views[:, :, ::down, ::along, :: window.dilation[0], :: window.dilation[1]]
    moved = views.transpose(0, 2, 3, 1, 4, 5)
    return np.ascontiguousarray(moved).reshape(len(x), moved.shape[1] * moved.shape[2], -1)


def _by_channel(network: IntegerNetwork, node: Node, x: Integers) -> tuple[Integers, Integers]:
    """Both constants of a node, as they meet a value [T, C, …]."""
    first, second = (
        np.broadcast_to(part.astype(np.int64), x.shape[1]).reshape(-1, *[1] * (x.ndim - 2))
        for part in network.constants[node.output]
    )
    return first, second


def _rescale(network: IntegerNetwork, node: Rescale, x: Integers) -> Integers:
    factors, offsets = _by_channel(network, node, x)
    half = 1 << (node.shift - 1)
    return (x * factors + (offsets << node.offset_shift) + half) >> node.shift


def _neuron(network: IntegerNetwork, node: Neuron, x: Integers) -> Integers:
    point = node.leak * network.graph.timesteps
    thresholds, biases = _by_channel(network, node, x)
    level = thresholds << node.threshold_shift
    bias = biases << (point - node.leak + node.bias_shift)
    if node.counts:
        return _counted(node, (x << node.fraction) + bias, level)
    spikes, membrane = np.zeros_like(x), np.zeros_like(x[0])
    for step, total in enumerate(x):
        membrane = membrane - (membrane >> node.leak)
        membrane = membrane + (total << (point + node.fraction - node.leak)) + bias
        fired = np.where(thresholds < 0, membrane <= level, membrane >= level)
        membrane[fired] = 0
        spikes[step] = fired
    return spikes


def _counted(node: Neuron, reached: Integers, level: Integers) -> Integers:
    """Unit spikes of an integer neuron that charges by ``reached`` [T, C, …]."""
    counts, rest = np.zeros_like(reached), np.zeros_like(reached[0])
    for step, charge in enumerate(reached):
        membrane = rest + charge
        for odd in range(1, 2 * node.levels, 2):
            counts[step] += np.where(level < 0, membrane <= level * odd, membrane >= level * odd)
        if node.rest:
            rest = (membrane - 2 * counts[step] * level) >> node.rest
    return counts


def _taps(x: Integers, window: Window, shape: tuple[int, ...]) -> Iterator[tuple[Any, Integers]]:
    """For each tap of a window: which outputs it reads something for, and what, [T, C, …]."""
    outputs = (*(1,) * (3 - len(shape)), *shape[1:])
    for tap in np.ndindex(*window.kernel):
        slices = []
        for axis in range(2):
            first = tap[axis] * window.dilation[axis] - window.padding[axis]
            places = np.arange(outputs[axis]) * window.stride[axis] + first
            inside = np.flatnonzero((places >= 0) & (places < x.shape[2 + axis]))
            slices.append((inside, places[inside]))
        (rows, from_rows), (columns, from_columns) = slices
        yield np.ix_(rows, columns), x[:, :, from_rows][:, :, :, from_columns]


def _pool(node: Pool, x: Integers, shape: tuple[int, ...]) -> tuple[Integers, Counts]:
    outputs = (*(1,) * (3 - len(shape)), *shape[1:])
    result, done = np.zeros((*x.shape[:2], *outputs), np.int64), 0
    image = x.reshape(*x.shape[:2], *node.read)
    for place, read in _taps(image, node.window, shape):
        before = result[(..., *place)]
        result[(..., *place)] = np.maximum(before, read) if node.largest else before + read
        done += read.size
    return result.reshape(len(x), *shape), Counts(others=done)


def _product(graph: Graph, node: Product, inputs: list[Integers]) -> tuple[Integers, Counts]:
    heads, rows, depth, columns = node.sizes
    left, right = (
        _memory(x)[:, _places(sizes, strides)]
        for x, sizes, strides in zip(
            inputs,
            ((heads, rows, depth), (heads, depth, columns)),
            (node.left, node.right),
            strict=True,
        )
    )
    result = left @ right
    memory = np.zeros((len(result), result[0].size), np.int64)
    memory[:, _places((heads, rows, columns), node.out)] = result
    uses = int(((left, right)[node.gate] != 0).sum()) * (columns if node.gate == 0 else rows)
    spikes = graph.values[node.inputs[node.gate]].levels == 1
    shape = graph.values[node.output].shape
    turned = memory.reshape(len(memory), -1, shape[0]).swapaxes(1, 2)
    return turned.reshape(len(memory), *shape), Counts(
        accumulations=uses, multiplications=0 if spikes else uses
    )


def _memory(x: Integers) -> Integers:
    """[T, size] with all channels of a position together."""
    flat = x.reshape(*x.shape[:2], -1).swapaxes(1, 2)
    return np.ascontiguousarray(flat).reshape(len(x), -1)


def _places(sizes: tuple[int, ...], strides: tuple[int, int, int]) -> Integers:
    grids = np.indices(sizes)
    return np.asarray(sum(g * s for g, s in zip(grids, strides, strict=True)), np.int64)
