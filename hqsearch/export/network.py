"""A network of integers: its graph and everything that it stores.

:func:`integer_network` makes one from a quantized network that has been trained; the reference in
:mod:`hqsearch.export.integer` runs it, and :mod:`hqsearch.export.c_source` writes it as C.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from hqsearch.errors import DefinitionError, ExportError
from hqsearch.export.capture import Capture
from hqsearch.export.capture_modules import ModuleCall, module_call
from hqsearch.export.capture_tensors import tensor_call
from hqsearch.export.graph import Graph, Layer, Logits, Neuron
from hqsearch.export.values import Integers, Layout, Tag
from hqsearch.quant import codebooks
from hqsearch.quant.modules import read_codes
from hqsearch.schemes.choice import parse_choice

Stored = Mapping[str, npt.NDArray[Any]]
#: Logits keep this many bits behind the point, where 64 bits hold them.
_LOGIT_BITS = 32


@dataclass(frozen=True)
class IntegerNetwork:
    """What runs on integers alone.

    weights: of each layer by module path, as its scheme's integers, ``[O, I / groups, …]``; of an
    fp32 layer in fixed point. constants: by the value that a node writes, two int32 arrays: a
    neuron's thresholds and biases, factors and offsets of the logits.
    """

    graph: Graph
    weights: Mapping[str, Integers]
    constants: Mapping[int, tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]]

    @cached_property
    def choices(self) -> dict[str, str]:
        """How each layer is stored, by module path."""
        return {node.layer: node.choice for node in self.graph.layers}

    def codes(self, layer: str) -> npt.NDArray[Any]:
        """What is stored of a layer's weights: int8 codes, or int32 of an fp32 layer."""
        choice, weights = parse_choice(self.choices[layer]), self.weights[layer]
        if not choice.scheme.has_codes:
            return weights.astype(np.int32)
        low, levels = _table(choice)
        order = np.argsort(levels)
        found = order[np.searchsorted(levels[order], weights)]
        return np.asarray(found + low, np.int8)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Everything stored, by name; codes are not packed."""
        stored = {f"{layer}.codes": self.codes(layer) for layer in self.weights}
        for name, (first, second), kinds in self._named_constants():
            stored |= {f"{name}.{kinds[0]}": first, f"{name}.{kinds[1]}": second}
        return stored

    def _named_constants(self) -> list[Any]:
        seen: Counter[str] = Counter()
        rows = []
        for node in self.graph.nodes:
            if isinstance(node, Neuron | Logits):
                seen[node.path] += 1
                again = f"#{seen[node.path]}" if seen[node.path] > 1 else ""
                neuron = isinstance(node, Neuron)
                kinds = ("threshold", "bias") if neuron else ("factor", "offset")
                rows.append((node.path + again, self.constants[node.output], kinds))
        return rows

    @classmethod
    def from_parts(cls, graph: Graph, stored: Stored) -> IntegerNetwork:
        """What :meth:`tensors` gave, put together again.

        Raises:
            DefinitionError: a tensor is missing, of another shape, or holds what is no code.
        """
        weights: dict[str, Integers] = {}
        for node in graph.layers:
            codes = _tensor(stored, f"{node.layer}.codes")
            if codes.size != np.prod(node.weights):
                raise DefinitionError(
                    f"{node.layer}.codes holds {codes.size} codes, not {np.prod(node.weights)}."
                )
            choice = parse_choice(node.choice)
            wide = codes.astype(np.int64)
            if choice.scheme.has_codes:
                low, levels = _table(choice)
                if wide.min() < low or wide.max() >= low + len(levels):
                    raise DefinitionError(f"{node.layer}.codes holds what is no code of {choice}.")
                wide = levels[wide - low]
            weights[node.layer] = wide
        shell = cls(graph, weights, {n.output: (_EMPTY, _EMPTY) for n in graph.nodes})
        owners = [n for n in graph.nodes if isinstance(n, Neuron | Logits)]
        constants = {}
        for node, (name, _, kinds) in zip(owners, shell._named_constants(), strict=True):
            pair = tuple(_tensor(stored, f"{name}.{kind}").astype(np.int32) for kind in kinds)
            channels = graph.values[node.output].channels
            if any(part.shape not in ((1,), (channels,)) for part in pair):
                raise DefinitionError(f"{name} has constants that do not fit {channels} channels.")
            constants[node.output] = (pair[0], pair[1])
        return cls(graph, weights, constants)


_EMPTY = np.zeros(0, np.int32)


def _tensor(stored: Stored, name: str) -> npt.NDArray[Any]:
    if name not in stored:
        raise DefinitionError(f"there is no tensor {name!r}; the model is not whole.")
    return stored[name]


def _table(choice: Any) -> tuple[int, Integers]:
    """The lowest code, and the integer of every code from it on."""
    low, high = codebooks.code_range(choice)
    codes = torch.arange(low, high + 1, dtype=torch.int8)
    return low, codebooks.integers(codes, choice).numpy().astype(np.int64)


def integer_network(
    model: nn.Module, timesteps: int, frame: Sequence[int], input_bits: int | None
) -> IntegerNetwork:
    """Everything of a trained, quantized network in integers.

    Args:
        model: takes ``[T, N, C, H, W]``, gives logits ``[N, classes]``; left as it was.
        timesteps: T.
        frame: ``(C, H, W)``.
        input_bits: width of the integer frames; at most 8.

    Raises:
        ExportError: real frames, or a part that has no integer form, by name.
    """
    if input_bits is None or input_bits > 8:
        raise ExportError(
            "frames of integers of at most 8 bits can be exported; these are real or wider. Use an "
            'integer encoding ("log2" or "count").'
        )
    capture = Capture(timesteps, read_codes(model))
    layout = Layout(int(np.prod(frame)))
    layout.fix(tuple(frame), None)
    one = np.ones(1, np.int64)
    first = capture.new_value(layout, one * 0, one * (2**input_bits - 1), timesteps)
    parameter = next(iter(model.parameters()), torch.zeros(1))
    frames = torch.zeros(timesteps, 1, *frame, dtype=parameter.dtype)
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
    return IntegerNetwork(capture.finished(), capture.weights, capture.constants)


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
    scale, offset = (np.broadcast_to(part, classes) for part in (tag.scale, tag.offset))
    largest = max(float(np.abs(scale).max()), 2.0**-64)
    reach = float((np.abs(scale) * value.levels + np.abs(offset)).max())
    # Factors and offsets fit 31 bits, logits 62.
    shift = int(
        min(
            _LOGIT_BITS,
            np.floor(30 - np.log2(largest)),
            np.floor(30 - np.log2(max(np.abs(offset).max(), 2.0**-64))),
            np.floor(61 - np.log2(max(reach, 2.0**-64))),
        )
    )
    if shift < 1:
        raise ExportError(f"logits can reach {reach:.3g}, which no fixed point here holds.")
    result = capture.new_value(value.layout, value.low, value.high, 1)
    capture.nodes.append(Logits("logits", (value.number,), result.number, shift))
    capture.constants[result.number] = (
        np.rint(np.ldexp(scale, shift)).astype(np.int32),
        np.rint(np.ldexp(offset, shift)).astype(np.int32),
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
