"""Exact resume of the strategies whose next proposal depends on every single result."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hqsearch.evaluator import Evaluator
from hqsearch.executors.in_process import InProcessExecutor
from hqsearch.executors.task import Task, TaskOutcome
from hqsearch.store.log import StudyLog
from hqsearch.strategies import strategy_class
from hqsearch.study import opening
from hqsearch.study.running import Finished

STEADY = {"strategy.nsga2.population": 6, "strategy.nsga2.mode": "steady"}
TPE = {"strategy.optuna-tpe.startup": 7}
GENETIC = {"strategy.optuna-nsga2.population": 6}
CASES = [("nsga2", STEADY), ("optuna-tpe", TPE), ("optuna-nsga2", GENETIC)]


class Crash(BaseException):
    """Stands for a power cut: nothing catches it."""


@pytest.fixture
def run(launched: Any) -> Any:
    def go(folder: Path, strategy: str, overrides: dict[str, Any], evaluations: int) -> Finished:
        finished = launched.run(
            folder, strategy=strategy, overrides=overrides, evaluations=evaluations
        )
        assert isinstance(finished, Finished)
        return finished

    return go


@pytest.fixture
def table(launched: Any) -> Any:
    return launched.table


@pytest.mark.parametrize(("strategy", "options"), CASES)
def test_the_same_command_continues_to_the_same_table(
    tmp_path: Path, strategy: str, options: dict[str, Any], run: Any, table: Any
) -> None:
    run(tmp_path / "whole", strategy, options, 20)
    for count in (4, 13, 20):
        finished = run(tmp_path / "parts", strategy, options, count)
        assert finished.mismatches == 0
    assert table(tmp_path / "parts") == table(tmp_path / "whole")


@pytest.mark.parametrize(("strategy", "options"), CASES[:2])
def test_a_crash_at_any_write_loses_nothing(
    tmp_path: Path, cut_driver: Any, strategy: str, options: dict[str, Any], run: Any, table: Any
) -> None:
    run(tmp_path / "whole", strategy, options, 13)

    def start() -> None:
        assert run(tmp_path / "cut", strategy, options, 13).mismatches == 0

    assert cut_driver(start) > 11
    assert table(tmp_path / "cut") == table(tmp_path / "whole")


class FourWorkers(InProcessExecutor):
    """Four evaluations in flight; which one finishes next depends on which ones there are."""

    def __init__(self, evaluator: Evaluator) -> None:
        super().__init__(evaluator)
        self.capacity = 4

    def next_finished(self, timeout: float) -> tuple[Task, TaskOutcome] | None:
        in_order = sorted(self._queue, key=lambda task: (task.number * 37 % 11, task.number))
        self._queue.clear()
        self._queue.extend(in_order)
        return super().next_finished(timeout)


@pytest.mark.parametrize(("strategy", "options"), CASES)
def test_several_workers_are_replayed_in_the_order_of_their_results(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    strategy: str,
    options: dict[str, Any],
    run: Any,
    table: Any,
) -> None:
    monkeypatch.setattr(opening, "InProcessExecutor", FourWorkers)
    run(tmp_path / "whole", strategy, options, 24)
    expected = table(tmp_path / "whole")
    original = StudyLog.finish
    for results in (2, 6, 5, 7):
        left = itertools.repeat(None, results)

        def cut(*args: Any, left: Iterator[None] = left) -> Any:
            for _ in left:
                return original(*args)
            raise Crash

        monkeypatch.setattr(StudyLog, "finish", cut)
        with pytest.raises(Crash):
            run(tmp_path / "cut", strategy, options, 24)
    monkeypatch.setattr(StudyLog, "finish", original)
    assert run(tmp_path / "cut", strategy, options, 24).mismatches == 0
    assert table(tmp_path / "cut") == expected
    monkeypatch.setattr(opening, "InProcessExecutor", InProcessExecutor)
    run(tmp_path / "one-worker", strategy, options, 24)
    assert table(tmp_path / "one-worker") != expected


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("strategy", ["nsga2", "optuna-tpe"])
def test_a_run_that_another_version_began_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str, workers: int, run: Any,
    launched: Any,
) -> None:  # fmt: skip
    """Another version draws other numbers and makes other batches: the log wins."""
    if workers > 1:
        monkeypatch.setattr(opening, "InProcessExecutor", FourWorkers)
    options = {"strategy.nsga2.assist": True, "evaluation.noise": 0.01}
    kind = strategy_class(strategy)
    began = kind.__init__

    def other(self: Any, problem: Any, options: Any, seed: int) -> None:
        began(self, problem, options, seed + 1)
        self._batch, self._first = 6, 12

    with monkeypatch.context() as patched:
        patched.setattr(kind, "__init__", other)
        run(tmp_path, strategy, options, 21)
    before = launched.table(tmp_path)
    finished = run(tmp_path, strategy, options, 40)
    after = launched.table(tmp_path)
    assert finished.mismatches > 0
    assert len(after) == 40
    assert after[:21] == before
    keys = [row[2] for row in after]
    assert len(set(keys)) == 40
    run(tmp_path, strategy, options, 44)
    assert len({row[2] for row in launched.table(tmp_path)}) == 44
