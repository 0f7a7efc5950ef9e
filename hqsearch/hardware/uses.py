"""How often each input position of a convolution or a pooling window is read.

A tap that falls on zero padding reads nothing: no accumulation takes place there, although the
multiply-accumulates that papers count include it. Padding with values (``reflect``,
``replicate``, ``circular``) is read again where the value comes from. The number of taps on a
position is a product over the axes, so an input contributes exactly
``uses · out_channels / groups`` accumulations for each of its unit spikes.

>>> axis_uses(4, 2, Axis(kernel=3, stride=2, before=1)).tolist()
[1, 2, 1, 1]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
#: torch's names for padding with values → numpy's.
_VALUES: Final = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a sliding window.

    before, after: padded positions; after may be left 0 for zeros. mode: of the padding, as
    torch names it.
    """

    kernel: int
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0
    mode: str = "zeros"


def axis_uses(length: int, outputs: int, axis: Axis) -> Counts:
    """Taps that read each position of one axis, [length].

    Args:
        length: positions without padding.
        outputs: positions of the window, as the output's shape has them.
        axis: the window.
    """
    source = np.arange(length)
    if axis.mode in _VALUES:
        padded = np.pad(source, (axis.before, axis.after), mode=_VALUES[axis.mode])  # type: ignore[call-overload]
        before = 0
    else:
        padded, before = source, axis.before
    first = np.arange(outputs)[:, None] * axis.stride - before
    taps = first + np.arange(axis.kernel)[None, :] * axis.dilation
    inside = taps[(taps >= 0) & (taps < len(padded))]
    return np.bincount(padded[inside], minlength=length)


@lru_cache(maxsize=512)
def window_uses(
    inputs: tuple[int, ...], outputs: tuple[int, ...], axes: tuple[Axis, ...]
) -> tuple[Counts, ...]:
    """:func:`axis_uses` for every axis of a window."""
    return tuple(map(axis_uses, inputs, outputs, axes))


def taps_read(uses: Sequence[Counts]) -> int:
    """Taps of all positions of the window that read an input: of one channel of one sample."""
    return math.prod(int(counts.sum()) for counts in uses)


def convolution_uses(module: Any, shape: Sequence[int]) -> tuple[Counts, ...]:
    """Uses of the inputs of a Conv1d or Conv2d, for each spatial axis.

    Args:
        module: the layer. shape: of its input, [..., *spatial].
    """
    rank = len(module.kernel_size)
    inputs = tuple(int(size) for size in shape[-rank:])
    axes, outputs = [], []
    for index in range(rank):
        kernel, dilation = module.kernel_size[index], module.dilation[index]
        stride, reach = module.stride[index], dilation * (kernel - 1)
        if isinstance(module.padding, str):
            whole = reach if module.padding == "same" else 0
            before, after = whole // 2, whole - whole // 2
        else:
            before = after = module.padding[index]
        axes.append(Axis(kernel, stride, dilation, before, after, module.padding_mode))
        outputs.append((inputs[index] + before + after - reach - 1) // stride + 1)
    return window_uses(inputs, tuple(outputs), tuple(axes))
