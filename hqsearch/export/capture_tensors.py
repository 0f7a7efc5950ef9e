"""What a tensor operation between the modules adds to the graph; any other is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from hqsearch.errors import ExportError
from hqsearch.export.bounds import check_sums
from hqsearch.export.capture import Capture
from hqsearch.export.capture_modules import read_as, rows_of, window_of
from hqsearch.export.graph import Add, Node, Pool, Product, SpaceSum, TimeSum
from hqsearch.export.rescaling import rescaled
from hqsearch.export.values import Captured, Integers, Layout, Tag, prod, strides_of
from hqsearch.hardware.trace import tensor_rules as rules

Handler = Callable[[Capture, str, Any, Sequence[Any], Sequence[Tensor], Tensor], None]

#: Operations that move elements without changing them.
_VIEWS: Final = (
    (rules.RESHAPES - {"neg", "_to_copy", "to"}) | rules.SLICES - {"constant_pad_nd"}
) | rules.PERMUTES | rules.SELECTS  # fmt: skip
_SAME: Final = frozenset(("_to_copy", "to", "lift_fresh"))


def tensor_call(
    capture: Capture, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any
) -> None:
    """Capture one ATen operation that gave ``out``; what reads nothing followed is ignored.

    Raises:
        ExportError: an operation without an integer form, with the module that it is in.
    """
    operands = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    followed = [t for t in operands if t in capture.tags]
    results = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
    if not followed or not results:
        return
    name = func.overloadpacket.__name__
    if name in _SAME:
        capture.tags[results[0]] = capture.tags[followed[0]]
    elif name in _VIEWS or name in rules.JOINS:
        tag = _joined(capture, name, operands)
        moved = tree_map(
            lambda a: capture.tags[a].index if isinstance(a, Tensor) else a, (args, kwargs)
        )
        # The same is done to the index.
        pieces = [t for t in tree_leaves(func(*moved[0], **moved[1])) if isinstance(t, Tensor)]
        for result, index in zip(results, pieces, strict=True):
            capture.tags[result] = replace(tag, index=index)
    elif name in _HANDLERS:
        _HANDLERS[name](capture, name, func, args, operands, results[0])
    else:
        raise ExportError(f"operation {name!r} in {capture.scope} has no integer form.")


def _joined(capture: Capture, name: str, operands: Sequence[Tensor]) -> Tag:
    """The one tensor that all operands are parts of."""
    tags: list[Tag] = [capture.tags[t] for t in operands if t in capture.tags]
    alike = all(
        tag.value is tags[0].value
        and np.array_equal(tag.scale, tags[0].scale)
        and np.array_equal(tag.offset, tags[0].offset)
        for tag in tags
    )
    if len(tags) < len(operands) or not alike:
        raise ExportError(
            f"{name!r} in {capture.scope} joins different tensors; this has no integer form."
        )
    return tags[0]


def _add(
    capture: Capture,
    name: str,
    func: Any,
    args: Sequence[Any],
    operands: Sequence[Tensor],
    out: Tensor,
) -> None:
    both = len(operands) == 2 and all(t in capture.tags for t in operands)
    if not both or name not in ("add", "add_"):
        raise ExportError(
            f"{name!r} in {capture.scope} is no sum of two activations; it has no integer form."
        )
    path = capture.operation("add", tuple(out.shape))
    left, right = (capture.read(t, path) for t in operands)
    if left.value.steps != right.value.steps:
        raise ExportError(f"{path!r} adds one timestep to several; it has no integer form.")
    if not (left.plain and right.plain and left.scale[0] == right.scale[0]):
        left, right = (rescaled(capture, tag, capture.digits) for tag in (left, right))
    _align(left, right)
    _align(right, left)
    places = left.per_step()
    if places is None or not np.array_equal(left.places(), right.places()):
        raise ExportError(f"{path!r} adds tensors of different order or shape; no integer form.")
    low = left.value.low.min() + right.value.low.min()
    high = left.value.high.max() + right.value.high.max()
    value = capture.new_value(left.value.layout, _one(low), _one(high), left.value.steps)
    check_sums(path, value.low, value.high)
    capture.nodes.append(Add(path, (left.value.number, right.value.number), value.number))
    capture.tags[out] = Tag(value, left.index.reshape(out.shape), left.scale)


def _align(loose: Tag, fixed: Tag) -> None:
    """Let a value that lies nowhere yet lie as the one that it is added to."""
    layout, other = loose.value.layout, fixed.value.layout
    numbers, places = loose.per_step(), fixed.per_step()
    if layout.shape is not None or other.shape is None or numbers is None or places is None:
        return
    if layout.size == other.size:
        order = np.empty_like(places)
        order[numbers] = places
        layout.fix(other.shape, order)


def _scale(
    capture: Capture,
    name: str,
    func: Any,
    args: Sequence[Any],
    operands: Sequence[Tensor],
    out: Tensor,
) -> None:
    """A product with a constant, or with one for each channel, is another unit."""
    constants = [t for t in operands if t not in capture.tags]
    factor = constants[0] if constants else args[1]
    divided = name.startswith("div") and operands[0] not in capture.tags
    if isinstance(factor, Tensor) and factor.numel() > 1 and constants and not divided:
        _scale_channels(capture, name, operands, factor, out)
        return
    if isinstance(factor, Tensor) and factor in capture.tags:
        raise ExportError(
            f"{name!r} in {capture.scope} multiplies activations element by element; it has no "
            "integer form."
        )
    if divided:
        raise ExportError(f"{name!r} in {capture.scope} divides by activations.")
    number = float(factor)
    factor = 1.0 / number if name.startswith("div") else number
    tag = capture.tags[next(t for t in operands if t in capture.tags)]
    capture.tags[out] = replace(tag, scale=tag.scale * factor, offset=tag.offset * factor)


def _scale_channels(
    capture: Capture, name: str, operands: Sequence[Tensor], factor: Tensor, out: Tensor
) -> None:
    """A product with a constant for each channel."""
    x = next(t for t in operands if t in capture.tags)
    tag = capture.tags[x]
    layout = tag.value.layout
    if layout.shape is None:
        read_as(tag, tuple(x.shape[1:]), name)
    channel = tag.places() % layout.size // (layout.size // layout.channels)
    alike = out.shape == x.shape
    factors = np.ones(layout.channels)
    spread = factor.detach().double().broadcast_to(x.shape).numpy() if alike else factors
    if alike:
        factors[channel] = spread
    if not alike or not (factors[channel] == spread).all():
        raise ExportError(
            f"{name!r} in {capture.scope} multiplies with constants that are not one for each "
            "channel; it has no integer form."
        )
    factors = 1.0 / factors if name.startswith("div") else factors
    capture.tags[out] = replace(
        tag,
        index=tag.index.reshape(out.shape),
        scale=tag.scale * factors,
        offset=tag.offset * factors,
    )


def _product(
    capture: Capture,
    name: str,
    func: Any,
    args: Sequence[Any],
    operands: Sequence[Tensor],
    out: Tensor,
) -> None:
    """A matrix product of two activations, for each head and step."""
    pair = operands[-2:]
    if len(operands) != 2 or any(t not in capture.tags for t in pair):
        raise ExportError(
            f"{name!r} in {capture.scope} multiplies with weights outside of a Conv1d, Conv2d or "
            "Linear module; it has no integer form."
        )
    shape = out.shape if out.ndim == 3 else (1, *out.shape)
    path = capture.operation("product", tuple(pair[0].shape))
    tags = [capture.read(t, path) for t in pair]
    if not all(tag.plain for tag in tags):
        raise ExportError(f"{path!r} multiplies values that no neuron has fired.")
    steps, depth = tags[0].value.steps, pair[0].shape[-1]
    heads, rows, columns = shape[0] // steps, shape[1], shape[2]
    sides = ((heads, rows, depth), (heads, depth, columns))
    offsets = [_per_head(tag, size, path) for tag, size in zip(tags, sides, strict=True)]
    low, high = _product_limits(tags[0].value, tags[1].value, depth)
    layout = Layout(heads * rows * columns)
    value = capture.new_value(layout, low, high, steps)
    check_sums(path, value.low, value.high)
    gate = _gate([tag.value for tag in tags])
    node = Product(
        path,
        (tags[0].value.number, tags[1].value.number),
        value.number,
        (heads, rows, depth, columns),
        (0, 0, 0),
        (0, 0, 0),
        (0, 0, 0),
        gate,
    )
    capture.nodes.append(node)
    layouts = [tag.value.layout for tag in tags]

    def finish(node: Node) -> Node:
        assert isinstance(node, Product)
        numbers = np.arange(layout.size)
        places = numbers if layout.order is None else layout.order
        places = places.reshape(heads, rows, columns)
        strides = [
            strides_of(where.memory(part))
            for where, part in zip((*layouts, layout), (*offsets, places), strict=True)
        ]
        left, right, result = strides
        if left is None or right is None or result is None:
            raise ExportError(f"{path!r} reads or writes heads in an irregular order.")
        return replace(node, left=left, right=right, out=result)

    capture.finish[value.number] = finish
    index = torch.arange(layout.size * steps)
    unit = tags[0].scale * tags[1].scale
    capture.tags[out] = Tag(value, index.reshape(out.shape), unit)


def _per_head(tag: Tag, sizes: tuple[int, ...], path: str) -> Integers:
    """Places within a step that a product reads, ``sizes``: alike in all steps."""
    layout = tag.value.layout
    if layout.shape is None:
        layout.fix((layout.size,), None)
    places = (
        tag.places().reshape(-1, *sizes)
        if tag.index.numel() == tag.value.steps * prod(sizes)
        else None
    )
    steps = np.arange(tag.value.steps).reshape(-1, 1, 1, 1) * layout.size
    if places is None or not (places == places[:1] + steps).all():
        raise ExportError(f"{path!r} multiplies across timesteps; it has no integer form.")
    first: Integers = places[0]
    return first


def _product_limits(left: Captured, right: Captured, depth: int) -> tuple[Integers, Integers]:
    corners = [
        a * b
        for a in (left.low.min(), left.high.max())
        for b in (right.low.min(), right.high.max())
    ]
    return _one(min(0, *corners) * depth), _one(max(0, *corners) * depth)


def _gate(values: Sequence[Captured]) -> int:
    """Whose zeros are skipped: the first operand of spikes, as the cost model counts."""
    return next((i for i, v in enumerate(values) if v.levels == 1 and not v.signed), 0)


def _max_pool(
    capture: Capture,
    name: str,
    func: Any,
    args: Sequence[Any],
    operands: Sequence[Tensor],
    out: Tensor,
) -> None:
    kernel, stride, padding = _windowed(args, name)
    dilation = _sizes(args, 4, 1, name)
    _pool(capture, operands[0], out, (kernel, stride, padding, dilation), largest=True)


def _average_pool(
    capture: Capture,
    name: str,
    func: Any,
    args: Sequence[Any],
    operands: Sequence[Tensor],
    out: Tensor,
) -> None:
    """A sum in units of one over the window."""
    ceil_mode, counted, divisor = (*args[4:7], *(False, True, None)[max(len(args) - 4, 0) :])[:3]
    kernel, stride, padding = _windowed(args, name)
    if ceil_mode or divisor is not None or (any(padding) and not counted):
        raise ExportError(
            f"average pooling in {capture.scope} divides by different counts at the border; it "
            "has no integer form."
        )
    _pool(capture, operands[0], out, (kernel, stride, padding, [1] * len(kernel)), largest=False)


def _pool(capture: Capture, x: Tensor, out: Tensor, window: Any, *, largest: bool) -> None:
    rank = len(window[0])
    path = capture.operation("pool", tuple(x.shape[-3:]))
    tag = capture.read(x, path)
    if not tag.plain or tag.value.signed:
        raise ExportError(f"{path!r} pools sums before a neuron fires; put the neuron before it.")
    read_as(tag, tuple(x.shape[-rank - 1 :]), path)
    area = 1 if largest else prod(window[0])
    layout = Layout(prod(out.shape[-rank - 1 :]))
    layout.fix(tuple(out.shape[-rank - 1 :]), None)
    value = capture.new_value(layout, tag.value.low, tag.value.high * area, tag.value.steps)
    check_sums(path, value.low, value.high)
    read = rows_of(x.shape, rank)
    capture.nodes.append(
        Pool(path, (tag.value.number,), value.number, window_of(*window), read, largest)
    )
    index = torch.arange(layout.size * value.steps).reshape(out.shape)
    capture.tags[out] = Tag(value, index, tag.scale / area)


def _windowed(args: Sequence[Any], name: str) -> tuple[list[int], list[int], list[int]]:
    kernel = _sizes(args, 1, 1, name)
    stride = _sizes(args, 2, 0, name) if len(args) > 2 and args[2] else kernel
    return kernel, stride, _sizes(args, 3, 0, name)


def _sizes(args: Sequence[Any], index: int, default: int, name: str) -> list[int]:
    rank = 1 if "1d" in name else 2
    given = args[index] if len(args) > index else default
    sizes = list(given) if isinstance(given, list | tuple) else [int(given)]
    return sizes * rank if len(sizes) == 1 else sizes


def _average(
    capture: Capture,
    name: str,
    func: Any,
    args: Sequence[Any],
    operands: Sequence[Tensor],
    out: Tensor,
) -> None:
    """A mean or sum over whole axes: of all positions, of all timesteps, or of both."""
    x = operands[0]
    if name == "_adaptive_avg_pool2d":
        axes = [x.ndim - 2, x.ndim - 1]
        whole = out.shape[-2:] == (1, 1)
    else:
        chosen = args[1] if len(args) > 1 and args[1] is not None else range(x.ndim)
        axes = sorted({int(a) % x.ndim for a in chosen}) or list(range(x.ndim))
        whole = True
    path = capture.operation("mean", tuple(x.shape))
    tag = capture.read(x, path)
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    places = tag.places().transpose(*kept, *axes).reshape(*(x.shape[a] for a in kept), -1)
    count = places.shape[-1]
    layout = tag.value.layout
    if layout.shape is None:
        read_as(tag, (layout.size // count, count), path)
        places = tag.places().transpose(*kept, *axes).reshape(places.shape)
    size, positions = layout.size, layout.size // layout.channels
    step, place = places // size, places % size
    channel = place // positions
    over = _varies(place % positions), _varies(step)
    sums = (positions if over[0] else 1) * (tag.value.steps if over[1] else 1)
    distinct = (np.diff(np.sort(places, axis=-1), axis=-1) > 0).all()
    if not whole or _varies(channel) or sums != count or not distinct:
        raise ExportError(
            f"{name!r} in {capture.scope} is over something else than all positions or all "
            "timesteps; it has no integer form."
        )
    if over[0]:
        tag = _summed(capture, path, tag, space=True)
    if over[1]:
        tag = _summed(capture, path, tag, space=False)
    steps_left = 0 if over[1] else step[..., 0]
    inner = channel[..., 0] if over[0] else place[..., 0]
    index = torch.as_tensor(steps_left * tag.value.layout.size + inner).reshape(out.shape)
    divisor = 1 if name == "sum" else count
    scale, offset = tag.scale / divisor, tag.offset * (count / divisor)
    capture.tags[out] = replace(tag, index=index, scale=scale, offset=offset)


def _varies(array: Integers) -> bool:
    return bool((array != array[..., :1]).any())


def _summed(capture: Capture, path: str, tag: Tag, *, space: bool) -> Tag:
    value, layout = tag.value, tag.value.layout
    times = layout.size // layout.channels if space else value.steps
    result = layout
    if space:
        result = Layout(layout.channels)
        result.fix((layout.channels,), None)
    elif layout.order is not None:
        result = Layout(layout.size)
        result.fix(layout.shape or (layout.size,), None)
    steps = value.steps if space else 1
    summed = capture.new_value(result, value.low * times, value.high * times, steps)
    check_sums(path, summed.low, summed.high)
    kind = SpaceSum if space else TimeSum
    capture.nodes.append(kind(path, (value.number,), summed.number))
    return replace(tag, value=summed)


def _one(number: Any) -> Integers:
    return np.array([int(number)], np.int64)


_HANDLERS: Final[Mapping[str, Handler]] = {
    name: handler
    for names, handler in (
        (rules.ADDS, _add),
        (rules.SCALES, _scale),
        (rules.PRODUCTS, _product),
        (rules.MAX_POOLS, _max_pool),
        (rules.WINDOW_AVERAGES, _average_pool),
        (rules.AVERAGES, _average),
    )
    for name in names
}
