"""The three-way analysis of variance without replication, of parents, seeds and samples."""

from __future__ import annotations

import math

from hqsearch.analysis.replicates import Estimate, Floats, crossed_mean


def crossed_three(table: Floats) -> Estimate:
    """Mean of ``[parents, seeds, samples]``, all drawn at random and crossed.

    No smaller than any mean square alone says.
    """
    parents, seeds, samples = table.shape
    if parents == 1 or seeds == 1:
        return crossed_mean(table.reshape(parents * seeds, samples))
    if samples < 2:
        return Estimate(float(table.mean()), math.inf, 1.0)
    squares = mean_squares(table)
    mains, pairs, rest = squares[:3], squares[3:6], squares[6][0]
    total = sum(m for m, _ in mains) - sum(m for m, _ in pairs) + rest
    total = max(total, *(m for m, _ in mains))
    if total <= 0:
        return Estimate(float(table.mean()), 0.0)
    terms = sum(m**2 / free for m, free in squares)
    part = min(mains[2][0], total) / table.size
    return Estimate(float(table.mean()), math.sqrt(total / table.size), total**2 / terms, part)


def mean_squares(table: Floats) -> list[tuple[float, float]]:
    """Mean squares of a three-way table and their freedom: three mains, three pairs, the rest."""
    mean, shape = float(table.mean()), table.shape
    mains = [table.mean(axis=tuple({0, 1, 2} - {a}), keepdims=True) - mean for a in range(3)]
    pairs = [(0, 1), (0, 2), (1, 2)]
    both = [
        table.mean(axis=tuple({0, 1, 2} - {a, b}), keepdims=True) - mean - mains[a] - mains[b]
        for a, b in pairs
    ]
    rest = table - mean - sum(mains) - sum(both)
    effects = [*zip(mains, [(0,), (1,), (2,)], strict=True), *zip(both, pairs, strict=True)]
    found: list[tuple[float, float]] = []
    for effect, axes in effects:
        free = math.prod(shape[a] - 1 for a in axes)
        times = table.size / effect.size
        found.append((times * float((effect**2).sum()) / free, float(free)))
    free = math.prod(n - 1 for n in shape)
    return [*found, (float((rest**2).sum()) / free, float(free))]
