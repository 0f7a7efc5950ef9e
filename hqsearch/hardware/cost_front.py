"""The exact front of energy and storage over a whole space, without enumerating it.

Both are sums over layers, so a partial assignment that is dominated stays dominated whatever
follows: layers are added one by one and dominated partial sums dropped (Nemhauser & Ullmann,
Management Science 15(9), 1969). Sums are exact (see ``cost``), so the result is too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hqsearch.hardware.cost import CostModel


@dataclass(frozen=True)
class CheapFront:
    """codes [n, n_layers], energy µJ [n] ascending, storage KiB [n] descending."""

    codes: npt.NDArray[np.int64]
    energy: npt.NDArray[np.float64]
    storage: npt.NDArray[np.float64]


def cheap_front(model: CostModel) -> CheapFront:
    """Every pair (energy, storage) that no candidate beats, with one candidate for each."""
    energies, bits = model.tables()
    sums = np.array([model.rest])
    codes = np.zeros((1, 0), np.int64)
    for energy, storage in zip(energies, bits, strict=True):
        step = np.stack([energy, storage], axis=1)
        combined = (sums[:, None, :] + step[None, :, :]).reshape(-1, 2)
        keep = staircase(combined)
        sums = combined[keep]
        parent, choice = np.divmod(keep, len(step))
        codes = np.concatenate([codes[parent], choice[:, None]], axis=1)
    return CheapFront(codes, sums[:, 0], sums[:, 1] / 8192)


def staircase(costs: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Indices of the non-dominated rows of ``costs`` [n, 2], first ascending, no duplicates."""
    order = np.lexsort((costs[:, 1], costs[:, 0]))
    second = costs[order, 1]
    best = np.minimum.accumulate(second)
    first = np.ones(len(order), dtype=bool)
    first[1:] = second[1:] < best[:-1]
    kept: npt.NDArray[np.int64] = order[first]
    return kept
