"""The scoring pass that some strategies ask for: one per structural part, without training."""

from __future__ import annotations

from hqsearch.evaluator.tasks import ScoresResult, ScoresTask
from hqsearch.problem.space import Space
from hqsearch.strategies.base import StrategyTask, TaskResult
from hqsearch.surrogate import Scores

#: Label of the pass where there is one parent; logs hold it.
PASS = "one pass over the parent"


def scoring_tasks(space: Space) -> list[StrategyTask]:
    """One pass over the parent of every structural part."""
    return [
        StrategyTask(ScoresTask(part), f"{PASS} of {part}" if part else PASS)
        for part in space.parts
    ]


def scores_of(result: TaskResult, space: Space) -> dict[str, Scores]:
    """What a pass found, by the structural part that it is about; empty where it failed."""
    answer, task = result.answer, result.task.task
    if not isinstance(answer, ScoresResult) or not isinstance(task, ScoresTask):
        return {}
    scores, errors = answer.scores or {}, answer.standard_errors or {}
    return {task.structure: Scores.of(scores, errors, space.parts[task.structure])}
