"""The same network without spikes, and at fp32."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch

from hqsearch.hardware import CostModel, LayerRate, load_profile
from hqsearch.hardware.non_spiking import comparison, non_spiking
from hqsearch.hardware.trace import trace_workload
from hqsearch.models import build_model


@cache
def costs() -> CostModel:
    options = {"embed_dim": 32, "depth": 1, "heads": 2, "pooled_stages": 3}
    model = build_model("spikformer", options, timesteps=4, size=32, classes=3).to("meta")
    workload = trace_workload(model, torch.zeros(4, 1, 2, 32, 32, device="meta"), 4)
    return CostModel(workload.with_rate(0.2), load_profile("horowitz-45nm-memory"), {})


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


def test_it_reads_no_padding_either() -> None:
    measured = costs().workload.with_rates({"tokenizer.conv2": LayerRate(0.2, 0.2, 0, 0.3, 0.3)})
    skipping = non_spiking(measured, skip_zeros=True).layers["tokenizer.conv2"]
    assert skipping.rate_per_use == pytest.approx(1 - 0.7**4)
    op = measured.layers["tokenizer.conv2"]
    assert skipping.valid_macs * 4 == op.valid_macs < op.macs
    dense = non_spiking(measured).layers
    assert dense["tokenizer.conv2"].rate_per_use is None
    frames = replace(op, input_source="frames", input_kind="integer", activity_per_use=0.5)
    (op,) = non_spiking(replace(measured, operations=(frames,))).operations
    assert op.activity_per_use == 2.0


def test_comparison_names_what_it_compares_with() -> None:
    energies = comparison(costs(), costs().uniform("4u"))
    assert energies["quantized"] == costs().energy(costs().uniform("4u")).total
    assert energies["quantized"] < energies["fp32"]
    assert energies["non-spiking, zeros skipped"] < energies["non-spiking"]
