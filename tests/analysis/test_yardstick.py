"""What runs are compared by, and what each is charged for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hqsearch.analysis.yardstick import (
    Charge,
    Course,
    PartSeconds,
    Yardstick,
    at_seconds,
    by_evaluation,
    by_seconds,
    charges,
    course_of,
    make_yardstick,
)
from hqsearch.errors import RunFailed
from hqsearch.evaluator import Details
from hqsearch.problem.objective import ACCURACY, ENERGY, STORAGE
from hqsearch.problem.pareto import hypervolume
from hqsearch.store.records import Outcome, Proposal, RunRecord, TaskRecord, TrialRecord

OBJECTIVES = (ACCURACY, ENERGY, STORAGE)


def trial(
    number: int, run: int, slot: int, key: str, seconds: float = 1.0, **more: Any
) -> TrialRecord:
    copy_of, state = more.pop("copy_of", None), more.pop("state", "COMPLETE")
    proposal = Proposal(run, slot, "s", "search", key, 0, 0, copy_of)
    values = more.pop("values", (0.8, 1.0, 10.0)) if state == "COMPLETE" else None
    outcome = Outcome(more.pop("order", slot), seconds, more.pop("violation", 0.0))
    return TrialRecord(number, number, state, proposal, values, outcome)


def record(ordinal: int, history: list[int]) -> RunRecord:
    return RunRecord(ordinal, "s", 0, {"history": history}, 9, 0, (), {})


def task(run: int, index: int, slot: int, order: int, seconds: float) -> TaskRecord:
    return TaskRecord(run, index, slot, 0, "supernet", {}, "", 0, "COMPLETE", order, seconds)


def test_copies_are_charged_like_their_originals_and_tasks_too() -> None:
    runs = [record(0, []), record(1, [0])]
    trials = [
        trial(0, 0, 0, "a=1", 5.0),
        trial(1, 0, 1, "a=2", 7.0, order=2),
        trial(2, 1, 0, "a=1", 0.0, copy_of=0),
        trial(3, 1, 1, "a=3", 0.0, copy_of=9),
        trial(4, 1, 2, "a=4", 2.0, state="FAIL"),
        trial(9, 7, 0, "a=3", 11.0),
    ]
    tasks = [task(0, 0, 1, 1, 100.0)]
    own = charges(runs[0], runs, trials, tasks, 10)
    assert [(c.trial.proposal.key if c.trial else None, c.seconds) for c in own] == [
        ("a=1", 5.0),
        (None, 100.0),
        ("a=2", 7.0),
    ]
    later = charges(runs[1], runs, trials, tasks, 10)
    assert later[:3] == own
    assert [(c.trial.proposal.key if c.trial else None, c.seconds) for c in later[3:]] == [
        ("a=3", 11.0),  # trained for another run, and charged all the same
        ("a=4", 2.0),  # failed, and charged all the same
    ]
    assert len(charges(runs[1], runs, trials, tasks, 3)) == 4  # three evaluations and a task


def test_a_part_is_charged_for_before_its_first_candidate() -> None:
    runs = [record(0, [])]
    keys = ("t=8;a=1", "t=4;a=1", "t=4;a=2", "t=2;a=1", "t=8;a=3")
    trials = [trial(i, 0, i, key, 1.0 + i) for i, key in enumerate(keys)]
    parts = PartSeconds({"t=4": 50.0, "t=2": 20.0, "t=1": 9.0}, lambda key: key.partition(";")[0])
    charged = charges(runs[0], runs, trials, [], 10, parts=parts)
    assert [(c.trial.proposal.key if c.trial else c.part, c.seconds) for c in charged] == [
        (keys[0], 1.0),
        ("t=4", 50.0),
        (keys[1], 2.0),
        (keys[2], 3.0),
        ("t=2", 20.0),
        (keys[3], 4.0),
        (keys[4], 5.0),
    ]
    assert parts.seconds["t=4"] == 50.0  # the next run pays for itself


def test_a_task_that_was_cut_off_is_charged_for_what_it_had_saved() -> None:
    details = {"cpu_seconds": 8.0, "earlier": {"seconds": 90.0, "cpu_seconds": 70.0}}
    tasks = [replace(task(0, 0, 0, 0, 10.0), details=details)]
    runs = [record(0, [])]
    assert [c.seconds for c in charges(runs[0], runs, [], tasks, 10)] == [100.0]
    assert [c.seconds for c in charges(runs[0], runs, [], tasks, 10, "cpu")] == [78.0]


def test_what_was_looked_up_is_charged_for_what_it_had_taken() -> None:
    looked = Outcome(0, 0.001, details=Details(training_seconds=4.5, cpu_seconds=0.001))
    trials = [replace(trial(0, 0, 0, "a=1"), outcome=looked)]
    tasks = [replace(task(0, 0, 0, 0, 0.001), details={"training_seconds": 30.0})]
    runs = [record(0, [])]
    for clock in ("wall", "cpu"):
        assert [c.seconds for c in charges(runs[0], runs, trials, tasks, 10, clock)] == [30.0, 4.5]


def test_a_course_is_the_hypervolume_after_every_evaluation() -> None:
    yard = Yardstick(
        {"accuracy": 0.5, "energy": 10.0, "storage": 100.0},
        {"accuracy": 1.0, "energy": 0.0, "storage": 0.0},
        "accuracy",
        "energy",
        (2.0, 4.0, 8.0),
    )
    values = [(0.7, 3.0, 50.0), (0.9, 6.0, 80.0), (0.4, 1.0, 1.0), (0.8, 2.0, 40.0)]
    charged = [Charge(trial(i, 0, i, f"a={i}", values=v), 2.0) for i, v in enumerate(values)]
    charged.insert(2, Charge(None, 30.0))
    charged.append(Charge(trial(9, 0, 9, "a=9", values=(0.99, 1, 1), violation=0.1), 2.0))
    course = course_of(charged, yard, OBJECTIVES)
    expected = []
    for n in range(1, 5):
        costs = [[(1 - a) / 0.5, e / 10, s / 100] for a, e, s in values[:n]]
        expected.append(hypervolume(np.array(costs), np.ones(3)))
    np.testing.assert_allclose(course.hypervolume, [*expected, expected[-1]])
    assert course.seconds.tolist() == [2.0, 4.0, 36.0, 38.0, 40.0]
    assert course.best == (0.8, 0.8, 0.9)


def test_the_reference_point_is_beyond_the_worst_baseline() -> None:
    baselines = np.array([[0.6, 2.0, 100.0], [0.9, 8.0, 400.0]])
    made = make_yardstick(baselines, OBJECTIVES, {"energy": 50.0, "storage": 1600.0})
    assert made.reference == pytest.approx({"accuracy": 0.585, "energy": 52.5, "storage": 1680.0})
    assert made.ideal == {"accuracy": 1.0, "energy": 0.0, "storage": 0.0}
    assert made.budgets == (4.47, 10.0, 22.4)  # 2 µJ to 50 µJ in four equal ratios
    with pytest.raises(RunFailed, match="no uniform baseline"):
        make_yardstick(np.empty((0, 3)), OBJECTIVES, {})


def test_runs_of_different_length_are_summed_up_by_their_last_value() -> None:
    long = Course(np.array([0.1, 0.2, 0.6]), np.array([1.0, 2.0, 3.0]), ())
    short = Course(np.array([0.3]), np.array([4.0]), ())
    rows = by_evaluation([long, short])
    assert rows["evaluations"] == [1, 2, 3]
    assert rows["median"] == pytest.approx([0.2, 0.25, 0.45])
    times = by_seconds([long, short], points=5)
    assert times["seconds"] == [0, 1, 2, 3, 4]
    assert times["median"] == pytest.approx([0.0, 0.05, 0.1, 0.3, 0.45])
    assert at_seconds([long, short], 3.9) == pytest.approx((0.3, 0.15, 0.45))
    assert at_seconds([long, short], 4.0) == pytest.approx((0.45, 0.375, 0.525))


def test_the_clock_says_which_seconds_are_charged() -> None:
    """Processor time where it is recorded, for trainings and for a strategy's own tasks."""
    proposal = Proposal(0, 0, "nsga2", "search", "a=2u", 0, 0)
    trial = TrialRecord(
        0, 1, "COMPLETE", proposal, (0.9, 1.0), Outcome(0, 9.0, details=Details(cpu_seconds=4))
    )
    task = TaskRecord(
        0, 0, 0, 0, "supernet", {}, "", 0, "COMPLETE", 0, 20.0, details={"cpu_seconds": 8.5}
    )
    run = RunRecord(0, "nsga2", 0, {}, 1, 0, (), {})
    for clock, expected in (("wall", [20.0, 9.0]), ("cpu", [8.5, 4.0])):
        charged = charges(run, [run], [trial], [task], 5, clock)
        assert [c.seconds for c in charged] == expected
