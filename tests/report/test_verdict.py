from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from hqsearch.report.paired import accuracy_difference, pack_correct
from hqsearch.report.verdict import verdict_text, verdicts
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
    difference = accuracy_difference(0.9, {"accuracy_se": 0.03}, 0.8, {"accuracy_se": 0.04})
    assert not difference.paired
    assert difference.standard_error == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("wrong", "energy", "storage", "outcome"),
    [
        (range(50), 5.0, 50.0, "saves"),  # better beyond the error, and cheaper
        (range(101), 5.0, 50.0, "not distinguishable"),
        (range(200), 5.0, 50.0, "saves nothing"),  # cheaper, but clearly worse
        (range(50), 11.0, 50.0, "saves nothing"),  # better, but dearer
        (range(50), 9.99, 100.0, "saves nothing"),  # a saving of a thousandth is none
    ],
)
def test_outcomes(wrong: range, energy: float, storage: float, outcome: str) -> None:
    baseline = row(0, range(100), 10.0, 100.0, "4u")
    member = row(1, wrong, energy, storage)
    (verdict,) = verdicts([member], [baseline, member])
    assert verdict.outcome == outcome
    if outcome != "saves nothing":
        assert verdict.savings == {"energy": 0.5, "storage": 0.5}
        assert "saves 50% energy and 50% storage" in verdict.sentence()
    else:
        assert (
            verdict.sentence()
            == "against uniform 4u: the front saves nothing without losing accuracy"
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
