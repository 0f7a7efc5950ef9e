"""What a trace has seen so far, added up over the calls of one forward pass.

A layer that a loop over timesteps calls T times is one operation of T steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from hqsearch.hardware.rates import RateSum
from hqsearch.hardware.trace.state_read import StateRead
from hqsearch.hardware.trace.tags import TensorTag, bits_for
from hqsearch.hardware.workload import Kind, Operation, Workload


@dataclass
class OperationTotals:
    """Totals of one operation for one sample; ``extra`` holds further Operation fields."""

    kind: Kind
    path: str
    tag: TensorTag
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    steps: int = 0
    macs: int = 0
    valid_macs: int = 0
    inputs: int = 0
    outputs: int = 0
    rates: RateSum = field(default_factory=RateSum)
    extra: dict[str, Any] = field(default_factory=dict)


class TracedOperations:
    """Every operation of one trace, and who reads the output of each weight layer.

    Args:
        timesteps: T of the network's input.
        samples: N of the network's input.
    """

    def __init__(self, timesteps: int, samples: int) -> None:
        self.timesteps, self.samples = timesteps, samples
        self._totals: dict[str, OperationTotals] = {}
        self._norms: dict[str, list[str]] = {}
        # Neurons that can absorb what they read; None for any other reader.
        self._readers: dict[str, set[str | None]] = {}

    def read_by(self, tag: TensorTag, neuron: str | None) -> None:
        """The tensor of ``tag`` is read.

        Args:
            tag: if it is a weight layer's (normalised) output, that layer gets a reader.
            neuron: path of a neuron that can take in what lies before it; None for anything else.
        """
        if tag.layer is not None:
            self._readers.setdefault(tag.layer, set()).add(neuron)

    def normalized_by(self, layer: str, norm: str) -> None:
        """The batch normalisation ``norm`` reads the output of the weight layer ``layer``."""
        norms = self._norms.setdefault(layer, [])
        if norm not in norms:
            norms.append(norm)

    def add(
        self,
        kind: Kind,
        path: str,
        tag: TensorTag,
        x: Tensor,
        out: Tensor,
        macs: int,
        tail: int,
        valid_macs: int | None = None,
    ) -> OperationTotals:
        """Add one call.

        Args:
            kind: see ``Operation``.
            path: where it happens; a call with another shape becomes ``path@2``.
            tag: facts about the input.
            x: input. out: output.
            macs: multiply-accumulates of the whole batch.
            tail: trailing dimensions that the shapes show one by one.
            valid_macs: those of the MACs that do not read padding; None: all.
        """
        shapes = [self._shape(t, tag.steps, tail) for t in (x, out)]
        base, count = path, 1
        while kind != "weight" and path in self._totals:
            # A module without weights may serve several shapes; each is an operation.
            if self._totals[path].input_shape == shapes[0]:
                break
            count += 1
            path = f"{base}@{count}"
        totals = self._totals.get(path)
        if totals is None:
            totals = self._totals[path] = OperationTotals(kind, path, tag, shapes[0], shapes[1])
        totals.steps += tag.steps
        totals.macs += macs // self.samples
        totals.valid_macs += (macs if valid_macs is None else valid_macs) // self.samples
        totals.inputs += x.numel() // self.samples
        totals.outputs += out.numel() // self.samples
        return totals

    def workload(self, state: StateRead) -> Workload:
        """Everything traced, in the order of execution.

        Args:
            state: of the model; parameters that nothing read are listed apart.
        """
        operations = tuple(self._operation(totals) for totals in self._totals.values())
        after_layers = {path for paths in self._norms.values() for path in paths}
        # A norm of its own is held as a multiplier and a bias for each channel.
        norms = tuple(
            (op.path, 2 * op.channels)
            for op in operations
            if op.kind == "norm" and op.path in state.modules and op.path not in after_layers
        )
        return Workload(operations, self.timesteps, state.loose() + norms, state.unread())

    def _shape(self, tensor: Tensor, steps: int, tail: int) -> tuple[int, ...]:
        """Shape for one sample and one step: what is left of the leading axes, then ``tail``."""
        rest = tuple(tensor.shape[-tail:]) if tail <= tensor.ndim else tuple(tensor.shape)
        lead = tensor.numel() // (self.samples * steps * max(math.prod(rest), 1))
        return (lead, *rest) if lead > 1 else rest

    def _operation(self, totals: OperationTotals) -> Operation:
        tag, extra = totals.tag, dict(totals.extra)
        steps = max(totals.steps, 1)
        measured = totals.rates.result()
        extra.setdefault("output_bits", bits_for(tag.levels) if totals.kind == "add" else 0)
        rate_path = totals.path if totals.kind in ("weight", "neuron") else tag.neuron or ""
        if totals.kind == "weight":
            outputs = totals.outputs // steps
            extra["positions"] = max(outputs // extra["channels"], 1)
            extra["norm"] = "+".join(self._norms.get(totals.path, [])) or None
            readers = self._readers.get(totals.path, set())
            extra["neuron"] = next(iter(readers)) if len(readers) == 1 else None
        return Operation(
            kind=totals.kind,
            path=totals.path,
            input_shape=totals.input_shape,
            output_shape=totals.output_shape,
            timesteps=steps,
            macs_per_step=totals.macs // steps,
            inputs=totals.inputs // steps,
            outputs=totals.outputs // steps,
            input_kind=tag.kind,
            input_bits=tag.bits,
            input_levels=tag.levels,
            input_source=tag.source,
            rate=measured.rate if measured else None,
            activity=measured.activity if measured else None,
            rate_se=None if measured is None or math.isnan(measured.se) else measured.se,
            rate_path=rate_path,
            unit=tag.unit,
            padding_macs_per_step=(totals.macs - totals.valid_macs) // steps,
            rate_per_use=measured.rate_per_use if measured else None,
            activity_per_use=measured.activity_per_use if measured else None,
            **extra,
        )
