"""The vectorised model, its report and its tables are the same numbers."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import torch

from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.hardware import CostModel, LayerRate, Workload, load_profile, profile_names
from hqsearch.hardware.trace import trace_workload
from hqsearch.models import build_model

CHOICES = ("2u", "4u", "2l", "4l", "fp32")


@cache
def workload() -> Workload:
    options = {"embed_dim": 64, "depth": 2, "heads": 4, "pooled_stages": 3}
    model = build_model("spikformer", options, timesteps=8, size=32, classes=11).to("meta")
    return trace_workload(model, torch.zeros(8, 1, 2, 32, 32, device="meta"), 4).with_rate(0.17)


def model(profile: str = "horowitz-45nm-memory", paths: slice = slice(None)) -> CostModel:
    names = list(workload().layers)[paths]
    return CostModel(workload(), load_profile(profile), dict.fromkeys(names, CHOICES))


@pytest.mark.parametrize("profile", profile_names())
def test_vectorised_equals_scalar_to_the_last_digit(profile: str) -> None:
    costs = model(profile)
    codes = np.random.default_rng(0).integers(0, len(CHOICES), (1000, len(costs.layers)))
    found = costs.estimate(codes.astype(np.uint8))
    for index in range(0, 1000, 1 if profile == "sop-45nm" else 20):
        choices = {p: CHOICES[c] for p, c in zip(costs.layers, codes[index], strict=True)}
        storage = costs.storage(choices)
        assert found.energy[index] == costs.energy(choices).total
        assert found.storage[index] == storage.kib
        assert found.average_bits[index] == storage.average_bits


@pytest.mark.parametrize("profile", profile_names())
def test_rows_and_columns_sum_to_the_total(profile: str) -> None:
    costs = model(profile)
    report = costs.energy(costs.uniform("4l"))
    assert sum(row.total for row in report.rows) == report.total
    assert sum(row.total for row in reversed(report.rows)) == report.total
    names = report.rows[0].columns
    assert sum(report.column(name) for name in names) == report.total
    energies, _ = costs.tables()
    fourth = CHOICES.index("4l")
    placed = costs.placement(costs.uniform("4l"))
    loading = placed.energy if placed else 0.0
    assert sum(table[fourth] for table in energies) + costs.rest[0] + loading == report.total


def test_layers_left_out_stay_in_fp32() -> None:
    part = model(paths=slice(0, 3))
    codes = np.zeros((1, 3), int)
    assert part.estimate(codes).energy[0] == part.energy(dict.fromkeys(part.layers, "2u")).total
    assert part.estimate(codes).average_bits[0] > 30
    whole = model()
    everything = {**whole.uniform("fp32"), **dict.fromkeys(part.layers, "2u")}
    assert whole.energy(everything).total == part.estimate(codes).energy[0]


def test_pinned_layers_may_be_left_out_of_an_assignment() -> None:
    layers = {**dict.fromkeys(workload().layers, CHOICES), "head": ("8u",)}
    costs = CostModel(workload(), load_profile("sop-45nm"), layers)
    rest = {path: "2u" for path in layers if path != "head"}
    assert costs.complete(rest)["head"].text == "8u"
    assert costs.codes([{**rest, "head": "8u"}]).tolist() == [[0] * len(layers)]


def test_compression_with_and_without_what_papers_leave_out() -> None:
    costs = model()
    found = costs.compression(costs.uniform("4u"))
    assert found["codes"] == 8.0
    fp32, quantized = (costs.storage(costs.uniform(c)).bits for c in ("fp32", "4u"))
    assert found["stored"] == fp32 / quantized
    assert found["stored"] < 8.0


def test_bad_assignments() -> None:
    costs = model()
    with pytest.raises(UnknownName, match=r"mean 'tokenizer\.position'"):
        costs.energy({"tokenizer.positions": "2u"})
    with pytest.raises(DefinitionError, match="has no choice"):
        costs.energy({"head": "2u"})
    with pytest.raises(DefinitionError, match="unknown choice '4x'"):
        costs.energy(dict.fromkeys(costs.layers, "4x"))
    with pytest.raises(UnknownName, match="choice '8u'"):
        costs.codes([dict.fromkeys(costs.layers, "8u")])
    with pytest.raises(UnknownName, match="unknown layer"):
        CostModel(workload(), load_profile("sop-45nm"), {"nope": CHOICES})
    with pytest.raises(DefinitionError, match="has no choices"):
        CostModel(workload(), load_profile("sop-45nm"), {"head": ()})
    with pytest.raises(ValueError, match="codes must be"):
        costs.estimate(np.zeros((2, 3), int))
    with pytest.raises(ValueError, match="outside"):
        costs.estimate(np.full((2, len(costs.layers)), 5))


def test_rates_replace_the_workloads() -> None:
    costs = model("sop-45nm")
    choices = costs.uniform("4u")
    base = costs.energy(choices)
    path = "tokenizer.conv2"
    rates = {path: LayerRate(0.34, 0.34, 0.01)}
    busier = costs.energy(choices, rates)
    change = {r.path: b.total - r.total for r, b in zip(base.rows, busier.rows, strict=True)}
    row = next(r for r in base.rows if r.path == path)
    assert change.pop(path) == pytest.approx(row.total)
    assert set(change.values()) == {0.0}


def test_nothing_here_imports_torch() -> None:
    code = (
        "import sys, hqsearch.hardware as h; import hqsearch.hardware.uncertainty, "
        "hqsearch.hardware.tables; h.load_profile('sop-45nm'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
