"""A network of integers: its graph and everything that it stores.

:func:`integer_network` makes one from a quantized network that has been trained; the reference in
:mod:`hqsearch.export.integer` runs it, and :mod:`hqsearch.export.c_source` writes it as C.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from hqsearch.errors import DefinitionError, ExportError
from hqsearch.export.bounds import SumsTooLarge, input_limits, sum_limits
from hqsearch.export.capture import Capture
from hqsearch.export.capture_modules import ModuleCall, module_call
from hqsearch.export.capture_tensors import tensor_call
from hqsearch.export.graph import Graph, Layer, Logits, Neuron, Rescale
from hqsearch.export.layers import StoredLayer
from hqsearch.export.neurons import LIMITS, fixed_point
from hqsearch.export.rescaling import STREAM_DIGITS
from hqsearch.export.values import Floats, Integers, Layout, Tag
from hqsearch.export.weights import integer_weights, neuron_constants

Pair = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]


@dataclass(frozen=True)
class IntegerNetwork:
    """What runs on integers alone.

    weights: of each layer by module path, as its scheme's integers, ``[O, I / groups, …]``; of an
    fp32 layer in fixed point. constants: by the value that a node writes, two int32 arrays: a
    neuron's thresholds and biases, factors and offsets of the logits and of rescaling.
    """

    graph: Graph
    weights: Mapping[str, Integers]
    constants: Mapping[int, Pair]

    def described(self) -> dict[str, Any]:
        """Plain data for a packed file: the graph, and constants that are not a stored layer's."""
        alone = {
            str(node.output): [part.tolist() for part in self.constants[node.output]]
            for node in self.graph.nodes
            if node.output in self.constants and not (isinstance(node, Neuron) and node.layer)
        }
        return {**self.graph.to_json(), "constants": alone}

    @classmethod
    def of_packed(
        cls, described: Mapping[str, Any] | None, layers: Mapping[str, StoredLayer]
    ) -> IntegerNetwork:
        """The network of a packed file.

        Args:
            described: its graph, as :meth:`described` gave it.
            layers: its weight layers, by path.

        Raises:
            DefinitionError: there is no graph, or it does not fit the layers.
        """
        if described is None:
            raise DefinitionError(
                "the file holds no graph of integers: its network has a part without an integer "
                "form, which exporting it again names."
            )
        graph = Graph.from_json(described)
        weights: dict[str, Integers] = {}
        constants: dict[int, Pair] = {}
        made: dict[int, tuple[Floats, Integers]] = {}
        try:
            for node in graph.nodes:
                if isinstance(node, Layer):
                    read = graph.values[node.inputs[0]]
                    found, unit = integer_weights(layers[node.layer], read.levels)
                    rows = found.reshape(node.weights).reshape(node.weights[0], -1)
                    low, high = sum_limits(rows, *input_limits(read.levels, read.signed))
                    weights[node.layer] = found
                    made[node.output] = unit, np.maximum(-low, high)
                elif isinstance(node, Neuron) and node.layer:
                    unit, reach = made[node.inputs[0]]
                    level = neuron_constants(layers[node.layer], unit)
                    fixed = fixed_point(
                        node.path, node.leak, graph.timesteps, *level, reach, counting=node.counts
                    )
                    if fixed.shape() != (
                        node.fraction, node.threshold_shift, node.bias_shift, node.bits
                    ):  # fmt: skip
                        raise ValueError(f"neuron {node.path!r} was made for other thresholds")
                    constants[node.output] = fixed.thresholds, fixed.biases
                elif isinstance(node, Neuron | Rescale | Logits):
                    first, second = described["constants"][str(node.output)]
                    constants[node.output] = np.array(first, np.int32), np.array(second, np.int32)
                    one = set() if isinstance(node, Logits) else {1}
                    if {len(first), len(second)} - one - {graph.values[node.output].channels}:
                        raise ValueError(f"{node.path!r} has constants of other channels")
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise DefinitionError(
                f"the graph does not fit the layers ({type(error).__name__}: {error}): the file is "
                "damaged, or was made by another version. Export it again."
            ) from error
        return cls(graph, weights, constants)


def integer_network(
    model: nn.Module,
    stored: Mapping[str, StoredLayer],
    timesteps: int,
    frame: Sequence[int],
    input_bits: int | None,
) -> IntegerNetwork:
    """Everything of a trained, quantized network in integers.

    Args:
        model: takes ``[T, N, C, H, W]``, gives logits ``[N, classes]``; on the CPU; left as it was.
        stored: its weight layers, by path, as a packed file holds them.
        timesteps: T.
        frame: ``(C, H, W)``.
        input_bits: width of the integer frames; at most 8.

    Raises:
        ExportError: real frames, or a part that has no integer form, by name.
    """
    if input_bits is None or input_bits > 8:
        raise ExportError(
            "frames of integers of at most 8 bits can be exported; these are real or wider. Use an "
            'integer encoding ("log2", "count" or "binary").'
        )
    for digits in STREAM_DIGITS:
        capture = Capture(timesteps, stored, digits)
        try:
            _follow(capture, model, frame, input_bits)
            break
        except SumsTooLarge:
            if not capture.rescaled or digits == STREAM_DIGITS[-1]:
                raise
    weights = {path: found for path, (found, _) in capture.weights.items()}
    return IntegerNetwork(capture.finished(), weights, capture.constants)


def _follow(capture: Capture, model: nn.Module, frame: Sequence[int], input_bits: int) -> None:
    """Run the network once and read its graph."""
    layout = Layout(int(np.prod(frame)))
    layout.fix(tuple(frame), None)
    one = np.ones(1, np.int64)
    first = capture.new_value(layout, one * 0, one * (2**input_bits - 1), capture.timesteps)
    parameter = next(iter(model.parameters()), torch.zeros(1))
    frames = torch.zeros(capture.timesteps, 1, *frame, dtype=parameter.dtype)
    capture.tags[frames] = Tag(first, torch.arange(frames.numel()).reshape(frames.shape))
    training = [(module, module.training) for module in model.modules()]
    tracer = _Tracer(capture)
    model.eval()
    try:
        with torch.no_grad(), tracer:
            tracer.hook(model)
            logits = model(frames)
    finally:
        tracer.unhook()
        for module, mode in training:
            module.training = mode
    _end(capture, logits)


def _end(capture: Capture, logits: Any) -> None:
    if not isinstance(logits, Tensor) or logits not in capture.tags:
        raise ExportError("the network's output could not be followed from its frames.")
    tag = capture.read(logits, "logits")
    value, places = tag.value, tag.per_step()
    if value.steps != 1 or places is None or (places != np.arange(value.layout.size)).any():
        raise ExportError(
            f"the network gives {list(logits.shape)}; logits [N, classes], one set for all "
            "timesteps, can be exported."
        )
    classes = value.layout.size
    if not tag.scale.any():
        raise ExportError("every logit is multiplied by 0.")
    scale, offset = (np.broadcast_to(part, classes) for part in (tag.scale, tag.offset))
    reach = float((np.abs(scale) * value.levels + np.abs(offset)).max())
    # As fine as 31 bits of the largest factor, or 62 bits of the logits, allow.
    shift = int(min(np.floor(30 - np.log2(np.abs(scale).max())), np.floor(61 - np.log2(reach))))
    if not 0 <= shift <= 62:
        raise ExportError(f"logits can reach {reach:.3g}, which no fixed point here holds.")
    largest = float(np.ldexp(np.abs(offset).max(), shift))
    offset_shift = max(0, math.frexp(largest)[1] - 31)
    result = capture.new_value(value.layout, value.low, value.high, 1)
    capture.nodes.append(Logits("logits", (value.number,), result.number, shift, offset_shift))
    capture.constants[result.number] = (
        np.rint(np.ldexp(scale, shift)).astype(np.int32),
        np.clip(np.rint(np.ldexp(offset, shift - offset_shift)), *LIMITS).astype(np.int32),
    )


class _Tracer(TorchDispatchMode):
    """Reports the calls of modules and tensor operations to the capture."""

    def __init__(self, capture: Capture) -> None:
        super().__init__()
        self._capture = capture
        self._hooks: list[Any] = []
        # Above 0 inside a module that counts as a whole, and while the capture itself computes.
        self._depth = 0

    def hook(self, model: nn.Module) -> None:
        """Watch every module, but none inside those that count as wholes."""
        wholes: list[str] = []
        for path, module in model.named_modules():
            if any(path.startswith(f"{whole}.") for whole in wholes):
                continue
            call = module_call(module)
            if call is not None:
                wholes.append(path)
            self._hook(path, module, call)

    def unhook(self) -> None:
        """Leave the model as it was."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def _hook(self, path: str, module: nn.Module, call: ModuleCall | None) -> None:
        def before(module: nn.Module, args: tuple[Any, ...]) -> None:
            self._capture.scopes.append((path, Counter()))
            self._depth += call is not None

        def after(module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
            self._capture.scopes.pop()
            self._depth -= call is not None
            if call is not None and self._depth == 0:
                self._depth += 1
                call(self._capture, path, module, args[0], out)
                self._depth -= 1

        self._hooks.append(module.register_forward_pre_hook(before))
        self._hooks.append(module.register_forward_hook(after))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if self._depth == 0:
            self._depth += 1
            tensor_call(self._capture, func, args, kwargs or {}, out)
            self._depth -= 1
        return out
