"""What a call of a weight layer, a batch normalisation or a neuron adds to the trace."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from hqsearch.hardware.rates import input_uses
from hqsearch.hardware.trace import tensor_rules
from hqsearch.hardware.trace.state import TraceState
from hqsearch.hardware.trace.tags import Tag
from hqsearch.hardware.uses import convolution_uses, taps_read
from hqsearch.hardware.workload import InputKind
from hqsearch.models.layers import WEIGHT_LAYERS
from hqsearch.models.recognition import absorbs_normalization, is_neuron

#: Called with the trace, the module's path, the module, its input and its output.
ModuleCall = Callable[[TraceState, str, Any, Tensor, Tensor], None]


#: Of integers times a unit that is no power of two, divided by it again, in float32.
_ROUNDING = 2.0**-20


def module_call(module: nn.Module, neurons: tuple[type[nn.Module], ...]) -> ModuleCall | None:
    """How to trace ``module`` as a whole; None: its parts are traced one by one."""
    if isinstance(module, WEIGHT_LAYERS):
        return weight_layer
    if is_neuron(module, neurons):
        return neuron
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return normalization
    return None


def weight_layer(trace: TraceState, path: str, module: Any, x: Tensor, out: Tensor) -> None:
    """A Conv1d, Conv2d or Linear: its multiply-accumulates, and the firing rate of its input."""
    tag = trace.input_tag(path, x) or Tag("real", "other", trace.timesteps)
    trace.operations.read_by(tag, None)
    if isinstance(module, nn.Linear):
        channels, per_output, tail = module.out_features, module.in_features, 1
    else:
        kernel = math.prod(module.kernel_size)
        channels, tail = module.out_channels, len(module.kernel_size) + 1
        per_output = module.in_channels // module.groups * kernel
    macs = valid = out.numel() * per_output
    uses = None
    if not isinstance(module, nn.Linear):
        read = convolution_uses(module, x.shape)
        inputs = x.numel() // math.prod(map(len, read))
        valid = inputs * taps_read(read) * (channels // module.groups)
        uses = input_uses(module, x.shape)
    totals = trace.operations.add("weight", path, tag, x, out, macs, tail, valid)
    totals.extra = {
        "weights": channels * per_output,
        "bias": channels if module.bias is not None else 0,
        "channels": channels,
    }
    trace.measure(totals, x, tag.unit, uses)
    moved = tensor_rules.sliced(tag, x.shape, out.shape, 0)
    trace.tags[out] = replace(
        moved, kind="real", source="other", levels=0, unit=1.0, layer=path, neuron=None
    )


def normalization(trace: TraceState, path: str, module: Any, x: Tensor, out: Tensor) -> None:
    """A batch normalisation: part of the weight layer before it, or an operation of its own."""
    tag = trace.input_tag(path, x)
    if tag is None:
        return
    if tag.layer is not None:
        trace.operations.normalized_by(tag.layer, path)
    else:
        totals = trace.operations.add("norm", path, tag, x, out, out.numel(), 1)
        totals.extra = {"channels": module.num_features}
    trace.tags[out] = replace(tag, kind="real", source="other", levels=0, unit=1.0, neuron=None)


def neuron(trace: TraceState, path: str, module: nn.Module, x: Tensor, out: Tensor) -> None:
    """A spiking neuron; ``unit`` and ``levels`` of one that emits integers are respected."""
    tag = trace.input_tag(path, x)
    if tag is None:
        return
    trace.operations.read_by(tag, path if absorbs_normalization(module) else None)
    unit = float(getattr(module, "unit", 1.0))
    levels = int(getattr(module, "levels", 1))
    kind: InputKind = "binary" if levels == 1 else "integer"
    if not out.is_meta and not _multiples(out, unit, levels):
        kind, levels = "real", 0
    spikes = Tag(kind, "spikes", tag.steps, tag.outer, levels, unit, None, path)
    totals = trace.operations.add("neuron", path, spikes, x, out, 0, 1)
    totals.extra = {"stateful": not getattr(module, "stateless", False)}
    totals.tag = spikes  # of the last call: one call may find what another did not
    trace.measure(totals, out, unit)
    trace.tags[out] = spikes if kind != "real" else Tag("real", "other", tag.steps, tag.outer)


def _multiples(values: Tensor, unit: float, levels: int) -> bool:
    """Whether every value is 0, 1, … or ``levels`` times ``unit``."""
    scaled = values / unit
    whole = scaled.round()
    near = (scaled - whole).abs() <= _ROUNDING * levels
    return bool((near & (whole >= 0) & (whole <= levels)).all())
