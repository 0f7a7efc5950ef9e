"""Differences between two candidates, paired over the samples both were measured on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hqsearch.evaluator.details import Details
from hqsearch.evaluator.per_sample import unpack_correct
from hqsearch.problem.objective import ACCURACY, Objective


@dataclass(frozen=True, slots=True)
class Difference:
    """Accuracy (or another metric) of one candidate minus another's, with its standard error."""

    mean: float
    standard_error: float
    paired: bool

    @property
    def better(self) -> bool:
        """Larger beyond the standard error; an exact measure (error 0) needs only be equal."""
        return self.mean >= 0 if self.standard_error == 0 else self.mean > self.standard_error

    @property
    def worse(self) -> bool:
        return self.mean < 0 and -self.mean > self.standard_error


def metric_difference(
    objective: Objective, value: float, details: Details, other: float, other_details: Details
) -> Difference:
    """The first candidate's metric minus the other's.

    Of accuracy :func:`accuracy_difference`; of another metric from the standard errors of both,
    which are taken as independent.
    """
    if objective.name == ACCURACY.name or (details.correct and other_details.correct):
        return accuracy_difference(value, details, other, other_details)
    errors = (float(d.error_of(objective.name) or 0.0) for d in (details, other_details))
    return Difference(value - other, math.hypot(*errors), paired=False)


def accuracy_difference(
    accuracy: float, details: Details, other: float, other_details: Details
) -> Difference:
    """How much more accurate the first candidate is.

    Paired (as McNemar's test: the variance of per-sample differences) where both recorded
    which samples they got right; from two binomial standard errors where not.
    """
    n, m = details.validation_samples, other_details.validation_samples
    if n and n == m and details.correct and other_details.correct:
        mine = unpack_correct(details.correct, n).astype(np.float64)
        theirs = unpack_correct(other_details.correct, n).astype(np.float64)
        gap = mine - theirs
        error = float(gap.std(ddof=1) / math.sqrt(n)) if n > 1 else math.inf
        # Two candidates right on exactly the same samples still are two finite samples.
        return Difference(float(gap.mean()), max(error, 1.0 / n), paired=True)
    errors = (float(d.accuracy_se or 0.0) for d in (details, other_details))
    return Difference(accuracy - other, math.hypot(*errors), paired=False)
