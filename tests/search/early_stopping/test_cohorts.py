"""Where trials stand under early stopping; whole cohorts are followed in test_halving.py."""

from __future__ import annotations

import numpy as np
import pytest

from hqsearch.problem.objective import ACCURACY, ENERGY
from hqsearch.search.early_stopping.cohorts import Cohorts, is_compared
from hqsearch.store.records import Decision, Outcome, Proposal, Rung, TrialRecord

OBJECTIVES = (ACCURACY, ENERGY)


def trial(
    number: int,
    *accuracies: float,
    kind: str = "search",
    state: str = "RUNNING",
    copy_of: int | None = None,
    cohort: int | None = 0,
    violation: float = 0.0,
    energy: float | None = None,
) -> TrialRecord:
    proposal = Proposal(0, number, "random", kind, f"l=v{number}", 0, 0, copy_of, cohort=cohort)
    cost = float(number) if energy is None else energy
    rungs = tuple(Rung(2**i, (a, cost), violation) for i, a in enumerate(accuracies))
    outcome = Outcome(number) if state != "RUNNING" else None
    return TrialRecord(number, number, state, proposal, None, outcome, rungs)


def cohorts(*decisions: Decision, size: int | None = 2, keep: float = 0.5) -> Cohorts:
    return Cohorts(0, (1, 2), keep, size, OBJECTIVES, decisions)


def decided(cohort: int, rung: int, *ranked: int, promoted: int = 1) -> Decision:
    return Decision(0, cohort, rung, ranked, promoted)


def test_baselines_copies_and_replicates_are_not_compared() -> None:
    assert is_compared(trial(1))
    for other in (trial(1, kind="baseline"), trial(1, copy_of=0), trial(1, kind="replicate")):
        assert not is_compared(other)
    here = cohorts()
    for one in (trial(0, kind="baseline"), trial(1, copy_of=7), trial(2), trial(3, state="FAIL")):
        here.put(one)
    assert [t.number for t in here.members] == [2, 3]
    assert [t.number for t in here.alive] == [2]


def test_a_cohort_is_full_at_its_size_if_it_has_one() -> None:
    here = cohorts()
    here.put(trial(0))
    assert not here.full
    here.put(trial(0, 0.5))  # the same one, a rung later
    assert not here.full
    here.put(trial(1))
    assert here.full
    here.put(trial(2))
    assert here.full
    endless = cohorts(size=None)
    for number in range(9):
        endless.put(trial(number))
    assert not endless.full


def test_budgets_are_the_rungs_and_then_the_end() -> None:
    here = cohorts()
    assert [here.budget(trial(1, *[0.5] * done)) for done in range(3)] == [1, 2, None]
    assert here.budget(trial(1, copy_of=0)) is None


def test_who_is_stopped_and_who_waits() -> None:
    here = cohorts(decided(0, 0, 3, 1, 2, promoted=2))
    for one in (trial(1, 0.5), trial(2, 0.5), trial(3, 0.5)):
        here.put(one)
    assert [here.is_stopped(t) for t in here.alive] == [False, True, False]
    assert not here.is_stopped(trial(9))  # at no rung yet
    assert not here.is_stopped(trial(2, 0.5, 0.6))  # of that rung nothing is decided
    assert not here.is_stopped(trial(2, 0.5, kind="baseline"))
    assert not here.waits(trial(1))
    assert not here.waits(trial(1, 0.5))
    assert here.waits(trial(1, 0.5, 0.6))
    assert not here.waits(trial(1, 0.5, 0.6, kind="baseline"))
    twice = cohorts(decided(0, 0, 3, 1, 2, promoted=2), decided(0, 1, 3, 1))
    assert not twice.waits(trial(3, 0.5, 0.6))


def test_a_decision_is_due_when_all_who_are_left_are_at_the_rung() -> None:
    here = cohorts()
    here.put(trial(1, 0.5))
    here.put(trial(2))
    assert not here.due  # more may join
    here.closed = True
    assert not here.due  # one is on its way
    here.put(trial(2, 0.6))
    assert here.due
    here.put_decision(here.decide())
    assert not here.due
    here.put(trial(2, 0.6, 0.7))
    here.put(trial(1, 0.5, state="PRUNED"))
    assert here.due
    here.put_decision(here.decide())
    assert not here.due  # there is no third rung
    assert not here.complete
    here.put(trial(2, 0.6, 0.7, state="COMPLETE"))
    assert here.complete


def test_a_cohort_of_which_all_failed_is_closed_by_one_empty_decision() -> None:
    here = cohorts()
    here.put(trial(1, state="FAIL"))
    here.closed = True
    assert here.due
    assert not here.complete
    decision = here.decide()
    assert decision == decided(0, 0, promoted=0)
    here.put_decision(decision)
    assert not here.due
    assert here.complete


def test_a_cohort_with_an_unfinished_baseline_is_not_complete() -> None:
    here = cohorts(decided(0, 0))
    here.put(trial(0, kind="baseline"))
    assert here.closed
    assert not here.complete
    here.put(trial(0, kind="baseline", state="COMPLETE"))
    assert here.complete


@pytest.mark.parametrize(("keep", "promoted"), [(0.5, (2, 1)), (0.25, (1, 1)), (0.9, (4, 4))])
def test_a_part_of_those_that_set_out_goes_on(keep: float, promoted: tuple[int, int]) -> None:
    """Failures on the way count as set out; the second part is of those promoted."""
    here = cohorts(size=None, keep=keep)
    for number in range(1, 5):
        here.put(trial(number, number / 10))
    here.closed = True
    first = here.decide()
    here.put_decision(first)
    for number in first.ranked:
        going = number in first.ranked[: first.promoted]
        rungs = (number / 10, number / 10) if going else (number / 10,)
        here.put(trial(number, *rungs, state="RUNNING" if going else "PRUNED"))
    assert (first.promoted, here.decide().promoted) == promoted


def test_those_beyond_a_budget_rank_last() -> None:
    here = cohorts(size=None)
    here.put(trial(1, 0.99, violation=0.5))
    here.put(trial(2, 0.1))
    here.put(trial(3, 0.99, violation=0.25))
    here.closed = True
    assert here.decide().ranked == (2, 3, 1)


def test_the_next_cohort_is_ranked_against_the_feasible_of_earlier_ones_at_its_rung() -> None:
    here = cohorts(size=None)
    here.put(trial(1, 0.5, 0.9, energy=4.0))
    here.put(trial(2, 0.8, energy=1.0, violation=0.1))
    here.put(trial(3, 0.4, energy=5.0))
    here.put(trial(4, 0.9, energy=0.0, kind="baseline"))
    here.advance()
    assert (here.index, here.trials, here.closed) == (1, {}, False)
    # Of the first rung one member: another is infeasible, one dominated, one a baseline.
    at_first, at_second = here._best
    np.testing.assert_array_equal(at_first, [[-0.5, 4.0]])
    np.testing.assert_array_equal(at_second, [[-0.9, 4.0]])
    here.put(trial(5, 0.6, energy=4.0))
    here.advance()
    np.testing.assert_array_equal(here._best[0], [[-0.6, 4.0]])
    assert here.index == 2


def test_restoring_goes_on_to_the_cohort_of_each_trial() -> None:
    here = cohorts(decided(0, 0, 1), decided(1, 0, 2))
    here.restore(trial(0, kind="baseline", cohort=None))
    here.restore(trial(1, 0.5, state="COMPLETE", cohort=0))
    assert (here.index, here.closed) == (0, True)
    here.restore(trial(2, 0.5, cohort=1))
    assert (here.index, list(here.trials), here.closed) == (1, [2], True)
    here.restore(trial(3, cohort=1))
    assert (here.index, list(here.trials)) == (1, [2, 3])


def test_told_are_the_trials_of_complete_cohorts() -> None:
    here = cohorts(decided(0, 0, 1), decided(1, 0, 2))
    first = trial(1, 0.5, state="COMPLETE", cohort=0)
    baseline = trial(0, kind="baseline", state="COMPLETE", cohort=None)
    second = trial(2, 0.5, state="PRUNED", cohort=1)
    running = trial(3, 0.5, cohort=1)
    assert here.told([]) == []
    assert here.told([baseline, first]) == [baseline, first]
    assert here.told([baseline, first, second]) == [baseline, first, second]
    assert here.told([baseline, first, second, running]) == [baseline, first]
    assert here.told([first, trial(4, 0.5, state="COMPLETE", cohort=2)]) == [first]
