"""The executor contract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType

from hqsearch.executors.task import Task, TaskOutcome


class Executor(ABC):
    """Runs tasks.

    Guarantees: every submitted task is returned exactly once by :meth:`next_finished`; a
    worker that dies, a lost node or object, or a time limit is retried up to ``retries`` times
    with the same seed and then returned as failed; an exception in a task is not retried.
    """

    #: How many evaluations are worth having in flight.
    capacity: int

    @abstractmethod
    def submit(self, task: Task) -> None:
        """Start a task, or queue it."""

    @abstractmethod
    def next_finished(self, timeout: float) -> tuple[Task, TaskOutcome] | None:
        """A task that has finished; None when none did within ``timeout`` seconds."""

    @abstractmethod
    def run(self, task: Task) -> TaskOutcome:
        """Run a task and wait for it; its exception is raised here."""

    def run_all(self, tasks: Sequence[Task]) -> list[TaskOutcome]:
        """Run several and wait for all; the first exception is raised here."""
        return [self.run(task) for task in tasks]

    def close(self) -> None:  # noqa: B027 - a hook, empty where there is nothing to release
        """Stop what is still running and release the workers."""

    def __enter__(self) -> Executor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
