"""What several trainings of one candidate say about its accuracy, and about two of them.

Accuracies of replicates vary with the seed of the training and with the samples they are
measured on. Both are taken as drawn at random and crossed (every seed sees every sample), so
the variance of a mean comes from the two-way analysis of variance without replication, its
degrees of freedom from Satterthwaite (1946). A difference between two candidates is taken
training by training (same seed) and sample by sample. In simulations with 3 seeds and 500
samples, 95 % intervals held 95–98 %; every interval by itself, not all of them together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hqsearch.evaluator.per_sample import unpack_correct
from hqsearch.store.records import TrialRow

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its standard error and degrees of freedom."""

    mean: float
    standard_error: float
    freedom: float = math.inf

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
        return Estimate(mean, float(table.std(ddof=1)) / math.sqrt(samples), samples - 1.0)
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
    return Estimate(mean, math.sqrt(total / table.size), total**2 / terms)


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
            self._errors[seed] = float(details.accuracy_se or 0.0)
            if details.correct and details.test_samples:
                bits = unpack_correct(details.correct, details.test_samples)
                self._bits[seed] = bits.astype(np.float64)

    def estimate(self) -> Estimate:
        seeds = list(self.trials)
        if len(self._bits) == len(seeds):
            return crossed_mean(np.array([self._bits[s] for s in seeds]))
        return _of_seeds([self._value(s) for s in seeds], [self._errors[s] for s in seeds])

    def minus(self, other: Measured) -> Estimate:
        """The difference, paired by seed and, where both recorded them, by sample."""
        seeds = [s for s in self.trials if s in other.trials]
        if not seeds:
            return Estimate(self.means[self.quality] - other.means[self.quality], math.inf)
        if all(s in self._bits and s in other._bits for s in seeds):
            table = np.array([self._bits[s] - other._bits[s] for s in seeds])
            found = crossed_mean(table)
            # Two candidates right on exactly the same samples still are two finite samples.
            floor = 1.0 / table.shape[1]
            return Estimate(found.mean, max(found.standard_error, floor), found.freedom)
        gaps = [self._value(s) - other._value(s) for s in seeds]
        return _of_seeds(gaps, [math.hypot(self._errors[s], other._errors[s]) for s in seeds])

    def _value(self, seed: int) -> float:
        return (self.trials[seed].values or {})[self.quality]


def _of_seeds(values: Sequence[float], errors: Sequence[float]) -> Estimate:
    """From one value per seed; a single one has only the error it was measured with."""
    mean = float(np.mean(values))
    if len(values) == 1:
        return Estimate(mean, errors[0])
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Estimate(mean, error, len(values) - 1.0)
