"""What a run of a network of integers did, operation by operation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Counts:
    """Operations on data; addresses, loops and the decoding of codes are not among them.

    accumulations: additions to a sum, of weights or of products of activations.
    multiplications: of an input with a weight or an activation, or of a logit with its factor.
    shifts: of an input by a power-of-two weight. fetches: weights that were read and decoded.
    updates: of neurons. others: comparisons and additions of pooling, residual sums and means.
    """

    accumulations: int = 0
    multiplications: int = 0
    shifts: int = 0
    fetches: int = 0
    updates: int = 0
    others: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, name) + getattr(other, name) for name in COUNTED))


COUNTED = tuple(field.name for field in fields(Counts))


def added(runs: Iterable[Mapping[str, Counts]]) -> dict[str, Counts]:
    """Sums over runs, by path."""
    total: dict[str, Counts] = {}
    for run in runs:
        for path, counts in run.items():
            total[path] = total.get(path, Counts()) + counts
    return total
