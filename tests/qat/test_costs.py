"""Costs of candidates: cheap columns, the fp32 network, rows of a table."""

from __future__ import annotations

import json
import math

import pytest

from hqsearch.definition import SpaceDefinition
from hqsearch.hardware import LayerRate
from hqsearch.problem.space import derive_space
from hqsearch.qat.costs import METRICS, cheap_metrics, fp32_metrics, layer_rows
from hqsearch.qat.structural_part import Part
from hqsearch.schemes.choice import FP32

RULES = SpaceDefinition(choices=("2u", "4l", "fp32"))


def test_the_fp32_candidate_costs_the_reference(prepared: Part) -> None:
    space = derive_space(RULES, prepared.layers)
    candidates = [space.baseline(FP32), space.baseline("2u")]
    fp32, small = cheap_metrics({"": prepared}, space, candidates)
    reference = fp32_metrics(prepared.costs(space))
    assert fp32.tolist() == pytest.approx([reference[name] for name in METRICS])
    assert (small < fp32).all()
    assert small[2] == 2.0


def test_rows_add_up_and_an_unknown_rate_is_none(prepared: Part) -> None:
    space = derive_space(RULES, prepared.layers)
    costs = prepared.costs(space)
    choices = space.assignment(space.baseline("4l"))
    first, second = list(choices)[:2]
    rates = {first: LayerRate(0.123456789, 0.25)}
    rows = {row["layer"]: row for row in layer_rows(costs, choices, rates)}
    assert list(rows) == list(choices)
    assert (rows[first]["rate"], rows[first]["activity"]) == (0.123457, 0.25)
    assert rows[second]["rate"] is None
    assert {row["bits"] for row in rows.values()} == {4}
    assert sum(row["weights"] for row in rows.values()) == costs.workload.weights
    stored = costs.storage(choices)
    unquantized = stored.kib - sum(row["storage"] for row in rows.values())
    assert 0 <= unquantized < stored.kib
    assert json.loads(json.dumps(list(rows.values()), allow_nan=False)) == list(rows.values())
    unknown = layer_rows(costs, choices, {first: LayerRate(math.nan, math.nan)})
    assert (unknown[0]["rate"], unknown[0]["activity"]) == (None, None)
