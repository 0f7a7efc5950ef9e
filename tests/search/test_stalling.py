"""When a search has little more to gain: batches, promises, tolerance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hqsearch.errors import InputError
from hqsearch.problem.objective import ACCURACY, ENERGY
from hqsearch.search.stalling import TOLERANCE, Stalling, patience_of
from hqsearch.store.records import Outcome, Proposal, TrialRecord

OBJECTIVES = (ACCURACY, ENERGY)


def trial(
    slot: int,
    accuracy: float | None,
    energy: float = 1.0,
    promise: float | None = None,
    kind: str = "search",
    violation: float = 0.0,
) -> TrialRecord:
    """None: it has not ended."""
    proposal = Proposal(0, slot, "s", kind, f"a={slot}", 0, slot, promise=promise)
    if accuracy is None:
        return TrialRecord(slot, slot, "RUNNING", proposal)
    outcome = Outcome(slot, violation=violation)
    return TrialRecord(slot, slot, "COMPLETE", proposal, (accuracy, energy), outcome)


def baselines() -> list[TrialRecord]:
    return [trial(0, 0.5, 1.0, kind="baseline"), trial(1, 0.9, 4.0, kind="baseline")]


def rest(count: int, *promises: float | None) -> list[TrialRecord]:
    """Searched ones that add nothing; the first of each pair of them has a promise."""
    found = []
    for place in range(count):
        given = promises[place // 2] if place % 2 == 0 and promises else None
        found.append(trial(2 + place, 0.5, 3.0, given))
    return found


def test_what_may_be_asked_for() -> None:
    assert (patience_of("stalled"), patience_of(" stalled:5 ")) == (3, 5)
    for wrong in ("stall", "stalled:0", "stalled:-1", "stalled:", ""):
        with pytest.raises(InputError, match="expected 'stalled'"):
            patience_of(wrong)


def test_the_tolerance_is_the_front_s_resolution() -> None:
    assert Stalling(OBJECTIVES, 2).tolerance == 0.005
    coarse = (ACCURACY, replace(ENERGY, resolution=0.02))
    assert Stalling(coarse, 2).tolerance == 0.02
    old = (ACCURACY, replace(ENERGY, resolution=0.0))
    assert Stalling(old, 2).tolerance == TOLERANCE


def test_batches_that_add_nothing() -> None:
    stalling = Stalling(OBJECTIVES, 2, 2)
    assert not stalling.reason([*baselines(), *rest(2)])
    assert not stalling.reason([*baselines(), *rest(3)])  # in the middle of a batch
    told = stalling.reason([*baselines(), *rest(4)])
    assert told == "the last 2 batches added 0.00 %, 0.00 % of hypervolume; tolerance 0.5 %"
    better = trial(5, 0.95, 2.0)
    assert not stalling.reason([*baselines(), *rest(3), better])
    beyond = trial(5, 0.95, 2.0, violation=0.1)
    assert stalling.reason([*baselines(), *rest(3), beyond])


def test_a_batch_is_looked_at_when_all_of_it_has_ended() -> None:
    stalling = Stalling(OBJECTIVES, 2, 2)
    assert stalling.waits([*baselines(), *rest(3), trial(5, None)])
    assert not stalling.waits([*baselines(), *rest(2), trial(4, None)])
    assert not stalling.waits([*baselines(), *rest(4)])
    # With a promise nothing has to be waited for.
    assert not stalling.waits([*baselines(), trial(2, None, promise=0.1), trial(3, None)])


def test_promises_stand_for_what_a_batch_added() -> None:
    stalling = Stalling(OBJECTIVES, 2, 3)
    trials = [*baselines(), *rest(4, 0.004, 0.002)]
    assert not stalling.reason(trials)  # the next batch decides
    told = stalling.reason(trials, 0.001)
    assert told == (
        "the next batch would bring 0.10 % more hypervolume by the strategy's model "
        "(last 3 with this one: 0.40 %, 0.20 %, 0.10 %; tolerance 0.5 %)"
    )
    assert not stalling.reason(trials, 0.01)
    assert not stalling.reason([*baselines(), *rest(4, 0.01, 0.002)], 0.001)
    assert not stalling.reason([*baselines(), *rest(2, 0.004)], 0.001)


def test_a_promise_ends_a_batch_that_is_not_full() -> None:
    stalling = Stalling(OBJECTIVES, 12, 3)
    trials = [*baselines(), *rest(2), trial(4, 0.5, 3.0, 0.002)]
    assert stalling.reason(trials, 0.001).startswith("the next batch would bring 0.10 %")
    found = [*baselines(), trial(2, 0.95, 2.0), trial(3, 0.5, 3.0, 0.002)]
    assert not stalling.reason(found, 0.001)  # what the first one added was much


def test_nothing_measured_yet_is_no_gain() -> None:
    failed = [replace(t, state="FAIL", values=None) for t in rest(4)]
    stalling = Stalling(OBJECTIVES, 2, 2)
    assert stalling.reason([*baselines(), *failed])
    first = [replace(t, state="FAIL", values=None) for t in baselines()]
    told = stalling.reason([*first, *failed[:2], *rest(4)[2:]])
    assert not told  # the first that works brings all there is
