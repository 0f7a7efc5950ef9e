"""Another fingerprint is refused, and the difference named down to a hardware constant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hqsearch.definition.differences import differences
from hqsearch.errors import StudyMismatch
from hqsearch.hardware import load_profile, profile_names
from hqsearch.study.fingerprint import (
    OF_THEIR_TIME,
    at_its_time,
    require_recipe,
    require_same,
)


def fingerprint(profile: str, **constants: float) -> dict[str, Any]:
    found = load_profile(profile)
    changed = {name: replace(found.constants[name], value=v) for name, v in constants.items()}
    return {
        "evaluator": "short-qat",
        "hardware": replace(found, constants={**found.constants, **changed}).contents(),
    }


@pytest.mark.parametrize("profile", profile_names())
def test_the_same_profile_is_the_same(profile: str) -> None:
    require_same(fingerprint(profile), fingerprint(profile), "mine")


def test_another_profile_is_refused_by_name() -> None:
    with pytest.raises(StudyMismatch, match="'mine' was made with other settings") as told:
        require_same(fingerprint("sop-45nm"), fingerprint("loihi-14nm"), "mine")
    assert "in the study" in str(told.value)
    assert "more)" in str(told.value)
    assert "hardware.name: 'sop-45nm' in the study, 'loihi-14nm' asked for" in differences(
        fingerprint("sop-45nm"), fingerprint("loihi-14nm")
    )


def test_one_changed_constant_is_refused_with_both_values() -> None:
    asked = fingerprint("sop-45nm", add_per_bit=0.5)
    with pytest.raises(
        StudyMismatch, match=r"constants\.add_per_bit\.value: 0\.\d+ in the study, 0\.5 asked for"
    ):
        require_same(fingerprint("sop-45nm"), asked, "mine")


def test_what_an_old_fingerprint_lacks_has_the_value_of_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = {"evaluator": "mine", "evaluation": {"epochs": 2}}
    now = {"recipe": 1, "evaluator": "mine", "evaluation": {"epochs": 2, "mirror": False}}
    with pytest.raises(StudyMismatch, match="mirror: nothing in the study, False asked for"):
        require_same(old, now, "mine")
    monkeypatch.setattr(
        "hqsearch.study.fingerprint.OF_THEIR_TIME", {**OF_THEIR_TIME, "evaluation.mirror": False}
    )
    require_same(old, now, "mine")
    now["evaluation"] = {"epochs": 2, "mirror": True}
    with pytest.raises(StudyMismatch, match="mirror: False in the study, True asked for"):
        require_same(old, now, "mine")
    assert at_its_time(old, now)["recipe"] == 1
    # An evaluator that has no such setting is not asked for it.
    require_same(old, {"evaluator": "mine", "evaluation": {"epochs": 2}}, "mine")


@pytest.mark.parametrize("recorded", [{}, {"recipe": 1}])
def test_another_recipe_is_refused_in_one_sentence(recorded: dict[str, Any]) -> None:
    old = {**recorded, "evaluator": "short-qat", "evaluation": {"epochs": 2}}
    require_recipe(old, 1, "mine")
    with pytest.raises(StudyMismatch) as told:
        require_same(old, {"recipe": 2, "evaluator": "short-qat", "objectives": []}, "mine")
    assert str(told.value) == (
        "study 'mine' was made by recipe 1 of short-qat, this version has recipe 2: its results "
        "mean something else and must not be mixed with new ones; start it afresh with "
        "fresh=True or another studies_dir"
    )
