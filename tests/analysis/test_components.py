"""Confirmations from several parents and on several divisions: means, errors, what is said."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hqsearch.analysis.components import DivisionNoise, FromParents, ParentNoise, noise_of
from hqsearch.analysis.confirmation import confirmation_of
from hqsearch.analysis.confirmed_verdict import study_verdict
from hqsearch.analysis.crossed import crossed_three, mean_squares
from hqsearch.analysis.replicates import Noise, crossed_mean
from hqsearch.evaluator import FreshParent
from hqsearch.evaluator.per_sample import pack_correct
from hqsearch.problem.objective import ACCURACY, ENERGY, STORAGE
from hqsearch.store.records import TrialRow

OBJECTIVES = (ACCURACY, ENERGY, STORAGE)


def replicate(
    accuracy: float, parent: FreshParent, seed: int, right: Any = None, **more: Any
) -> TrialRow:
    told: dict[str, Any] = {"parent": parent.seed, "division": parent.division}
    if right is not None:
        told |= {"correct": pack_correct(right), "test_samples": len(right)}
    told |= {"training_samples": more.get("trained", 900)}
    key = more.get("key", "a=2u")
    values = {"accuracy": accuracy, "energy": more.get("energy", 1.0), "storage": 1.0}
    return TrialRow(
        more.get("number", 0), "COMPLETE", 1, "confirm", more.get("kind", "replicate"), None,
        dict([key.split("=")]), values, None, seed, 1.0, 0.0, "", "", 1, more.get("origin", ""),
        json.dumps(told),
    )  # fmt: skip


def of_values(cells: npt.NDArray[np.float64], division: bool = False) -> FromParents:
    """From ``[parents, seeds]``; each a division of its own where asked."""
    rows = {
        (parent := FreshParent(p if division else 0, p)): {
            s: replicate(float(value), parent, s) for s, value in enumerate(row)
        }
        for p, row in enumerate(cells)
    }
    return FromParents(rows, "accuracy")


def test_mean_squares_by_hand() -> None:
    """Two parents, two seeds, two samples: 0 but for one cell of 8."""
    table = np.zeros((2, 2, 2))
    table[1, 1, 1] = 8.0
    # Each effect is plus or minus 1 everywhere: eight cells, one degree of freedom.
    assert mean_squares(table) == [(pytest.approx(8.0), 1.0)] * 7
    estimate = crossed_three(table)
    assert estimate.mean == 1.0
    assert estimate.standard_error == pytest.approx(math.sqrt(8 / 8))
    assert estimate.freedom == pytest.approx(8**2 / (7 * 8**2))


def test_one_of_anything_is_crossed_with_the_rest() -> None:
    table = np.random.default_rng(0).random((3, 40))
    assert crossed_three(table[None]) == crossed_mean(table)
    assert crossed_three(table[:, None]) == crossed_mean(table)


def test_what_a_parent_does_to_all_alike_is_in_no_difference() -> None:
    common = np.array([0.02, -0.03, 0.01])[:, None]
    own = [np.full((3, 2), level) + common for level in (0.8, 0.9, 0.85)]
    made = [of_values(cells) for cells in own]
    noise = noise_of(made)
    assert isinstance(noise, ParentNoise)
    assert noise.as_json()["parents"]["accuracy"] == pytest.approx(
        math.sqrt(np.var(common, ddof=1))
    )
    assert noise.as_json()["parents"]["difference"] == pytest.approx(0.0, abs=1e-9)
    gap = made[1].minus(made[0], noise)
    assert gap.mean == pytest.approx(0.1)
    assert gap.standard_error == pytest.approx(0.0, abs=1e-9)
    assert made[0].estimate().standard_error > 0.01


def test_what_a_parent_does_to_a_candidate_is() -> None:
    """By hand: two candidates, two parents, one seed."""
    made = [of_values(np.array([[0.8], [0.8]])), of_values(np.array([[0.9], [0.86]]))]
    noise = noise_of(made)
    assert isinstance(noise, ParentNoise)
    # Differences 0.10 and 0.06: their variance is 0.0008, of their mean the half.
    gap = made[1].minus(made[0], noise)
    assert gap.mean == pytest.approx(0.08)
    assert gap.standard_error == pytest.approx(0.02)
    assert gap.freedom == 1.0
    assert made[1].minus(made[0]).standard_error == pytest.approx(0.02)
    assert noise.as_json()["seeds"] == {"number": 1, "accuracy": None}


def test_a_missing_training_leaves_the_rest_crossed() -> None:
    made = [of_values(np.random.default_rng(k).random((3, 2))) for k in range(4)]
    lacking = FromParents(
        {
            p: {s: t for s, t in own.trials.items() if (p.seed, s) != (2, 1)}
            for p, own in made[0].starts.items()
        },
        "accuracy",
    )
    noise = noise_of([lacking, *made[1:]])
    assert isinstance(noise, ParentNoise)
    assert noise.candidates == 3
    gap = made[1].minus(lacking, noise)
    expected = [
        made[1].starts[p].values([0]) - made[0].starts[p].values([0]) for p in made[1].starts
    ]
    assert gap.mean == pytest.approx(np.mean(expected))
    assert math.isfinite(gap.standard_error)
    one = FromParents({FreshParent(0, 9): {0: replicate(0.5, FreshParent(0, 9), 0)}}, "accuracy")
    assert one.minus(made[0], noise).standard_error == math.inf
    assert isinstance(noise_of([one, one]), Noise | None)


def test_divisions_by_hand() -> None:
    """Differences 0.10 and 0.06 on two divisions; test samples are a ninth of the training ones."""
    rows = []
    for base, other in ((0.8, 0.9), (0.8, 0.86)):
        rows.append((base, other))
    made = []
    for place in (0, 1):
        trials = {}
        for d, pair in enumerate(rows):
            parent = FreshParent(d, 7)
            row = replicate(pair[place], parent, 5, trained=900)
            told = json.loads(row.details_json) | {"test_samples": 100}
            trials[parent] = {5: TrialRow(**{**_fields(row), "details_json": json.dumps(told)})}
        made.append(FromParents(trials, "accuracy"))
    noise = noise_of(made)
    assert isinstance(noise, DivisionNoise)
    gap = made[1].minus(made[0], noise)
    assert gap.mean == pytest.approx(0.08)
    assert gap.standard_error == pytest.approx(math.sqrt(0.0008 * (1 / 2 + 1 / 9)))
    assert noise.as_json()["divisions"]["difference"] == pytest.approx(math.sqrt(0.0008))
    assert made[0].estimate().freedom == 1.0


def _fields(row: TrialRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__slots__}


@pytest.mark.parametrize("divisions", [1, 4])
def test_what_a_verdict_says_of_it(divisions: int) -> None:
    """Members are compared over parents; what is missing is told in parents or in splits."""
    generator = np.random.default_rng(1)
    rows, keys = [], {"a=2u": (0.80, 1.0), "a=x": (0.9, 1.5), "a=4u": (0.9, 2.0)}
    for number, (key, (level, energy)) in enumerate(keys.items()):
        kind = "search" if key == "a=x" else "baseline"
        more = {"number": number, "key": key, "kind": kind, "energy": energy, "origin": key[2:]}
        rows.append(replicate(level, FreshParent(0, 0), 0, **more))
    front = rows[:2]
    for division in range(divisions):
        hard = generator.random(200)
        for parent in range(3 if divisions == 1 else 1):
            for key, (level, energy) in keys.items():
                right = hard + 0.05 * generator.normal(size=200) < level
                start = FreshParent(division, 10 * division + parent)
                more = {"number": len(rows), "key": key, "energy": energy, "trained": 800}
                rows.append(replicate(float(right.mean()), start, 3, right, **more))
    found = confirmation_of(front, rows, OBJECTIVES)
    assert found is not None
    told = found.as_json()
    assert len(told["parents"]) == (3 if divisions == 1 else 4)
    assert told["divisions"] == divisions
    text = study_verdict(front, rows, OBJECTIVES)
    if divisions == 1:
        assert "3 fresh parents and 1 fresh seed from each, 200 test samples" in text
        assert "parents of each would" in text or "is as accurate" in text
    else:
        assert "4 splits with 1 fresh parent and 1 fresh seed, 800 test samples" in text
    assert "taken to vary" not in text
    for member in found.members:
        low, high = member.interval
        assert 0 <= low <= member.quality.mean <= high <= 1
