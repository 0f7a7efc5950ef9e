"""The pump: a crash at any step neither loses nor repeats what a worker has finished."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hqsearch.atomic import full_disk_told
from hqsearch.errors import DiskFull
from hqsearch.evaluator import Evaluator
from hqsearch.executors.in_process import InProcessExecutor
from hqsearch.executors.task import Evaluate, Task, TaskOutcome
from hqsearch.search.pump import Pump, ResultFiles
from hqsearch.store.log import StudyLog, storage_url
from hqsearch.store.records import Outcome, Proposal, TaskRecord, TrialRecord

FAILED = Outcome(order=0, failure="exception", reason="a made-up fault")


@pytest.fixture
def log(tmp_path: Path, toy: Evaluator) -> Iterator[StudyLog]:
    log = StudyLog(storage_url(None, tmp_path), "toy", toy.space, toy.objectives)
    yield log
    log.close()


@pytest.fixture
def files(tmp_path: Path) -> ResultFiles:
    return ResultFiles(tmp_path / "results", "token")


def proposal(evaluator: Evaluator, seed: int = 3) -> Proposal:
    candidate = evaluator.space.baselines()["4u"]
    return Proposal(0, 0, "random", "search", candidate.key, seed, 0)


def work(trial: TrialRecord, budget: int | None = None) -> Evaluate:
    return Evaluate(trial.proposal.key, budget)


def pump_of(
    log: StudyLog, evaluator: Evaluator, files: ResultFiles, budget: int | None = None
) -> Pump:
    executor = InProcessExecutor(evaluator)
    return Pump(log, evaluator, executor, files, lambda trial: work(trial, budget))


def begun(log: StudyLog) -> TrialRecord:
    (trial,) = log.trials()
    return trial


@pytest.fixture
def costly(toy: Evaluator, monkeypatch: pytest.MonkeyPatch) -> Evaluator:
    """The toy, but its results are worth a file."""
    monkeypatch.setattr(type(toy), "costly", True)
    return toy


def test_a_trial_is_in_the_log_before_it_starts(
    log: StudyLog, toy: Evaluator, files: ResultFiles
) -> None:
    pump = pump_of(log, toy, files)
    assert pump.has_room
    trial = pump.start_trial(proposal(toy))
    assert begun(log) == trial
    assert pump.in_flight == {trial.number: trial}
    assert not pump.has_room  # one at a time, in this process
    finished = pump.next_finished()
    assert finished is not None
    record, outcome = finished
    assert record == trial
    assert set(outcome.values) == {"accuracy", "energy", "storage"}
    assert pump.has_room
    assert pump.next_finished() is None


def test_a_result_outlives_a_driver_that_died_before_logging_it(
    log: StudyLog, costly: Evaluator, files: ResultFiles
) -> None:
    dying = pump_of(log, costly, files)
    dying.start_trial(proposal(costly))
    finished = dying.next_finished()
    assert finished is not None
    trial = begun(log)
    assert files.of(trial).is_file()

    next_driver = pump_of(log, costly, files)
    left = next_driver.recover(trial)
    assert left is not None
    assert left.values == finished[1].values
    assert next_driver.recovered == 1
    assert not next_driver.submit_queued()
    done = next_driver.finish_trial(trial, "FAIL", None, FAILED)
    assert begun(log) == done
    assert not files.of(trial).exists()


@pytest.mark.parametrize(
    ("token", "budget", "content"),
    [
        ("another study", None, None),
        ("token", 1, None),
        ("token", None, "{ cut off"),
        ("token", None, "[]"),
    ],
)
def test_what_no_worker_left_for_this_very_task_runs_again(
    log: StudyLog,
    costly: Evaluator,
    files: ResultFiles,
    token: str,
    budget: int | None,
    content: str | None,
) -> None:
    dying = pump_of(log, costly, files)
    trial = dying.start_trial(proposal(costly))
    dying.next_finished()
    if content is not None:
        files.of(trial).write_text(content)

    pump = pump_of(log, costly, ResultFiles(files.folder, token), budget)
    assert pump.recover(trial) is None
    assert pump.recovered == 0
    assert pump.in_flight == {}
    assert pump.submit_queued()
    assert pump.in_flight == {trial.number: trial}
    assert not pump.submit_queued()
    again = pump.next_finished()
    assert again is not None
    assert again[1].failure == ""


def test_a_crash_while_logging_keeps_the_result(
    log: StudyLog, costly: Evaluator, files: ResultFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    pump = pump_of(log, costly, files)
    trial = pump.start_trial(proposal(costly))
    pump.next_finished()

    def cut(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(StudyLog, "finish", cut)
    with pytest.raises(KeyboardInterrupt):
        pump.finish_trial(trial, "FAIL", None, FAILED)
    assert files.of(trial).is_file()


def test_a_strategys_own_task_has_a_file_of_its_own(
    log: StudyLog, toy: Evaluator, files: ResultFiles, tmp_path: Path
) -> None:
    task = TaskRecord(0, 0, 0, 0, "scores", {}, "one pass", 7, study="token")
    pump = pump_of(log, toy, files)
    pump.start_task(task)
    assert log.tasks() == [task]
    finished = pump.next_finished()
    assert finished is not None
    assert finished[0] == task
    assert set(finished[1].answer) >= {"scores"}
    assert (tmp_path / task.folder).is_dir()
    path = files.folder / "task-0-0.json"
    assert json.loads(path.read_text())["details"] == finished[1].answer
    left = pump_of(log, toy, files).recover(task)
    assert left is not None
    assert left.answer == finished[1].answer
    done = pump.finish_task(task, left, order=3)
    assert not path.exists()
    assert log.tasks() == [done]
    assert (done.state, done.order, done.details) == ("COMPLETE", 3, left.answer)


class Full(InProcessExecutor):
    """An executor whose disk is full."""

    def next_finished(self, timeout: float) -> tuple[Task, TaskOutcome] | None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_says_what_to_do(log: StudyLog, toy: Evaluator, files: ResultFiles) -> None:
    pump = Pump(log, toy, Full(toy), files, work)
    with pytest.raises(DiskFull, match="nothing finished is lost"), full_disk_told():
        pump.next_finished()


def test_other_errors_of_the_system_pass() -> None:
    with pytest.raises(PermissionError), full_disk_told():
        raise PermissionError(errno.EACCES, "not yours")
