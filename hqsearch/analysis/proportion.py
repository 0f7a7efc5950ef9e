"""How sure a share of samples, or a mean of scores, is."""

from __future__ import annotations

import math

#: Standard normal quantile of a two-sided interval of 95 %.
_Z = 1.959963984540054


def wilson_interval(right: int, samples: int) -> tuple[float, float]:
    """95 % interval of a probability of which ``right`` of ``samples`` trials were a success.

    Wilson, JASA 22 (1927); it stays within 0 and 1 and is of use at both.

    >>> tuple(round(end, 4) for end in wilson_interval(8, 10))
    (0.4902, 0.9433)

    Raises:
        ValueError: no samples, or more successes than samples.
    """
    if samples < 1 or not 0 <= right <= samples:
        raise ValueError(f"{right} of {samples} is no share.")
    share, weight = right / samples, _Z * _Z / samples
    middle = (share + weight / 2) / (1 + weight)
    half = _Z * math.sqrt(share * (1 - share) / samples + weight / (4 * samples)) / (1 + weight)
    return max(0.0, middle - half), min(1.0, middle + half)


def score_interval(mean: float, standard_error: float) -> tuple[float, float]:
    """95 % interval of a mean of scores from 0 to 1 that are not all 0 or 1: the normal one.

    >>> tuple(round(end, 3) for end in score_interval(0.5, 0.1))
    (0.304, 0.696)
    """
    half = _Z * standard_error
    return max(0.0, mean - half), min(1.0, mean + half)
