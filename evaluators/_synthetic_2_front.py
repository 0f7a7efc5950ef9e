"""What there is to find in an instance of ``synthetic-2``: (nearly) its whole noiseless front.

Two searches that see the truth. Neighbours' interactions make the loss a chain, so for fixed
weights of the costs the best assignment is found exactly by dynamic programming (Viterbi 1967): a
grid of weights gives what lies on the convex hull. Between, on spaces of few dimensions, beginnings
are sorted into cells of energy and storage, and each cell keeps the one that lost least.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hqsearch.problem.pareto import non_dominated

from .synthetic_2 import Synthetic2, costs_of

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: Weights per cost; where a memory overflows, with each of these parts of its price besides.
WEIGHTS, BENDS = 60, (0.0, 0.33, 0.66, 1.0)
#: Cells per cost, and the dimensions up to which they are worth their time.
CELLS, FEW = 100, 30


def attainable(evaluator: Synthetic2, weights: int = WEIGHTS) -> Codes:
    """Value indices ``[n, n_dimensions]`` of (nearly) the front there is, without noise.

    All of it can be had, so its volume is a lower bound of the exact one's. Against fronts improved
    by all single changes until none helped it missed 0.0004 of their volume (two instances of
    ``gesture-memory``, 2026-11-27).
    """
    codes = _scalarized(evaluator, weights)
    if len(evaluator.losses) <= FEW:
        codes = np.vstack([codes, _by_cells(evaluator)])
    codes = np.unique(np.vstack([codes, _baselines(evaluator)]), axis=0)
    return np.asarray(codes[non_dominated(costs_of(evaluator, codes))])


def _baselines(evaluator: Synthetic2) -> Codes:
    codes: Codes = evaluator.space.encode(evaluator.space.baselines().values())
    return codes


def _scalarized(evaluator: Synthetic2, count: int) -> Codes:
    reference = evaluator.reference()
    size = np.array([reference[name] for name in evaluator.metrics])
    grid = 10.0 ** np.linspace(-5.0, 1.5, count)
    energy, storage = (g.ravel() for g in np.meshgrid(grid, grid, indexing="ij"))
    overflow = evaluator.overflows().get("")
    # Beyond the memory's capacity another bit costs energy, too; where it just fits, part of that.
    price = 0.0 if overflow is None else overflow.price * size[2] / size[0]
    bends = BENDS if overflow is not None else (0.0,)
    weights = np.vstack(
        [np.column_stack([energy, storage, bend * price * energy]) for bend in bends]
    )
    nodes = [
        loss + weights @ (cost / size).T
        for loss, cost in zip(evaluator.losses, evaluator.costs, strict=True)
    ]
    best, back = nodes[0], []
    for place, share in enumerate(evaluator.together):
        pair = share * np.sqrt(np.outer(evaluator.losses[place], evaluator.losses[place + 1]))
        through = best[:, :, None] + pair
        back.append(through.argmin(axis=1))
        best = through.min(axis=1) + nodes[place + 1]
    codes = np.empty((len(weights), len(nodes)), dtype=np.int64)
    codes[:, -1] = best.argmin(axis=1)
    rows = np.arange(len(weights))
    for place in reversed(range(len(back))):
        codes[:, place] = back[place][rows, codes[:, place + 1]]
    return np.unique(codes, axis=0)


def _by_cells(evaluator: Synthetic2) -> Codes:
    reference = evaluator.reference()
    size = np.array([reference["energy"], reference["storage"]])
    cost, loss, last = np.zeros((1, 3)), np.zeros(1), np.zeros(1)
    codes = np.zeros((1, len(evaluator.losses)), dtype=np.int64)
    shares = np.concatenate([[0.0], evaluator.together])
    for place, (own_cost, own_loss) in enumerate(
        zip(evaluator.costs, evaluator.losses, strict=True)
    ):
        count = len(own_loss)
        cost = np.repeat(cost, count, axis=0) + np.tile(own_cost, (len(loss), 1))
        added, value = np.tile(own_loss, len(loss)), np.tile(np.arange(count), len(loss))
        pair = shares[place] * np.sqrt(np.repeat(last, count) * added)
        loss, last = np.repeat(loss, count) + added + pair, added
        # Finer where it is cheap, which is where most of the front lies.
        cell = np.minimum((np.sqrt(cost[:, :2] / size) * CELLS).astype(np.int64), CELLS)
        label = (cell[:, 0] * (CELLS + 1) + cell[:, 1]) * count + value
        order = np.lexsort((loss, label))
        kept = order[np.unique(label[order], return_index=True)[1]]
        codes = codes[kept // count]
        codes[:, place] = value[kept]
        cost, loss, last = cost[kept], loss[kept], last[kept]
    return codes
