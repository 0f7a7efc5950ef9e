"""What a trace has seen so far, added up over the calls of one forward pass.

A layer that a loop over timesteps calls T times is one operation of T steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from hqsearch.hardware.rates import WEIGHT_LAYERS, RateSum
from hqsearch.hardware.tags import Tag, bits_for
from hqsearch.hardware.workload import Kind, Operation, Workload


@dataclass
class Record:
    """Totals of one operation for one sample; ``extra`` holds further Operation fields."""

    kind: Kind
    path: str
    tag: Tag
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    steps: int = 0
    macs: int = 0
    inputs: int = 0
    outputs: int = 0
    rates: RateSum = field(default_factory=RateSum)
    extra: dict[str, Any] = field(default_factory=dict)


class Records:
    """Every operation of one trace, and who reads the output of each weight layer.

    norms: weight layer -> batch normalisations behind it.
    consumers: weight layer -> neurons that read its (normalised) output; None for others.
    """

    def __init__(self, timesteps: int, samples: int) -> None:
        self.timesteps, self.samples = timesteps, samples
        self.norms: dict[str, list[str]] = {}
        self.consumers: dict[str, set[str | None]] = {}
        self._records: dict[str, Record] = {}

    def use(self, tag: Tag, neuron: str | None) -> None:
        """Something reads ``tag``'s tensor: a neuron, or (None) anything else."""
        if tag.chain is not None:
            self.consumers.setdefault(tag.chain, set()).add(neuron)

    def add(
        self, kind: Kind, path: str, tag: Tag, x: Tensor, out: Tensor, macs: int, tail: int
    ) -> Record:
        """Add one call.

        Args:
            kind: see ``Operation``.
            path: where it happens; a call with another shape becomes ``path@2``.
            tag: facts about the input.
            x: input. out: output.
            macs: multiply-accumulates of the whole batch.
            tail: trailing dimensions that the shapes show one by one.
        """
        shapes = [self._shape(t, tag.steps, tail) for t in (x, out)]
        base, count = path, 1
        while kind != "weight" and path in self._records:
            # A module without weights may serve several shapes; each is an operation.
            if self._records[path].input_shape == shapes[0]:
                break
            count += 1
            path = f"{base}@{count}"
        record = self._records.get(path)
        if record is None:
            record = self._records[path] = Record(kind, path, tag, shapes[0], shapes[1])
        record.steps += tag.steps
        record.macs += macs // self.samples
        record.inputs += x.numel() // self.samples
        record.outputs += out.numel() // self.samples
        return record

    def workload(self, model: nn.Module) -> Workload:
        """Everything recorded, in the order of execution."""
        operations = tuple(self._operation(record) for record in self._records.values())
        return Workload(operations, self.timesteps, self._unquantized(model))

    def _shape(self, tensor: Tensor, steps: int, tail: int) -> tuple[int, ...]:
        """Shape for one sample and one step: what is left of the leading axes, then ``tail``."""
        rest = tuple(tensor.shape[-tail:]) if tail <= tensor.ndim else tuple(tensor.shape)
        lead = tensor.numel() // (self.samples * steps * max(math.prod(rest), 1))
        return (lead, *rest) if lead > 1 else rest

    def _operation(self, record: Record) -> Operation:
        tag, extra = record.tag, dict(record.extra)
        steps = max(record.steps, 1)
        measured = record.rates.result()
        extra.setdefault("output_bits", bits_for(tag.levels) if record.kind == "add" else 0)
        rate_path = record.path if record.kind in ("weight", "neuron") else tag.neuron or ""
        if record.kind == "weight":
            outputs = record.outputs // steps
            extra["positions"] = max(outputs // extra["channels"], 1)
            extra["norm"] = "+".join(self.norms.get(record.path, [])) or None
            readers = self.consumers.get(record.path, set())
            extra["neuron"] = next(iter(readers)) if len(readers) == 1 else None
        return Operation(
            kind=record.kind,
            path=record.path,
            input_shape=record.input_shape,
            output_shape=record.output_shape,
            timesteps=steps,
            macs_per_step=record.macs // steps,
            inputs=record.inputs // steps,
            outputs=record.outputs // steps,
            input_kind=tag.kind,
            input_bits=tag.bits,
            input_levels=tag.levels,
            input_source=tag.source,
            rate=measured.rate if measured else None,
            activity=measured.activity if measured else None,
            rate_se=None if measured is None or math.isnan(measured.se) else measured.se,
            rate_path=rate_path,
            unit=tag.unit,
            **extra,
        )

    def _unquantized(self, model: nn.Module) -> tuple[tuple[str, int], ...]:
        """Values of the state that belong to no weight layer and to no absorbed norm."""
        modules = dict(model.named_modules())
        chained = {path for paths in self.norms.values() for path in paths}
        owners = {
            path
            for path, module in modules.items()
            if isinstance(module, (*WEIGHT_LAYERS, nn.modules.batchnorm._BatchNorm))
        }
        rest = [
            (name, value.numel())
            for name, value in model.state_dict().items()
            if not any(name.startswith(f"{owner}.") for owner in owners)
        ]
        # A norm of its own is held as a multiplier and a bias for each channel.
        norms = [
            (record.path, 2 * record.extra["channels"])
            for record in self._records.values()
            if record.kind == "norm" and record.path in modules and record.path not in chained
        ]
        return tuple(rest + norms)
