"""What several strategies have to tell before a run."""

from __future__ import annotations

from hqsearch.strategies.base import Problem

#: Above this many objectives most of a population is non-dominated.
WEAK_ABOVE = 3


def many_objectives(problem: Problem) -> list[str]:
    """A warning for selection by dominance, where there are too many objectives for it."""
    count = len(problem.objectives)
    if count <= WEAK_ABOVE:
        return []
    return [
        f"{count} objectives: above {WEAK_ABOVE}, dominance gets weak and NSGA-II selects "
        "little better than chance; optuna-nsga3 is made for many objectives"
    ]
