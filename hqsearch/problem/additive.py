"""Cheap metrics as sums over dimensions: their tables, their extremes, single changes.

A cost model's energy, storage and average bits are sums over layers, so one row per value is
all there is to know: thousands of virtual candidates cost microseconds, and budgets become
linear constraints. With structural dimensions they are sums within each structural part, and
every part has tables of its own. Whether they are sums is checked, not assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hqsearch.problem.candidate import Candidate
from hqsearch.problem.overflow import Overflow
from hqsearch.problem.space import Space

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Cheap = Callable[[Sequence[Candidate]], Floats]
"""Candidates → cheap metrics ``[n, n_metrics]``."""

#: Candidates per structural part on which additivity is checked, and the relative error that it
#: may have.
CHECKED, TOLERANCE = 32, 1e-9


@dataclass(frozen=True)
class Sums:
    """What values add to the metrics of one structural part.

    Attributes:
        base: metrics ``[n_metrics]`` of the candidate with the first value everywhere.
        tables: per dimension ``[n_values, n_metrics]``: what a value adds to ``base``.
        overflow: what comes on top of both; None where nothing does.
    """

    base: Floats
    tables: tuple[Floats, ...]
    overflow: Overflow | None = None

    @classmethod
    def of(cls, space: Space, cheap: Cheap, overflow: Overflow | None = None) -> Sums:
        """Asks ``cheap`` for the first candidate of a space and for its single changes."""
        first = np.zeros(len(space.dimensions), dtype=np.int64)

        def straight(codes: Codes) -> Floats:
            metrics = np.array(cheap(space.decode(codes)), dtype=np.float64)
            if overflow is not None:
                metrics[:, overflow.column] -= overflow.amount(metrics)
            return metrics

        base = straight(first[None])[0]
        probes = neighbours(first, space.cardinalities)
        added = straight(probes) - base if len(probes) else np.empty((0, len(base)))
        tables, start = [], 0
        for cardinality in space.cardinalities:
            rows = added[start : start + cardinality - 1]
            tables.append(np.vstack([np.zeros((1, len(base))), rows]))
            start += cardinality - 1
        return cls(base, tuple(tables), overflow)

    @property
    def rows(self) -> Floats:
        """The tables below each other ``[Σ n_values, n_metrics]``, as an integer program wants."""
        return np.vstack(self.tables)

    def metrics(self, codes: Codes, bend: float | None = None) -> Floats:
        """Metrics ``[n, n_metrics]`` of value indices ``[n, n_dimensions]`` of the part.

        ``bend`` straightens what comes on top (:meth:`Overflow.amount`).
        """
        total = np.repeat(self.base[None], len(codes), axis=0)
        for table, column in zip(self.tables, codes.T, strict=True):
            total += table[column]
        if self.overflow is not None:
            total[:, self.overflow.column] += self.overflow.amount(total, bend)
        return total


@dataclass(frozen=True)
class AdditiveTables:
    """Cheap metrics of a space by value index.

    Attributes:
        space: whose candidates they are about.
        cheap: the metrics that are taken apart.
        tolerance: relative error with which they may still count as sums.
        overflows: by structural part, what comes on top of sums.
    """

    space: Space
    cheap: Cheap
    tolerance: float = TOLERANCE
    overflows: Mapping[str, Overflow] = field(default_factory=dict)

    @cached_property
    def parts(self) -> dict[str, Sums]:
        """By structural part, in the space's order; one under ``""`` without structure."""
        return {
            key: Sums.of(part, self.cheap, self.overflows.get(key))
            for key, part in self.space.parts.items()
        }

    @cached_property
    def additive(self) -> bool:
        """Whether the metrics of random candidates are the sums of the tables, with what is
        declared to come on top.
        """
        sizes = self.space.cardinalities
        count = CHECKED * len(self.space.parts)
        codes = np.random.default_rng(0).integers(0, sizes, (count, len(sizes)))
        return bool(np.allclose(self._summed(codes), self._asked(codes), self.tolerance, 0.0))

    def metrics(self, codes: Codes) -> Floats:
        """Cheap metrics ``[n, n_metrics]`` of value indices ``[n, n_dimensions]``."""
        return self._summed(codes) if self.additive else self._asked(codes)

    def straightened(self, codes: Codes, bend: float) -> Floats:
        """The same with what comes on top as a straight line; see :meth:`Overflow.amount`."""
        return self._summed(codes, bend) if self.additive else self._asked(codes)

    @property
    def bends(self) -> bool:
        """Whether anything comes on top of sums."""
        return self.additive and any(sums.overflow for sums in self.parts.values())

    def extremes(
        self, column: int, allowed: Callable[[str], bool] | None = None
    ) -> tuple[float, float]:
        """Least and largest metric of any candidate; see :meth:`part_extremes`."""
        ends = list(self.part_extremes(column, allowed).values())
        return min(low for low, _ in ends), max(high for _, high in ends)

    def part_extremes(
        self, column: int, allowed: Callable[[str], bool] | None = None
    ) -> dict[str, tuple[float, float]]:
        """Least and largest metric by structural part; exact where metrics are sums.

        Args:
            column: of the metric.
            allowed: says of a value whether it may be taken; all may by default. A dimension
                none of whose values is allowed takes its first one.
        """
        return {key: self._ends(key, column, allowed) for key in self.space.parts}

    def _ends(
        self, key: str, column: int, allowed: Callable[[str], bool] | None
    ) -> tuple[float, float]:
        part, sums = self.space.parts[key], self.parts[key]
        given = sums.overflow
        overflow = given if given is not None and given.column == column else None
        # Between its two straight lines nothing is larger than with either of them.
        bends = (0.0,) if overflow is None else (0.0, 1.0)
        ends = np.zeros((2 * len(bends), len(part.dimensions)), dtype=np.int64)
        places: list[Codes] = []
        for place, (dimension, table) in enumerate(zip(part.dimensions, sums.tables, strict=True)):
            open_to = np.array([allowed is None or allowed(v) for v in dimension.values])
            places.append(np.flatnonzero(open_to) if open_to.any() else np.zeros(1, np.int64))
            for index, bend in enumerate(bends):
                added = table[:, column]
                if overflow is not None:
                    added = added + bend * overflow.price * table[:, overflow.total]
                ends[2 * index, place] = np.where(open_to, added, np.inf).argmin()
                ends[2 * index + 1, place] = np.where(open_to, added, -np.inf).argmax()
        metrics = self.cheap(part.decode(ends))
        if overflow is None:
            low, high = metrics[:, column].tolist()
            return low, high
        within, beyond = metrics[0, overflow.total], metrics[2, overflow.total]
        lows = [float(metrics[0, column]), float(metrics[2, column])]
        if within > overflow.capacity > beyond:
            # The least lies where the network just fits, which neither line knows of.
            tables = [t[p] for t, p in zip(sums.tables, places, strict=True)]
            found = overflow.cheapest(tables, sums.base)
            code = np.array([p[v] for p, v in zip(places, found, strict=True)])
            lows.append(float(self.cheap(part.decode(code))[0, column]))
        return min(lows), float(max(metrics[1, column], metrics[3, column]))

    def _summed(self, codes: Codes, bend: float | None = None) -> Floats:
        if len(self.parts) == 1:
            (sums,) = self.parts.values()
            return sums.metrics(codes, bend)
        return self._summed_by_part(codes, bend)

    def _summed_by_part(self, codes: Codes, bend: float | None) -> Floats:
        # Within its part every structural dimension has one value, the first.
        inside = codes.copy()
        inside[:, self.space.structural] = 0
        part_of = self.space.part_indices(codes)
        every = list(self.parts.values())
        total = np.empty((len(codes), len(every[0].base)))
        for index, sums in enumerate(every):
            rows = part_of == index
            total[rows] = sums.metrics(inside[rows], bend)
        return total

    def _asked(self, codes: Codes) -> Floats:
        return self.cheap(self.space.decode(codes))


def neighbours(code: Codes, cardinalities: Codes, among: Sequence[int] | None = None) -> Codes:
    """All single changes of a code, ``[n_changes, n_dimensions]``: by dimension, then by value.

    ``among`` are the dimensions that may change, ascending; all may by default.
    """
    rows = [np.empty((0, len(code)), dtype=np.int64)]
    for dimension in range(len(code)) if among is None else among:
        others = np.delete(np.arange(cardinalities[dimension]), code[dimension])
        changed = np.repeat(code[None], len(others), axis=0)
        changed[:, dimension] = others
        rows.append(changed)
    return np.vstack(rows)
