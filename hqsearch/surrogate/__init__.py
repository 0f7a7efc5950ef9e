"""A model of dear objectives, fitted to what was measured, and what it expects to gain."""

from hqsearch.surrogate.additive import Posterior, Settings, fit
from hqsearch.surrogate.design import Design, Scores
from hqsearch.surrogate.improvement import CellFront, expected_improvement
from hqsearch.surrogate.model import Model
from hqsearch.surrogate.scored import ScoredPosterior

__all__ = [
    "CellFront",
    "Design",
    "Model",
    "Posterior",
    "ScoredPosterior",
    "Scores",
    "Settings",
    "expected_improvement",
    "fit",
]
