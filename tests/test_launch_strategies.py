"""Exact resume of the strategies whose next proposal depends on every single result."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hqsearch import launch
from hqsearch.evaluator import Evaluator
from hqsearch.executors.in_process import InProcessExecutor
from hqsearch.executors.task import Task, TaskOutcome
from hqsearch.launch import Finished, Request, start
from hqsearch.report.live import LiveProgress
from hqsearch.store.log import LogReader, StudyLog, storage_url

STEADY = {"strategy.nsga2.population": 6, "strategy.nsga2.mode": "steady"}
TPE = {"strategy.optuna-tpe.startup": 7}
GENETIC = {"strategy.optuna-nsga2.population": 6}
CASES = [("nsga2", STEADY), ("optuna-tpe", TPE), ("optuna-nsga2", GENETIC)]


class Crash(BaseException):
    """Stands for a power cut: nothing catches it."""


def run(folder: Path, strategy: str, overrides: dict[str, Any], evaluations: int) -> Finished:
    request = Request(
        "toy", strategy, evaluations=evaluations, studies_dir=folder, overrides=overrides
    )
    with LiveProgress(Console(quiet=True)) as progress:
        return start(request, progress)


def table(folder: Path) -> list[tuple[Any, ...]]:
    """Number, state, choices, values, seed of every trial."""
    reader = LogReader(storage_url(None, folder.resolve() / "toy"), "toy")
    rows = [(t.number, t.state, t.proposal.key, t.values, t.proposal.seed) for t in reader.trials()]
    reader.close()
    return rows


@pytest.mark.parametrize(("strategy", "options"), CASES)
def test_the_same_command_continues_to_the_same_table(
    tmp_path: Path, strategy: str, options: dict[str, Any]
) -> None:
    run(tmp_path / "whole", strategy, options, 20)
    for count in (4, 13, 20):
        finished = run(tmp_path / "parts", strategy, options, count)
        assert finished.mismatches == 0
    assert table(tmp_path / "parts") == table(tmp_path / "whole")


@pytest.mark.parametrize(("strategy", "options"), CASES[:2])
def test_a_crash_at_any_write_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str, options: dict[str, Any]
) -> None:
    """Cut the driver before and after writes to the log, resuming each time."""
    run(tmp_path / "whole", strategy, options, 13)
    expected = table(tmp_path / "whole")
    from optuna.storages import RDBStorage

    writes = limit = 0

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal writes
            writes += 1
            if writes == limit:
                raise Crash
            done = original(*args, **kwargs)
            writes += 1
            if writes == limit:
                raise Crash
            return done

        return call

    for name in ("_create_new_trial", "set_trial_user_attr", "set_trial_state_values"):
        monkeypatch.setattr(RDBStorage, name, counted(getattr(RDBStorage, name)))
    crashes = 0
    while True:
        writes, limit = 0, 1 + (crashes * 5) % 9
        try:
            assert run(tmp_path / "cut", strategy, options, 13).mismatches == 0
            break
        except Crash:
            crashes += 1
            assert crashes < 500
    assert crashes > 11
    assert table(tmp_path / "cut") == expected


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str, options: dict[str, Any]
) -> None:
    monkeypatch.setattr(launch, "InProcessExecutor", FourWorkers)
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
    monkeypatch.setattr(launch, "InProcessExecutor", InProcessExecutor)
    run(tmp_path / "one-worker", strategy, options, 24)
    assert table(tmp_path / "one-worker") != expected
