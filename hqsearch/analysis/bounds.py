"""How much worse a candidate can be: bounds that hold for what was picked, and what would tell.

A verdict shows the one of several candidates that looks best, so a bound of 95 % on that one has
to hold for all of them at a time: each is bounded at 1 − 5 %/n (Bonferroni). How often such bounds
and the claims that rest on them are wrong is measured by ``tests/benchmarks/claims.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hqsearch.analysis.paired import Difference
from hqsearch.analysis.replicates import Estimate

#: Standard deviation of a candidate's accuracy from training to training (fraction), where there
#: is one training of each: measured on gesture, two epochs.
TRAINING_NOISE = 0.008
#: Chance that a bound does not hold.
LEVEL = 0.05


def single_training(difference: Difference) -> Estimate:
    """A difference between two candidates that were trained once: samples and trainings vary.

    One that was measured without an error stays without: trainings there do not vary.
    """
    if difference.standard_error == 0:
        return Estimate(difference.mean, 0.0)
    samples = difference.standard_error**2
    return Estimate(difference.mean, math.sqrt(samples + 2 * TRAINING_NOISE**2), of_samples=samples)


def critical(estimate: Estimate, comparisons: int) -> float:
    """Standard errors that a bound lies below the mean, where one of ``comparisons`` is picked."""
    from scipy.special import ndtri, stdtrit

    tail = 1.0 - LEVEL / max(comparisons, 1)
    if math.isfinite(estimate.freedom):
        return float(stdtrit(estimate.freedom, tail))
    return float(ndtri(tail))


def lower_bound(estimate: Estimate, comparisons: int = 1) -> float:
    """What a difference exceeds with 95 %, whichever of ``comparisons`` is picked; -1 at least."""
    if estimate.standard_error == 0:
        return estimate.mean
    if not math.isfinite(estimate.standard_error):
        return -1.0
    return max(-1.0, estimate.mean - critical(estimate, comparisons) * estimate.standard_error)


@dataclass(frozen=True, slots=True)
class Needed:
    """What would tell whether a candidate is as accurate.

    ``unit`` is what ``seeds`` counts: ``seeds``, ``parents``, or ``splits`` that share ``samples``.
    """

    samples: int
    seeds: int
    unit: str = "seeds"


def needed(
    estimate: Estimate, comparisons: int, margin: float, samples: int, seeds: int
) -> Needed | None:
    """Samples and seeds with which two equal candidates would be shown to be within ``margin``.

    Seeds stay where samples alone suffice; else either part of the variance gets half of what is
    allowed. None where these do suffice, or where nothing does.

    Args:
        estimate: of the difference, with these ``samples`` and ``seeds``.
        margin: fraction.
    """
    if margin <= 0 or not math.isfinite(estimate.standard_error) or samples < 1:
        return None
    # More of either brings the freedom along: the normal quantile from here on.
    factor = critical(Estimate(0.0, 1.0), comparisons)
    allowed = (margin / factor) ** 2
    of_samples = min(estimate.of_samples, estimate.standard_error**2)
    of_seeds = estimate.standard_error**2 - of_samples
    if of_samples + of_seeds <= allowed and critical(estimate, comparisons) <= 1.05 * factor:
        return None
    if of_seeds <= allowed / 2:
        return Needed(_rounded(samples * of_samples / (allowed - of_seeds), samples), seeds)
    return Needed(
        _rounded(samples * of_samples / (allowed / 2), samples),
        max(seeds + 1, math.ceil(seeds * of_seeds / (allowed / 2))),
    )


def needed_splits(
    estimate: Estimate, comparisons: int, margin: float, samples: int, splits: int, overlap: float
) -> Needed | None:
    """Splits with which two equal candidates would be shown to be within ``margin``.

    None where these do suffice, or where no number of them does: what they learn from overlaps.

    Args:
        estimate: of the difference, over these splits.
        samples: test samples of all splits.
        overlap: test over training samples of a split (:mod:`hqsearch.analysis.components`).
    """
    if margin <= 0 or not math.isfinite(estimate.standard_error) or samples < 1:
        return None
    factor = critical(Estimate(0.0, 1.0), comparisons)
    share = (margin / factor) ** 2 / estimate.standard_error**2 * (1.0 / splits + overlap)
    if share <= overlap:
        return None
    count = math.ceil(1.0 / (share - overlap))
    if count <= splits:
        return None
    return Needed(samples * count // splits, count, "splits")


def _rounded(count: float, least: int) -> int:
    """Two digits, upwards; no fewer than there are."""
    if count <= least:
        return least
    digits: int = 10 ** max(0, math.floor(math.log10(count)) - 1)
    return math.ceil(count / digits) * digits
