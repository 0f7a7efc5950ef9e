"""Confirmations from several parents, or on several divisions: what varies, and by how much.

**Parents.** Candidates, parents, seeds and samples are crossed; the last three are drawn at random.
The variance of a difference between two candidates has one component for each, from the three-way
analysis of variance without replication; those of parents and of seeds are taken from the
interactions with the candidate, over all confirmed candidates together, for what a parent does to
all of them alike is in no difference. Degrees of freedom by Satterthwaite (1946).

**Divisions** of the recordings into training and test, each with parents, seeds and samples of its
own. A difference is the mean of its K differences. Their training recordings overlap, so the mean
varies more than that of K independent ones: (1/K + n/m) times the variance of one, with n test and
m training samples of a division (Nadeau and Bengio, Machine Learning 52, 2003). That variance is
the samples', of these two candidates, and the rest's, over all confirmed candidates together.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hqsearch.analysis.crossed import crossed_three, mean_squares
from hqsearch.analysis.replicates import Estimate, Floats, Measured, Noise, crossed_mean
from hqsearch.evaluator import FreshParent
from hqsearch.store.records import TrialRow


class FromParents:
    """The replicates of one candidate that started from parents trained for them.

    Args:
        trials: parent → seed → replicate; one at least.
        quality: objective that is measured.
    """

    def __init__(self, trials: Mapping[FreshParent, Mapping[int, TrialRow]], quality: str) -> None:
        self.starts = {p: Measured(own, quality) for p, own in sorted(trials.items())}
        self.rows = [row for one in self.starts.values() for row in one.trials.values()]
        self.quality = quality
        values = [row.values or {} for row in self.rows]
        self.means = {name: float(np.mean([v[name] for v in values])) for name in values[0]}

    @property
    def divisions(self) -> list[int]:
        return sorted({parent.division for parent in self.starts})

    @property
    def seeds(self) -> int:
        """Fewest trainings from one parent."""
        return min(len(one.trials) for one in self.starts.values())

    def estimate(self) -> Estimate:
        """Its mean; with few parents or divisions it says little of how much they vary."""
        if len(self.divisions) > 1:
            return _over_divisions(self, None, self.divisions, None)
        parents, seeds = _grid({p: set(own.trials) for p, own in self.starts.items()})
        own = [self.starts[parent] for parent in parents]
        if len(own) == 1:
            return own[0].estimate()
        tables = [one.table(seeds) for one in own]
        if all(table is not None for table in tables):
            return crossed_three(np.array(tables))
        return _of_values(np.array([one.values(seeds) for one in own]))

    def minus(self, other: FromParents, noise: AnyNoise | None = None) -> Estimate:
        """The difference, paired by parent, seed and, where both recorded them, by sample."""
        common = [p for p in self.starts if p in other.starts]
        divisions = sorted({p.division for p in common})
        if len(divisions) > 1:
            own = noise if isinstance(noise, DivisionNoise) else None
            return _over_divisions(self, other, divisions, own)
        parents, seeds = _grid(
            {p: set(self.starts[p].trials) & set(other.starts[p].trials) for p in common}
        )
        if not parents:
            return Estimate(self.means[self.quality] - other.means[self.quality], math.inf)
        if len(parents) == 1:
            plain = noise if isinstance(noise, Noise) else None
            return self.starts[parents[0]].minus(other.starts[parents[0]], plain)
        of_parents = noise if isinstance(noise, ParentNoise) else None
        tables = [(self.starts[p].table(seeds), other.starts[p].table(seeds)) for p in parents]
        gaps = np.array([m - o for m, o in tables if m is not None and o is not None])
        if len(gaps) == len(parents):
            return _crossed_difference(gaps, of_parents)
        values = np.array(
            [self.starts[p].values(seeds) - other.starts[p].values(seeds) for p in parents]
        )
        if of_parents is None:
            return _of_values(values)
        variance, freedom = of_parents.of_difference(*values.shape)
        return Estimate(float(values.mean()), math.sqrt(variance), freedom)


@dataclass(frozen=True)
class ParentNoise:
    """How much accuracies vary with parent and seed, over all confirmed candidates.

    Attributes:
        parents: that every one of them was trained from.
        seeds: trainings from each.
        candidates: how many tell it.
        of_parent: mean square of candidate and parent together, per training.
        of_seed: of candidate and seed; 0 where there is one seed.
        rest: of all three; 0 where there is one seed.
        common: variance of an accuracy from parent to parent.
        trainings: variance of an accuracy from seed to seed, the samples' in it; None with one.
    """

    parents: int
    seeds: int
    candidates: int
    of_parent: float
    of_seed: float
    rest: float
    common: float
    trainings: float | None

    @classmethod
    def of(cls, measured: Collection[FromParents]) -> ParentNoise | None:
        """None with fewer than two parents or candidates."""
        grids = [_grid({p: set(own.trials) for p, own in m.starts.items()}) for m in measured]
        most = max(grids, key=lambda g: (len(g[0]), len(g[1])), default=((), ()))
        parents, seeds = most
        whole = [
            m
            for m in measured
            if all(p in m.starts and set(seeds) <= set(m.starts[p].trials) for p in parents)
        ]
        if len(parents) < 2 or len(whole) < 2:
            return None
        cells = np.array([[m.starts[p].values(seeds) for p in parents] for m in whole])
        c, p, s = cells.shape
        by_parent = cells.mean(axis=2)
        common = float(by_parent.var(axis=1, ddof=1).mean())
        within, of_seed, rest = None, 0.0, 0.0
        if s == 1:
            of_parent = _interaction(by_parent)
        else:
            *_, (of_parent, _), (of_seed, _), _, (rest, _) = mean_squares(cells)
            within = float(cells.var(axis=2, ddof=1).mean())
            alone = np.mean([_interaction(own) for own in cells])
            common = max(common - float(alone) / s, 0.0)
        return cls(p, s, c, of_parent, of_seed, rest, common, within)

    def of_difference(self, parents: int, seeds: int) -> tuple[float, float]:
        """Variance of a difference of means over so many parents and seeds, and its freedom."""
        pairs = (self.candidates - 1) * (self.parents - 1)
        if self.seeds == 1:
            return 2 * self.of_parent / parents, float(pairs)
        one, other = max(self.of_parent, self.rest), max(self.of_seed, self.rest)
        total = one + other - self.rest
        apart = self.seeds - 1
        terms = one**2 / pairs + other**2 / ((self.candidates - 1) * apart)
        terms += self.rest**2 / (pairs * apart)
        return 2 * total / (parents * seeds), total**2 / terms if terms else math.inf

    def as_json(self) -> dict[str, Any]:
        """Standard deviations, by component."""
        own = max(self.of_parent - self.rest, 0.0) / self.seeds
        return {
            "parents": {
                "number": self.parents,
                "accuracy": math.sqrt(self.common),
                "difference": math.sqrt(2 * own),
            },
            "seeds": {
                "number": self.seeds,
                "accuracy": None if self.trainings is None else math.sqrt(self.trainings),
            },
        }


@dataclass(frozen=True)
class DivisionNoise:
    """How much differences vary with the division of the recordings, over all candidates.

    Attributes:
        divisions: how many.
        candidates: how many tell it.
        between: variance of a difference from division to division, without the samples'.
        common: variance of an accuracy from division to division, all in it.
    """

    divisions: int
    candidates: int
    between: float
    common: float

    @classmethod
    def of(cls, measured: Collection[FromParents]) -> DivisionNoise | None:
        """None with fewer than two divisions or candidates."""
        most = max((m.divisions for m in measured), key=len, default=[])
        whole = [m for m in measured if m.divisions == most]
        if len(most) < 2 or len(whole) < 2:
            return None
        cells = np.array([[_of_division(m, None, d)[0] for d in most] for m in whole])
        c, k = cells.shape
        square = _interaction(cells)
        samples = [_sample_noise(whole, d) for d in most]
        between = max(2 * square - float(np.mean(samples)), 0.0)
        return cls(k, c, between, float(cells.var(axis=1, ddof=1).mean()))

    @property
    def freedom(self) -> float:
        return float((self.candidates - 1) * (self.divisions - 1))

    def as_json(self) -> dict[str, Any]:
        """Standard deviations."""
        return {
            "divisions": {
                "number": self.divisions,
                "accuracy": math.sqrt(self.common),
                "difference": math.sqrt(self.between),
            }
        }


AnyNoise = Noise | ParentNoise | DivisionNoise
AnyMeasured = Measured | FromParents


def noise_of(measured: Collection[AnyMeasured]) -> AnyNoise | None:
    """What varies, over several candidates; None where too few of anything tell it."""
    fresh = [m for m in measured if isinstance(m, FromParents)]
    if not fresh:
        return Noise.of(m for m in measured if isinstance(m, Measured))
    if any(len(m.divisions) > 1 for m in fresh):
        return DivisionNoise.of(fresh)
    if any(len(m.starts) > 1 for m in fresh):
        return ParentNoise.of(fresh)
    return Noise.of(one for m in fresh for one in m.starts.values())


def _interaction(table: Floats) -> float:
    """Mean square of what rows and columns do not explain together."""
    rows, columns = table.shape
    rest = table - table.mean(0) - table.mean(1)[:, None] + table.mean()
    return float((rest**2).sum()) / int((rows - 1) * (columns - 1))


def _crossed_difference(gaps: Floats, noise: ParentNoise | None) -> Estimate:
    """Of ``[parents, seeds, samples]``; see the module's docstring."""
    parents, seeds, samples = gaps.shape
    floor = 1.0 / samples  # two that are right on the same samples still are finite samples
    if noise is None or samples < 2:
        found = crossed_three(gaps)
        error = max(found.standard_error, floor)
        return Estimate(found.mean, error, found.freedom, found.of_samples)
    of_trainings, freedom = noise.of_difference(parents, seeds)
    together = max(float(gaps.mean(axis=(0, 1)).var(ddof=1)), floor)
    if seeds == 1:
        apart = _interaction(gaps[:, 0]) / parents
    else:
        *_, (of_p, _), (of_s, _), (least, _) = mean_squares(gaps)
        apart = (max(of_p, least) + max(of_s, least) - least) / (parents * seeds)
    # What parents and seeds make of single samples is in their own components already.
    of_trainings = max(of_trainings, apart / samples)
    of_samples = max(together - apart, 0.0) / samples
    total = of_trainings + of_samples
    terms = of_trainings**2 / freedom + of_samples**2 / (samples - 1)
    return Estimate(
        float(gaps.mean()), math.sqrt(total), total**2 / terms, min(together / samples, total)
    )


def _of_values(values: Floats) -> Estimate:
    """From ``[parents, seeds]`` without samples."""
    if values.shape[1] > 1:
        return crossed_mean(values)
    own = values[:, 0]
    return Estimate(float(own.mean()), float(own.std(ddof=1)) / math.sqrt(len(own)), len(own) - 1.0)


def _grid(
    trained: Mapping[FreshParent, set[int]],
) -> tuple[tuple[FreshParent, ...], tuple[int, ...]]:
    """Parents and seeds that are crossed: every seed with every parent, as much as there is."""
    left = {p: seeds for p, seeds in trained.items() if seeds}
    while left:
        common = set.intersection(*left.values())
        if common:
            return tuple(sorted(left)), tuple(sorted(common))
        left.pop(min(left, key=lambda p: (len(left[p]), p)))
    return (), ()


# Divisions


def _of_division(
    one: FromParents, other: FromParents | None, division: int
) -> tuple[float, float, int, float]:
    """Mean in a division; its variance from the samples, how many, and test over training ones."""
    values, tables, row = [], [], None
    for parent, mine in one.starts.items():
        if parent.division != division:
            continue
        theirs = other.starts.get(parent) if other is not None else None
        seeds = list(mine.trials)
        if other is not None:
            seeds = [s for s in seeds if theirs is not None and s in theirs.trials]
        if not seeds:
            continue
        row = mine.trials[seeds[0]]
        gap, table = mine.values(seeds), mine.table(seeds)
        if theirs is not None:
            its = theirs.table(seeds)
            gap = gap - theirs.values(seeds)
            table = table - its if table is not None and its is not None else None
        values.append(gap)
        if table is not None:
            tables.append(table)
    if row is None:
        return math.nan, 0.0, 0, 0.0
    details = row.details
    count, trained = details.test_samples or 0, details.training_samples or 0
    share = count / trained if trained else 1.0
    mean = float(np.concatenate(values).mean())
    if len(tables) < len(values) or count < 2:
        return mean, 0.0, count, share
    by_sample = np.concatenate(tables).mean(axis=0)
    return mean, max(float(by_sample.var(ddof=1)), 1.0 / count) / count, count, share


def _over_divisions(
    one: FromParents,
    other: FromParents | None,
    divisions: Sequence[int],
    noise: DivisionNoise | None,
) -> Estimate:
    found = [_of_division(one, other, d) for d in divisions]
    found = [f for f in found if not math.isnan(f[0])]
    means = np.array([f[0] for f in found])
    if len(means) < 2:
        return Estimate(float(means.mean()) if len(means) else math.nan, math.inf)
    samples, count = float(np.mean([f[1] for f in found])), sum(f[2] for f in found)
    factor = 1.0 / len(means) + float(np.mean([f[3] for f in found]))
    if noise is None:
        total = max(float(means.var(ddof=1)), samples)
        part = min(factor * samples, factor * total)
        return Estimate(float(means.mean()), math.sqrt(factor * total), len(means) - 1.0, part)
    total = noise.between + samples
    if total == 0:
        return Estimate(float(means.mean()), 0.0)
    terms = noise.between**2 / noise.freedom + samples**2 / max(count - len(means), 1)
    return Estimate(
        float(means.mean()), math.sqrt(factor * total), total**2 / terms, factor * samples
    )


def _sample_noise(measured: Sequence[FromParents], division: int) -> float:
    """Variance of a difference from the samples of a division, the mean over all pairs."""
    rows = []
    for one in measured:
        tables = [m.table(list(m.trials)) for p, m in one.starts.items() if p.division == division]
        known = [table for table in tables if table is not None]
        if len(known) < len(tables):
            return 0.0
        rows.append(np.concatenate(known).mean(axis=0))
    own = np.array(rows)
    apart = own - own.mean(axis=0)
    variances = float(apart.var(axis=1, ddof=1).sum())
    return 2 * variances / (len(own) - 1) / int(own.shape[1])
