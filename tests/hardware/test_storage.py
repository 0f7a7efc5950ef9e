"""Storage in bits, counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hqsearch.hardware import CostModel, Operation, Workload, load_profile
from hqsearch.hardware.storage import layer_storage, storage_report
from hqsearch.schemes.choice import parse_choice
from hqsearch.schemes.packing import whole_bytes

BASE = Operation(
    kind="weight", path="a", input_shape=(6,), output_shape=(3,), timesteps=2, macs_per_step=18,
    inputs=6, outputs=3, input_kind="binary", input_bits=1, input_levels=1,
    input_source="spikes", weights=18, bias=3, channels=3,
)  # fmt: skip
HEAD = BASE
ABSORBED = replace(BASE, norm="n", neuron="s")
DIRECT = replace(BASE, neuron="s")
LOOSE = replace(BASE, norm="n")


@pytest.mark.parametrize(
    ("op", "choice", "expected"),
    [
        # codes, scales, bias, thresholds or multipliers with their biases and shifts
        (HEAD, "4u", (72, 3 * 32, 3 * 32, 0)),
        (HEAD, "4l", (72, 3 * 8, 3 * 32, 0)),
        (HEAD, "fp32", (576, 0, 3 * 32, 0)),
        (ABSORBED, "4u", (72, 0, 0, 3 * 64 + 16)),
        (ABSORBED, "4l", (72, 0, 0, 3 * 64 + 16)),
        (ABSORBED, "fp32", (576, 0, 0, 3 * 64)),
        (DIRECT, "2u", (36, 0, 0, 3 * 64 + 16)),
        (replace(DIRECT, bias=0), "2u", (36, 0, 0, 3 * 32 + 8)),
        (DIRECT, "fp32", (576, 0, 3 * 32, 0)),
        (LOOSE, "2u", (36, 3 * 32, 0, 3 * 64)),
        (LOOSE, "2l", (36, 3 * 8, 0, 3 * 64)),
    ],
)
def test_bits_of_a_layer(op: Operation, choice: str, expected: tuple[int, ...]) -> None:
    found = layer_storage(op, parse_choice(choice))
    assert (found.codes, found.scales, found.bias, found.norm) == expected
    assert found.padding == -found.codes % 8
    assert found.total == sum(expected) + found.padding


@pytest.mark.parametrize(("weights", "bits", "padding"), [(7, 3, 3), (8, 3, 0), (5, 1, 3)])
def test_codes_fill_whole_bytes(weights: int, bits: int, padding: int) -> None:
    choice = parse_choice("1b" if bits == 1 else f"{bits}u")
    found = layer_storage(replace(HEAD, weights=weights), choice)
    assert (found.codes, found.padding) == (weights * bits, padding)
    assert 8 * whole_bytes(found.codes) == found.codes + found.padding


def test_the_estimate_of_every_candidate_is_its_storage_to_the_bit() -> None:
    """Layers whose codes fill no whole bytes, in every combination."""
    ops = [
        replace(ABSORBED, path="a", weights=7, channels=1),
        replace(DIRECT, path="b", weights=5, channels=5),
        replace(LOOSE, path="c", weights=9, channels=3),
        replace(HEAD, path="d", weights=11, channels=1),
    ]
    workload = Workload(tuple(ops), 2, (("position", 5),))
    choices = ("1b", "2u", "3u", "5u", "7u", "3l", "fp32")
    layers = {op.path: choices for op in ops}
    model = CostModel(workload.with_rate(0.1), load_profile("horowitz-45nm-memory"), layers)
    codes = np.indices([len(choices)] * len(ops)).reshape(len(ops), -1).T
    estimate = model.estimate(codes)
    for row, kib in zip(codes, estimate.storage, strict=True):
        chosen = {op.path: choices[code] for op, code in zip(ops, row, strict=True)}
        report = model.storage(chosen)
        assert kib == report.kib
        assert report.bits % 8 == 0


def test_both_compressions() -> None:
    other = replace(HEAD, path="b", weights=6)
    workload = Workload((ABSORBED, other), 2, (("position", 5),))
    choices = {"a": parse_choice("4u"), "b": parse_choice("fp32")}
    report = storage_report(workload, choices)
    assert report.bits == (72 + 192 + 16) + (192 + 96) + 5 * 32
    assert report.kib == report.bits / 8192
    assert report.average_bits == (18 * 4 + 6 * 32) / 24
    assert report.compression_of_codes == 32 / report.average_bits
