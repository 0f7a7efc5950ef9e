"""The search loop with everything around it made of a few lines: log, executor, strategy."""

from __future__ import annotations

import errno
import importlib.util
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hqsearch.errors import DiskFull, RunFailed
from hqsearch.evaluator import Details, OtherTask, Resources, TaskAnswer
from hqsearch.executors.task import Evaluate, StrategyWork, Task, TaskOutcome
from hqsearch.search.events import SearchState
from hqsearch.store.records import Outcome, Proposal, TaskRecord
from hqsearch.strategies import Result, Signal, StrategyTask, TaskResult


def _parts() -> ModuleType:
    path = Path(__file__).with_name("engine_parts.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


parts = _parts()
BASELINES, SCORES, at = parts.BASELINES, parts.SCORES, parts.at
Cut, Evaluator, Scripted, Study = parts.Cut, parts.Evaluator, parts.Scripted, parts.Study
Workers = parts.Workers


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


def slots(strategy: Scripted) -> list[int]:
    return [r.slot for r in strategy.told if isinstance(r, Result)]


def test_a_trial_from_proposal_to_result(study: Study) -> None:
    strategy = Scripted(at(1, 0, 0))
    search = study.run(strategy, limit=2.0)
    first, _, third = study.log.records
    assert asdict(first.proposal) == asdict(
        Proposal(0, 0, "scripted", "baseline", "a=2u;b=2u;c=2u", 5, 0, None, "2u", None)
    )
    assert asdict(third.proposal) == asdict(
        Proposal(0, 2, "scripted", "search", "a=4u;b=2u;c=2u", 5, 2, None, "from a=4u;b=2u;c=2u")
    )
    assert (third.state, third.values) == ("COMPLETE", (0.2, 3.0))
    assert third.outcome == Outcome(
        2,
        1.0,
        0.5,  # on the measured energy, 3 of 2; the estimate is 2
        attempts=2,
        details=Details.from_json(
            {
                **parts.DETAILS,
                "versions": {"numpy": "1"},
                "measured": {"energy": 3.0, "average_bits": 4.0, "accuracy": 0.2},
            }
        ),
    )
    told = strategy.told[2]
    assert told == Result(2, at(1, 0, 0), "search", (0.2, 3.0), 0.5, "scripted", None, (), 0.25)
    assert (search.finished, search.copies, search.recovered, search.mismatches) == (3, 0, 0, 0)
    assert search.exhausted
    assert [r.number for r in search.trials] == sorted(search.records) == [0, 1, 2]
    task = study.workers.submitted[2]
    assert (task.number, task.work) == (2, Evaluate("a=4u;b=2u;c=2u"))
    assert (task.seed, task.resources) == (5, Resources(2.0))
    assert task.identity() == {"key": "a=4u;b=2u;c=2u", "seed": 5, "study": "0123456789abcdef"}
    assert task.result_file == study.folder / "results" / "2.json"
    assert not task.result_file.exists()
    assert study.display.finished == 3


def test_cheap_evaluations_leave_no_files(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Evaluator, "costly", False)
    study.run(Scripted())
    assert [t.result_file for t in study.workers.submitted] == [None, None]


def test_it_ends_at_the_number_of_evaluations(study: Study) -> None:
    strategy = Scripted(at(1, 0, 0), at(0, 1, 0), at(0, 0, 1))
    search = study.run(strategy, evaluations=4)
    assert (search.finished, len(study.log.records), search.exhausted) == (4, 4, False)
    assert strategy.place == 2


@pytest.mark.parametrize("last", [False, True])
def test_as_many_in_flight_as_there_is_room(study: Study, last: bool) -> None:
    study.workers = Workers(3, last)
    strategy = Scripted(at(1, 0, 0), 3, at(0, 1, 0), at(0, 0, 1))
    study.run(strategy)
    assert study.workers.most == 3
    # Told as results come in: of three in flight the last or the first one.
    assert slots(strategy) == ([2, 1, 0, 4, 3] if last else [0, 1, 2, 3, 4])
    assert [r.outcome.order for r in study.log.records if r.outcome] == (
        [2, 1, 0, 4, 3] if last else [0, 1, 2, 3, 4]
    )
    assert [r.proposal.seen for r in study.log.records] == [0, 0, 0, 3, 3]


def test_a_copy_is_judged_by_the_budgets_of_its_own_run(study: Study) -> None:
    study.run(Scripted(at(1, 0, 0)))
    strategy = Scripted(at(1, 0, 0), at(0, 1, 0))
    search = study.run(strategy, run=1, limit=2.0)
    copies = study.log.records[3:6]
    assert [c.proposal.copy_of for c in study.log.records[3:]] == [0, 1, 2, None]
    assert [c.state for c in copies] == ["COMPLETE"] * 3
    assert [c.outcome.violation for c in copies if c.outcome] == [0.0, 3.0, 0.5]
    original = study.log.records[2].outcome
    assert copies[2].outcome == Outcome(2, violation=0.5, details=original.details)
    assert (search.copies, search.finished, len(study.workers.submitted)) == (3, 4, 4)
    assert [(r.violation, r.values) for r in strategy.told[:3]] == [
        (0.0, (0.0, 2.0)), (3.0, (0.7, 8.0)), (0.5, (0.2, 3.0)),
    ]  # fmt: skip


def test_a_failure_fails_its_trial_alone_and_is_tried_again_by_the_next_run(study: Study) -> None:
    key = at(1, 0, 0).key
    study.workers.broken[key] = TaskOutcome(
        {}, Details(cpu_seconds=1.0), {}, "nan", "accuracy=nan", 2.0, 3
    )
    strategy = Scripted(at(1, 0, 0), at(0, 1, 0))
    search = study.run(strategy)
    failed = study.log.records[2]
    assert (failed.state, failed.values) == ("FAIL", None)
    assert failed.outcome == Outcome(
        2,
        2.0,
        0.0,
        "nan",
        "accuracy=nan",
        3,
        Details(cpu_seconds=1.0, versions={"numpy": "1"}),
    )
    assert strategy.told[2].values is None  # type: ignore[union-attr]
    assert (study.log.records[3].state, search.finished) == ("COMPLETE", 4)
    study.workers.broken.clear()
    study.run(Scripted(at(1, 0, 0)), run=1)
    assert [r.proposal.copy_of for r in study.log.records[4:]] == [0, 1, None]


def test_a_task_of_the_strategy_s_own(study: Study) -> None:
    study.baselines = {}
    strategy = Scripted(SCORES, SCORES, 2, at(1, 0, 0))
    search = study.run(strategy)
    first, second = study.log.tasks.values()
    assert first.seed != second.seed
    assert first == TaskRecord(
        0, 0, 0, 0, "scoring", {"depth": 2}, "one pass", first.seed, "COMPLETE", 0, 9.0,
        details={"scores": 1}, study="01234567",
    )  # fmt: skip
    assert (second.index, second.seen, second.order) == (1, 1, 1)
    assert strategy.told[:2] == [
        TaskResult(i, SCORES, TaskAnswer(extra={"scores": 1})) for i in (0, 1)
    ]
    submitted = study.workers.submitted[0]
    assert submitted.work == StrategyWork(SCORES.task, "tasks/01234567-0-0")
    assert (submitted.number, submitted.seed) == (-2, first.seed)
    assert submitted.resources == Resources(3.0)
    assert submitted.identity() == {
        "kind": "scoring", "payload": {"depth": 2}, "folder": "tasks/01234567-0-0",
        "seed": first.seed, "study": "0123456789abcdef",
    }  # fmt: skip
    assert submitted.result_file == study.folder / "results" / "task-0-0.json"
    assert not submitted.result_file.exists()
    assert search.tasks == [first, second]
    assert search._state().planned_tasks == 2
    assert study.log.records[0].proposal.seen == 2
    assert study.search(Scripted(), run=1)._state().planned_tasks == 1


def test_a_task_that_fails_is_told(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = TaskOutcome(
        answer={"cpu_seconds": 1.0}, failure="died", reason="out of memory", attempts=3
    )
    monkeypatch.setattr(study.workers, "perform", lambda task: broken)
    study.baselines = {}
    strategy = Scripted(SCORES)
    study.run(strategy)
    assert strategy.told == [TaskResult(0, SCORES, None, "died")]
    record = study.log.tasks[0]
    assert (record.state, record.details, record.reason) == ("FAIL", None, "out of memory")
    assert (record.attempts, record.failure) == (3, "died")


def test_a_strategy_that_waits_for_nothing_is_an_error(study: Study) -> None:
    with pytest.raises(RunFailed, match="scripted waits, but nothing is in flight"):
        study.run(Scripted(99))


def test_a_full_disk_is_told_and_other_errors_pass(study: Study) -> None:
    study.workers.broken[at(1, 0, 0).key] = OSError(errno.ENOSPC, "full")
    with pytest.raises(DiskFull, match="free some and resume"):
        study.run(Scripted(at(1, 0, 0)))
    study.workers.broken[at(1, 0, 0).key] = OSError(errno.EACCES, "forbidden")
    with pytest.raises(OSError, match="forbidden"):
        study.run(Scripted(at(1, 0, 0)))


def test_a_slow_display_is_told_of_few_changes(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 0.0

    def changed(state: SearchState) -> None:
        nonlocal clock
        told.append(clock)
        clock += 1.0

    def perform(task: Task) -> TaskOutcome:
        nonlocal clock
        clock += 3.0
        return TaskOutcome({"accuracy": 0.5, "energy": 1.0})

    told: list[float] = []
    monkeypatch.setattr(study.display, "changed", changed)
    monkeypatch.setattr(study.workers, "perform", perform)
    monkeypatch.setattr("time.monotonic", lambda: clock)
    study.run(Scripted(*(at(1, b, c) for b in range(3) for c in range(3))))
    # 11 results, one every 3 s; a second of display, then 20 s without, but of the last always.
    assert told == [0.0, 22.0, 35.0]


# Early stopping


def test_a_cohort_goes_through_its_rungs(study: Study) -> None:
    study.workers = Workers(3, last=True)
    strategy = Scripted(at(1, 0, 0), at(0, 1, 0), at(2, 0, 0), at(2, 1, 0), 6, at(0, 0, 1))
    kept = study.folder / "rungs"
    for number in range(7):
        (kept / f"01234567-{number}").mkdir(parents=True)
    search = study.run(strategy, rungs=(2, 4), limit=4.0)
    budgets = [(t.number, t.work.to_json().get("budget", "none")) for t in study.workers.submitted]
    assert sorted(budgets[:6]) == [(0, "none"), (1, "none"), *((n, 2) for n in (2, 3, 4, 5))]
    assert study.workers.submitted[-1].checkpoint == "rungs/01234567-6"
    assert study.workers.submitted[0].checkpoint is None
    first, second = (d for d in study.log.decisions if d.cohort == 0)
    # Energies are 3, 3, 4 and 5: the last one is beyond the budget.
    assert (first.promoted, first.ranked[-1], set(first.ranked)) == (2, 5, {2, 3, 4, 5})
    assert (second.promoted, set(second.ranked)) == (1, set(first.ranked[:2]))
    states = {r.number: r.state for r in study.log.records}
    assert [states[n] for n in first.ranked[2:]] == ["PRUNED", "PRUNED"]
    assert (states[second.ranked[0]], states[second.ranked[1]]) == ("COMPLETE", "PRUNED")
    # The strategy is told cohort by cohort, in the order of proposal.
    assert slots(strategy) == [0, 1, 2, 3, 4, 5, 6]
    assert [r.outcome.order for r in study.log.records if r.outcome] == [0, 1, 2, 3, 4, 5, 6]
    assert [r.proposal.cohort for r in study.log.records] == [0] * 6 + [1]
    assert list(kept.iterdir()) == []
    assert search.finished == 7


def test_what_a_rung_and_a_stop_leave_in_the_log(study: Study) -> None:
    strategy = Scripted(at(1, 0, 0), at(2, 1, 0))
    study.run(strategy, rungs=(2, 4), limit=4.0)
    stopped = study.log.records[3]
    (rung,) = stopped.rungs
    measured = {"energy": 5.0, "average_bits": 4.0, "accuracy": 0.125}
    details = Details(average_bits=4, accuracy_se=0.25, cpu_seconds=0.5, measured=measured)
    assert (rung.epoch, rung.values, rung.violation) == (2, (0.125, 5.0), 0.25)
    assert (rung.seconds, rung.attempts, rung.details) == (1.0, 2, details)
    assert (stopped.state, stopped.values) == ("PRUNED", None)
    assert stopped.outcome == Outcome(
        3, 1.0, 0.25, attempts=2, details=replace(details, versions={"numpy": "1"}), stopped_at=2
    )
    assert strategy.told[3].stopped_at == 2  # type: ignore[union-attr]
    whole = study.log.records[2]
    assert whole.outcome is not None
    # Two rungs and the rest, each of which died once.
    assert (whole.outcome.seconds, whole.outcome.attempts) == (3.0, 4)
    assert [r.epoch for r in whole.rungs] == [2, 4]
    assert not list((study.folder / "results").iterdir())


def test_a_cohort_has_its_size(study: Study) -> None:
    strategy = Scripted(at(1, 0, 0), at(0, 1, 0), at(0, 0, 1), at(1, 1, 0), at(1, 0, 1))
    study.run(strategy, rungs=(4,), size=2)
    assert [r.proposal.cohort for r in study.log.records] == [0, 0, 0, 0, 1, 1, 2]
    assert [(d.cohort, len(d.ranked), d.promoted) for d in study.log.decisions] == [
        (0, 2, 1), (1, 2, 1), (2, 1, 1),
    ]  # fmt: skip


def test_who_was_stopped_is_not_tried_again_by_a_run_alike(study: Study) -> None:
    study.run(Scripted(at(1, 0, 0), at(2, 1, 0)), rungs=(2,), limit=4.0)
    assert study.log.records[3].state == "PRUNED"
    again = Scripted(at(1, 0, 0), at(2, 1, 0))
    study.run(again, run=1, rungs=(2,), limit=2.5, alike=frozenset({0}))
    copy = study.log.records[7]
    assert (copy.state, copy.values, copy.proposal.copy_of) == ("PRUNED", None, 3)
    assert copy.rungs == study.log.records[3].rungs
    assert copy.outcome is not None
    assert (copy.outcome.stopped_at, copy.outcome.violation) == (2, 1.0)
    whole = study.log.records[6]
    assert (whole.state, whole.rungs) == ("COMPLETE", ())
    study.run(Scripted(at(2, 1, 0)), run=2, rungs=(2,))
    assert study.log.records[10].proposal.copy_of is None
    # A complete one answers better than a stopped one, and the first one first.
    study.run(Scripted(at(2, 1, 0), at(1, 0, 0)), run=3, alike=frozenset({0, 1, 2}))
    assert [r.proposal.copy_of for r in study.log.records[11:]] == [0, 1, 10, 2]


# Replay

CUTS: list[dict[str, Any]] = [{}, {"rungs": (2, 4)}, {"rungs": (4,), "size": 2}]


@pytest.mark.parametrize("options", CUTS)
@pytest.mark.parametrize("left", [True, False])
def test_cut_at_any_write_the_table_is_the_same(
    tmp_path: Path, options: dict[str, Any], left: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what workers left in files, and without."""
    monkeypatch.setattr("os.fsync", lambda _: None)

    def script() -> Scripted:
        names = (at(1, 0, 0), at(0, 1, 0), at(2, 1, 0), at(0, 2, 0))
        tasks = () if options else (SCORES,)
        return Scripted(*tasks, *names, 6 + len(tasks), at(0, 0, 1), at(2, 2, 1))

    whole = Study(tmp_path / "whole")
    whole.run(script(), limit=4.0, **options)
    told = script()
    for cut in range(whole.log.writes):
        study = Study(tmp_path / f"{cut}")
        study.log.cut, study.workers.leaves_files = cut, left
        with pytest.raises(Cut):
            study.run(script(), limit=4.0, **options)
        study.log.cut, study.workers = -1, Workers()
        study.workers.leaves_files = left
        unfinished = [r for r in study.log.records if not r.finished]
        strategy = script()
        search = study.run(strategy, limit=4.0, **options)
        assert study.log.records == whole.log.records
        assert study.log.tasks == whole.log.tasks
        assert study.log.decisions == whole.log.decisions
        assert search.mismatches == 0
        assert search.finished == len(whole.log.records)
        assert search.recovered <= len(unfinished) + 1
        told = strategy
    assert [r.slot for r in told.told if isinstance(r, Result)] == list(range(8))


def test_a_result_that_a_worker_left_is_taken_over_once(study: Study) -> None:
    study.log.cut = 3  # the second baseline's result is in its file, not in the log
    with pytest.raises(Cut):
        study.run(Scripted())
    file = study.folder / "results" / "1.json"
    assert json.loads(file.read_text())["key"]["key"] == BASELINES["fp32"].key
    study.log.cut, study.workers = -1, Workers()
    search = study.run(Scripted())
    assert (search.recovered, search.finished, study.workers.submitted) == (1, 2, [])
    assert not file.exists()
    assert study.run(Scripted()).recovered == 0


def test_the_log_wins_over_what_a_strategy_says_now(study: Study) -> None:
    study.run(Scripted(at(1, 0, 0), at(0, 1, 0), at(0, 0, 1)))
    strategy = Scripted(at(1, 0, 0), at(2, 2, 0), at(0, 0, 1), at(1, 1, 1))
    search = study.run(strategy)
    assert search.mismatches == 1
    assert strategy.overruled_by == [(at(2, 2, 0), at(0, 1, 0).key)]
    assert [r.proposal.key for r in study.log.records[2:]] == [
        at(1, 0, 0).key, at(0, 1, 0).key, at(0, 0, 1).key, at(1, 1, 1).key,
    ]  # fmt: skip
    # The last recorded one is proposed anew, so that a difference shows.
    assert [key for key, _ in strategy.trusted] == [at(1, 0, 0).key, at(0, 1, 0).key]
    early = Scripted(at(1, 0, 0))
    assert study.run(early).mismatches == 3
    assert early.overruled_by[0] == (Signal.DONE, at(0, 1, 0).key)


def test_a_task_that_a_strategy_asks_for_no_more_stays_in_the_log(study: Study) -> None:
    study.baselines = {}
    study.run(Scripted(SCORES, 1, at(1, 0, 0)))
    strategy = Scripted(replace_payload(SCORES), 1, at(1, 0, 0), at(0, 1, 0))
    search = study.run(strategy)
    assert (search.mismatches, strategy.overruled_by) == (1, [])
    assert [(t.payload, t.state) for t in study.log.tasks.values()] == [({"depth": 2}, "COMPLETE")]
    assert [r.proposal.key for r in study.log.records] == [at(1, 0, 0).key, at(0, 1, 0).key]


def replace_payload(task: StrategyTask) -> StrategyTask:
    return replace(task, task=OtherTask("scoring", {"depth": 3}))


def test_a_baseline_that_the_study_has_no_more_stays_in_the_log(study: Study) -> None:
    study.run(Scripted(at(1, 0, 0)))
    study.baselines = {"4u": at(1, 1, 1), "fp32": BASELINES["fp32"]}
    strategy = Scripted(at(1, 0, 0))
    search = study.run(strategy)
    assert (search.mismatches, strategy.overruled_by) == (1, [])
    assert [r.proposal.key for r in study.log.records[:2]] == [b.key for b in BASELINES.values()]


def test_a_replayed_strategy_is_told_no_more_than_it_had_seen(study: Study) -> None:
    def script() -> Scripted:
        return Scripted(at(1, 0, 0), 3, at(0, 1, 0), 4, at(0, 0, 1))

    study.workers = Workers(2)
    study.run(script(), evaluations=4)
    seen: list[tuple[int, int]] = []
    strategy = script()
    proposed: Callable[[], Any] = strategy.next

    def watched() -> Any:
        seen.append((strategy.place, len(strategy.told)))
        return proposed()

    strategy.next = watched  # type: ignore[method-assign]
    search = study.run(strategy)
    assert seen[0] == (0, 1)
    assert seen[1] == (1, 3)
    assert search.finished == 5
    assert slots(strategy) == [0, 1, 2, 3, 4]
