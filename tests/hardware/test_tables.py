"""Tables and breakdowns show the same totals as the reports."""

from __future__ import annotations

import csv
import io
from functools import cache

import pytest
import torch

from hqsearch.hardware import CostModel, Workload, load_profile
from hqsearch.hardware.non_spiking import comparison, non_spiking
from hqsearch.hardware.tables import breakdown, layer_table, part_of, to_csv
from hqsearch.models import build_model


@cache
def costs() -> CostModel:
    options = {"embed_dim": 32, "depth": 1, "heads": 2, "pooled_stages": 3}
    model = build_model("spikformer", options, timesteps=4, size=32, classes=3).to("meta")
    workload = Workload.trace(model, torch.zeros(4, 1, 2, 32, 32, device="meta"), 4)
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


def test_the_bit_matched_network_without_spikes() -> None:
    dense = non_spiking(costs().workload)
    assert dense.timesteps == 1
    layers, spiking = dense.layers, costs().workload.layers
    conv2 = layers["tokenizer.conv2"]
    assert conv2.macs * 4 == spiking["tokenizer.conv2"].macs
    assert (conv2.input_kind, conv2.input_bits) == ("integer", 3)  # ceil(log2(4 + 1))
    assert conv2.rate is None
    assert layers["head"].macs == spiking["head"].macs
    skipping = non_spiking(costs().workload, skip_zeros=True).layers["tokenizer.conv2"]
    assert skipping.rate == pytest.approx(1 - 0.8**4)
    assert not any(op.kind == "neuron" for op in dense.operations)


def test_comparison_names_what_it_compares_with() -> None:
    found = comparison(costs(), costs().uniform("4u"))
    assert found["quantized"] == costs().energy(costs().uniform("4u")).total
    assert found["quantized"] < found["fp32"]
    assert found["non-spiking, zeros skipped"] < found["non-spiking"]
