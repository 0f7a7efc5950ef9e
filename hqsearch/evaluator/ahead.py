"""Cheap metrics that are known before anything is prepared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hqsearch.problem.candidate import Candidate


@dataclass(frozen=True)
class Ahead:
    """Some of an evaluator's cheap metrics, exactly as they will be after its preparation.

    Attributes:
        metrics: names.
        cheap: candidates → ``[n_candidates, len(metrics)]``.
        reference: the same of the network with every layer in fp32.
    """

    metrics: tuple[str, ...]
    cheap: Callable[[Sequence[Candidate]], npt.NDArray[np.float64]]
    reference: Mapping[str, float]
