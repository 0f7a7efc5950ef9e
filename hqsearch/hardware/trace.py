"""Read a :class:`~hqsearch.hardware.workload.Workload` from a running network.

Module hooks see weight layers, batch normalisation and neurons as wholes; a dispatch mode sees
every other tensor operation between them (residual adds, pooling, attention products) and
follows what the values are. Works on the meta device, then without firing rates.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from hqsearch.errors import DefinitionError
from hqsearch.hardware import follow
from hqsearch.hardware.rates import WEIGHT_LAYERS, is_neuron
from hqsearch.hardware.records import Record, Records
from hqsearch.hardware.tags import Tag
from hqsearch.hardware.workload import Kind, Workload


def trace_model(
    model: nn.Module,
    batch: Tensor,
    input_bits: int | None,
    *,
    unknown: Literal["refuse", "real"],
    neurons: tuple[type[nn.Module], ...],
) -> Workload:
    """See :meth:`Workload.trace`."""
    if batch.ndim < 3:
        raise DefinitionError(f"a batch to trace is [T, N, …]; this one is {list(batch.shape)}.")
    _check_frames(batch, input_bits)
    tracer = _Tracer(model, batch.shape[0], batch.shape[1], neurons)
    levels = 0 if input_bits is None else 2**input_bits - 1
    kind: Literal["real", "integer"] = "real" if input_bits is None else "integer"
    tracer.tags[batch] = Tag(kind, "frames", batch.shape[0], 1, levels)
    training = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad(), tracer:
            tracer.hook()
            model(batch)
    finally:
        tracer.unhook()
        for module, mode in training:
            module.training = mode
    if tracer.problems and unknown == "refuse":
        listing = "; ".join(dict.fromkeys(tracer.problems))
        raise DefinitionError(
            f"the cost model does not know everything that this network does: {listing}. "
            "Use Conv1d, Conv2d and Linear modules and recognised neurons, or allow unknown "
            "operations, which counts each output as one real-valued MAC."
        )
    return tracer.records.workload(model)


def _check_frames(batch: Tensor, input_bits: int | None) -> None:
    if input_bits is None or batch.is_meta:
        return
    top = float(batch.max()) if batch.numel() else 0.0
    low = float(batch.min()) if batch.numel() else 0.0
    if low < 0 or top >= 2**input_bits or not bool((batch == batch.round()).all()):
        raise DefinitionError(
            f"frames of {input_bits} bit hold integers from 0 to {2**input_bits - 1}; "
            f"these reach from {low:g} to {top:g}. Declare their width, or none for real ones."
        )


class _Tracer(TorchDispatchMode):
    def __init__(
        self, model: nn.Module, timesteps: int, samples: int, neurons: tuple[type[nn.Module], ...]
    ) -> None:
        super().__init__()
        self.model, self.timesteps, self.samples, self.extra = model, timesteps, samples, neurons
        self.tags: Any = WeakTensorKeyDictionary()
        self.records = Records(timesteps, samples)
        self.problems: list[str] = []
        self.hooks: list[Any] = []
        self.frames: list[tuple[str, dict[str, int]]] = [("", {})]
        self.within = 0

    def hook(self) -> None:
        """Watch every module; weight layers, norms and neurons count as wholes."""
        leaves: list[str] = []
        for path, module in self.model.named_modules():
            if any(path.startswith(f"{leaf}.") for leaf in leaves):
                continue
            record: Callable[..., None] | None = None
            if isinstance(module, WEIGHT_LAYERS):
                record = self._weight_layer
            elif is_neuron(module, self.extra):
                record = self._neuron
            elif isinstance(module, nn.modules.batchnorm._BatchNorm):
                record = self._norm
            if record is not None:
                leaves.append(path)
            self._hook(path, module, record)

    def _hook(self, path: str, module: nn.Module, record: Callable[..., None] | None) -> None:
        def before(module: nn.Module, args: tuple[Any, ...]) -> None:
            self.frames.append((path, {}))
            self.within += record is not None

        def after(module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
            self.frames.pop()
            self.within -= record is not None
            if record is not None and self.within == 0:
                # The measurements of the trace itself are no operations of the network.
                self.within += 1
                record(path, module, args[0], out)
                self.within -= 1

        self.hooks.append(module.register_forward_pre_hook(before))
        self.hooks.append(module.register_forward_hook(after))

    def unhook(self) -> None:
        """Leave the model as it was."""
        for hook in self.hooks:
            hook.remove()
        self.hooks.clear()

    def _weight_layer(self, path: str, module: Any, x: Tensor, out: Tensor) -> None:
        tag = self.tags.get(x)
        if tag is None:
            self.problems.append(f"the input of {path!r} could not be followed")
            tag = Tag("real", "other", self.timesteps)
        self.records.use(tag, None)
        if isinstance(module, nn.Linear):
            channels, per_output, tail = module.out_features, module.in_features, 1
        else:
            kernel = math.prod(module.kernel_size)
            channels, tail = module.out_channels, len(module.kernel_size) + 1
            per_output = module.in_channels // module.groups * kernel
        record = self._record("weight", path, tag, x, out, out.numel() * per_output, tail)
        record.extra = {
            "weights": channels * per_output,
            "bias": channels if module.bias is not None else 0,
            "channels": channels,
        }
        self._measure(record, x, tag.unit)
        self.tags[out] = replace(
            follow.sliced(tag, x.shape, out.shape, 0),
            kind="real", source="other", levels=0, unit=1.0, chain=path, neuron=None,
        )  # fmt: skip

    def _norm(self, path: str, module: Any, x: Tensor, out: Tensor) -> None:
        tag = self.tags.get(x)
        if tag is None:
            self.problems.append(f"the input of {path!r} could not be followed")
            return
        if tag.chain is not None:
            seen = self.records.norms.setdefault(tag.chain, [])
            if path not in seen:
                seen.append(path)
        else:
            record = self._record("norm", path, tag, x, out, out.numel(), 1)
            record.extra = {"channels": module.num_features}
        self.tags[out] = replace(tag, kind="real", source="other", levels=0, unit=1.0, neuron=None)

    def _neuron(self, path: str, module: Any, x: Tensor, out: Tensor) -> None:
        tag = self.tags.get(x)
        if tag is None:
            self.problems.append(f"the input of {path!r} could not be followed")
            return
        self.records.use(tag, path)
        unit = float(getattr(module, "unit", 1.0))
        levels = int(getattr(module, "levels", 1))
        kind: Any = "binary" if levels == 1 else "integer"
        if not out.is_meta and not _multiples(out, unit, levels):
            kind, levels = "real", 0
        record = self._record("neuron", path, tag, x, out, 0, 1)
        spikes = Tag(kind, "spikes", tag.steps, tag.outer, levels, unit, None, path)
        record.tag = spikes
        self._measure(record, out, unit)
        self.tags[out] = spikes if kind != "real" else Tag("real", "other", tag.steps, tag.outer)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if self.within == 0:
            self.within += 1
            self._follow(func.overloadpacket.__name__, args, kwargs or {}, out)
            self.within -= 1
        return out

    def _follow(self, name: str, args: tuple[Any, ...], kwargs: Any, out: Any) -> None:
        operands = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        tags = [self.tags[t] for t in operands if t in self.tags]
        results = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        if not tags or not results:
            return
        x = next(t for t in operands if t in self.tags)
        tag = tags[0]
        result = results[0]
        new: Tag | None = None
        if name in follow.RESHAPES:
            new = tag
        elif name in follow.SLICES:
            for piece in results:
                self.tags[piece] = follow.sliced(tag, x.shape, piece.shape, self.timesteps)
            return
        elif name in follow.PERMUTES:
            order = follow.permutation(name, x.ndim, args)
            new = follow.permuted(tag, x.shape, result.shape, order)
        elif name in follow.SELECTS:
            axis = int(args[1]) if len(args) > 1 else 0
            for piece in results:
                self.tags[piece] = follow.selected(tag, x.shape, piece.shape, axis)
            return
        elif name in follow.JOINS and len(tags) == len(operands):
            axis = int(args[1]) if len(args) > 1 else 0
            new = follow.joined(name, tags, x.shape, result.shape, axis, self.timesteps)
        elif name in follow.COPIES:
            new = self.tags.get(args[1])
        elif name in follow.ADDS:
            new = self._add(operands, tags, result)
        elif name in follow.SCALES:
            new = self._scale(name, operands, tags, result, args)
        elif name in follow.PRODUCTS and len(tags) >= 2:
            new = self._product(operands[-2:], tags[-2:], result)
        elif name in follow.MAX_POOLS:
            self.records.use(tag, None)
            window = math.prod(args[1]) if isinstance(args[1], list | tuple) else int(args[1]) ** 2
            self._record("pool", self._name("pool"), tag, x, result, result.numel() * window, 3)
            new = replace(follow.sliced(tag, x.shape, result.shape, 0), chain=None)
        elif name in follow.WINDOW_AVERAGES:
            self.records.use(tag, None)
            sizes = [args[1]] if isinstance(args[1], int) else list(args[1])
            window = math.prod(sizes * (1 if len(sizes) > 1 or name == "avg_pool1d" else 2))
            self._record("pool", self._name("pool"), tag, x, result, result.numel() * window, 3)
            padding = args[3] if len(args) > 3 else 0
            padded = any(padding) if isinstance(padding, list | tuple) else bool(padding)
            moved = follow.sliced(tag, x.shape, result.shape, 0)
            new = follow.window_averaged(moved, window, padded or len(args) > 4)
        elif name in follow.AVERAGES:
            self.records.use(tag, None)
            axes = args[1] if name in ("mean", "sum") and len(args) > 1 else None
            self._record("pool", self._name("mean"), tag, x, result, x.numel(), 1)
            new = follow.averaged(tag, x.shape, result.shape, axes, name == "sum")
        if new is None:
            where = self.frames[-1][0] or "the network itself"
            self.problems.append(f"operation {name!r} in {where!r}")
            for each in tags:
                self.records.use(each, None)
            longest = max(tags, key=lambda t: t.steps)
            self._record("unknown", self._name(name), longest, x, result, result.numel(), 1)
            new = Tag("real", "other", longest.steps, longest.outer)
        for piece in results:
            self.tags[piece] = new

    def _add(self, operands: list[Tensor], tags: list[Tag], result: Tensor) -> Tag:
        if len(tags) == 1:
            self.records.use(tags[0], None)
            if len(operands) > 1 and operands[0].numel() > 1 and operands[1].numel() > 1:
                self._record("add", self._name("add"), tags[0], result, result, result.numel(), 1)
            return Tag("real", "other", tags[0].steps, tags[0].outer)
        for tag in tags:
            self.records.use(tag, None)
        total = follow.added(tags[0], tags[1])
        self._record("add", self._name("add"), total, result, result, result.numel(), 1)
        return total

    def _scale(
        self, name: str, operands: list[Tensor], tags: list[Tag], result: Tensor, args: Any
    ) -> Tag | None:
        if len(tags) >= 2:
            return None if name.startswith("div") else self._product(operands, tags, result)
        tag = tags[0]
        constants = [t for t in operands if t not in self.tags]
        factor = constants[0] if constants else args[1]
        if isinstance(factor, Tensor) and factor.numel() > 1:
            self.records.use(tag, None)
            record = self._record(
                "norm", self._name("scale"), tag, result, result, result.numel(), 1
            )
            record.extra = {"channels": 0}
            return Tag("real", "other", tag.steps, tag.outer)
        if isinstance(factor, Tensor):
            factor = math.nan if factor.is_meta else float(factor)
        unit = tag.unit / factor if name.startswith("div") else tag.unit * factor
        return replace(tag, unit=abs(unit))

    def _product(self, operands: list[Tensor], tags: list[Tag], result: Tensor) -> Tag:
        """A product of two activations: the spikes of one gate accumulates of the other."""
        for tag in tags:
            self.records.use(tag, None)
        elementwise = operands[0].shape == result.shape == operands[1].shape
        depth = 1 if elementwise else operands[0].shape[-1]
        gate = next((i for i, tag in enumerate(tags) if tag.kind == "binary"), None)
        if gate is None:
            gate = next((i for i, tag in enumerate(tags) if tag.kind == "integer"), 0)
        product = follow.multiplied(tags[0], tags[1], depth)
        if elementwise and depth == 1 and operands[0].ndim == 2:
            elementwise = False
        record = self._record(
            "attention", self._name("product"), tags[gate], operands[gate], result,
            result.numel() * depth, 2,
        )  # fmt: skip
        record.extra = {
            "output_bits": product.bits,
            "operand_bits": tags[1 - gate].bits,
        }
        self._measure(record, operands[gate], tags[gate].unit)
        return product

    def _record(
        self, kind: Kind, path: str, tag: Tag, x: Tensor, out: Tensor, macs: int, tail: int
    ) -> Record:
        return self.records.add(kind, path, tag, x, out, macs, tail)

    def _measure(self, record: Record, values: Tensor, unit: float) -> None:
        if not values.is_meta:
            record.rates.add(values, self.timesteps, self.samples, unit)

    def _name(self, what: str) -> str:
        """Path of an operation that is no module: where it happens, and the how-manieth."""
        path, counts = self.frames[-1]
        counts[what] = counts.get(what, 0) + 1
        suffix = f"_{counts[what]}" if counts[what] > 1 else ""
        return f"{path}.{what}{suffix}" if path else f"{what}{suffix}"


def _multiples(values: Tensor, unit: float, levels: int) -> bool:
    scaled = values / unit
    return bool(((scaled == scaled.round()) & (scaled >= 0) & (scaled <= levels)).all())
