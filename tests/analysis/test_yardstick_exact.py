"""Reference points, charges and courses of runs, by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from hqsearch.analysis.yardstick import (
    Charge,
    Course,
    Yardstick,
    at_seconds,
    by_evaluation,
    by_seconds,
    charges,
    course_of,
    make_yardstick,
    seconds_of,
    spread,
)
from hqsearch.errors import RunFailed
from hqsearch.evaluator import Details
from hqsearch.problem.objective import ACCURACY, ENERGY, STORAGE, Objective
from hqsearch.store.records import Outcome, Proposal, RunRecord, TaskRecord, TrialRecord

TWO = (ACCURACY, ENERGY)
LATENCY = Objective("latency", "ms", "min")
SCORE = Objective("score", "points", "max")


def test_the_box_lies_a_little_beyond_the_baselines_and_fp32() -> None:
    baselines = np.array([[0.5, 2.0, 10.0], [0.9, 16.0, 40.0], [0.7, 8.0, 20.0]])
    yardstick = make_yardstick(
        baselines, (ACCURACY, ENERGY, STORAGE), {"energy": 32.0, "storage": 20.0}
    )
    assert yardstick.reference == pytest.approx({"accuracy": 0.48, "energy": 33.6, "storage": 42.0})
    assert yardstick.ideal == {"accuracy": 1.0, "energy": 0.0, "storage": 0.0}
    assert (yardstick.quality, yardstick.cost) == ("accuracy", "energy")
    # From 2 to 32 µJ, by quarters of the four doublings.
    assert yardstick.budgets == (4.0, 8.0, 16.0)
    assert Yardstick.from_json(json.loads(json.dumps(yardstick.as_json()))) == yardstick


def test_objectives_without_a_known_end_go_a_range_beyond_the_best() -> None:
    yardstick = make_yardstick(np.array([[10.0, 4.0], [30.0, 8.0]]), (SCORE, LATENCY), {})
    assert yardstick.reference == pytest.approx({"score": 9.0, "latency": 8.2})
    assert yardstick.ideal == pytest.approx({"score": 50.0, "latency": 0.0})
    assert (yardstick.quality, yardstick.cost) == ("score", "latency")
    assert yardstick.budgets == pytest.approx((4.76, 5.66, 6.73))


def test_a_fraction_to_minimize_has_no_best_of_one() -> None:
    error = Objective("error", "fraction", "min")
    yardstick = make_yardstick(np.array([[0.1, 4.0], [0.3, 8.0]]), (error, ENERGY), {})
    assert yardstick.reference == pytest.approx({"error": 0.31, "energy": 8.2})
    assert yardstick.ideal == pytest.approx({"error": -0.1, "energy": 0.0})


def test_a_single_baseline_and_costs_at_zero() -> None:
    one = make_yardstick(np.array([[-20.0, 0.0]]), (SCORE, LATENCY), {})
    assert one.reference == pytest.approx({"score": -21.0, "latency": 0.05})
    assert one.ideal == pytest.approx({"score": 0.0, "latency": -1.0})
    linear = make_yardstick(np.array([[1.0, 0.0], [2.0, 8.0]]), (SCORE, LATENCY), {})
    assert linear.budgets == (2.0, 4.0, 6.0)


def test_what_is_budgeted() -> None:
    rows = np.array([[0.5, 1.0, 2.0], [0.6, 3.0, 4.0]])
    assert make_yardstick(rows, (ACCURACY, STORAGE, ENERGY), {}).cost == "energy"
    assert make_yardstick(rows, (ACCURACY, STORAGE, LATENCY), {}).cost == "storage"
    assert make_yardstick(rows[:, :2], (ACCURACY, SCORE), {}).cost == "score"
    known = make_yardstick(rows[:, 1:], (STORAGE, ENERGY), {})
    assert (known.quality, known.cost) == ("storage", "energy")
    with pytest.raises(RunFailed, match="no uniform baseline"):
        make_yardstick(np.empty((0, 2)), TWO, {})


BOX = Yardstick({"accuracy": 0.5, "energy": 10.0}, {"accuracy": 1.0, "energy": 0.0},
                "accuracy", "energy", (2.0, 5.0, 9.0))  # fmt: skip


def test_values_are_scaled_to_the_box() -> None:
    scaled = BOX.scaled(np.array([[1.0, 0.0], [0.5, 10.0], [0.75, 2.0]]), TWO)
    np.testing.assert_allclose(scaled, [[0, 0], [1, 1], [0.5, 0.2]])


def run(ordinal: int, **options: Any) -> RunRecord:
    return RunRecord(ordinal, "random", 0, options, 9, 0, (), {})


def trial(
    number: int,
    slot: int,
    values: tuple[float, ...] | None = (0.75, 5.0),
    run: int = 0,
    key: str = "",
    seconds: float = 1.0,
    state: str = "COMPLETE",
    violation: float = 0.0,
    copy_of: int | None = None,
    **details: Any,
) -> TrialRecord:
    proposal = Proposal(run, slot, "random", "search", key or f"a={number}", 0, 0, copy_of)
    outcome = (
        Outcome(slot, seconds, violation, details=Details.from_json(details))
        if state != "RUNNING"
        else None
    )
    return TrialRecord(number, number, state, proposal, values, outcome)


def task(
    index: int, slot: int, seconds: float, run: int = 0, state: str = "COMPLETE", **details: Any
) -> TaskRecord:
    return TaskRecord(run, index, slot, 0, "scores", {}, "", 0, state, 0, seconds,
                      details=details or None)  # fmt: skip


def told(charged: list[Charge]) -> list[tuple[int | None, float]]:
    return [(c.trial.number if c.trial else None, c.seconds) for c in charged]


def test_a_run_is_charged_in_the_order_of_its_proposals() -> None:
    trials = [
        trial(0, 2, seconds=2.0),
        trial(1, 0, seconds=4.0),
        trial(2, 1, key="a=0"),
        trial(3, 3, state="RUNNING"),
        trial(4, 4, state="FAIL", values=None, seconds=8.0),
        trial(5, 5, seconds=16.0),
        trial(6, 0, run=1, seconds=32.0),
    ]
    tasks = [
        task(1, 1, 64.0),
        task(0, 1, 128.0),
        task(2, 2, 256.0, state="RUNNING"),
        task(3, 5, 512.0, state="FAIL"),
        task(0, 0, 1024.0, run=1),
    ]
    everything = charges(run(0), [run(0), run(1)], trials, tasks, 6)
    # Number 0 is the same candidate as number 2, which was proposed before it.
    assert told(everything) == [
        (1, 4.0), (None, 128.0), (None, 64.0), (2, 1.0), (4, 8.0), (None, 512.0), (5, 16.0),
    ]  # fmt: skip
    assert told(charges(run(0), [run(0), run(1)], trials, tasks, 5)) == told(everything)[:5]
    assert told(charges(run(0), [run(0), run(1)], trials, tasks, 1)) == [(1, 4.0)]


def test_a_run_is_charged_first_for_those_that_it_started_from() -> None:
    trials = [
        trial(0, 0, seconds=1.0),
        trial(1, 1, seconds=2.0),
        trial(2, 0, run=1, key="a=0", seconds=4.0),
        trial(3, 1, run=1, seconds=8.0),
        trial(4, 2, run=1, seconds=16.0),
    ]
    runs = [run(0), run(1, history=[0])]
    charged = charges(runs[1], runs, trials, [task(0, 0, 32.0)], 3)
    assert told(charged) == [(None, 32.0), (0, 1.0), (1, 2.0), (3, 8.0)]


def test_seconds_are_those_of_the_training_behind_a_trial() -> None:
    first = trial(0, 0, seconds=3.0, cpu_seconds=2.0)
    copy = trial(1, 0, run=1, seconds=0.0, copy_of=0)
    again = trial(2, 0, run=2, seconds=0.0, copy_of=1)
    lost = trial(3, 0, run=3, seconds=0.5, copy_of=99)
    numbers = {t.number: t for t in (first, copy, again, lost)}
    assert [seconds_of(t, numbers) for t in numbers.values()] == [3.0, 3.0, 3.0, 0.5]
    assert [seconds_of(t, numbers, "cpu") for t in numbers.values()] == [2.0, 2.0, 2.0, 0.5]
    assert seconds_of(trial(4, 0, training_seconds=70), {}, "cpu") == 70.0
    assert seconds_of(trial(4, 0, training_seconds=70), {}) == 70.0
    assert seconds_of(trial(5, 0, state="RUNNING"), {}) == 0.0


def test_seconds_of_a_task_are_those_of_all_its_attempts() -> None:
    earlier = {"seconds": 5.0, "cpu_seconds": 3.0}
    tasks = [
        task(0, 0, 2.0),
        task(1, 0, 2.0, cpu_seconds=1.5),
        task(2, 0, 2.0, cpu_seconds=1.5, earlier=earlier),
        task(3, 0, 2.0, training_seconds=50, earlier=earlier),
    ]
    expected = {"wall": [2.0, 2.0, 7.0, 50.0], "cpu": [2.0, 1.5, 4.5, 50.0]}
    for clock, seconds in expected.items():
        charged = charges(run(0), [run(0)], [], tasks, 1, clock)  # type: ignore[arg-type]
        assert [c.seconds for c in charged] == seconds


def test_the_course_of_a_run() -> None:
    charged = [
        Charge(None, 1.0),
        Charge(trial(0, 0, (0.75, 8.0)), 2.0),  # half of the box high, a fifth wide
        Charge(trial(1, 1, None, state="FAIL"), 4.0),
        Charge(trial(2, 2, (1.0, 0.0), violation=0.1), 8.0),
        Charge(trial(3, 3, (1.0, 0.0), state="PRUNED"), 16.0),
        Charge(trial(4, 4, (0.6, 5.0)), 32.0),  # 0.2 high, half wide
        Charge(trial(5, 5, (0.7, 9.0)), 64.0),  # dominated
        Charge(trial(6, 6, (0.8, 4.0)), 128.0),  # dominates both
        Charge(trial(7, 7, (0.4, 1.0)), 256.0),  # outside
        Charge(None, 512.0),
    ]
    course = course_of(charged, BOX, TWO)
    assert course.evaluations == 8
    np.testing.assert_allclose(course.hypervolume, [0.1, 0.1, 0.1, 0.1, 0.16, 0.16, 0.36, 0.36])
    assert course.seconds.tolist() == [3.0, 7.0, 15.0, 31.0, 63.0, 127.0, 255.0, 1023.0]
    assert course.best == (0.4, 0.8, 0.8)
    early = course_of(charged[:2], BOX, TWO)
    assert (early.best, early.seconds.tolist()) == ((None, None, 0.75), [3.0])


def test_the_best_of_a_quality_that_is_minimized() -> None:
    box = Yardstick({"latency": 10.0, "energy": 10.0}, {"latency": 0.0, "energy": 0.0},
                    "latency", "energy", (5.0, 6.0))  # fmt: skip
    charged = [Charge(trial(i, i, v), 1.0) for i, v in enumerate([(4.0, 5.0), (3.0, 6.0), (5, 1)])]
    assert course_of(charged, box, (LATENCY, ENERGY)).best == (4.0, 3.0)


def test_a_run_without_evaluations_has_no_course() -> None:
    nothing = course_of([Charge(None, 3.0)], BOX, TWO)
    assert (nothing.evaluations, nothing.best) == (0, (None, None, None))
    assert at_seconds([nothing], 5.0) == (0.0, 0.0, 0.0)


def course(volumes: list[float], seconds: list[float]) -> Course:
    return Course(np.array(volumes), np.array(seconds), ())


SHORT, LONG = course([0.2], [10.0]), course([0.1, 0.4, 0.6], [1.0, 2.0, 20.0])


def test_quartiles_over_runs() -> None:
    assert spread([5.0, 1.0, 2.0, 3.0, 4.0]) == (3.0, 2.0, 4.0)
    table = by_evaluation([SHORT, LONG])
    assert table["evaluations"] == [1, 2, 3]
    assert table["median"] == [0.15, 0.3, 0.4]
    assert table["q25"] == [0.125, 0.25, 0.3]
    assert table["q75"] == [0.175, 0.35, 0.5]
    empty = course([], [])
    assert by_evaluation([LONG, empty])["median"] == [0.05, 0.2, 0.3]


def test_volumes_over_time() -> None:
    table = by_seconds([SHORT, LONG], points=5)
    assert table["seconds"] == [0.0, 5.0, 10.0, 15.0, 20.0]
    assert table["median"] == [0.0, 0.2, 0.3, 0.3, 0.4]
    assert table["q25"] == [0.0, 0.1, 0.25, 0.25, 0.3]
    assert len(by_seconds([SHORT])["seconds"]) == 100
    assert at_seconds([LONG], 2.0)[0] == 0.4
    assert at_seconds([LONG], 1.99)[0] == 0.1
    assert at_seconds([SHORT, LONG], 99.0) == pytest.approx((0.4, 0.3, 0.5))
    assert by_seconds([course([], [])], points=2)["median"] == [0.0, 0.0]
