"""What an energy tells that storage does not: correlations, shares, response, the note."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from hqsearch.analysis.energy_meaning import EnergyMeaning, energy_meaning, one_in_effect
from hqsearch.definition import embedded, load_study
from hqsearch.evaluator import Evaluator, Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.hardware import CostModel, load_profile


def evaluator(name: str, **overrides: Any) -> Evaluator:
    definition = load_study(embedded("studies")[name], overrides)
    return make_evaluator(Setup(definition, Path("absent")))


@pytest.fixture(scope="module")
def gesture() -> Evaluator:
    return evaluator("gesture")


@pytest.fixture(scope="module")
def meaning(gesture: Evaluator) -> EnergyMeaning:
    found = energy_meaning(gesture)
    assert found is not None
    return found


def test_on_gesture_energy_is_no_longer_storage(meaning: EnergyMeaning) -> None:
    by_name = {p.profile: p for p in meaning.profiles}
    before, after = by_name["horowitz-45nm-memory"], meaning.own
    assert after.profile == "resident-45nm"
    assert before.storage.without_fp32 is not None
    assert after.storage.own is not None
    assert before.storage.without_fp32 > 0.98
    assert after.storage.own < 0.95
    assert meaning.note() is None
    assert meaning.rates == "stated, 0.15"


def test_correlations_are_those_of_enumerated_costs(
    gesture: Evaluator, meaning: EnergyMeaning
) -> None:
    workload = gesture.trace("refuse").with_rate(0.15)  # type: ignore[attr-defined]
    choices = ("2u", "3u", "4u", "2l", "3l", "4l", "fp32")
    model = CostModel(
        workload, load_profile("resident-45nm"), dict.fromkeys(workload.layers, choices)
    )
    codes = np.random.default_rng(5).integers(0, 7, (4000, 18))
    found = model.estimate(codes)
    assert meaning.own.storage.with_fp32 == pytest.approx(
        spearmanr(found.energy, found.storage).statistic, abs=0.02
    )
    uniform = model.energy(model.uniform("4u"))
    columns = meaning.own.columns
    assert columns["weights"] == pytest.approx(uniform.column("weights") / uniform.total)
    assert sum(v for name, v in columns.items() if name != "offchip") == pytest.approx(1.0)


def test_energy_of_bits_alone_is_storage_and_says_what_would_separate_them() -> None:
    found = evaluator("gesture", **{"hardware.profile": "linear-bits"})
    told = energy_meaning(found)
    assert told is not None
    assert told.own.bits.as_json() == {
        "without_fp32": pytest.approx(1.0),
        "with_fp32": pytest.approx(1.0),
    }
    assert told.own.response == 1.0
    assert told.own.columns["offchip"] == told.own.columns["weights"] == pytest.approx(1.0)
    note = one_in_effect(found, ["accuracy", "energy", "storage"])
    assert note is not None
    assert "energy and storage are one objective in effect" in note
    assert "hardware profile horowitz-45nm (0.5" in note
    assert one_in_effect(found, ["accuracy", "energy"]) is None


def test_without_fp32_among_the_choices_there_is_one_number() -> None:
    told = energy_meaning(evaluator("gesture", space={"choices": ["2u", "4u"]}))
    assert told is not None
    assert told.own.storage.with_fp32 is None
    assert told.own.storage.own == told.own.storage.without_fp32


def test_evaluators_without_a_network_tell_what_their_costs_do() -> None:
    told = energy_meaning(evaluator("recorded"))
    assert told is not None
    assert [p.profile for p in told.profiles] == [""]
    assert told.own.storage.with_fp32 == pytest.approx(0.92, abs=0.02)
    assert told.own.columns == {}
