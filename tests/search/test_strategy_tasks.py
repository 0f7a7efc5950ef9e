"""Tasks of a strategy's own: logged before they start, retried, replayed, cut anywhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from hqsearch.errors import InputError
from hqsearch.evaluator import OtherTask
from hqsearch.problem.candidate import Candidate
from hqsearch.store.log import LogReader, storage_url
from hqsearch.store.records import TaskRecord
from hqsearch.strategies import Signal, Strategy, StrategyTask, TaskResult
from hqsearch.study import identity
from hqsearch.study import running as launch

ASKED = """
import json
from hqsearch.evaluators.toy import Toy

class Answering(Toy):
    strategy_tasks = frozenset({"draw"})

    def strategy_task(self, task, seed, folder):
        with (folder / "starts").open("a") as file:
            file.write("x")
        if task.payload["number"] == 1:
            raise ValueError("the second one fails")
        return {"seed": seed, "kind": task.kind, "folder": folder.name}
"""


class Asking(Strategy):
    """Three tasks; each answer is worth two candidates, drawn from the task's seed."""

    name: ClassVar[str] = "asking"
    tasks_needed: ClassVar[frozenset[str]] = frozenset({"draw"})

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._asked = self._answered = 0
        self._queue: deque[Candidate] = deque()
        self._origins: dict[Candidate, str] = {}

    def next(self) -> Candidate | StrategyTask | Signal:
        if self._asked < 3:
            self._asked += 1
            return StrategyTask(
                OtherTask("draw", {"number": self._asked - 1}), f"task {self._asked}"
            )
        if self._queue:
            return self._queue.popleft()
        return Signal.WAIT if self._answered < 3 else Signal.DONE

    def observe_task(self, result: TaskResult) -> None:
        self._answered += 1
        if result.answer is None:
            return
        generator = np.random.default_rng(result.answer.extra["seed"])
        for _ in range(2):
            candidate = self.problem.space.random(generator)
            self._origins[candidate] = result.task.label
            self._queue.append(candidate)

    def observe(self, result: Any) -> None:
        assert result.strategy == "asking"

    def origin(self, candidate: Candidate) -> str:
        return self._origins[candidate]


@pytest.fixture
def study(tmp_path: Path, study_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "asked.py").write_text(ASKED)
    original = launch.strategy_class
    for module in (launch, identity):
        monkeypatch.setattr(
            module, "strategy_class", lambda name: Asking if name == "asking" else original(name)
        )
    return str(study_file("asked", evaluator="asked.py:Answering"))


def tasks(folder: Path) -> list[TaskRecord]:
    reader = LogReader(storage_url(None, folder.resolve() / "asked"), "asked")
    found = reader.tasks()
    reader.close()
    return found


def test_tasks_are_logged_and_their_candidates_evaluated(
    tmp_path: Path, study: str, launched: Any
) -> None:
    finished = launched.run(tmp_path, study, strategy="asking")
    assert finished.exhausted
    # Five baselines and two candidates of each task that did not fail.
    assert finished.finished == 9
    logged = tasks(tmp_path)
    assert [t.state for t in logged] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert logged[1].reason == "ValueError: the second one fails"
    assert logged[0].details is not None
    assert logged[0].details["folder"] == Path(logged[0].folder).name
    assert len({t.seed for t in logged}) == 3
    reader = LogReader(storage_url(None, tmp_path / "asked"), "asked")
    origins = [t.proposal.origin for t in reader.trials()][5:]
    # Another log in the same place must not take over what this one's tasks left.
    assert logged[0].folder == f"tasks/{reader.attributes()['study']['token'][:8]}-0-0"
    reader.close()
    assert origins == ["task 1", "task 1", "task 3", "task 3"]
    assert not list((tmp_path / "asked" / "results").glob("*"))


def test_cut_at_any_write_the_same_table_comes_out(
    tmp_path: Path, study: str, launched: Any, cut_driver: Any
) -> None:
    launched.run(tmp_path / "whole", study, strategy="asking")

    def again() -> None:
        assert launched.run(tmp_path / "cut", study, strategy="asking").mismatches == 0

    assert cut_driver(again) > 10
    assert launched.table(tmp_path / "cut", "asked") == launched.table(tmp_path / "whole", "asked")
    whole, cut = tasks(tmp_path / "whole"), tasks(tmp_path / "cut")
    assert [(t.seed, t.state, t.order, t.seen, t.slot) for t in cut] == [
        (t.seed, t.state, t.order, t.seen, t.slot) for t in whole
    ]


def test_a_result_that_a_dead_driver_left_is_taken_over(
    tmp_path: Path, study: str, launched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hqsearch.store.log import StudyLog

    original = StudyLog.put_task

    def dies(self: StudyLog, task: TaskRecord) -> None:
        if task.finished:
            raise KeyboardInterrupt
        original(self, task)

    monkeypatch.setattr(StudyLog, "put_task", dies)
    with pytest.raises(KeyboardInterrupt):
        launched.run(tmp_path, study, strategy="asking")
    monkeypatch.setattr(StudyLog, "put_task", original)
    assert [t.state for t in tasks(tmp_path)] == ["RUNNING"]
    finished = launched.run(tmp_path, study, strategy="asking")
    assert finished.recovered == 1
    folder = tmp_path / "asked" / tasks(tmp_path)[0].folder
    assert (folder / "starts").read_text() == "x"


def test_an_evaluator_that_cannot_is_refused(tmp_path: Path, study: str, launched: Any) -> None:
    assert study
    with pytest.raises(InputError, match=r"needs an evaluator that can do draw, and 'toy' cannot"):
        launched.run(tmp_path / "other", strategy="asking")
    assert not (tmp_path / "other").exists()
