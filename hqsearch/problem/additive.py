"""Cheap metrics as sums over dimensions: their tables, their extremes, single changes.

A cost model's energy, storage and average bits are sums over layers, so one row per value is
all there is to know: thousands of virtual candidates cost microseconds, and budgets become
linear constraints. With structural dimensions they are sums within each structural part, and
every part has tables of its own. Whether they are sums is checked, not assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hqsearch.problem.candidate import Candidate
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
    """

    base: Floats
    tables: tuple[Floats, ...]

    @classmethod
    def of(cls, space: Space, cheap: Cheap) -> Sums:
        """Asks ``cheap`` for the first candidate of a space and for its single changes."""
        first = np.zeros(len(space.dimensions), dtype=np.int64)
        base = np.asarray(cheap(space.decode(first))[0])
        probes = neighbours(first, space.cardinalities)
        added = cheap(space.decode(probes)) - base if len(probes) else np.empty((0, len(base)))
        tables, start = [], 0
        for cardinality in space.cardinalities:
            rows = added[start : start + cardinality - 1]
            tables.append(np.vstack([np.zeros((1, len(base))), rows]))
            start += cardinality - 1
        return cls(base, tuple(tables))

    @property
    def rows(self) -> Floats:
        """The tables below each other ``[Σ n_values, n_metrics]``, as an integer program wants."""
        return np.vstack(self.tables)

    def metrics(self, codes: Codes) -> Floats:
        """Metrics ``[n, n_metrics]`` of value indices ``[n, n_dimensions]`` of the part."""
        total = np.repeat(self.base[None], len(codes), axis=0)
        for table, column in zip(self.tables, codes.T, strict=True):
            total += table[column]
        return total


@dataclass(frozen=True)
class AdditiveTables:
    """Cheap metrics of a space by value index.

    Attributes:
        space: whose candidates they are about.
        cheap: the metrics that are taken apart.
        tolerance: relative error with which they may still count as sums.
    """

    space: Space
    cheap: Cheap
    tolerance: float = TOLERANCE

    @cached_property
    def parts(self) -> dict[str, Sums]:
        """By structural part, in the space's order; one under ``""`` without structure."""
        return {key: Sums.of(part, self.cheap) for key, part in self.space.parts.items()}

    @cached_property
    def additive(self) -> bool:
        """Whether the metrics of random candidates are the sums of the tables."""
        sizes = self.space.cardinalities
        count = CHECKED * len(self.space.parts)
        codes = np.random.default_rng(0).integers(0, sizes, (count, len(sizes)))
        return bool(np.allclose(self._summed(codes), self._asked(codes), self.tolerance, 0.0))

    def metrics(self, codes: Codes) -> Floats:
        """Cheap metrics ``[n, n_metrics]`` of value indices ``[n, n_dimensions]``."""
        return self._summed(codes) if self.additive else self._asked(codes)

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
        ends = np.zeros((2, len(part.dimensions)), dtype=np.int64)
        for place, (dimension, table) in enumerate(zip(part.dimensions, sums.tables, strict=True)):
            open_to = np.array([allowed is None or allowed(v) for v in dimension.values])
            added = table[:, column]
            ends[0, place] = np.where(open_to, added, np.inf).argmin()
            ends[1, place] = np.where(open_to, added, -np.inf).argmax()
        low, high = self.cheap(part.decode(ends))[:, column].tolist()
        return low, high

    def _summed(self, codes: Codes) -> Floats:
        if len(self.parts) == 1:
            (sums,) = self.parts.values()
            return sums.metrics(codes)
        return self._summed_by_part(codes)

    def _summed_by_part(self, codes: Codes) -> Floats:
        # Within its part every structural dimension has one value, the first.
        inside = codes.copy()
        inside[:, self.space.structural] = 0
        part_of = self.space.part_indices(codes)
        every = list(self.parts.values())
        total = np.empty((len(codes), len(every[0].base)))
        for index, sums in enumerate(every):
            rows = part_of == index
            total[rows] = sums.metrics(inside[rows])
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
