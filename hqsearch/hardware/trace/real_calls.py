"""What operations on real values add to a trace; :mod:`~hqsearch.hardware.trace.real_rules`
says which there are.

Handlers as in :mod:`~hqsearch.hardware.trace.tensor_calls`. A product with a parameter outside a
module that is searched is a weight layer that stays in fp32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from torch import Tensor

from hqsearch.hardware.trace import real_rules, tensor_rules
from hqsearch.hardware.trace.call import Handler, TensorCall
from hqsearch.hardware.trace.state import TraceState
from hqsearch.hardware.trace.tags import TensorTag


def _real(call: TensorCall) -> TensorTag:
    """Real values with the time axis of the first operand, wherever it lies by now."""
    longest = max(call.tags, key=lambda tag: tag.steps)
    return TensorTag("real", "other", longest.steps, longest.outer)


def _read(trace: TraceState, call: TensorCall) -> None:
    for tag in call.tags:
        trace.operations.read_by(tag, None)


def _compare(trace: TraceState, call: TensorCall) -> list[TensorTag]:
    _read(trace, call)
    path = trace.operation_path(call.name.strip("_"))
    trace.operations.add(
        "compare", path, _real(call), call.x, call.result, call.result.numel(), tail=1
    )
    kept = call.name in real_rules.KEEPS_SPIKES and len(call.tags) == 1
    if kept and call.tag.kind != "real" and call.tag.source == "spikes":
        return call.all(replace(call.tag, layer=None))
    return call.all(_real(call))


def _fire(trace: TraceState, call: TensorCall) -> list[TensorTag]:
    """True or false, which is 1 or 0 wherever it is used: a spike."""
    _read(trace, call)
    path = trace.operation_path("compare")
    real = _real(call)
    trace.operations.add("compare", path, real, call.x, call.result, call.result.numel(), tail=1)
    return call.all(TensorTag("binary", "spikes", real.steps, real.outer, levels=1))


def elementwise(trace: TraceState, call: TensorCall) -> list[TensorTag]:
    """A function of each value by itself."""
    return _counted(trace, call, real_rules.ELEMENTWISE[call.name])


def _interpolate(trace: TraceState, call: TensorCall) -> list[TensorTag]:
    return _counted(trace, call, real_rules.INTERPOLATED[call.name])


def _normalise(trace: TraceState, call: TensorCall) -> list[TensorTag]:
    """Statistics in four multiply-accumulates an output; only the first result is of the shape."""
    return _counted(trace, call, 4)


def _normalise_fixed(trace: TraceState, call: TensorCall) -> list[TensorTag]:
    return _counted(trace, call, 1)


def _part_average(trace: TraceState, call: TensorCall) -> list[TensorTag]:
    _read(trace, call)
    path, real = trace.operation_path("mean"), _real(call)
    trace.operations.add("pool", path, real, call.x, call.result, call.x.numel(), tail=1)
    return call.all(real)


def _counted(trace: TraceState, call: TensorCall, each: int) -> list[TensorTag]:
    """``each`` multiply-accumulates for every element of the first result."""
    _read(trace, call)
    path, real = trace.operation_path(call.name.strip("_")), _real(call)
    macs = each * call.result.numel()
    trace.operations.add("elementwise", path, real, call.x, call.result, macs, tail=1)
    return call.all(real)


def _pick(trace: TraceState, call: TensorCall) -> list[TensorTag]:
    """The largest of several: as many comparisons as there are inputs."""
    _read(trace, call)
    path = trace.operation_path("pool")
    trace.operations.add("pool", path, call.tag, call.x, call.result, call.x.numel(), tail=1)
    moved = _moved(trace, call, replace(call.tag, layer=None))
    return [moved, *[_real(call)] * (len(call.results) - 1)]  # indices are no spikes


def _copy_values(trace: TraceState, call: TensorCall) -> list[TensorTag]:
    """Inputs, some of them more often than others."""
    _read(trace, call)
    moved = _moved(trace, call, replace(call.tag, layer=None))
    return call.all(moved if call.name != "cumsum" else _real(call))


def _moved(trace: TraceState, call: TensorCall, tag: TensorTag) -> TensorTag:
    """The tag where the number of axes may have changed and time's stays in its place."""
    if call.result.ndim == call.x.ndim:
        return tensor_rules.sliced(tag, call.x.shape, call.result.shape, trace.timesteps)
    return tag


def linear(trace: TraceState, call: TensorCall) -> list[TensorTag] | None:
    """A product with a parameter: a weight layer that no choice is made for."""
    operands = call.operands[-2:]
    if len(operands) < 2 or len(call.tags) != 1:
        return None
    index = next(i for i, t in enumerate(call.operands) if t is call.x)
    if index < len(call.operands) - 2:  # what is added to, not what is multiplied
        return None
    weight = operands[1] if call.x is operands[0] else operands[0]
    rows = call.result.numel() * call.x.shape[-1 if call.x is operands[0] else -2]
    bias = call.operands[0].numel() if len(call.operands) > 2 else 0
    channels = call.result.shape[-1] if call.x is operands[0] else call.result.shape[-2]
    return _fixed_layer(trace, call, _Fixed("linear", weight, rows, channels, bias, 1))


def _convolve(trace: TraceState, call: TensorCall) -> list[TensorTag] | None:
    """``convolution(input, weight, bias, stride, padding, dilation, transposed, …, groups)``."""
    if call.x is not call.args[0] or len(call.tags) != 1:
        return None  # a kernel that is made of activations
    weight, bias, transposed = call.args[1], call.args[2], bool(call.args[6])
    kernel = math.prod(weight.shape[2:])
    if transposed:
        macs = call.x.numel() * weight.shape[1] * kernel
        name = "conv_transpose"
    else:
        macs = call.result.numel() * weight.shape[1] * kernel
        name = "conv"
    extra = 0 if bias is None else bias.numel()
    tail = len(weight.shape) - 1
    return _fixed_layer(trace, call, _Fixed(name, weight, macs, call.result.shape[1], extra, tail))


@dataclass(frozen=True)
class _Fixed:
    """A layer that no module holds: its kind, weights, work, and the numbers it has.

    ``bias`` counts, as ``channels``; ``tail`` trailing dimensions are shown one by one.
    """

    name: str
    weight: Tensor
    macs: int
    channels: int
    bias: int
    tail: int


def _fixed_layer(trace: TraceState, call: TensorCall, layer: _Fixed) -> list[TensorTag]:
    _read(trace, call)
    path = trace.operation_path(f"fixed_{layer.name}")  # no module is called so
    totals = trace.operations.add(
        "weight", path, call.tag, call.x, call.result, layer.macs, layer.tail
    )
    totals.extra = {
        "weights": layer.weight.numel(),
        "bias": layer.bias,
        "channels": max(layer.channels, 1),
    }
    for tensor in call.operands:
        if tensor is not call.x:
            trace.fixed.append(tensor)  # its values are stored with this layer
    trace.measure(totals, call.x, call.tag.unit)
    tag = tensor_rules.sliced(call.tag, call.x.shape, call.result.shape, 0)
    real = replace(tag, kind="real", source="other", levels=0, unit=1.0, layer=path, neuron=None)
    return call.all(real)


def _attend(trace: TraceState, call: TensorCall) -> list[TensorTag]:
    """Scaled dot-product attention in one piece: two products and a softmax."""
    _read(trace, call)
    query, key, value = call.args[0], call.args[1], call.args[2]
    scores = query.numel() // query.shape[-1] * key.shape[-2]
    real = _real(call)
    path = trace.operation_path("attention")
    macs = scores * (query.shape[-1] + value.shape[-1])
    totals = trace.operations.add("attention", path, real, query, call.result, macs, tail=2)
    totals.extra = {"output_bits": 32, "operand_bits": 32}
    where = trace.operation_path("softmax")
    each = real_rules.ELEMENTWISE["_softmax"]
    trace.operations.add("elementwise", where, real, query, call.result, each * scores, tail=2)
    return call.all(real)


def _nothing(trace: TraceState, call: TensorCall) -> list[TensorTag | None]:
    return [None] * len(call.results)


_FAMILIES: Final[Mapping[Any, Handler]] = {
    real_rules.COMPARED: _compare,
    real_rules.FIRES: _fire,
    frozenset(real_rules.ELEMENTWISE): elementwise,
    frozenset(real_rules.INTERPOLATED): _interpolate,
    real_rules.NORMALISED: _normalise,
    real_rules.FIXED_NORMS: _normalise_fixed,
    real_rules.PICKED: _pick,
    real_rules.COPIED: _copy_values,
    real_rules.PART_AVERAGES: _part_average,
    real_rules.NEW: _nothing,
    real_rules.LINEAR: linear,
    real_rules.CONVOLUTIONS: _convolve,
    real_rules.ATTENTION: _attend,
}
HANDLERS: Final = {name: handler for names, handler in _FAMILIES.items() for name in names}
