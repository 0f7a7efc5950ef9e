"""What a tensor operation between the modules adds to the trace: sums, pooling, products.

Each handler takes the trace and a :class:`TensorCall`, adds what costs, and returns the tags of
the results, or None for what it does not know.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from torch import Tensor
from torch.utils._pytree import tree_leaves

from hqsearch.hardware.trace import real_calls, tensor_rules
from hqsearch.hardware.trace.call import Handler, TensorCall
from hqsearch.hardware.trace.state import TraceState, user_line
from hqsearch.hardware.trace.tags import TensorTag
from hqsearch.hardware.uses import Axis, taps_read, window_uses


def trace_call(
    trace: TraceState, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any
) -> None:
    """Trace one ATen operation that gave ``out``; what reads nothing followed is ignored."""
    operands = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    known = [(t, tag) for t in operands if (tag := trace.tag_of(t)) is not None]
    results = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
    if not known or not results:
        return
    call = TensorCall(name, args, operands, [tag for _, tag in known], known[0][0], results)
    handler = _HANDLERS.get(name)
    new = handler(trace, call) if handler else None
    for result, tag in zip(results, new or _unknown(trace, call), strict=True):
        if tag is not None:
            trace.tags[result] = tag


def _unknown(trace: TraceState, call: TensorCall) -> list[TensorTag]:
    """An operation that the cost model does not know: real values from here on."""
    where = trace.scopes[-1][0] or "the network itself"
    trace.problems.append(f"operation {call.name!r} in {where!r}{user_line()}")
    for tag in call.tags:
        trace.operations.read_by(tag, None)
    longest = max(call.tags, key=lambda tag: tag.steps)
    path = trace.operation_path(call.name)
    trace.operations.add("unknown", path, longest, call.x, call.result, call.result.numel(), tail=1)
    return call.all(TensorTag("real", "other", longest.steps, longest.outer))


def _reshape(trace: TraceState, call: TensorCall) -> list[TensorTag]:
    return call.all(call.tag)


def _slice(trace: TraceState, call: TensorCall) -> list[TensorTag]:
    return [
        tensor_rules.sliced(call.tag, call.x.shape, piece.shape, trace.timesteps)
        for piece in call.results
    ]


def _repeat(trace: TraceState, call: TensorCall) -> list[TensorTag]:
    shapes = call.x.shape, call.result.shape
    return call.all(tensor_rules.repeated(call.tag, *shapes, trace.timesteps))


def _permute(trace: TraceState, call: TensorCall) -> list[TensorTag]:
    order = tensor_rules.permutation(call.name, call.x.ndim, call.args)
    return call.all(tensor_rules.permuted(call.tag, call.x.shape, call.result.shape, order))


def _select(trace: TraceState, call: TensorCall) -> list[TensorTag]:
    axis = int(call.args[1]) if len(call.args) > 1 else 0
    return [
        tensor_rules.selected(call.tag, call.x.shape, piece.shape, axis) for piece in call.results
    ]


def _join(trace: TraceState, call: TensorCall) -> list[TensorTag] | None:
    axis = int(call.args[1]) if len(call.args) > 1 else 0
    if len(call.tags) < len(call.operands):
        # A class token, coordinates, zeros: constants among activations.
        for tag in call.tags:
            trace.operations.read_by(tag, None)
        moved = tensor_rules.sliced(call.tag, call.x.shape, call.result.shape, trace.timesteps)
        same = call.x.ndim == call.result.ndim
        steps, outer = (moved.steps, moved.outer) if same else (call.tag.steps, call.tag.outer)
        return call.all(TensorTag("real", "other", steps, outer))
    shapes = call.x.shape, call.result.shape
    return call.all(tensor_rules.joined(call.name, call.tags, *shapes, axis, trace.timesteps))


def _copy(trace: TraceState, call: TensorCall) -> list[TensorTag]:
    """Into memory, step by step as a loop does it; a constant leaves what is there as it is."""
    source = trace.tag_of(call.args[1])
    if source is None:
        return call.all(call.tag)
    trace.write(call.args[0], source)
    return call.all(source)


def _add(trace: TraceState, call: TensorCall) -> list[TensorTag]:
    """A residual sum, or the addition of a constant or a parameter."""
    for tag in call.tags:
        trace.operations.read_by(tag, None)
    if len(call.tags) > 1:
        total = summed = tensor_rules.added(call.tags[0], call.tags[1])
        costs = True
    else:
        total, summed = TensorTag("real", "other", call.tag.steps, call.tag.outer), call.tag
        costs = len(call.operands) > 1 and min(t.numel() for t in call.operands[:2]) > 1
    if costs:
        path, out = trace.operation_path("add"), call.result
        trace.operations.add("add", path, summed, out, out, out.numel(), tail=1)
    return call.all(total)


def _scale(trace: TraceState, call: TensorCall) -> list[TensorTag] | None:
    """A product with a constant moves the unit; one with a tensor is a product or a norm."""
    divided = call.name.startswith("div")
    if len(call.tags) >= 2:
        return real_calls.elementwise(trace, call) if divided else _product(trace, call)
    tag, out = call.tag, call.result
    constants = [t for t in call.operands if t not in trace.tags]
    factor = constants[0] if constants else call.args[1]
    if isinstance(factor, Tensor) and factor.numel() > 1:
        trace.operations.read_by(tag, None)
        path = trace.operation_path("scale")
        totals = trace.operations.add("norm", path, tag, out, out, out.numel(), tail=1)
        totals.extra = {"channels": 0}
        return call.all(TensorTag("real", "other", tag.steps, tag.outer))
    if isinstance(factor, Tensor):
        factor = math.nan if factor.is_meta else float(factor)
    if factor == 0:
        return call.all(TensorTag("real", "other", tag.steps, tag.outer))
    if divided and constants and call.args[0] is not call.x:  # a constant over activations
        return real_calls.elementwise(trace, call)
    unit = tag.unit / factor if divided else tag.unit * factor
    return call.all(replace(tag, unit=abs(unit)))


def _matrix_product(trace: TraceState, call: TensorCall) -> list[TensorTag] | None:
    return _product(trace, call) if len(call.tags) >= 2 else real_calls.linear(trace, call)


def _product(trace: TraceState, call: TensorCall) -> list[TensorTag]:
    """A product of two activations: the spikes of one gate accumulates of the other."""
    # addmm and baddbmm add to their first operand; the last two are multiplied.
    matrix = call.name in tensor_rules.PRODUCTS
    operands = call.operands[-2:] if matrix else call.operands
    tags = call.tags[-2:] if matrix else call.tags
    for tag in tags:
        trace.operations.read_by(tag, None)
    depth = operands[0].shape[-1] if matrix else 1
    gate = next((i for i, tag in enumerate(tags) if tag.kind == "binary"), None)
    if gate is None:
        gate = next((i for i, tag in enumerate(tags) if tag.kind == "integer"), 0)
    product = tensor_rules.multiplied(tags[0], tags[1], depth)
    path, macs = trace.operation_path("product"), call.result.numel() * depth
    totals = trace.operations.add(
        "attention", path, tags[gate], operands[gate], call.result, macs, tail=2
    )
    totals.extra = {"output_bits": product.bits, "operand_bits": tags[1 - gate].bits}
    trace.measure(totals, operands[gate], tags[gate].unit)
    return call.all(product)


def _max_pool(trace: TraceState, call: TensorCall) -> list[TensorTag]:
    _pool(trace, call, "pool", *_window_reads(call, dilated=True), tail=3)
    moved = tensor_rules.sliced(call.tag, call.x.shape, call.result.shape, 0)
    return call.all(replace(moved, layer=None))


def _window_average(trace: TraceState, call: TensorCall) -> list[TensorTag]:
    _pool(trace, call, "pool", *_window_reads(call, dilated=False), tail=3)
    window = math.prod(_sizes(call, 1, 1))
    padding = call.args[3] if len(call.args) > 3 else 0
    padded = any(padding) if isinstance(padding, list | tuple) else bool(padding)
    moved = tensor_rules.sliced(call.tag, call.x.shape, call.result.shape, 0)
    return call.all(tensor_rules.window_averaged(moved, window, padded or len(call.args) > 4))


def _average(trace: TraceState, call: TensorCall) -> list[TensorTag]:
    """A mean or sum over whole dimensions."""
    chosen = call.name in ("mean", "sum") and len(call.args) > 1
    axes = call.args[1] if chosen else None
    _pool(trace, call, "mean", call.x.numel(), call.x.numel(), tail=1)
    shapes = call.x.shape, call.result.shape
    return call.all(tensor_rules.averaged(call.tag, *shapes, axes, call.name == "sum"))


def _pool(trace: TraceState, call: TensorCall, what: str, macs: int, valid: int, tail: int) -> None:
    trace.operations.read_by(call.tag, None)
    path = trace.operation_path(what)
    trace.operations.add("pool", path, call.tag, call.x, call.result, macs, tail, valid)


def _sizes(call: TensorCall, index: int, default: int) -> list[int]:
    """An argument of a pooling operation for each of its axes."""
    rank = 1 if "1d" in call.name else 2
    given = call.args[index] if len(call.args) > index else default
    sizes = list(given) if isinstance(given, list | tuple) else [int(given)]
    return sizes * rank if len(sizes) == 1 else sizes


def _window_reads(call: TensorCall, dilated: bool) -> tuple[int, int]:
    """Reads of a pooling window, and those of them that are not of padding."""
    kernel = _sizes(call, 1, 1)
    stride = _sizes(call, 2, 0) if len(call.args) > 2 and call.args[2] else kernel
    padding, dilation = _sizes(call, 3, 0), _sizes(call, 4, 1) if dilated else [1, 1]
    rank = len(kernel)
    axes = tuple(Axis(kernel[i], stride[i], dilation[i], before=padding[i]) for i in range(rank))
    inputs, outputs = tuple(call.x.shape[-rank:]), tuple(call.result.shape[-rank:])
    read = taps_read(window_uses(inputs, outputs, axes))
    planes = call.result.numel() // max(math.prod(outputs), 1)
    return call.result.numel() * math.prod(kernel), planes * read


_FAMILIES: Final[Mapping[frozenset[str], Handler]] = {
    tensor_rules.RESHAPES: _reshape,
    tensor_rules.SLICES: _slice,
    tensor_rules.REPEATS: _repeat,
    tensor_rules.PERMUTES: _permute,
    tensor_rules.SELECTS: _select,
    tensor_rules.JOINS: _join,
    tensor_rules.COPIES: _copy,
    tensor_rules.ADDS: _add,
    tensor_rules.SCALES: _scale,
    tensor_rules.PRODUCTS: _matrix_product,
    tensor_rules.MAX_POOLS: _max_pool,
    tensor_rules.WINDOW_AVERAGES: _window_average,
    tensor_rules.AVERAGES: _average,
}
_HANDLERS: Final[Mapping[str, Handler]] = real_calls.HANDLERS | {
    name: handler for names, handler in _FAMILIES.items() for name in names
}
