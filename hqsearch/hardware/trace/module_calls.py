"""What a call of a weight layer, a batch normalisation or a neuron adds to the trace."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from hqsearch.hardware.rates import input_uses
from hqsearch.hardware.trace import tensor_rules
from hqsearch.hardware.trace.state import TraceState
from hqsearch.hardware.trace.tags import TensorTag
from hqsearch.hardware.uses import convolution_uses, taps_read
from hqsearch.hardware.workload import InputKind
from hqsearch.models.adapters import NeuronFacts, neuron_facts
from hqsearch.models.adapters.declared import Declared
from hqsearch.models.layers import WEIGHT_LAYERS, own_weight
from hqsearch.models.recognition import is_neuron, spikes_of

#: Called with the trace, the module's path, the module, its input and what it returned.
ModuleCall = Callable[[TraceState, str, Any, Tensor, Any], None]


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
    tag = trace.input_tag(path, x) or trace.unfollowed(x)
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
    weight = own_weight(module)
    owner = path if weight is None else trace.owners.setdefault(id(weight), path)
    totals.extra = {
        "shared": owner != path,
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
    tag = trace.input_tag(path, x) or trace.unfollowed(x)
    if tag.layer is not None:
        trace.operations.normalized_by(tag.layer, path)
    else:
        totals = trace.operations.add("norm", path, tag, x, out, out.numel(), 1)
        totals.extra = {"channels": module.num_features}
    trace.tags[out] = replace(tag, kind="real", source="other", levels=0, unit=1.0, neuron=None)


def neuron(trace: TraceState, path: str, module: nn.Module, x: Tensor, out: Any) -> None:
    """A spiking neuron; what it emits is what is known of it, and looked at where it runs."""
    spikes = spikes_of(out)
    tag = trace.input_tag(path, x)
    if spikes is None:
        return
    if tag is None:
        tag = trace.unfollowed(x)
    facts = neuron_facts(module) or Declared(type(module).__name__).facts(module)
    trace.operations.read_by(tag, path if facts.absorbs else None)
    kind, levels = _emitted(facts, spikes)
    emitted = TensorTag(kind, "spikes", tag.steps, tag.outer, levels, facts.unit, None, path)
    totals = trace.operations.add("neuron", path, emitted, x, spikes, 0, 1)
    totals.extra = {"stateful": facts.stateful}
    # One call may find what another did not.
    totals.tag = emitted if emitted.bits >= totals.tag.bits else totals.tag
    trace.measure(totals, spikes, facts.unit)
    for leaf in tree_leaves(out):
        if isinstance(leaf, Tensor):  # membrane potentials and currents
            trace.tags[leaf] = TensorTag("real", "other", tag.steps, tag.outer)
    if kind != "real":
        trace.tags[spikes] = emitted


def _emitted(facts: NeuronFacts, spikes: Tensor) -> tuple[InputKind, int]:
    """Kind of a neuron's output, and the largest number of unit spikes of an element.

    What is not known of it is measured; what is known is checked. Without values (on the meta
    device) only what is known for certain is taken for spikes.
    """
    if facts.output == "real" or (spikes.is_meta and facts.levels is None):
        return "real", 0
    if spikes.is_meta:
        return ("binary" if facts.levels == 1 else "integer"), facts.levels or 1
    most = facts.levels or max(1, round(float(spikes.max() / facts.unit)))
    if not _multiples(spikes, facts.unit, most):
        return "real", 0
    return ("binary" if most == 1 else "integer"), most


def _multiples(values: Tensor, unit: float, levels: int) -> bool:
    """Whether every value is 0, 1, … or ``levels`` times ``unit``."""
    scaled = values / unit
    whole = scaled.round()
    near = (scaled - whole).abs() <= _ROUNDING * levels
    return bool((near & (whole >= 0) & (whole <= levels)).all())
