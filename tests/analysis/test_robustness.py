"""What is varied, how far, and how it is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hqsearch.analysis import robustness as module
from hqsearch.analysis.robustness import CostedAssignment, robustness
from hqsearch.hardware.uncertainty import ConstantUncertainty, SchemeDifference


def test_a_thousand_draws_within_half_of_every_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []
    varied = ConstantUncertainty(
        ("add",), np.array([1.0, 2.0]), np.array([0.5, 1.5]), np.array([3.0, 4.0]),
        np.array([1.0, -1.0]), {"add": 1.0},
    )  # fmt: skip
    schemes = [SchemeDifference("spikes", 3, 0.5, 0.9)]

    def vary_constants(*arguments: Any, **options: Any) -> ConstantUncertainty:
        asked.append((*arguments, options))
        return varied

    def scheme_differences(*arguments: Any, **options: Any) -> list[SchemeDifference]:
        asked.append((*arguments, options))
        return schemes

    monkeypatch.setattr(module, "vary_constants", vary_constants)
    monkeypatch.setattr(module, "scheme_differences", scheme_differences)
    candidates = [
        CostedAssignment("fp32", None, {"a": "fp32"}, None),
        CostedAssignment("t", 7, {"a": "2u"}, None),
    ]
    found = robustness("workload", "profile", candidates, 3)  # type: ignore[arg-type]
    settings = {"draws": 1000, "seed": 3, "spread": 0.5}
    pairs = [({"a": "fp32"}, None), ({"a": "2u"}, None)]
    assert asked == [
        ("workload", "profile", pairs, settings),
        ("workload", "profile", {**settings, "bits": 4}),
    ]
    rows = [
        {"candidate": "fp32", "trial": None, "nominal": 1.0, "low": 0.5, "high": 3.0},
        {"candidate": "t", "trial": 7, "nominal": 2.0, "low": 1.5, "high": 4.0},
    ]
    assert found.rows() == rows
    assert found.as_json() == {
        **{"draws": 1000, "spread": 0.5, "seed": 3, "candidates": rows},
        **{"constants": ["add"], "importance": {"add": 1.0}, "most_important": "add"},
        **{"tau_median": 0.0, "tau_low": pytest.approx(-0.9), "scheme_bits": 4},
        "schemes": [{"input_kind": "spikes", "layers": 3, "difference": 0.5, "holds": 0.9}],
    }
