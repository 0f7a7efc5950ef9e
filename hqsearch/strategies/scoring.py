"""The scoring pass that some strategies ask for: one per structural part, without training."""

from __future__ import annotations

from hqsearch.problem.space import Space
from hqsearch.strategies.base import StrategyTask, TaskResult
from hqsearch.surrogate import Scores

KIND = "scores"


def scoring_tasks(space: Space) -> list[StrategyTask]:
    """One pass over the parent of every structural part."""
    return [
        StrategyTask(KIND, {"structure": part}, f"one pass over the parent of {part}")
        if part
        else StrategyTask(KIND, {}, "one pass over the parent")
        for part in space.parts
    ]


def scores_of(result: TaskResult, space: Space) -> dict[str, Scores]:
    """What a pass found, by the structural part that it is about; empty where it failed."""
    if result.details is None:
        return {}
    part = result.task.payload.get("structure", "")
    return {part: Scores.of(result.details, space.parts[part])}
