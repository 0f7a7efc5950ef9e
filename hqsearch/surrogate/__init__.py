"""A model of dear objectives, fitted to what was measured, and what it expects to gain."""

from hqsearch.surrogate.additive import Posterior, Settings, fit
from hqsearch.surrogate.design import Design, Scores
from hqsearch.surrogate.improvement import Front, expected_improvement

__all__ = ["Design", "Front", "Posterior", "Scores", "Settings", "expected_improvement", "fit"]
