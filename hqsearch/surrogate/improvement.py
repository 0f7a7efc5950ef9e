"""How much hypervolume a candidate is expected to add to a front.

One objective is uncertain (normal), the others are known. The space of the known ones is cut
at the front's coordinates into cells; in each cell the front has one best uncertain value, so
the expected gain is the sum over cells of the cell's dominated size times the expected
improvement of a normal variable over that value (Jones et al. 1998): exact, no sampling.
All columns are costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from hqsearch.problem.pareto import non_dominated

Floats = npt.NDArray[np.float64]


#: Numbers that a block of candidates may hold at a time: candidates times cells.
BLOCK = 1 << 21


@dataclass(frozen=True)
class CellFront:
    """A front cut into cells of its known objectives.

    Attributes:
        edges: per known objective, the cells' edges, the reference last.
        level: best (least) uncertain cost in each cell, the reference where there is none.
    """

    edges: tuple[Floats, ...]
    level: Floats

    @classmethod
    def of(cls, uncertain: Floats, known: Floats, reference: Floats) -> CellFront:
        """From costs ``uncertain [k]``, ``known [k, m − 1]`` and ``reference [m]``, whose first
        column is the uncertain one."""
        costs = np.column_stack([uncertain, known])
        costs = costs[(costs < reference).all(axis=1)]
        costs = costs[non_dominated(costs)] if len(costs) else costs
        edges = tuple(
            np.unique(np.append(costs[:, j], reference[j])) for j in range(1, len(reference))
        )
        level = np.full([len(e) for e in edges], reference[0])
        for row in costs:
            place = tuple(
                slice(int(np.searchsorted(e, c)), None) for e, c in zip(edges, row[1:], strict=True)
            )
            level[place] = np.minimum(level[place], row[0])
        return cls(edges, level)

    @cached_property
    def cells(self) -> tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The different levels, the cells in their order, and where each level starts there.

        A cell that starts at edge i - 1 is dominated by what lies at or below that edge; in those
        below the lowest edge, last in the order, nothing dominates.
        """
        levels, place = np.unique(self.level, return_inverse=True)
        labels = np.full(self.level.shape, len(levels))
        inner = tuple(slice(1, None) for _ in self.edges)
        outer = tuple(slice(None, -1) for _ in self.edges)
        labels[inner] = place.reshape(self.level.shape)[outer]
        flat = labels.ravel()
        order = np.argsort(flat, kind="stable")
        found, starts = np.unique(flat[order], return_index=True)
        return np.append(levels, np.inf)[found], order, starts


def expected_improvement(
    front: CellFront, mean: Floats, deviation: Floats, known: Floats, reference: Floats
) -> Floats:
    """Expected gain ``[n]`` in hypervolume up to ``reference [m]``.

    Args:
        front: what there is already.
        mean: of the uncertain cost ``[n]``, with ``deviation [n]``.
        known: the other costs ``[n, m − 1]``.
        reference: its first entry belongs to the uncertain cost.
    """
    rows = max(1, BLOCK // front.level.size)
    blocks = [slice(start, start + rows) for start in range(0, len(mean), rows)]
    parts = [_improvement(front, mean[b], deviation[b], known[b], reference) for b in blocks]
    return np.concatenate(parts) if parts else np.empty(0)


def _improvement(
    front: CellFront, mean: Floats, deviation: Floats, known: Floats, reference: Floats
) -> Floats:
    levels, order, starts = front.cells
    gain = _normal_improvement(mean, deviation, np.minimum(levels, reference[0]))
    spans = []
    for column, edges in enumerate(front.edges):
        padded = np.concatenate([[-np.inf], edges])
        low = np.maximum(padded[None, :-1], known[:, column : column + 1])
        spans.append(np.maximum(padded[None, 1:] - low, 0.0))
    weight = spans[0]
    for span in spans[1:]:
        weight = weight[..., None] * span.reshape(len(span), *([1] * (weight.ndim - 1)), -1)
    by_level = np.add.reduceat(weight.reshape(len(mean), -1)[:, order], starts, axis=1)
    return np.asarray((by_level * gain).sum(axis=1))


def _normal_improvement(mean: Floats, deviation: Floats, levels: Floats) -> Floats:
    """E[max(level − y, 0)] ``[n, n_levels]`` of normal y."""
    gap = levels[None, :] - mean[:, None]
    safe = np.maximum(deviation, 1e-12)[:, None]
    ratio = gap / safe
    density = np.exp(-0.5 * np.minimum(ratio**2, 1400.0)) / np.sqrt(2 * np.pi)
    return np.asarray(gap * ndtr(ratio) + safe * density)
