from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hqsearch.analysis.bounds import TRAINING_NOISE
from hqsearch.analysis.paired import accuracy_difference
from hqsearch.analysis.rules import Terms
from hqsearch.analysis.verdict import Verdict, sentences, verdict_text, verdicts
from hqsearch.evaluator import Details
from hqsearch.evaluator.per_sample import pack_correct
from hqsearch.store.records import TrialRow

N = 1000


def row(number: int, wrong: range, energy: float, storage: float, baseline: str = "") -> TrialRow:
    """A trial that is wrong on the samples ``wrong`` of 1,000."""
    correct = np.ones(N, dtype=bool)
    correct[list(wrong)] = False
    accuracy = float(correct.mean())
    details: dict[str, Any] = {
        "validation_samples": N,
        "correct": pack_correct(correct),
        "accuracy_se": float(np.sqrt(accuracy * (1 - accuracy) / N)),
    }
    return TrialRow(
        number=number,
        state="COMPLETE",
        run=0,
        strategy="nsga2",
        kind="baseline" if baseline else "search",
        copy_of=None,
        choices={"layer": str(number)},
        values={"accuracy": accuracy, "energy": energy, "storage": storage},
        average_bits=4.0,
        seed=0,
        seconds=1.0,
        violation=0.0,
        failure="",
        reason="",
        attempts=1,
        origin=baseline,
        details_json=json.dumps(details),
    )


def test_the_standard_error_is_the_paired_one() -> None:
    """Two candidates wrong on nearly the same samples differ with a small standard error."""
    a, b = row(0, range(100), 1, 1), row(1, range(90), 1, 1)
    assert a.values is not None
    assert b.values is not None
    difference = accuracy_difference(
        b.values["accuracy"], b.details, a.values["accuracy"], a.details
    )
    assert difference.paired
    assert difference.mean == pytest.approx(0.01)
    # 10 of 1,000 differ: the variance of the differences is 0.01 - 0.0001.
    assert difference.standard_error == pytest.approx(np.sqrt(0.0099 / 999))
    assert difference.better
    apart = row(2, range(500, 590), 1, 1)
    independent = accuracy_difference(
        b.values["accuracy"], b.details, apart.values["accuracy"], apart.details
    )
    assert independent.standard_error > 3 * difference.standard_error


def test_unpaired_without_the_samples() -> None:
    difference = accuracy_difference(0.9, Details(accuracy_se=0.03), 0.8, Details(accuracy_se=0.04))
    assert not difference.paired
    assert difference.standard_error == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("wrong", "energy", "storage", "outcome"),
    [
        (range(50), 5.0, 50.0, "saves"),  # better beyond the bound, and cheaper
        (range(101), 5.0, 50.0, "not distinguishable"),
        (range(200), 5.0, 50.0, "saves nothing"),  # cheaper, but clearly worse
        (range(50), 11.0, 50.0, "saves nothing"),  # better, but dearer
        (range(50), 9.99, 100.0, "gains"),  # a saving of a thousandth is none
        (range(101), 9.99, 100.0, "saves nothing"),
    ],
)
def test_outcomes(wrong: range, energy: float, storage: float, outcome: str) -> None:
    baseline = row(0, range(100), 10.0, 100.0, "4u")
    member = row(1, wrong, energy, storage)
    (verdict,) = verdicts([member], [baseline, member])
    assert verdict.outcome == outcome
    if outcome == "gains":
        assert verdict.sentence().startswith(
            "against uniform 4u: 5.0 points more accurate at no more cost, at least +"
        )
    elif outcome != "saves nothing":
        assert verdict.savings == {"energy": 0.5, "storage": 0.5}
        assert "saves 50% energy and 50% storage" in verdict.sentence()
    else:
        assert verdict.sentence() == (
            "against uniform 4u: the search found nothing that costs less and is measured within "
            "1 point of it"
        )


def test_provisional_where_accuracies_are_noisy() -> None:
    baseline = row(0, range(100), 10.0, 100.0, "4u")
    text = verdict_text([baseline], [baseline])
    assert "provisional" in text
    assert "none yet" in verdict_text([row(1, range(3), 1, 1)], [row(1, range(3), 1, 1)])


def test_candidates_right_on_the_same_samples_are_not_exactly_equal() -> None:
    same = row(0, range(100), 1, 1).details
    difference = accuracy_difference(0.9, same, 0.9, same)
    assert (difference.mean, difference.standard_error) == (0.0, 1 / N)
    assert not difference.better
    assert not difference.worse


SAME = range(100)


def outcome_of(baseline: TrialRow, *members: TrialRow) -> Verdict:
    (verdict,) = verdicts(members, [baseline, *members])
    return verdict


def test_of_several_members_the_one_that_saves_most_and_the_first_of_equals() -> None:
    baseline = row(0, SAME, 10.0, 100.0, "4u")
    some, most, equal = (row(n, range(50), e, 50.0) for n, e in ((1, 6.0), (3, 4.0), (2, 4.0)))
    verdict = outcome_of(baseline, some, most, equal)
    assert (verdict.baseline, verdict.trial, verdict.outcome) == ("4u", 0, "saves")
    assert (verdict.member, verdict.savings) == (2, {"energy": 0.6, "storage": 0.5})
    assert verdict.accuracy_difference == pytest.approx(0.05)
    assert verdict.standard_error == pytest.approx(
        float(np.sqrt(0.05 * 0.95 / 999 + 2 * TRAINING_NOISE**2))
    )
    assert (verdict.paired, verdict.interval) == (True, None)
    # What is better comes before what saves more and cannot be told apart.
    similar = row(4, range(101), 1.0, 1.0)
    assert outcome_of(baseline, some, similar).member == 1
    assert outcome_of(baseline, similar).outcome == "not distinguishable"


@pytest.mark.parametrize(
    ("energy", "storage", "savings"),
    [
        (10.0, 99.5, {"energy": 0.0, "storage": 0.005}),
        (10.01, 50.0, None),
        (5.0, 100.01, None),
    ],
)
def test_a_saving_is_half_a_percent_of_one_cost_and_no_more_of_the_other(
    energy: float, storage: float, savings: dict[str, float] | None
) -> None:
    verdict = outcome_of(row(0, SAME, 10.0, 100.0, "4u"), row(1, range(50), energy, storage))
    assert verdict.savings == (pytest.approx(savings) if savings else None)
    assert verdict.outcome == ("saves" if savings else "saves nothing")


def test_costs_that_are_missing_or_zero_are_not_compared() -> None:
    baseline, member = row(0, SAME, 0.0, 100.0, "4u"), row(1, range(50), 5.0, 50.0)
    assert outcome_of(baseline, member).savings == {"storage": 0.5}
    alone = replace(member, values={"accuracy": 0.95, "energy": 5.0})
    assert outcome_of(row(0, SAME, 10.0, 100.0, "4u"), alone).savings == {"energy": 0.5}
    assert outcome_of(baseline, alone).outcome == "saves nothing"


def test_a_baseline_does_not_stand_against_itself_and_counts_once() -> None:
    baseline = row(0, SAME, 10.0, 100.0, "4u")
    again = replace(baseline, number=5)
    twin = replace(row(1, range(50), 5.0, 50.0), choices=baseline.choices)
    assert [v.outcome for v in verdicts([twin], [baseline, again, twin])] == ["saves nothing"]
    failed = replace(row(2, SAME, 1, 1, "2u"), values=None, state="FAIL", failure="nan")
    found = verdicts([], [failed, baseline, again])
    assert [(v.trial, v.outcome) for v in found] == [(0, "saves nothing"), (2, "failed")]


def test_sentences() -> None:
    saves = Verdict(
        "4u", 0, "saves", 7, {"energy": 0.25, "storage": 0.004}, 0.012, 0.0049, True,
        label="uniform 4u", accuracy="more", bound=0.003, margin=0.01, samples=1000,
    )  # fmt: skip
    assert saves.sentence() == (
        "against uniform 4u: saves 25% energy and is more accurate (+1.2 points, at least +0.3 "
        "(95 %), trial 7)"
    )
    alike = replace(saves, accuracy="as", accuracy_difference=-0.0004, bound=-0.007)
    assert alike.sentence() == (
        "against uniform 4u: saves 25% energy and is as accurate (+0.0 points, at most 0.7 points "
        "worse (95 %), trial 7)"
    )
    exact = replace(saves, standard_error=0.0)
    assert exact.sentence().endswith("is more accurate (+1.2 points, trial 7)")
    open_ = replace(saves, outcome="not distinguishable", accuracy=None, bound=-0.029)
    told = "against uniform 4u: saves 25% energy; +1.2 points, at most 2.9 points worse (95 %)"
    told += ", trial 7"
    assert open_.sentence() == told
    more = replace(open_, needed_samples=8400, needed_seeds=1, samples=1000)
    whether = "as accurate (within 1 point) cannot be told with 1,000 samples: about 8,400"
    assert sentences([more, saves]) == [
        told, saves.sentence(), f"whether trial 7 is {whether} would"
    ]  # fmt: skip
    many = replace(more, needed_samples=12_000, needed_seeds=4, baseline="3u", label="uniform 3u")
    assert sentences([more, many])[2:] == [
        f"whether trial 7 is {whether} to 12,000 and 1 to 4 seeds of each would"
    ]
    assert sentences([more, replace(many, member=5)])[2:] == [
        f"whether trials 5, 7 are {whether} to 12,000 and 1 to 4 seeds of each would"
    ]
    wide = replace(more, margin=0.025, needed_unit="splits", needed_seeds=9)
    assert sentences([wide])[1:] == [
        "whether trial 7 is as accurate (within 2.5 points) cannot be told with 1,000 samples: "
        "about 8,400 in 9 splits would"
    ]
    failed = Verdict("2u", 3, "failed", label="uniform 2u", reason="nan: energy")
    assert failed.sentence() == (
        "against uniform 2u: not known, for its evaluation failed (trial 3, nan: energy)"
    )
    assert json.loads(json.dumps(replace(saves, interval=(-0.1, 0.2)).as_json()))["interval"] == [
        -0.1,
        0.2,
    ]


def test_uniform_assignments_on_the_front_are_no_finds() -> None:
    dear, cheap = row(0, SAME, 10.0, 100.0, "4u"), row(1, range(50), 5.0, 50.0, "3u")
    assert {v.outcome for v in verdicts([cheap], [dear, cheap])} == {"saves nothing"}
    found = replace(row(2, range(50), 5.0, 50.0), choices=cheap.choices)
    assert {v.outcome for v in verdicts([found], [dear, cheap, found])} == {"saves nothing"}


def test_the_more_a_search_could_pick_from_the_less_is_claimed() -> None:
    baseline, member = row(0, SAME, 10.0, 100.0, "4u"), row(1, range(75), 5.0, 50.0)
    few = verdicts([member], [baseline, member])[0]
    others = [row(n, range(200 + n), 6.0, 60.0) for n in range(2, 50)]
    many = verdicts([member], [baseline, member, *others])[0]
    assert (few.comparisons, many.comparisons) == (1, 49)
    assert few.bound is not None
    assert many.bound is not None
    assert few.bound > 0 > -0.01 > many.bound
    assert (few.outcome, many.outcome) == ("saves", "not distinguishable")
    assert (many.needed_samples or 0) >= 1000
    assert (many.needed_seeds or 0) > 1
    elsewhere = [replace(one, kind="imported") for one in others]
    assert verdicts([member], [baseline, member, *elsewhere])[0] == few


def test_the_margin_is_the_study_s() -> None:
    baseline, member = row(0, SAME, 10.0, 100.0, "4u"), row(1, range(101), 5.0, 50.0)
    wide = verdicts([member], [baseline, member], Terms(margin=0.05))[0]
    assert (wide.outcome, wide.accuracy, wide.margin) == ("saves", "as", 0.05)


def test_no_verdict_where_the_parent_is_not_above_chance() -> None:
    baseline, member = row(0, SAME, 10.0, 100.0, "4u"), row(1, range(50), 5.0, 50.0)
    study = {"margin": 1.0, "rules": 2, "parent": {"accuracy": 0.11, "samples": 500, "chance": 0.1}}
    text = verdict_text([member], [baseline, member], Terms.of(study))
    assert text.startswith("Verdict: none, for the fp32 parent is not above chance (11.0 % of 500")
    study["parent"] = {"accuracy": 0.2, "samples": 500, "chance": 0.1}
    assert "saves" in verdict_text([member], [baseline, member], Terms.of(study))


def test_a_parent_that_is_better_than_uniform_fp32_is_told() -> None:
    fp32, member = row(0, SAME, 10.0, 100.0, "fp32"), row(1, range(50), 5.0, 50.0)
    told = "uniform fp32 has 90.0 %, the fp32 parent that trainings start from 93.6 %"
    above = Terms(parent=(0.936, 1000, 0.1))
    assert told in verdict_text([member], [fp32, member], above)
    assert "parent" not in verdict_text([member], [fp32, member], replace(above, margin=0.05))
    assert "parent" not in verdict_text([member], [fp32, member], Terms())


def test_it_says_by_which_rules() -> None:
    baseline, member = row(0, SAME, 10.0, 100.0, "4u"), row(1, range(50), 5.0, 50.0)
    assert "(rules 2; provisional" in verdict_text([member], [baseline, member])
    old = verdict_text([member], [baseline, member], Terms.of({}))
    assert "(rules 2, on a front of rules 1; provisional" in old


def test_when_there_is_no_verdict() -> None:
    member = row(1, range(50), 5.0, 50.0)
    blind = replace(member, values={"energy": 5.0, "storage": 50.0})
    assert verdict_text([], [member]).startswith("Verdict: none, for nothing that the study")
    assert verdict_text([blind], [blind]).startswith("Verdict: none, for nothing that the study")
    assert not verdict_text([blind, member], [member]).startswith("Verdict: none, for the study")
    exact = replace(member, details_json="{}")
    baseline = replace(row(0, SAME, 10.0, 100.0, "4u"), details_json="{}")
    lines = verdict_text([exact], [baseline, exact]).splitlines()
    assert lines[0] == "Verdict (rules 2):"
    assert lines[1].startswith("  against uniform 4u: saves 50% energy and 50% storage")


def test_one_noisy_member_makes_it_provisional() -> None:
    noisy = row(1, range(50), 5.0, 50.0)
    exact = replace(row(2, range(60), 4.0, 40.0), details_json="{}")
    baseline = row(0, SAME, 10.0, 100.0, "4u")
    assert "provisional" in verdict_text([exact, noisy], [baseline])
    assert "provisional" not in verdict_text([exact], [baseline])
