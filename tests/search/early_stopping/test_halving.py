from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hqsearch.definition import SearchOptions
from hqsearch.errors import DefinitionError
from hqsearch.problem.objective import ACCURACY, ENERGY
from hqsearch.search.early_stopping.cohorts import Cohorts
from hqsearch.search.early_stopping.halving import (
    AtRung,
    decide,
    dominance_ranks,
    promotion_order,
    rungs_of,
    spread_order,
)
from hqsearch.store.records import Outcome, Proposal, Rung, TrialRecord

NONE = np.empty((0, 2))


def halving(**given: object) -> SearchOptions:
    return SearchOptions.model_validate({"early_stopping": True, **given})


@pytest.mark.parametrize(
    ("full", "keep", "rungs"),
    [(8, 0.5, (1, 2, 4)), (6, 0.5, (2, 3)), (2, 0.5, (1,)), (9, 1 / 3, (1, 3)), (2, 0.1, (1,))],
)
def test_default_rungs_are_geometric(full: int, keep: float, rungs: tuple[int, ...]) -> None:
    assert rungs_of(halving(keep=keep), full, "toy") == rungs


@given(full=st.integers(2, 500), keep=st.floats(0.01, 0.99))
def test_default_rungs_rise_and_lie_before_the_end(full: int, keep: float) -> None:
    rungs = rungs_of(halving(keep=keep), full, "toy")
    assert rungs
    assert list(rungs) == sorted(set(rungs))
    assert 1 <= rungs[0] <= rungs[-1] < full


def test_given_rungs_are_taken_or_refused() -> None:
    assert rungs_of(SearchOptions(), 1, "toy") == ()
    assert rungs_of(halving(rungs=[2, 5]), 6, "toy") == (2, 5)
    with pytest.raises(DefinitionError, match="6 is not before the end, epoch 6"):
        rungs_of(halving(rungs=[2, 6]), 6, "toy")
    with pytest.raises(DefinitionError, match="nothing before its end to stop at"):
        rungs_of(halving(), 1, "toy")


def test_ranks_are_those_of_the_definition() -> None:
    costs = np.random.default_rng(0).integers(0, 6, (60, 3)).astype(float)
    ranks = dominance_ranks(costs)
    for row, rank in zip(costs, ranks, strict=True):
        dominating = (costs <= row).all(axis=1) & (costs < row).any(axis=1)
        assert rank == (ranks[dominating].max() + 1 if dominating.any() else 0)


COSTS = arrays(np.float64, st.tuples(st.integers(1, 12), st.just(2)), elements=st.floats(0, 9))


@settings(deadline=None, max_examples=60)
@given(costs=COSTS, known=COSTS, data=st.data())
def test_no_one_goes_on_before_what_dominates_it(
    costs: np.ndarray, known: np.ndarray, data: st.DataObject
) -> None:
    broken = data.draw(arrays(np.float64, len(costs), elements=st.sampled_from([0.0, 0.5, 2.0])))
    order = promotion_order(costs, broken, known)
    assert sorted(order) == list(range(len(costs)))
    for place, ahead in enumerate(order):
        for behind in order[place + 1 :]:
            assert broken[ahead] <= broken[behind]
            if broken[ahead] == broken[behind] == 0:
                no_worse = (costs[behind] <= costs[ahead]).all()
                assert not (no_worse and (costs[behind] < costs[ahead]).any())


def test_what_earlier_cohorts_found_decides() -> None:
    """The first is non-dominated in its cohort, but not among all that was seen."""
    costs = np.array([[1.2, 2.0], [3.0, 0.5]])
    assert promotion_order(costs, np.zeros(2), NONE) == [0, 1]
    assert promotion_order(costs, np.zeros(2), np.array([[1.0, 1.0]])) == [1, 0]


def test_spread_takes_the_ends_and_then_the_middle() -> None:
    points = np.array([[0.0, 1.0], [0.1, 0.9], [0.5, 0.5], [1.0, 0.0]])
    assert spread_order(points, NONE) == [0, 3, 2, 1]
    assert spread_order(points, np.array([[0.0, 1.0], [1.0, 0.0]]))[0] == 2


@pytest.mark.parametrize(
    ("reached", "joined", "keep", "promoted"),
    [
        (12, 12, 0.5, 6),
        (12, 12, 1 / 3, 4),
        (5, 5, 0.5, 3),
        (1, 1, 0.5, 1),
        (2, 12, 0.5, 2),
        (0, 4, 0.5, 0),
    ],
)
def test_a_part_goes_on_and_at_least_one(
    reached: int, joined: int, keep: float, promoted: int
) -> None:
    costs = np.random.default_rng(1).random((reached, 2))
    numbers = list(range(10, 10 + reached))
    decision = decide(AtRung(0, 3, 1, numbers, costs, np.zeros(reached), joined, NONE), keep)
    assert (decision.cohort, decision.rung, decision.promoted) == (3, 1, promoted)
    assert sorted(decision.ranked) == numbers


def trial(
    number: int, *accuracies: float, kind: str = "search", state: str = "RUNNING"
) -> TrialRecord:
    proposal = Proposal(0, number, "random", kind, f"l=v{number}", 0, 0, cohort=0)
    rungs = tuple(Rung(2**i, (a, 1.0 * number)) for i, a in enumerate(accuracies))
    outcome = Outcome(number) if state != "RUNNING" else None
    return TrialRecord(number, number, state, proposal, None, outcome, rungs)


def test_a_cohort_is_followed_to_its_end() -> None:
    cohorts = Cohorts(0, (1, 2), 0.5, 4, (ACCURACY, ENERGY))
    cohorts.put(trial(0, kind="baseline", state="COMPLETE"))
    for number in range(1, 5):
        cohorts.put(trial(number))
    assert cohorts.full
    assert cohorts.budget(trial(1)) == 1
    assert cohorts.budget(trial(0, kind="baseline")) is None
    for number, accuracy in ((1, 0.9), (2, 0.1), (3, 0.95)):
        cohorts.put(trial(number, accuracy))
    cohorts.closed = True
    assert not cohorts.due  # the fourth is still on its way
    cohorts.put(trial(4, 0.2, state="FAIL"))
    assert cohorts.due
    first = cohorts.decide()
    assert (set(first.ranked), first.promoted) == ({1, 2, 3}, 2)
    assert first.ranked[-1] == 2
    assert cohorts.waits(trial(1, 0.9))
    cohorts.put_decision(first)
    assert not cohorts.waits(trial(1, 0.9))
    assert [cohorts.is_stopped(t) for t in cohorts.alive] == [False, True, False]
    cohorts.put(trial(2, 0.1, state="PRUNED"))
    cohorts.put(trial(1, 0.9, 0.91))
    cohorts.put(trial(3, 0.95, 0.96))
    assert cohorts.budget(trial(3, 0.95)) == 2
    second = cohorts.decide()
    assert second.promoted == 1
    cohorts.put_decision(second)
    stopped = second.ranked[1]
    cohorts.put(trial(stopped, 0.9, 0.91, state="PRUNED"))
    assert not cohorts.complete
    cohorts.put(trial(second.ranked[0], 0.95, 0.96, state="COMPLETE"))
    assert cohorts.complete
    cohorts.advance()
    assert (cohorts.index, cohorts.trials, cohorts.closed) == (1, {}, False)


def test_it_is_counted_again_from_the_log() -> None:
    cohorts = Cohorts(0, (1, 2), 0.5, 2, (ACCURACY, ENERGY))
    for one in (trial(0, 0.5), trial(1, 0.6)):
        cohorts.put(one)
    cohorts.closed = True
    decision = cohorts.decide()
    again = Cohorts(0, (1, 2), 0.5, 2, (ACCURACY, ENERGY), [decision])
    for one in (trial(0, 0.5), trial(1, 0.6)):
        again.restore(one)
    assert again.closed
    assert not again.due
    assert again.told([trial(0, 0.5), trial(1, 0.6)]) == []
    done = [trial(0, 0.5, state="PRUNED"), trial(1, 0.6, 0.7, state="COMPLETE")]
    assert again.told(done) == done


def test_rivals_of_the_same_rank_from_earlier_cohorts_are_kept_away_from() -> None:
    costs = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert promotion_order(costs, np.zeros(2), NONE) == [0, 1]
    assert promotion_order(costs, np.zeros(2), np.array([[0.1, 0.9]])) == [1, 0]
    assert promotion_order(costs, np.zeros(2), np.array([[0.9, 0.1]])) == [0, 1]


def test_what_an_earlier_cohort_had_at_a_rung_ranks_the_next_one() -> None:
    """A dear one first where nothing stands near it, else the cheap one."""
    for earlier, ranked in ((None, (9, 1)), (8, (1, 9)), (2, (9, 1))):
        cohorts = Cohorts(0, (1,), 0.5, 2, (ACCURACY, ENERGY))
        if earlier:
            cohorts.put(trial(earlier, earlier / 10))
            cohorts.closed = True
            cohorts.put_decision(cohorts.decide())
            cohorts.advance()
        cohorts.put(trial(1, 0.1))
        cohorts.put(trial(9, 0.9))
        cohorts.closed = True
        assert cohorts.decide().ranked == ranked


def test_spread_by_hand() -> None:
    line = np.array([[4.0, 0.0], [1.0, 0.0], [9.0, 0.0], [5.0, 0.0]])
    # From the least: 1, then 9, then 5 (at 4 from both), then 4.
    assert spread_order(line, NONE) == [1, 2, 3, 0]
    assert spread_order(line, np.array([[0.0, 0.0], [9.0, 0.0]])) == [0, 1, 3, 2]
    twins = np.array([[2.0, 0.0], [0.0, 0.0], [0.0, 0.0], [2.0, 0.0]])
    assert spread_order(twins, NONE) == [1, 0, 2, 3]
    assert spread_order(twins, np.array([[1.0, 0.0]])) == [0, 1, 2, 3]
    assert spread_order(np.empty((0, 2)), NONE) == []


def test_distances_are_taken_in_ranges_of_the_pool() -> None:
    """The second column counts a thousandth; unscaled it would be all that matters."""
    costs = np.array([[0.0, 3000.0], [0.8, 1000.0], [1.0, 0.0]])
    assert promotion_order(costs, np.zeros(3), np.array([[0.1, 2990.0]])) == [2, 1, 0]
    # A column without a range is no distance.
    flat = np.array([[0.0, 7.0], [2.0, 7.0], [1.0, 7.0]])
    assert promotion_order(flat, np.zeros(3), NONE) == [0, 2, 1]


def test_those_that_stand_before_are_of_any_better_rank() -> None:
    costs = np.array([[0.0, 0.0], [0.2, 0.3], [0.3, 0.2], [1.0, 1.0]])
    before_both = promotion_order(costs, np.zeros(4), np.array([[0.25, 0.25]]))
    assert before_both == [0, 1, 2, 3]
    near_the_first = np.array([[0.15, 0.35]])
    assert promotion_order(costs, np.zeros(4), near_the_first) == [0, 2, 1, 3]


def test_violators_come_last_by_their_violation() -> None:
    costs = np.array([[0.0, 0.0], [5.0, 5.0], [1.0, 1.0], [2.0, 2.0], [0.5, 0.5]])
    violations = np.array([0.3, 0.0, 0.1, 0.0, 0.3])
    assert promotion_order(costs, violations, NONE) == [3, 1, 2, 0, 4]
    assert promotion_order(costs, violations + 0.1, NONE) == [1, 3, 2, 0, 4]


def test_a_decision_names_the_trials_best_first() -> None:
    costs = np.array([[2.0, 2.0], [0.0, 0.0], [1.0, 1.0]])
    decision = decide(AtRung(4, 3, 1, [70, 80, 90], costs, np.zeros(3), 3, NONE), 0.4)
    assert (decision.run, decision.ranked, decision.promoted) == (4, (80, 90, 70), 2)
    again = decide(AtRung(4, 3, 1, [70, 80, 90], costs, np.zeros(3), 3, NONE), 0.1)
    assert again.promoted == 1


@pytest.mark.parametrize(
    ("full", "keep", "rungs"),
    [(2, 0.5, (1,)), (3, 0.5, (2,)), (27, 1 / 3, (1, 3, 9)), (100, 0.1, (1, 10)), (5, 0.9, None)],
)
def test_rungs_of_other_lengths(full: int, keep: float, rungs: tuple[int, ...] | None) -> None:
    got = rungs_of(halving(keep=keep), full, "toy")
    assert got == (rungs or (1, 2, 3, 4))
