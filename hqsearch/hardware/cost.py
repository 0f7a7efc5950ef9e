"""The cost model: energy and storage of any assignment of choices to layers.

Energy is a sum of entries, one for each layer and choice, and of a constant part (neurons,
attention, residual adds); see ``energy`` for the formula and ``storage`` for the bits. Where the
network's codes share one memory, what does not fit is loaded at every inference, which is added to
that sum (:class:`~hqsearch.hardware.memory.WeightMemory`); in reports the layers share it in
proportion to their codes, for which of them stay on the chip makes no difference.
Entries are rounded to 2^-36 µJ (0.015 fJ), so that sums below 0.13 J are exact in any order:
the vectorised estimate, the report and the sum of its rows agree to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.hardware import energy
from hqsearch.hardware.memory import BITS_PER_KIB, Placement, WeightMemory
from hqsearch.hardware.profile import Profile
from hqsearch.hardware.storage import (
    StorageReport,
    layer_storage,
    storage_report,
    unquantized_bits,
)
from hqsearch.hardware.workload import COUNTING, LayerRate, Operation, Workload
from hqsearch.schemes.choice import FP32, Choice, parse_choice

Floats = npt.NDArray[np.float64]
_GRID = 2.0**36
_CHUNK = 16384
_GROUP = 4096


def to_uj(picojoules: Any) -> Any:
    """pJ to µJ, rounded to the grid on which sums are exact."""
    return np.rint(np.asarray(picojoules, np.float64) * (1e-6 * _GRID)) / _GRID


@dataclass(frozen=True, slots=True)
class EnergyRow:
    """One operation: energy by column, µJ per inference.

    macs: as published, padding included. operations: accumulations or multiply-accumulates that
    take place; padded_operations: r·M, as papers count them. offchip: of the column ``weights``,
    what comes from off-chip.
    """

    path: str
    kind: str
    choice: str | None
    input_kind: str
    macs: int
    rate: float | None
    operations: float
    padded_operations: float
    columns: Mapping[str, float]
    offchip: float = 0.0

    @property
    def total(self) -> float:
        """Sum of the columns, µJ."""
        return sum(self.columns.values())


@dataclass(frozen=True)
class EnergyReport:
    """Energy of one inference of one sample, operation by operation.

    exact: whether operations were counted exactly; false where an earlier version counted.
    """

    profile: str
    rows: tuple[EnergyRow, ...]
    exact: bool = True

    @cached_property
    def total(self) -> float:
        """µJ per inference: exactly the sum of the rows."""
        return sum(row.total for row in self.rows)

    def column(self, name: str) -> float:
        """Sum of one column over all rows, µJ."""
        return sum(row.columns[name] for row in self.rows)

    @property
    def offchip(self) -> float:
        """Of the column ``weights``, what comes from off-chip, µJ."""
        return sum(row.offchip for row in self.rows)

    def operations(self) -> tuple[float, float] | None:
        """Operations of all weight layers: exact, and r·M; None where not counted exactly."""
        if not self.exact:
            return None
        layers = [row for row in self.rows if row.kind == "weight"]
        return sum(r.operations for r in layers), sum(r.padded_operations for r in layers)


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """Costs of many candidates, each [n]: energy µJ, storage KiB, average bits."""

    energy: Floats
    storage: Floats
    average_bits: Floats


class CostModel:
    """Costs of one network on one piece of hardware.

    Args:
        workload: what the network does, with the firing rates to use by default.
        profile: the hardware.
        layers: allowed choices by weight layer path, in the order of the codes of
            :meth:`estimate`. Weight layers that are left out stay in fp32.

    Raises:
        UnknownName: a path that is no weight layer.
        DefinitionError: a choice that does not exist, a layer without choices, or firing
            rates that are needed and not known.
    """

    def __init__(
        self, workload: Workload, profile: Profile, layers: Mapping[str, Sequence[str]]
    ) -> None:
        self.workload, self.profile = workload, profile
        self.layers = {path: tuple(map(str, names)) for path, names in layers.items()}
        for path, names in self.layers.items():
            workload.layer(path)
            if not names:
                raise DefinitionError(f"layer {path!r} has no choices; give at least one.")
        self._values = profile.values()
        self.memory = WeightMemory.of(self._values, profile.rules)
        self._tables = [
            np.array([self._entries(path, parse_choice(n)) for n in names])
            for path, names in self.layers.items()
        ]
        self._rest = self._constant()
        self._groups = _grouped(self._tables)

    def tables(self) -> tuple[list[Floats], list[Floats]]:
        """Energy µJ and storage bits, each one array [n_choices] per layer.

        Loading what does not fit :attr:`memory` is not among the energies.
        """
        return [t[:, 0] for t in self._tables], [t[:, 1] for t in self._tables]

    def code_tables(self) -> list[Floats]:
        """Bits of codes, one array [n_choices] per layer."""
        return [t[:, 2] for t in self._tables]

    @property
    def codes_rest(self) -> float:
        """Bits of codes that no choice changes."""
        return float(self._rest[2])

    @property
    def codes_range(self) -> tuple[float, float]:
        """Least and largest number of bits that the codes of a candidate take."""
        bits, rest = self.code_tables(), self.codes_rest
        return rest + sum(float(b.min()) for b in bits), rest + sum(float(b.max()) for b in bits)

    @property
    def rest(self) -> tuple[float, float]:
        """Energy µJ and storage bits that no choice changes."""
        return float(self._rest[0]), float(self._rest[1])

    def estimate(self, codes: npt.ArrayLike) -> CostEstimate:
        """Costs of candidates at the workload's rates.

        Args:
            codes: [n, n_layers], the index of each layer's choice.

        Raises:
            ValueError: another number of columns, or a code that no choice has.
        """
        codes = np.asarray(codes)
        if codes.ndim != 2 or codes.shape[1] != len(self._tables):
            raise ValueError(f"codes must be [n, {len(self._tables)}], not {codes.shape}.")
        sizes = np.array([len(t) for t in self._tables])
        if len(codes) and ((codes.min(0) < 0).any() or (codes.max(0) >= sizes).any()):
            raise ValueError("a code lies outside its layer's choices.")
        sums = np.empty((len(codes), 3))
        for start in range(0, len(codes), _CHUNK):
            self._gather(codes[start : start + _CHUNK], sums[start : start + _CHUNK])
        if self.memory is not None:
            sums[:, 0] += to_uj(self.memory.loading(sums[:, 2]))
        weights = max(self.workload.weights, 1)
        return CostEstimate(
            np.ascontiguousarray(sums[:, 0]), sums[:, 1] / 8192, sums[:, 2] / weights
        )

    def energy(
        self, choices: Mapping[str, str | Choice], rates: Mapping[str, LayerRate] | None = None
    ) -> EnergyReport:
        """Energy of one assignment, row by row.

        Args:
            choices: by weight layer path; layers with one allowed choice, and layers that are
                no dimension, may be left out.
            rates: firing rates measured on this very network, by layer or neuron path; they
                replace the workload's.

        Raises:
            UnknownName: a path that is no weight layer.
            DefinitionError: a missing layer or an unknown choice.
        """
        full = self.complete(choices)
        workload = self.workload.with_rates(rates) if rates else self.workload
        rows = tuple(
            energy_row(op, full.get(op.path), self._values, self.profile.rules)
            for op in workload.operations
        )
        if self.memory is not None:
            rows = _loaded(rows, workload, full, self.memory)
        return EnergyReport(self.profile.name, rows, workload.counting == COUNTING)

    def storage(self, choices: Mapping[str, str | Choice]) -> StorageReport:
        """Storage of one assignment, layer by layer; see :meth:`energy` for the errors."""
        return storage_report(self.workload, self.complete(choices))

    def placement(self, choices: Mapping[str, str | Choice]) -> Placement | None:
        """Where the codes of one assignment are; None where layers are placed one by one."""
        if self.memory is None:
            return None
        full = self.complete(choices)
        bits = sum(op.weights * full[path].bits for path, op in self.workload.layers.items())
        return Placement(
            codes=bits / BITS_PER_KIB,
            capacity=float(self.memory.capacity) / BITS_PER_KIB,
            offchip=float(self.memory.excess(bits)) / BITS_PER_KIB,
            loads=self._values["weight_loads"],
            energy=float(to_uj(self.memory.loading(bits))),
        )

    def compression(self, choices: Mapping[str, str | Choice]) -> dict[str, float]:
        """How many times smaller than fp32: weight codes only, and everything stored.

        ``codes`` is 32 / average bits, which papers count; ``stored`` counts scales,
        normalisation, biases and unquantized parameters on both sides.
        """
        stored = self.storage(choices)
        whole = self.storage(self.uniform(FP32))
        return {"codes": stored.compression_of_codes, "stored": whole.bits / stored.bits}

    def complete(self, choices: Mapping[str, str | Choice]) -> dict[str, Choice]:
        """A choice for every weight layer of the network, in its order."""
        for path in choices:
            self.workload.layer(path)
        full = {}
        for path in self.workload.layers:
            allowed = self.layers.get(path, (FP32,))
            if path in choices:
                full[path] = parse_choice(str(choices[path]))
            elif len(allowed) == 1:
                full[path] = parse_choice(allowed[0])
            else:
                raise DefinitionError(
                    f"layer {path!r} has no choice; one of {', '.join(allowed)} is needed."
                )
        return full

    def uniform(self, choice: str) -> dict[str, Choice]:
        """Every weight layer of the network takes ``choice``, allowed there or not."""
        return dict.fromkeys(self.workload.layers, parse_choice(choice))

    def codes(self, choices: Iterable[Mapping[str, str]]) -> npt.NDArray[np.int64]:
        """Assignments as codes [n, n_layers] for :meth:`estimate`."""
        rows = []
        for item in choices:
            for path, names in self.layers.items():
                if item[path] not in names:
                    raise UnknownName("choice", item[path], names, f"layer {path!r}")
            rows.append([names.index(item[path]) for path, names in self.layers.items()])
        return np.array(rows, np.int64).reshape(len(rows), len(self.layers))

    def _entries(self, path: str, choice: Choice) -> tuple[float, float, float]:
        op = self.workload.layers[path]
        row = energy_row(op, choice, self._values, self.profile.rules)
        stored = layer_storage(op, choice)
        return row.total, stored.total, stored.codes

    def _constant(self) -> Floats:
        total = np.array([0.0, unquantized_bits(self.workload), 0.0])
        for op in self.workload.operations:
            if op.kind != "weight":
                total[0] += energy_row(op, None, self._values, self.profile.rules).total
            elif op.path not in self.layers:
                total += self._entries(op.path, parse_choice(FP32))
        return total

    def _gather(self, codes: npt.NDArray[Any], out: Floats) -> None:
        out[:] = self._rest
        for columns, strides, table in self._groups:
            index = codes[:, columns[0]].astype(np.intp)
            for column, stride in zip(columns[1:], strides[1:], strict=True):
                index += codes[:, column].astype(np.intp) * stride
            out += table.take(index, axis=0)


def energy_row(
    op: Operation, choice: Choice | None, values: energy.Values, rules: energy.Rules
) -> EnergyRow:
    """One operation's row; ``choice`` is None for anything but a weight layer."""
    columns = (
        energy.weight_layer(op, choice, values, rules)
        if choice is not None
        else energy.other(op, values, rules)
    )
    return EnergyRow(
        path=op.path,
        kind=op.kind,
        choice=choice.text if choice else None,
        input_kind=op.input_kind,
        macs=op.macs,
        rate=op.rate,
        operations=energy.operations(op, rules),
        padded_operations=energy.padded_operations(op, rules),
        columns={name: float(to_uj(columns[name])) for name in energy.COLUMNS},
        offchip=(
            float(to_uj(energy.weight_reads(op, choice, values, rules)[1]))
            if choice is not None
            else 0.0
        ),
    )


def _loaded(
    rows: tuple[EnergyRow, ...],
    workload: Workload,
    choices: Mapping[str, Choice],
    memory: WeightMemory,
) -> tuple[EnergyRow, ...]:
    """Rows with what loading costs, shared out by bits so that it adds up to the last digit."""
    bits = np.array([op.weights * choices[path].bits for path, op in workload.layers.items()])
    total = max(float(bits.sum()), 1.0)
    # Rounded sums are taken apart again: rounded shares would not add up.
    upto = to_uj(memory.loading(bits.sum()) * (np.cumsum(bits) / total))
    share = dict(zip(workload.layers, np.diff(upto, prepend=0.0).tolist(), strict=True))
    return tuple(
        replace(
            row,
            columns={**row.columns, "weights": row.columns["weights"] + share[row.path]},
            offchip=row.offchip + share[row.path],
        )
        if row.kind == "weight"
        else row
        for row in rows
    )


def _grouped(tables: Sequence[Floats]) -> list[tuple[list[int], list[int], Floats]]:
    """Neighbouring layers' tables added up for every combination, to gather once for several.

    The first layer of a group varies fastest.
    """
    groups: list[tuple[list[int], list[int], Floats]] = []
    for index, table in enumerate(tables):
        if groups and len(groups[-1][2]) * len(table) <= _GROUP:
            columns, strides, sums = groups[-1]
            combined = (table[:, None, :] + sums[None, :, :]).reshape(-1, table.shape[1])
            groups[-1] = ([*columns, index], [*strides, len(sums)], combined)
        else:
            groups.append(([index], [1], table))
    return groups
