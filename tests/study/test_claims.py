"""``confirm --claims``: which members carry claims, and what each is held against."""

from __future__ import annotations

from pathlib import Path

import pytest

import hqsearch
from hqsearch.analysis.confirmation import confirmation_of
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
    assert {m.label for m in controls} == {own[m.key].rival for m in carriers} - {""}
    assert {m.trainings for m in confirmed.members} == {3}
    assert "not in this confirmation: trial " in confirmed.verdict
    # The same members again: its own results change nothing, and nothing is trained twice.
    before = len(study.trials())
    again = study.confirm(seeds=3, epochs=4, claims=True)
    assert [m.key for m in again.members] == [m.key for m in confirmed.members]
    assert len(study.trials()) == before
    # More seeds go on with it; a confirmation of the whole front is another one.
    more = study.confirm(seeds=4, epochs=4, claims=True)
    assert {m.trainings for m in more.members} == {4}
    assert len(study.trials()) == before + len(confirmed.members)


def test_without_a_confirmation_or_with_its_contrary_nothing_is_trained(tmp_path: Path) -> None:
    study = hqsearch.Study("toy", studies_dir=tmp_path, settings=NOISE)
    study.run("random", evaluations=12)
    with pytest.raises(InputError, match="there is none yet: hqsearch confirm --study toy"):
        study.confirm(claims=True)
    with pytest.raises(InputError, match=r"claims=True .* controls=False none"):
        study.confirm(claims=True, controls=False)
    assert len(study.trials()) == 12
