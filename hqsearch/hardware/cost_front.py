"""The exact front of energy and storage over a whole space, without enumerating it.

Both are sums over layers, so a partial assignment that is dominated stays dominated whatever
follows: layers are added one by one and dominated partial sums dropped (Nemhauser & Ullmann,
Management Science 15(9), 1969). Sums are exact (see ``cost``), so the result is too. Where codes
share a memory, what loading costs depends on their sum, which is then compared as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import moocore
import numpy as np
import numpy.typing as npt

from hqsearch.hardware.cost import CostModel, to_uj


@dataclass(frozen=True)
class CheapFront:
    """codes [n, n_layers], energy µJ [n] ascending, storage KiB [n] descending."""

    codes: npt.NDArray[np.int64]
    energy: npt.NDArray[np.float64]
    storage: npt.NDArray[np.float64]


def cheap_front(model: CostModel) -> CheapFront:
    """Every pair (energy, storage) that no candidate beats, with one candidate for each."""
    shared = model.memory is not None
    sums = np.array([[*model.rest, model.codes_rest][: 2 + shared]])
    codes = np.zeros((1, 0), np.int64)
    for table in zip(*model.tables(), model.code_tables(), strict=True):
        step = np.stack(table[: 2 + shared], axis=1)
        combined = (sums[:, None, :] + step[None, :, :]).reshape(-1, sums.shape[1])
        keep = _unbeaten(combined)
        sums = combined[keep]
        parent, choice = np.divmod(keep, len(step))
        codes = np.concatenate([codes[parent], choice[:, None]], axis=1)
    if model.memory is not None:
        sums = np.stack([sums[:, 0] + to_uj(model.memory.loading(sums[:, 2])), sums[:, 1]], axis=1)
        keep = staircase(sums)
        sums, codes = sums[keep], codes[keep]
    return CheapFront(codes, sums[:, 0], sums[:, 1] / 8192)


def _unbeaten(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Indices of the non-dominated rows of ``sums`` [n, 2 or 3], no duplicates."""
    if sums.shape[1] == 2:
        return staircase(sums)
    return np.flatnonzero(moocore.is_nondominated(sums))


def staircase(costs: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Indices of the non-dominated rows of ``costs`` [n, 2], first ascending, no duplicates."""
    order = np.lexsort((costs[:, 1], costs[:, 0]))
    second = costs[order, 1]
    best = np.minimum.accumulate(second)
    first = np.ones(len(order), dtype=bool)
    first[1:] = second[1:] < best[:-1]
    kept: npt.NDArray[np.int64] = order[first]
    return kept
