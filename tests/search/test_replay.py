"""The order of a run's records, for replay."""

from __future__ import annotations

from typing import Any

import pytest

from hqsearch.evaluator import Details
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import ACCURACY, ENERGY
from hqsearch.search.early_stopping.cohorts import Cohorts
from hqsearch.search.replay import in_order, result_of, seen, told
from hqsearch.store.records import Decision, Outcome, Proposal, Rung, TaskRecord, TrialRecord
from hqsearch.strategies import Result


def trial(
    slot: int, order: int | None = None, state: str = "COMPLETE", cohort: int | None = None
) -> TrialRecord:
    proposal = Proposal(0, slot, "random", "search", f"a=v{slot}", 0, 10 + slot, cohort=cohort)
    outcome = None if order is None else Outcome(order)
    return TrialRecord(slot, slot, state if outcome else "RUNNING", proposal, (1.0,), outcome)


def task(index: int, slot: int, order: int = -1, state: str = "COMPLETE") -> TaskRecord:
    return TaskRecord(
        0, index, slot, 20 + index, "scores", {"depth": index}, "label", 0, state, order
    )


def numbers(records: list[Any]) -> list[int]:
    return [r.number for r in records]


def test_a_task_comes_before_the_trial_whose_slot_it_names() -> None:
    records = [trial(2), task(1, 1), trial(1), task(2, 1), trial(0), task(0, 0)]
    assert numbers(in_order(records)) == [-2, 0, -3, -4, 1, 2]


def test_results_are_told_as_they_came_in() -> None:
    records = [trial(0, 2), trial(1, 0), trial(2), task(0, 0, 1), task(1, 2, state="RUNNING")]
    assert numbers(told(records, None)) == [1, -2, 0]
    # Without an outcome nothing was told, whatever the state says.
    broken = TrialRecord(5, 5, "FAIL", trial(5).proposal)
    assert numbers(told([*records, broken], None)) == [1, -2, 0]


def cohorts(*decided: int) -> Cohorts:
    decisions = [Decision(0, cohort, 0, (), 0) for cohort in decided]
    return Cohorts(0, (1,), 0.5, 2, (ACCURACY, ENERGY), decisions)


def test_with_cohorts_trials_are_told_cohort_by_cohort() -> None:
    records = [
        trial(0, 0, cohort=0),
        trial(1, 1, cohort=0),
        trial(2, 2, cohort=1),
        trial(3, cohort=1),
        task(0, 1, order=1),
        task(1, 2, order=7),
        task(2, 2, order=5),
    ]
    # The second cohort is not complete; tasks come at their places, late ones in their order.
    assert numbers(told(records, cohorts(0, 1))) == [0, -2, 1, -4, -3]
    assert numbers(told(records[:3], cohorts(0))) == [0, 1]
    assert numbers(told(records[:3], cohorts(0, 1))) == [0, 1, 2]
    assert numbers(told(records[:2], cohorts())) == []
    assert told([], cohorts()) == []


def test_what_was_seen() -> None:
    assert (seen(trial(3)), seen(task(2, 0))) == (13, 22)


@pytest.mark.parametrize("state", ["COMPLETE", "PRUNED", "FAIL"])
def test_a_trial_as_a_strategy_is_told_of_it(state: str) -> None:
    proposal = Proposal(0, 4, "random", "search", "a=v4", 0, 0)
    outcome = Outcome(4, violation=0.5, details=Details(accuracy_se=0.1), stopped_at=2)
    record = TrialRecord(9, 9, state, proposal, (0.5, 1.0), outcome, (Rung(2, (0.4, 1.0)),))
    assert result_of(record) == Result(
        4,
        Candidate.from_key("a=v4"),
        "search",
        (0.5, 1.0) if state == "COMPLETE" else None,
        0.5,
        "random",
        2,
        ((2, (0.4, 1.0)),),
        0.1,
    )


def test_a_trial_without_an_outcome() -> None:
    told_of = result_of(TrialRecord(0, 0, "RUNNING", trial(0).proposal))
    assert (told_of.values, told_of.violation, told_of.stopped_at) == (None, 0.0, None)
    assert (told_of.rungs, told_of.noise) == ((), None)
