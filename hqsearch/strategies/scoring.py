"""The scoring pass that some strategies ask for, without training."""

from __future__ import annotations

from hqsearch.evaluator.tasks import ScoresResult
from hqsearch.problem.space import Space
from hqsearch.surrogate import Scores


def scores_of(answer: ScoresResult, space: Space) -> Scores:
    """What a pass found, in the order of the space."""
    return Scores.of(answer.scores or {}, answer.standard_errors or {}, space)
