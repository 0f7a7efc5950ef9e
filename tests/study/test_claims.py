"""``confirm --claims``: which members carry claims, and what each is held against."""

from __future__ import annotations

from pathlib import Path

import pytest

import hqsearch
from hqsearch.analysis.confirmation import confirmation_of
from hqsearch.analysis.confirmed_verdict import confirmed_verdicts
from hqsearch.errors import InputError

NOISE = {"evaluation.noise": 0.008}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> hqsearch.Study:
    """The toy study, searched and confirmed as a whole."""
    folder = tmp_path_factory.mktemp("claims")
    found = hqsearch.Study("toy", studies_dir=folder, settings=NOISE)
    found.run("nsga2", evaluations=40)
    found.confirm(seeds=2)
    return found


def test_members_that_carry_claims_and_the_strongest_control_of_each(
    study: hqsearch.Study,
) -> None:
    front = study.front()
    whole = confirmation_of(front.rows, front.every, front.objectives)
    assert whole is not None
    own = {m.key: m for m in whole.members}
    confirmed = study.confirm(seeds=3, epochs=4, claims=True)
    carriers = [m for m in confirmed.members if not m.label]
    controls = [m for m in confirmed.members if m.label]
    found = [t for t in front.rows if not own[t.key].label]
    assert {found[0].key, max(found, key=lambda t: t.values["accuracy"]).key} <= {
        m.key for m in carriers
    }
    assert 2 <= len(carriers) <= 5 < len(found)
    numbers = {m.trial for m in carriers}
    told = [v for v in confirmed_verdicts(whole) if v.outcome in ("saves", "gains")]
    named = {v.label for v in told if v.member in numbers}
    assert {m.label for m in controls} == {own[m.key].rival for m in carriers} - {""} | named
    assert {m.trainings for m in confirmed.members} == {3}
    # What the front and its verdict rest on is the whole confirmation, as before.
    after = study.front()
    assert after.confirmation is not None
    assert after.confirmation.as_json() == whole.as_json()
    head, claimed = after.verdict.split("Claims (confirmed: 3 fresh seeds a candidate")
    assert head.startswith(front.verdict)
    # Picked on these samples: bounds are as wide as of all that was looked at.
    looked = {v.comparisons for v in confirmed_verdicts(whole)}.pop()
    assert after.claims is not None
    wide, narrow = (confirmed_verdicts(after.claims, None, n) for n in (looked, 0))
    assert {v.comparisons for v in wide} == {looked}
    assert all(a.bound < b.bound for a, b in zip(wide, narrow, strict=True) if a.bound and b.bound)
    assert all(v.sentence() in claimed for v in wide if v.member is not None)
    # The same members again: its own results change nothing, and nothing is trained twice.
    before = len(study.trials())
    again = study.confirm(seeds=3, epochs=4, claims=True)
    assert [m.key for m in again.members] == [m.key for m in confirmed.members]
    assert len(study.trials()) == before
    # More seeds go on with it; more of the whole front are another confirmation.
    more = study.confirm(seeds=4, epochs=4, claims=True)
    assert {m.trainings for m in more.members} == {4}
    assert len(study.trials()) == before + len(confirmed.members)
    assert {m.trainings for m in study.confirm(seeds=3).members} == {3}
    assert study.front().claims is not None


def test_what_would_train_the_same_again_or_picks_from_a_part_is_refused(
    study: hqsearch.Study, tmp_path: Path
) -> None:
    with pytest.raises(
        InputError, match="gives the same numbers again: give other epochs, or parents"
    ):
        study.confirm(seeds=2, claims=True)
    other = hqsearch.Study("toy", studies_dir=tmp_path, settings=NOISE)
    other.run("random", evaluations=14)
    other.confirm(seeds=2)
    other.run("nsga2", evaluations=60)
    with pytest.raises(InputError, match=r"the last one lacks trial .*: hqsearch confirm"):
        other.confirm(epochs=4, claims=True)


def test_a_front_of_uniform_assignments_claims_nothing(tmp_path: Path) -> None:
    study = hqsearch.Study("toy", studies_dir=tmp_path, settings=NOISE)
    study.run("random", evaluations=5)
    study.confirm(seeds=2)
    with pytest.raises(InputError, match="there is nothing that the search claims"):
        study.confirm(epochs=4, claims=True)


def test_without_a_confirmation_or_with_its_contrary_nothing_is_trained(tmp_path: Path) -> None:
    study = hqsearch.Study("toy", studies_dir=tmp_path, settings=NOISE)
    study.run("random", evaluations=12)
    with pytest.raises(InputError, match="there is none yet: hqsearch confirm --study toy"):
        study.confirm(claims=True)
    with pytest.raises(InputError, match=r"claims=True .* controls=False none"):
        study.confirm(claims=True, controls=False)
    assert len(study.trials()) == 12
