"""Operations that the integer code executes, beside those that the cost model counts.

Both are of the same samples: the reference runs them, its counts are those of the C code (tests
compare them one by one), and the firing rates of its values go into the cost model. What a profile
counts otherwise, and why, is told by the guide (``hqsearch guide take-home``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from hqsearch.export.counts import COUNTED, Counts
from hqsearch.export.graph import Layer, Logits, Product, Rescale
from hqsearch.export.integer import Run, run_integers
from hqsearch.export.network import IntegerNetwork
from hqsearch.export.weights import uses_shifts
from hqsearch.hardware import energy
from hqsearch.hardware.profile import Profile
from hqsearch.hardware.rates import RateSum, input_uses
from hqsearch.hardware.workload import LayerRate, Operation, Workload
from hqsearch.schemes.choice import Choice, parse_choice

#: Path of what no operation of the cost model stands for: factors of the logits.
LOGITS: Final = "logits"


@dataclass(frozen=True)
class CountedRow:
    """One operation, per inference of one sample.

    counted: what the code executes. exact: accumulations at the rates of the reference, zeros
    skipped: equal to those counted. estimated: as the profile counts, at the same rates, by the
    names of :data:`COUNTED`. recorded: accumulations at the rates that torch recorded; None where
    none were.
    """

    path: str
    kind: str
    choice: str | None
    counted: Mapping[str, float]
    exact: float
    estimated: Mapping[str, float]
    recorded: float | None

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "path": self.path,
            "kind": self.kind,
            "choice": self.choice,
            "counted": dict(self.counted),
            "accumulations_exact": self.exact,
            "estimated": dict(self.estimated),
            "accumulations_at_recorded_rates": self.recorded,
        }


@dataclass(frozen=True)
class CountedCosts:
    """Every operation, and what the samples came to."""

    rows: tuple[CountedRow, ...]
    run: Run

    def as_json(self) -> dict[str, Any]:
        """Plain data, per inference of one sample."""
        totals = {
            which: {name: self.total(name, which) for name in COUNTED}
            for which in ("counted", "estimated")
        }
        rows = [row.as_json() for row in self.rows]
        return {"samples": len(self.run.logits), "totals": totals, "operations": rows}

    def total(self, name: str, which: str = "counted") -> float:
        """Sum of a column over all rows; ``which`` is ``counted`` or ``estimated``."""
        return math.fsum(getattr(row, which)[name] for row in self.rows)


def counted_costs(
    network: IntegerNetwork,
    workload: Workload,
    profile: Profile,
    frames: npt.ArrayLike,
    recorded: Mapping[str, LayerRate] | None = None,
) -> CountedCosts:
    """Run samples through the integer reference and compare what it does with the cost model.

    Args:
        network: the network.
        workload: the same network, as the cost model traced it.
        profile: how the cost model counts.
        frames: integers [N, T, C, H, W].
        recorded: firing rates that torch measured, by path.

    Raises:
        DataError: frames that the network cannot take.
    """
    meter = _Meter(network, workload)
    run = run_integers(network, frames, meter.add)
    samples, rates = len(run.logits), meter.rates()
    busy = {op.path: op for op in workload.with_rates(rates).operations}
    torch_saw = {op.path: op for op in workload.with_rates(recorded or {}).operations}
    choices = {node.layer: parse_choice(node.choice) for node in network.graph.layers}
    rows = []
    for path, op in busy.items():
        at = op.at_rate(rates[path]) if path in rates else op
        counted = run.counts.get(path, Counts())
        rows.append(
            CountedRow(
                path=path,
                kind=op.kind,
                choice=choices[path].text if path in choices else None,
                counted=_each(counted, samples),
                exact=_skipping(at),
                estimated=_estimated(at, choices.get(path), profile),
                recorded=_recorded(torch_saw[path], recorded),
            )
        )
    none = dict.fromkeys(COUNTED, 0.0)
    # Factors, which no operation of the cost model stands for.
    for node in network.graph.nodes:
        if isinstance(node, Rescale | Logits):
            factors = _each(run.counts.get(node.path, Counts()), samples)
            rows.append(CountedRow(node.path, node.kind, None, factors, 0.0, none, None))
    return CountedCosts(tuple(rows), run)


class _Meter:
    """Firing rates of the reference, measured and weighted as those of torch are."""

    def __init__(self, network: IntegerNetwork, workload: Workload) -> None:
        self._network = network
        self._gates = {op.rate_path for op in workload.operations if op.kind == "attention"}
        self._sums: dict[str, RateSum] = {}

    def add(self, values: Mapping[int, npt.NDArray[np.int64]]) -> None:
        """Values of one sample, by number."""
        graph = self._network.graph
        for node in graph.nodes:
            if isinstance(node, Layer):
                x = values[node.inputs[0]]
                x = x.reshape(len(x), -1, *node.read)
                window = node.window
                like = SimpleNamespace(
                    kernel_size=window.kernel, stride=window.stride, padding=window.padding,
                    dilation=window.dilation, padding_mode="zeros",
                )  # fmt: skip
                self._count(node.path, x, input_uses(like, x.shape))  # type: ignore[arg-type]
            elif isinstance(node, Product):
                self._count(node.path, values[node.inputs[node.gate]], None)
        for total in self._sums.values():
            total.end_batch()

    def _count(self, path: str, x: npt.NDArray[np.int64], uses: Any) -> None:
        tensor = torch.from_numpy(x).double().unsqueeze(1)
        self._sums.setdefault(path, RateSum()).add(tensor, len(x), 1, uses=uses)

    def rates(self) -> dict[str, LayerRate]:
        """Means over all samples, by the path of the operation that reads."""
        found = {path: total.result() for path, total in self._sums.items()}
        return {path: rate for path, rate in found.items() if rate is not None}


def _each(counts: Counts, samples: int) -> dict[str, float]:
    return {name: getattr(counts, name) / samples for name in COUNTED}


def _skipping(op: Operation) -> float:
    """Accumulations of an operation that skips the zeros of its input."""
    if op.kind not in ("weight", "attention") or op.rate is None:
        return 0.0
    rate = op.rate if op.rate_per_use is None else op.rate_per_use
    return rate * op.valid_macs


def _estimated(op: Operation, choice: Choice | None, profile: Profile) -> dict[str, float]:
    """As the cost model counts under the rules of a profile."""
    found = dict.fromkeys(COUNTED, 0.0)
    if op.kind == "neuron":
        found["updates"] = op.outputs * op.timesteps
    elif op.kind in ("add", "pool"):
        found["others"] = energy.operations(op, profile.rules)
    elif op.kind == "attention":
        found["accumulations"] = energy.operations(op, profile.rules)
    elif op.kind == "weight" and choice is not None:
        number = energy.operations(op, profile.rules)
        shifts = uses_shifts(choice.text)
        found["accumulations"] = number
        if op.input_kind != "binary":
            found["shifts" if shifts else "multiplications"] = number
        constants = {**profile.values(), "weight_memory": 1.0, "offchip": 0.0}
        fetched = energy.weight_layer(op, choice, constants, profile.rules)["weights"]
        found["fetches"] = float(fetched) / choice.bits
    return found


def _recorded(op: Operation, recorded: Mapping[str, LayerRate] | None) -> float | None:
    known = recorded is not None and op.rate_path in recorded
    return _skipping(op) if known and op.kind in ("weight", "attention") else None
