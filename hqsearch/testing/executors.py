"""What every executor promises, as tests to subclass."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from hqsearch.evaluator import Evaluator
from hqsearch.executors.base import Executor
from hqsearch.executors.task import Evaluate, Task, TaskOutcome


class ExecutorContract:
    """What every executor promises; see :class:`hqsearch.executors.base.Executor`."""

    @abstractmethod
    def make(self, folder: Path) -> tuple[Executor, Evaluator]:
        """A new executor, and an evaluator as its workers make it."""

    def test_every_task_comes_back_once(self, tmp_path: Path) -> None:
        executor, evaluator = self.make(tmp_path)
        candidates = list(evaluator.space.baselines().values())
        with executor:
            for number, candidate in enumerate(candidates):
                executor.submit(Task(number, Evaluate(candidate.key), 1))
            returned: dict[int, TaskOutcome] = {}
            while len(returned) < len(candidates):
                finished = executor.next_finished(5.0)
                if finished is not None:
                    assert finished[0].number not in returned
                    returned[finished[0].number] = finished[1]
            assert executor.next_finished(0.0) is None
        for number, candidate in enumerate(candidates):
            expected = evaluator.evaluate(candidate, 1).values
            assert returned[number].values == expected
            assert returned[number].failure == ""

    def test_several_are_waited_for_in_their_order(self, tmp_path: Path) -> None:
        executor, evaluator = self.make(tmp_path)
        candidates = list(evaluator.space.baselines().values())
        tasks = [Task(-1 - n, Evaluate(c.key), 1) for n, c in enumerate(candidates)]
        with executor:
            outcomes = executor.run_all(tasks)
            assert executor.next_finished(0.0) is None
        expected = [evaluator.evaluate(candidate, 1).values for candidate in candidates]
        assert [outcome.values for outcome in outcomes] == expected

    def test_an_exception_fails_its_task_alone(self, tmp_path: Path) -> None:
        executor, evaluator = self.make(tmp_path)
        good = next(iter(evaluator.space.baselines().values()))
        with executor:
            executor.submit(Task(0, Evaluate("no-such-layer=4u"), 1))
            executor.submit(Task(1, Evaluate(good.key), 1))
            returned: dict[int, TaskOutcome] = {}
            while len(returned) < 2:
                finished = executor.next_finished(5.0)
                if finished is not None:
                    returned[finished[0].number] = finished[1]
        assert returned[0].failure == "exception"
        assert returned[0].reason
        assert returned[0].attempts == 1
        assert returned[1].failure == ""

    def test_a_result_file_is_left_before_returning(self, tmp_path: Path) -> None:
        executor, evaluator = self.make(tmp_path)
        candidate = next(iter(evaluator.space.baselines().values()))
        path = tmp_path / "results" / "0.json"
        with executor:
            executor.submit(Task(0, Evaluate(candidate.key), 1, result_file=path))
            while executor.next_finished(5.0) is None:
                pass
        assert path.is_file()
