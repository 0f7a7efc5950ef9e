"""What a call of a weight layer, a batch normalisation or a neuron adds to the graph."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hqsearch.errors import ExportError
from hqsearch.export.bounds import check_sums, input_limits, sum_limits
from hqsearch.export.capture import Capture
from hqsearch.export.graph import Layer, Neuron, Window
from hqsearch.export.layers import StoredLayer
from hqsearch.export.neurons import fixed_point, has_gain, in_units
from hqsearch.export.rescaling import INPUT_BITS, input_digits, rescaled
from hqsearch.export.values import Captured, Floats, Integers, Layout, Tag, prod
from hqsearch.export.weights import integer_weights, neuron_constants
from hqsearch.models.integer_neurons import IntegerLIF, IntegerNeuron
from hqsearch.models.layers import WEIGHT_LAYERS
from hqsearch.models.recognition import absorbs_normalization, is_neuron
from hqsearch.models.repconv import BorderNorm

ModuleCall = Callable[[Capture, str, Any, Tensor, Tensor], None]

#: Share of spikes by which an equal neuron may differ, written in another order of additions.
_ROUNDING = 1e-4


def module_call(module: nn.Module) -> ModuleCall | None:
    """How to capture ``module`` as a whole; None: its parts are captured one by one."""
    if isinstance(module, WEIGHT_LAYERS):
        return weight_layer
    if is_neuron(module):
        return neuron
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return normalization
    return None


def weight_layer(capture: Capture, path: str, module: Any, x: Tensor, out: Tensor) -> None:
    """A Conv1d, Conv2d or Linear on integers in one unit."""
    tag = capture.read(x, path)
    stored = capture.stored.get(path)
    if stored is None or (path in capture.weights and stored.codes is None):
        raise ExportError(f"{path!r} is not stored, or is an fp32 layer that runs twice in a step.")
    if not tag.plain or tag.value.levels > 2**INPUT_BITS:
        tag = _in_fixed_point(capture, path, stored, tag)
    value = tag.value
    if isinstance(module, nn.Linear):
        rows = _read_features(tag, module.in_features, path)
        window = Window((1, 1), (1, 1), (0, 0), (1, 1))
        groups = 1
        spatial: tuple[int, ...] = (rows,) if rows > 1 else ()
        read = (1, rows)
        flat = rows == 1 and prod((value.layout.shape or (1,))[1:]) > 1
    else:
        rank = len(module.kernel_size)
        read_as(tag, tuple(x.shape[-rank - 1 :]), path)
        window, groups, spatial = _window(module, path), module.groups, tuple(out.shape[-rank:])
        read, flat = rows_of(x.shape, rank), False
    weights, unit = capture.weights[path] = integer_weights(stored, value.levels)
    outputs = weights.shape[0]
    shape = (outputs, weights.shape[1], *(1,) * (4 - weights.ndim), *weights.shape[2:])
    limits = input_limits(value.levels, value.signed)
    low, high = sum_limits(weights.reshape(outputs, -1), *limits)
    check_sums(path, low, high)
    layout = Layout(outputs * prod(spatial))
    layout.fix((outputs, *spatial), None)
    result = capture.new_value(layout, low, high, value.steps, path)
    capture.nodes.append(
        Layer(
            path,
            (value.number,),
            result.number,
            path,
            stored.choice,
            shape,
            groups,
            window,
            read,
            flat,
        )
    )
    index = torch.arange(layout.size * value.steps)
    if isinstance(module, nn.Linear) and spatial:
        index = index.reshape(value.steps, outputs, *spatial).transpose(1, 2)
    offset = np.zeros(1)
    if module.bias is not None:
        offset = module.bias.detach().double().numpy().copy()
    capture.tags[out] = Tag(result, index.reshape(out.shape), unit * tag.scale[0], offset)


def _in_fixed_point(capture: Capture, path: str, stored: StoredLayer, tag: Tag) -> Tag:
    """Sums that no neuron has fired on, or a normalisation that none took in, for a layer."""
    if stored.threshold is not None:
        raise ExportError(
            f"{path!r} reads real values: sums that no neuron has fired on, or a normalisation "
            "that none takes in, and its own neuron took its scale in. Put a spiking neuron "
            "before it."
        )
    weights = None if stored.codes is None else integer_weights(stored, 1)[0]
    return rescaled(capture, tag, input_digits(tag, weights))


def normalization(capture: Capture, path: str, module: Any, x: Tensor, out: Tensor) -> None:
    """A batch normalisation: another scale and offset for each channel."""
    if isinstance(module, BorderNorm):
        raise ExportError(
            f"{path!r} is part of a RepConv that was not folded; its border has no integer form. "
            "Train the network with [model] fold = true."
        )
    tag = capture.read(x, path)
    layout, channels = tag.value.layout, x.shape[1]
    if layout.shape is None:
        read_as(tag, (channels, *x.shape[2:]), path)
    positions = layout.size // layout.channels
    of_channel = tag.places() % layout.size // positions
    axis = np.arange(channels).reshape(-1, *([1] * (x.ndim - 2)))
    if layout.channels != channels or not (of_channel == axis).all():
        raise ExportError(f"{path!r} normalises another axis than the channels of its input.")
    if module.running_mean is None or module.running_var is None:
        raise ExportError(f"{path!r} keeps no running statistics, so its factors are not known.")
    slope = 1.0 / np.sqrt(_double(module.running_var) + module.eps)
    shift = np.zeros(1)
    if module.weight is not None:
        slope, shift = slope * _double(module.weight), _double(module.bias)
    offset = slope * (tag.offset - _double(module.running_mean)) + shift
    capture.tags[out] = replace(
        tag, index=tag.index.reshape(out.shape), scale=slope * tag.scale, offset=offset
    )


def neuron(capture: Capture, path: str, module: Any, x: Tensor, out: Tensor) -> None:
    """A leaky integrate-and-fire neuron that resets hard to 0, or an integer neuron."""
    tag = capture.read(x, path)
    value = tag.value
    if value.steps != capture.timesteps or x.shape[0] != value.steps or tag.per_step() is None:
        raise ExportError(
            f"neuron {path!r} does not get all timesteps of its input at once, [T, …]; networks "
            "that loop over timesteps cannot be exported."
        )
    leak, threshold, rest = _constants(path, module, x)
    levels = int(getattr(module, "levels", 1))
    stored = capture.stored.get(value.layer or "")
    if stored is not None and (stored.threshold is None or stored.neuron != path):
        stored = None
    own_unit = tag.plain and tag.scale[0] > 0
    gained = has_gain(threshold, tag.scale, tag.offset, _reach(value))
    if stored is None and not (own_unit if rest else gained):
        tag = rescaled(capture, tag, capture.digits)
        value = tag.value
    # What leaks to 1 / 2^rest adds up to at most twice its input.
    reach = _reach(value) * (2 if rest else 1)
    if stored is not None:
        level, bias = neuron_constants(stored, capture.weights[stored.path][1])
    else:
        level, bias = in_units(threshold, tag.scale, tag.offset, reach)
    counting = levels > 1 or rest > 0
    fixed = fixed_point(path, leak, value.steps, level, bias, reach, counting=counting)
    one = np.ones(1, np.int64)
    spikes = capture.new_value(value.layout, one * 0, one * levels, value.steps)
    capture.nodes.append(
        Neuron(
            capture.distinct(path, tuple(x.shape)),
            (value.number,),
            spikes.number,
            stored.path if stored else "",
            leak,
            *fixed.shape(),
            levels,
            rest,
        )
    )
    capture.constants[spikes.number] = (fixed.thresholds, fixed.biases)
    unit = np.full(1, float(getattr(module, "unit", 1.0)))
    capture.tags[out] = Tag(spikes, tag.index.reshape(out.shape), unit)


def _reach(value: Captured) -> Integers:
    return np.maximum(np.abs(value.low), np.abs(value.high))


def read_as(tag: Tag, shape: tuple[int, ...], where: str) -> None:
    """Let a value be read as ``shape``, channels first, step by step.

    Raises:
        ExportError: it lies otherwise, or some of it is missing.
    """
    places, layout = tag.per_step(), tag.value.layout
    if places is not None and layout.shape is None:
        layout.fix(shape, np.argsort(places))
        return
    fits = layout.shape is not None and _folded(layout.shape) == _folded(shape)
    if places is None or not fits or not (places == np.arange(layout.size)).all():
        raise ExportError(
            f"{where!r} reads {list(shape)} that is cut from, or ordered otherwise than, the "
            f"{list(layout.shape or ())} that was made; this has no integer form."
        )


def rows_of(shape: Sequence[int], rank: int) -> tuple[int, int]:
    """Rows and columns of a tensor with ``rank`` spatial axes at its end."""
    rows, columns = (1, *shape[-rank:])[-2:]
    return rows, columns


def _folded(shape: tuple[int, ...]) -> tuple[int, int]:
    return shape[0], prod(shape[1:])


def _read_features(tag: Tag, features: int, where: str) -> int:
    """Let a Linear read a value; the number of positions that it is applied to in a step."""
    rows, layout = tag.value.layout.size // features, tag.value.layout
    if rows == 1:
        read_as(tag, layout.shape or (features,), where)
        return 1
    places = tag.per_step()
    if places is not None:
        turned = places.reshape(rows, features).T.reshape(-1)
        if layout.shape is None:
            layout.fix((features, rows), np.argsort(turned))
            return rows
        if _folded(layout.shape) == (features, rows) and (turned == np.arange(layout.size)).all():
            return rows
    raise ExportError(f"{where!r} does not read the channels of its input; no integer form.")


def _window(module: Any, path: str) -> Window:
    if module.padding_mode != "zeros" and module.padding != 0:
        raise ExportError(
            f"{path!r} pads with {module.padding_mode!r}; only zeros can be exported."
        )
    reach = [d * (k - 1) for k, d in zip(module.kernel_size, module.dilation, strict=True)]
    padding = module.padding
    if isinstance(padding, str):
        if padding == "same" and any(part % 2 for part in reach):
            raise ExportError(f"{path!r} pads unevenly; give it an odd kernel.")
        padding = [part // 2 if padding == "same" else 0 for part in reach]
    return window_of(module.kernel_size, module.stride, padding, module.dilation)


def window_of(kernel: Any, stride: Any, padding: Any, dilation: Any) -> Window:
    """A window over rows and columns; of one axis, a single row."""
    kernel, stride, dilation = ((1, *part)[-2:] for part in (kernel, stride, dilation))
    padding = (0, *padding)[-2:]
    return Window(*(tuple(map(int, part)) for part in (kernel, stride, padding, dilation)))  # type: ignore[arg-type]


def _constants(path: str, module: Any, x: Tensor) -> tuple[int, float, int]:
    """k of the time constant 2^k, the (first) threshold, and l of a rest that leaks to 2^-l.

    Raises:
        ExportError: another neuron than a leaky integrate-and-fire neuron with hard reset to 0,
            or one of hqsearch's own that emit integers.
    """
    kind = type(module).__name__
    if isinstance(module, IntegerNeuron) or (isinstance(module, IntegerLIF) and not module.leak):
        return 0, module.threshold, 0
    if isinstance(module, IntegerLIF):
        rest = -math.log2(module.leak)
        if not rest.is_integer():
            raise ExportError(
                f"neuron {path!r} ({kind}) has the leak {module.leak:g}; only 1/2, 1/4, 1/8, … "
                "shift."
            )
        return 0, module.threshold, int(rest)
    if int(getattr(module, "levels", 1)) != 1:
        raise ExportError(
            f"neuron {path!r} ({kind}) emits integers; of such, only those of hqsearch can be "
            "exported: 'integer' and 'integer-lif'."
        )
    if not absorbs_normalization(module):
        raise ExportError(
            f"neuron {path!r} ({kind}) does not reset hard to 0, so no scale can be taken into its "
            "threshold; it has no integer form."
        )
    tau = float(getattr(module, "tau", math.nan))
    threshold = float(getattr(module, "v_threshold", getattr(module, "threshold", math.nan)))
    leak = math.log2(tau) if tau > 0 else math.nan
    if not leak.is_integer() or leak < 0:
        raise ExportError(
            f"neuron {path!r} ({kind}) has the time constant {tau:g}; only 1, 2, 4, 8, … divide "
            "by shifting."
        )
    if not threshold > 0:
        raise ExportError(
            f"neuron {path!r} ({kind}) has the threshold {threshold:g}; not positive."
        )
    drawn = torch.rand(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    drawn = (drawn - 0.2) * 3 * threshold
    differ = copy.deepcopy(module)(drawn) != _fired(drawn, tau, threshold)
    if float(differ.double().mean()) > _ROUNDING:
        raise ExportError(
            f"neuron {path!r} ({kind}) does something else than charge with time constant {tau:g}, "
            f"fire at {threshold:g} and reset to 0; it has no integer form."
        )
    return int(leak), threshold, 0


def _fired(current: Tensor, tau: float, threshold: float) -> Tensor:
    potential, spikes = torch.zeros_like(current[0]), torch.empty_like(current)
    for step, drive in enumerate(current):
        potential = torch.lerp(potential, drive, 1.0 / tau)
        spikes[step] = potential >= threshold
        potential = potential.masked_fill(spikes[step] > 0, 0.0)
    return spikes


def _double(tensor: Tensor) -> Floats:
    values: Floats = tensor.detach().double().numpy().copy()
    return values
