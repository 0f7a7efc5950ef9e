"""What several trainings of one candidate say about its accuracy, and about two of them.

Accuracies of replicates vary with the seed of the training and with the samples they are
measured on. Both are taken as drawn at random and crossed (every seed sees every sample), so
the variance of a mean comes from the two-way analysis of variance without replication, its
degrees of freedom from Satterthwaite (1946). A difference between two candidates is taken
training by training (same seed) and sample by sample. Few seeds say little of how much trainings
vary, so intervals of a single difference are wide (they hold 99 %, not 95 %, with 3 seeds); where
several candidates were confirmed, the variance from seed to seed is taken of all of them together
(95 % hold; tests/benchmarks/claims.py). Every interval by itself, not all of them together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hqsearch.evaluator.per_sample import unpack_correct
from hqsearch.store.records import TrialRow

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its standard error and degrees of freedom.

    ``of_samples`` is the part of its variance that more samples would make less.
    """

    mean: float
    standard_error: float
    freedom: float = math.inf
    of_samples: float = 0.0

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Student's interval; of no width where there is no error."""
        if self.standard_error == 0:
            return self.mean, self.mean
        from scipy.special import ndtri, stdtrit

        tail = 0.5 + level / 2
        finite = math.isfinite(self.freedom)
        half = float(stdtrit(self.freedom, tail) if finite else ndtri(tail)) * self.standard_error
        return self.mean - half, self.mean + half


def crossed_mean(table: Floats) -> Estimate:
    """Mean of ``[seeds, samples]``, both drawn at random; see the module's docstring.

    With one seed the variance between seeds is unknown and left out.
    """
    seeds, samples = table.shape
    mean = float(table.mean())
    by_seed, by_sample = table.mean(axis=1), table.mean(axis=0)
    if samples < 2:
        return Estimate(mean, math.inf, 1.0)
    if seeds == 1:
        error = float(table.std(ddof=1)) / math.sqrt(samples)
        return Estimate(mean, error, samples - 1.0, error**2)
    rest = table - by_seed[:, None] - by_sample[None] + mean
    free = float((seeds - 1) * (samples - 1))
    error = float((rest**2).sum()) / free
    # A component cannot be negative: a mean square below that of the rest is luck.
    of_seeds = max(samples * float(by_seed.var(ddof=1)), error)
    of_samples = max(seeds * float(by_sample.var(ddof=1)), error)
    total = of_seeds + of_samples - error
    if total <= 0:
        return Estimate(mean, 0.0)
    terms = of_seeds**2 / (seeds - 1) + of_samples**2 / (samples - 1) + error**2 / free
    part = min(of_samples, total) / table.size
    return Estimate(mean, math.sqrt(total / table.size), total**2 / terms, part)


def pooled_mean(table: Floats, between: float, freedom: float) -> Estimate:
    """Mean of ``[seeds, samples]`` whose variance from seed to seed is taken from others, too.

    Two or three seeds say little of how much trainings vary; those of many candidates together say
    it well, if they vary alike. Variance and freedom are otherwise those of :func:`crossed_mean`.

    Args:
        between: variance of the means of seeds, the noise of samples in it.
        freedom: degrees that it rests on.
    """
    seeds, samples = table.shape
    mean = float(table.mean())
    if samples < 2:
        return Estimate(mean, math.inf, 1.0)
    by_sample = table.mean(axis=0)
    error = 0.0
    if seeds > 1:
        rest = table - table.mean(axis=1)[:, None] - by_sample[None] + mean
        error = float((rest**2).sum()) / ((seeds - 1) * (samples - 1))
    # Two candidates right on exactly the same samples still are two finite samples.
    together = max(float(by_sample.var(ddof=1)), 1.0 / samples)
    of_seeds = max(between, error / samples) / seeds
    of_samples = max(together - error / seeds, 0.0) / samples
    total = of_seeds + of_samples
    terms = of_seeds**2 / freedom + of_samples**2 / (samples - 1)
    return Estimate(mean, math.sqrt(total), total**2 / terms, min(together / samples, total))


@dataclass(frozen=True, slots=True)
class Noise:
    """How much trainings of a candidate vary, taken together over several candidates.

    Attributes:
        between: variance of a candidate's accuracy from seed to seed, the noise of samples in it.
        freedom: degrees that it rests on.
    """

    between: float
    freedom: float

    @classmethod
    def of(cls, measured: Iterable[Measured]) -> Noise | None:
        """None where no candidate has two seeds."""
        several = [m for m in measured if len(m.trials) > 1]
        freedom = float(sum(len(m.trials) - 1 for m in several))
        if not several:
            return None
        squares = sum((len(m.trials) - 1) * m.between() for m in several)
        return cls(squares / freedom, freedom)


def share_interval(estimate: Estimate, samples: int) -> tuple[float, float]:
    """95 % interval of a share of samples that has this mean and error; within 0 and 1.

    Wilson's, of as many samples as would have this error, with Student's quantile.
    """
    from scipy.special import ndtri, stdtrit

    mean, error = min(max(estimate.mean, 0.0), 1.0), estimate.standard_error
    plain = mean * (1.0 - mean)
    count = min(plain / error**2, float(samples)) if plain > 0 and error > 0 else float(samples)
    finite = math.isfinite(estimate.freedom) and error > 0
    z = float(stdtrit(estimate.freedom, 0.975) if finite else ndtri(0.975))
    weight = z * z / count
    middle = (mean + weight / 2) / (1 + weight)
    half = z * math.sqrt(plain / count + weight / (4 * count)) / (1 + weight)
    return min(mean, max(0.0, middle - half)), max(mean, min(1.0, middle + half))


class Measured:
    """The replicates of one candidate, by seed."""

    def __init__(self, trials: Mapping[int, TrialRow], quality: str) -> None:
        self.trials, self.quality = dict(sorted(trials.items())), quality
        values = [t.values or {} for t in self.trials.values()]
        self.means = {name: float(np.mean([v[name] for v in values])) for name in values[0]}
        self._bits: dict[int, Floats] = {}
        self._errors: dict[int, float] = {}
        for seed, trial in self.trials.items():
            details = trial.details
            self._errors[seed] = float(details.error_of(quality) or 0.0)
            if details.correct and details.test_samples:
                bits = unpack_correct(details.correct, details.test_samples)
                self._bits[seed] = bits.astype(np.float64)

    def values(self, seeds: Sequence[int]) -> Floats:
        """What was measured ``[seeds]``."""
        return np.array([self._value(s) for s in seeds])

    def table(self, seeds: Sequence[int]) -> Floats | None:
        """Which samples were right ``[seeds, samples]``; None where that was not recorded."""
        if not all(s in self._bits for s in seeds):
            return None
        return np.array([self._bits[s] for s in seeds])

    def between(self) -> float:
        """Variance from seed to seed."""
        return float(np.var([self._value(s) for s in self.trials], ddof=1))

    def estimate(self) -> Estimate:
        seeds = list(self.trials)
        if len(self._bits) == len(seeds):
            return crossed_mean(np.array([self._bits[s] for s in seeds]))
        return _of_seeds([self._value(s) for s in seeds], [self._errors[s] for s in seeds])

    def minus(self, other: Measured, noise: Noise | None = None) -> Estimate:
        """The difference, paired by seed and, where both recorded them, by sample.

        Args:
            noise: of trainings, where several candidates tell it together.
        """
        seeds = [s for s in self.trials if s in other.trials]
        if not seeds:
            return Estimate(self.means[self.quality] - other.means[self.quality], math.inf)
        if all(s in self._bits and s in other._bits for s in seeds):
            table = np.array([self._bits[s] - other._bits[s] for s in seeds])
            if noise is not None:
                return pooled_mean(table, 2 * noise.between, noise.freedom)
            found = crossed_mean(table)
            # Two candidates right on exactly the same samples still are two finite samples.
            floor = 1.0 / table.shape[1]
            return replace(found, standard_error=max(found.standard_error, floor))
        gaps = [self._value(s) - other._value(s) for s in seeds]
        errors = [math.hypot(self._errors[s], other._errors[s]) for s in seeds]
        if noise is None:
            return _of_seeds(gaps, errors)
        least = sum(e**2 for e in errors) / len(errors)
        error = math.sqrt(max(2 * noise.between, least) / len(seeds))
        return Estimate(float(np.mean(gaps)), error, noise.freedom)

    def _value(self, seed: int) -> float:
        return (self.trials[seed].values or {})[self.quality]


def _of_seeds(values: Sequence[float], errors: Sequence[float]) -> Estimate:
    """From one value per seed; a single one has only the error it was measured with."""
    mean = float(np.mean(values))
    if len(values) == 1:
        return Estimate(mean, errors[0])
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Estimate(mean, error, len(values) - 1.0)
