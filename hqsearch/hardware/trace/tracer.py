"""Run a network once and write down what it does.

Module hooks see weight layers, batch normalisation and neurons as wholes; a dispatch mode sees
every other tensor operation between them (residual adds, pooling, attention products) and
follows what the values are. Works on the meta device, then without firing rates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hqsearch.errors import DefinitionError
from hqsearch.hardware.trace.module_calls import ModuleCall, module_call, weight_layer
from hqsearch.hardware.trace.state import TraceState
from hqsearch.hardware.trace.state_read import StateRead
from hqsearch.hardware.trace.tags import TensorTag
from hqsearch.hardware.trace.tensor_calls import trace_call
from hqsearch.hardware.workload import Workload
from hqsearch.models.layers import WEIGHT_LAYERS

#: How frames are told: see :func:`trace_workload`.
InputBits = int | Literal["spikes"] | None


def trace_workload(
    model: nn.Module,
    batch: Tensor,
    input_bits: InputBits,
    *,
    unknown: Literal["refuse", "real"] = "refuse",
    neurons: tuple[type[nn.Module], ...] = (),
    timesteps: int | None = None,
) -> Workload:
    """Run ``model`` once on ``batch`` in evaluation mode and list what it did.

    Args:
        model: any torch module with Conv1d/Conv2d/Linear layers and recognised neurons; it is
            left as it was.
        batch: frames [T, N, C, H, W] (any trailing shape); on the meta device the
            workload carries no firing rates.
        input_bits: width of integer frames; ``spikes`` where they are 0 or 1 and zeros are
            skipped; None for real-valued ones.
        unknown: ``real`` counts operations that the trace does not know as one
            real-valued MAC per output; ``refuse`` raises and names them.
        neurons: further module classes that are neurons.
        timesteps: of the network, where ``batch`` holds pictures ``[1, N, …]`` that it repeats
            itself; None: T of ``batch``.

    Raises:
        DefinitionError: an unknown operation, or frames that do not fit ``input_bits``.
    """
    if batch.ndim < 3:
        raise DefinitionError(f"a batch to trace is [T, N, …]; this one is {list(batch.shape)}.")
    _check_frames(batch, input_bits)
    trace = TraceState(timesteps=timesteps or batch.shape[0], samples=batch.shape[1])
    if input_bits is None:
        trace.tags[batch] = TensorTag("real", "frames", batch.shape[0])
    elif input_bits == "spikes":
        # Events are spikes: hardware that skips zeros does so from the first layer on.
        trace.tags[batch] = TensorTag("binary", "spikes", batch.shape[0], levels=1)
    else:
        levels = 2**input_bits - 1
        trace.tags[batch] = TensorTag("integer", "frames", batch.shape[0], levels=levels)
    training = [(module, module.training) for module in model.modules()]
    state = StateRead(model)
    tracer = _Tracer(trace, state)
    # In evaluation torch may run attention as one operation, of which nothing can be seen.
    whole = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    model.eval()
    try:
        with torch.no_grad(), tracer:
            tracer.hook(model, neurons)
            model(batch)
    finally:
        tracer.unhook()
        torch.backends.mha.set_fastpath_enabled(whole)
        for module, mode in training:
            module.training = mode
    if trace.problems and unknown == "refuse":
        listing = "; ".join(dict.fromkeys(trace.problems))
        raise DefinitionError(
            f"the cost model does not know everything that this network does: {listing}. "
            'Set [model] unknown = "real", which counts each output of them as one real-valued '
            "multiply-accumulate and what follows as real-valued; a neuron of your own belongs "
            'into [model] neurons = ["file.Class"].'
        )
    state.counts(trace.fixed)
    return trace.operations.workload(state)


def _check_frames(batch: Tensor, told: InputBits) -> None:
    if told is None or batch.is_meta:
        return
    input_bits = 1 if told == "spikes" else told
    top = float(batch.max()) if batch.numel() else 0.0
    low = float(batch.min()) if batch.numel() else 0.0
    if low < 0 or top >= 2**input_bits or not bool((batch == batch.round()).all()):
        raise DefinitionError(
            f"frames of {input_bits} bit hold integers from 0 to {2**input_bits - 1}; "
            f"these reach from {low:g} to {top:g}. Declare their width, or none for real ones."
        )


class _Tracer(TorchDispatchMode):
    """Reports the calls of modules and tensor operations to the trace."""

    def __init__(self, trace: TraceState, state: StateRead) -> None:
        super().__init__()
        self._trace, self._state = trace, state
        self._hooks: list[Any] = []
        # Above 0 inside a module that counts as a whole, and while the trace itself computes.
        self._depth = 0

    def hook(self, model: nn.Module, neurons: tuple[type[nn.Module], ...]) -> None:
        """Watch every module, but none inside those that count as wholes."""
        wholes: list[str] = []
        for path, module in model.named_modules():
            if any(path.startswith(f"{whole}.") for whole in wholes):
                if isinstance(module, WEIGHT_LAYERS):
                    self._hook_inside(path, module)
                continue
            call = module_call(module, neurons)
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
            self._trace.scopes.append((path, Counter()))
            self._depth += call is not None

        def after(
            module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any
        ) -> None:
            self._trace.scopes.pop()
            self._depth -= call is not None
            given = next((t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)), None)
            if call is not None and self._depth == 0 and given is not None:
                self._depth += 1
                call(self._trace, path, module, given, out)
                self._depth -= 1

        self._hooks.append(module.register_forward_pre_hook(before))
        self._hooks.append(module.register_forward_hook(after, with_kwargs=True))

    def _hook_inside(self, path: str, module: nn.Module) -> None:
        """A weight layer inside a neuron, such as recurrent weights: what it reads is traced."""

        def after(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
            self._depth += 1
            unseen = self._trace.tag_of(args[0]) is None and not args[0].is_meta
            if unseen and not bool(args[0].any()):  # before the first step nothing has fired
                self._trace.tags[args[0]] = TensorTag("binary", "spikes", 1, levels=1)
            weight_layer(self._trace, path, module, args[0], out)
            self._depth -= 1

        self._hooks.append(module.register_forward_hook(after))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        self._state.saw(args, kwargs)
        if self._depth == 0:
            self._depth += 1
            trace_call(self._trace, func.overloadpacket.__name__, args, kwargs or {}, out)
            self._depth -= 1
        return out
