"""What a confirmation comes to: who survives, what is missing, which verdict it gives."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from hqsearch.analysis.confirmation import (
    CONFIRMED,
    LUCK,
    UNCERTAIN,
    ConfirmedFront,
    confirmation_of,
)
from hqsearch.analysis.confirmed_verdict import study_verdict
from hqsearch.evaluator.per_sample import pack_correct
from hqsearch.problem.objective import ACCURACY, ENERGY, STORAGE
from hqsearch.store.records import TrialRow

OBJECTIVES = (ACCURACY, ENERGY, STORAGE)


def row(
    number: int, key: str, kind: str, values: tuple[float, float, float], **more: Any
) -> TrialRow:
    choices = dict(part.split("=") for part in key.split(";"))
    return TrialRow(
        number,
        "COMPLETE",
        more.get("run", 0),
        "s",
        kind,
        None,
        choices,
        dict(zip(("accuracy", "energy", "storage"), values, strict=True)),
        None,
        more.get("seed", 0),
        1.0,
        0.0,
        "",
        "",
        1,
        more.get("origin", ""),
        json.dumps(more.get("details", {"accuracy_se": 0.01})),
    )


def study(accuracies: dict[str, float], samples: int = 2000) -> ConfirmedFront | None:
    """A front whose members' replicates have these accuracies, sample by sample."""
    cost = {"a=2u": (1.0, 10.0), "a=x": (1.5, 15.0), "a=y": (1.4, 14.0), "a=4u": (2.0, 20.0)}
    searched = {"a=2u": 0.80, "a=x": 0.92, "a=y": 0.90, "a=4u": 0.91}
    rows = [
        row(
            i, k, "baseline" if k.endswith("u") else "search", (searched[k], *cost[k]), origin=k[2:]
        )
        for i, k in enumerate(searched)
    ]
    front = [r for r in rows if r.key != "a=4u"]
    generator = np.random.default_rng(0)
    hard = generator.random(samples)
    for seed in (1, 2, 3):
        for key, accuracy in accuracies.items():
            right = hard + 0.02 * generator.normal(size=samples) < accuracy
            details = {"correct": pack_correct(right), "test_samples": samples}
            values = (float(right.mean()), *cost[key])
            more = {"run": 1, "seed": seed, "details": details}
            rows.append(row(len(rows), key, "replicate", values, **more))
    found = confirmation_of(front, rows, OBJECTIVES)
    told = study_verdict(front, rows, OBJECTIVES)
    if found is not None and any(not m.label for m in found.members):
        assert f"confirmed: {found.seeds} fresh" in told
    elif found is not None:
        assert "provisional" in told
        assert "not confirmed: trial 1, 2" in told
    return found


def test_baselines_alone_confirm_nothing() -> None:
    found = study({"a=2u": 0.80, "a=4u": 0.91})
    assert found is not None
    assert [m.label for m in found.members] == ["uniform 2u", "uniform 4u"]


def test_a_place_that_rested_on_luck_is_marked() -> None:
    found = study({"a=2u": 0.80, "a=x": 0.85, "a=y": 0.90, "a=4u": 0.91})
    assert found is not None
    status = {m.key: m.status for m in found.members if m.on_front}
    assert status == {"a=2u": CONFIRMED, "a=x": LUCK, "a=y": CONFIRMED}
    member = found.of("a=y")
    assert member is not None
    assert member.rival == "uniform 2u"
    assert member.difference is not None
    low, high = member.difference.interval()
    assert 0.08 < low < 0.10 < high < 0.12
    near = study({"a=2u": 0.80, "a=x": 0.8985, "a=y": 0.90, "a=4u": 0.91})
    assert near is not None
    assert {m.key: m.status for m in near.members}["a=x"] == UNCERTAIN
    assert study({}) is None


def test_what_is_missing_is_told() -> None:
    found = study({"a=2u": 0.80, "a=y": 0.90})
    assert found is not None
    assert found.missing == (3, 1)
    assert found.samples == 2000
