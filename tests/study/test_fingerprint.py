"""Another fingerprint is refused, and the difference named down to a hardware constant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hqsearch.definition.differences import differences
from hqsearch.errors import StudyMismatch
from hqsearch.hardware import load_profile, profile_names
from hqsearch.study.fingerprint import require_same


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
