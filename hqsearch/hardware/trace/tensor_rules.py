"""How each tensor operation changes what the trace knows of a tensor (see ``tags``).

The families of ATen operations, and one pure function for each family that changes a tag. Views
keep the facts and move the time axis; sums of spikes are integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hqsearch.hardware.trace.tags import TensorTag, locate, outer_of

RESHAPES = frozenset(
    (
        "view",
        "_unsafe_view",
        "_reshape_alias",
        "reshape",
        "clone",
        "_to_copy",
        "detach",
        "alias",
        "lift_fresh",
        "unsqueeze",
        "squeeze",
        "contiguous",
        "to",
        "view_as",
        "neg",
    )
)
SLICES = frozenset(
    (
        "slice",
        "expand",
        "split",
        "split_with_sizes",
        "chunk",
        "narrow",
        "constant_pad_nd",
        "flip",
        "roll",
    )
)
REPEATS = frozenset(["repeat"])
PERMUTES = frozenset(["transpose", "permute", "t"])
SELECTS = frozenset(["select", "unbind"])
JOINS = frozenset(["stack", "cat"])
ADDS = frozenset(["add", "add_", "sub", "sub_", "rsub"])
SCALES = frozenset(["mul", "mul_", "div", "div_"])
PRODUCTS = frozenset(["mm", "bmm", "addmm", "baddbmm"])
MAX_POOLS = frozenset(["max_pool2d_with_indices", "max_pool1d_with_indices", "max_pool2d"])
AVERAGES = frozenset(["mean", "_adaptive_avg_pool2d", "sum"])
WINDOW_AVERAGES = frozenset(["avg_pool2d", "avg_pool1d"])
COPIES = frozenset(["copy_"])


def sliced(
    tag: TensorTag, before: Sequence[int], after: Sequence[int], timesteps: int
) -> TensorTag:
    """After an operation that keeps the order of the dimensions but may change their sizes."""
    offset_dims = len(after) - len(before)
    dim, offset = locate(before, tag.outer)
    steps = tag.steps
    new = dim + max(offset_dims, 0)
    if steps > 1 and before[dim] == timesteps and after[new] < timesteps:
        steps = after[new]
    return replace(tag, steps=steps, outer=outer_of(after, new, offset))


def repeated(
    tag: TensorTag, before: Sequence[int], after: Sequence[int], timesteps: int
) -> TensorTag:
    """After copies along the dimensions; T of what has no time, one after the other, are time."""
    if tag.steps == 1 and timesteps > 1 and after[0] == before[0] * timesteps:
        return replace(tag, steps=timesteps, outer=1)
    return sliced(tag, before, after, timesteps)


def permuted(
    tag: TensorTag, before: Sequence[int], after: Sequence[int], order: Sequence[int]
) -> TensorTag:
    """After a transposition; ``order[i]`` is the old place of dimension i."""
    dim, offset = locate(before, tag.outer)
    return replace(tag, outer=outer_of(after, list(order).index(dim), offset))


def permutation(name: str, rank: int, args: Sequence[object]) -> list[int]:
    """The order of dimensions that ``transpose``, ``t`` or ``permute`` gives."""
    order = list(range(rank))
    if name == "permute":
        dims = args[1]
        assert isinstance(dims, list | tuple)
        return [int(d) % rank for d in dims]
    first, second = (0, 1) if name == "t" else (args[1], args[2])
    assert isinstance(first, int)
    assert isinstance(second, int)
    if rank > 1:
        a, b = first % rank, second % rank
        order[a], order[b] = order[b], order[a]
    return order


def selected(tag: TensorTag, before: Sequence[int], after: Sequence[int], axis: int) -> TensorTag:
    """After taking one element along ``axis``."""
    dim, offset = locate(before, tag.outer)
    axis %= len(before)
    if axis == dim:
        return replace(tag, steps=1, outer=1)
    return replace(tag, outer=outer_of(after, dim - (axis < dim), offset))


def joined(
    name: str,
    tags: Sequence[TensorTag],
    before: Sequence[int],
    after: Sequence[int],
    axis: int,
    timesteps: int,
) -> TensorTag:
    """After ``stack`` or ``cat``; putting the steps of a loop together restores time."""
    first = tags[0]
    levels = max(tag.levels for tag in tags)
    same = all(
        (tag.kind, tag.unit, tag.source) == (first.kind, first.unit, first.source) for tag in tags
    )
    base = replace(first, levels=levels) if same else mixed(tags)
    axis %= len(after)
    pieces = name == "stack" or before[axis] == 1
    if len({tag.layer for tag in tags}) > 1:
        base = replace(base, layer=None)
    if len({tag.neuron for tag in tags}) > 1:
        base = replace(base, neuron=None)
    if first.steps == 1 and timesteps > 1 and pieces and len(tags) == timesteps:
        return replace(base, steps=timesteps, outer=outer_of(after, axis, 1))
    dim, offset = locate(before, first.outer)
    new = dim + (name == "stack" and axis <= dim)
    return replace(base, outer=outer_of(after, new, offset))


def mixed(tags: Sequence[TensorTag]) -> TensorTag:
    """Values of several kinds in one tensor: the least special kind that fits all."""
    longest = max(tags, key=lambda tag: tag.steps)
    if any(tag.kind == "real" for tag in tags) or len({tag.unit for tag in tags}) > 1:
        return TensorTag("real", "other", longest.steps, longest.outer)
    source = tags[0].source if len({tag.source for tag in tags}) == 1 else "spikes"
    levels = max(tag.levels for tag in tags)
    return TensorTag("integer", source, longest.steps, longest.outer, levels, tags[0].unit)


def added(left: TensorTag, right: TensorTag) -> TensorTag:
    """Spikes plus spikes are integers; anything else is real."""
    longer = left if left.steps >= right.steps else right
    spikes = left.source == right.source == "spikes" and left.unit == right.unit
    if spikes and "real" not in (left.kind, right.kind):
        levels = left.levels + right.levels
        return TensorTag("integer", "spikes", longer.steps, longer.outer, levels, left.unit)
    return TensorTag("real", "other", longer.steps, longer.outer)


def averaged(
    tag: TensorTag,
    before: Sequence[int],
    after: Sequence[int],
    axes: Sequence[int] | None,
    total: bool,
) -> TensorTag:
    """After a mean (real) or a sum (``total``; still an integer if the values are)."""
    dim, offset = locate(before, tag.outer)
    gone = {axis % len(before) for axis in axes} if axes else set(range(len(before)))
    if len(before) == len(after):
        new, steps = dim, tag.steps if dim not in gone else 1
        if axes is None:
            steps = tag.steps
    else:
        new = dim - sum(axis < dim for axis in gone)
        steps = 1 if dim in gone else tag.steps
    outer = outer_of(after, new, offset) if steps > 1 else 1
    if total and tag.kind != "real":
        count = 1
        for axis in gone:
            count *= before[axis]
        return TensorTag("integer", tag.source, steps, outer, tag.levels * count, tag.unit)
    return TensorTag("real", "other", steps, outer)


def window_averaged(tag: TensorTag, window: int, padded: bool) -> TensorTag:
    """After average pooling: without padding a sum of spikes is still one, in smaller units."""
    if padded or tag.kind == "real":
        return replace(tag, kind="real", source="other", levels=0, unit=1.0, layer=None)
    unit = tag.unit / window
    levels = tag.levels * window
    return replace(tag, kind="integer", levels=levels, unit=unit, layer=None, neuron=None)


def multiplied(left: TensorTag, right: TensorTag, depth: int) -> TensorTag:
    """Product of two activations summed over ``depth`` terms."""
    longer = left if left.steps >= right.steps else right
    if "real" in (left.kind, right.kind):
        return TensorTag("real", "other", longer.steps, longer.outer)
    levels = left.levels * right.levels * depth
    return TensorTag(
        "integer", "spikes", longer.steps, longer.outer, levels, left.unit * right.unit
    )
