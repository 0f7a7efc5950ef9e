"""Tables and breakdowns show the same totals as the reports."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from functools import cache

import pytest
import torch

from hqsearch.hardware import CostModel, load_profile, profile_names
from hqsearch.hardware.tables import breakdown, layer_table, part_of, to_csv
from hqsearch.hardware.trace import trace_workload
from hqsearch.models import build_model


@cache
def costs() -> CostModel:
    options = {"embed_dim": 32, "depth": 1, "heads": 2, "pooled_stages": 3}
    model = build_model("spikformer", options, timesteps=4, size=32, classes=3).to("meta")
    workload = trace_workload(model, torch.zeros(4, 1, 2, 32, 32, device="meta"), 4)
    return CostModel(workload.with_rate(0.2), load_profile("horowitz-45nm-memory"), {})


def test_rows_sum_to_the_reports() -> None:
    energy, storage = costs().energy(costs().uniform("4u")), costs().storage(costs().uniform("4u"))
    rows = layer_table(energy, storage)
    assert sum(row["energy"] for row in rows) == energy.total
    assert sum(row["storage"] for row in rows) == storage.kib
    parts = breakdown(energy, storage)
    assert {row["part"] for row in parts} == {
        "tokenizer", "attention: query", "attention: key", "attention: value",
        "attention: output", "attention: products", "MLP", "head", "other",
    }  # fmt: skip
    for key in ("energy", "storage"):
        assert sum(row[f"{key}_share"] for row in parts) == pytest.approx(1.0)
    assert sum(row["energy"] for row in parts) == energy.total


def test_weights_are_counted_and_their_energy_has_a_name_of_its_own() -> None:
    energy, storage = costs().energy(costs().uniform("4u")), costs().storage(costs().uniform("4u"))
    rows = {row["path"]: row for row in layer_table(energy, storage)}
    layers = costs().workload.layers
    assert {path: rows[path]["weights"] for path in layers} == {
        path: op.weights for path, op in layers.items()
    }
    assert rows["tokenizer.neuron1"]["weights"] == 0
    assert sum(row["energy_weights"] for row in rows.values()) == energy.column("weights") > 0
    kinds = ("compute", "energy_weights", "membrane", "traffic", "rest")
    for row in rows.values():
        assert sum(row[kind] for kind in kinds) == row["energy"]


@pytest.mark.parametrize("profile", profile_names())
@pytest.mark.parametrize("choice", ["2l", "8u", "fp32"])
def test_no_column_stands_for_two_things(profile: str, choice: str) -> None:
    model = CostModel(costs().workload, load_profile(profile), {})
    energy, storage = model.energy(model.uniform(choice)), model.storage(model.uniform(choice))
    rows = layer_table(energy, storage)
    weights = {path: op.weights for path, op in model.workload.layers.items()}
    assert {r["path"]: r["weights"] for r in rows if r["kind"] == "weight"} == weights
    assert len({tuple(row) for row in rows}) == 1
    assert sum(row["energy"] for row in rows) == pytest.approx(energy.total, rel=1e-12)
    for name in energy.rows[0].columns:
        key = "energy_weights" if name == "weights" else name
        assert sum(row[key] for row in rows) == pytest.approx(energy.column(name), rel=1e-12)
    told = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert [int(row["weights"]) for row in told] == [row["weights"] for row in rows]
    assert [float(row["energy"]) for row in told] == [row["energy"] for row in rows]


def test_both_counts_of_operations_are_shown() -> None:
    energy, storage = costs().energy(costs().uniform("4u")), costs().storage(costs().uniform("4u"))
    rows = [row for row in layer_table(energy, storage) if row["kind"] == "weight"]
    counted, padded = energy.operations() or (0.0, 0.0)
    assert sum(row["operations"] for row in rows) == counted < padded
    assert sum(row["padded_operations"] for row in rows) == padded
    by_path = {row["path"]: row for row in rows}
    for path, op in costs().workload.layers.items():
        share = by_path[path]["operations"] / op.valid_macs
        assert by_path[path]["padded_operations"] == pytest.approx(share * op.macs)
    earlier = CostModel(replace(costs().workload, counting=1), costs().profile, {})
    old = earlier.energy(earlier.uniform("4u"))
    assert old.operations() is None
    assert {row["operations"] for row in layer_table(old, storage)} == {None}


def test_parameters_outside_the_layers_have_a_row() -> None:
    energy = costs().energy(costs().uniform("4u"))
    storage = replace(costs().storage(costs().uniform("4u")), unquantized=8192)
    *rows, last = layer_table(energy, storage)
    assert last["path"] == "(other parameters)"
    assert (last["storage"], last["energy"], last["weights"]) == (1.0, 0.0, 0)
    assert list(last) == list(rows[0])


def test_parts_of_other_networks() -> None:
    assert part_of("patch_embed.proj_conv") == "tokenizer"
    assert part_of("block.3.attn.q_conv") == "attention: query"
    assert part_of("block.3.attn.proj_conv") == "attention: output"
    assert part_of("block.3.attn.attn_lif") == "attention: products"
    assert part_of("block.3.mlp.fc1_conv") == "MLP"
    assert part_of("blocks.0.add") == "other"


def test_csv_reads_back() -> None:
    energy, storage = costs().energy(costs().uniform("2l")), costs().storage(costs().uniform("2l"))
    rows = list(csv.DictReader(io.StringIO(to_csv(layer_table(energy, storage)))))
    assert sum(float(row["energy"]) for row in rows) == energy.total
    assert rows[0]["choice"] == "2l"
    assert to_csv([]) == ""
