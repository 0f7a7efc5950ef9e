"""Tasks in this very process: for cheap evaluators, tests and debugging."""

from __future__ import annotations

from collections import deque

from hqsearch.evaluator import Evaluator
from hqsearch.executors.base import Executor
from hqsearch.executors.task import Task, TaskOutcome, perform


class InProcessExecutor(Executor):
    """Runs a task when its outcome is asked for. It cannot keep a time limit."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.capacity = 1
        self._evaluator = evaluator
        self._queue: deque[Task] = deque()

    def submit(self, task: Task) -> None:
        self._queue.append(task)

    def next_finished(self, timeout: float) -> tuple[Task, TaskOutcome] | None:
        if not self._queue:
            return None
        task = self._queue.popleft()
        return task, perform(self._evaluator, task)

    def run(self, task: Task) -> TaskOutcome:
        return perform(self._evaluator, task)
