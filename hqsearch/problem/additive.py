"""Cheap metrics of value indices, from tables where they are sums over dimensions.

A cost model's energy, storage and average bits are sums over layers, so one row per value is
all there is to know: thousands of virtual candidates cost microseconds, and budgets become
linear constraints. Whether they are sums is checked, not assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hqsearch.strategies.base import Problem

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: Candidates on which additivity is checked, and the relative error that it may have.
CHECKED, TOLERANCE = 32, 1e-9


@dataclass(frozen=True)
class CostTables:
    """Cheap metrics of a problem by value index."""

    problem: Problem

    @cached_property
    def base(self) -> Floats:
        """Cheap metrics ``[n_metrics]`` of the candidate with the first value everywhere."""
        first = np.zeros((1, len(self.problem.space.dimensions)), dtype=np.int64)
        return np.asarray(self._asked(first)[0])

    @cached_property
    def tables(self) -> list[Floats]:
        """Per dimension ``[n_values, n_metrics]``: what a value adds to :attr:`base`."""
        space = self.problem.space
        probes = neighbours(np.zeros(len(space.dimensions), dtype=np.int64), space.cardinalities)
        added = self._asked(probes) - self.base if len(probes) else probes.astype(np.float64)
        tables, start = [], 0
        for cardinality in space.cardinalities:
            rows = added[start : start + cardinality - 1]
            tables.append(np.vstack([np.zeros((1, len(self.base))), rows]))
            start += cardinality - 1
        return tables

    @cached_property
    def additive(self) -> bool:
        """Whether the metrics of random candidates are the sums of the tables."""
        codes = np.random.default_rng(0).integers(
            0, self.problem.space.cardinalities, (CHECKED, len(self.problem.space.dimensions))
        )
        return bool(np.allclose(self._summed(codes), self._asked(codes), TOLERANCE, 0.0))

    def metrics(self, codes: Codes) -> Floats:
        """Cheap metrics ``[n, n_metrics]`` of value indices ``[n, n_dimensions]``."""
        return self._summed(codes) if self.additive else self._asked(codes)

    def _summed(self, codes: Codes) -> Floats:
        total = np.repeat(self.base[None], len(codes), axis=0)
        for table, own in zip(self.tables, codes.T, strict=True):
            total += table[own]
        return total

    def _asked(self, codes: Codes) -> Floats:
        return self.problem.cheap(self.problem.space.decode(codes))


def neighbours(code: Codes, cardinalities: Codes) -> Codes:
    """All single changes of a code ``[Σ (cardinality − 1), n_dimensions]``, in order."""
    rows = []
    for dimension, cardinality in enumerate(cardinalities):
        others = np.array([v for v in range(cardinality) if v != code[dimension]], dtype=np.int64)
        changed = np.repeat(code[None], len(others), axis=0)
        changed[:, dimension] = others
        rows.append(changed)
    return np.vstack(rows)
