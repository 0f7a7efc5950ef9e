"""Memories by size, and what does not fit: against sums made one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hqsearch.hardware import CostModel, Profile, Workload, load_profile
from hqsearch.hardware.energy import COLUMNS, weight_layer
from hqsearch.hardware.memory import WeightMemory, read_energy
from hqsearch.hardware.trace import trace_workload
from hqsearch.hardware.uncertainty import draw_constants, vary_constants
from hqsearch.models import build_model
from hqsearch.schemes.choice import parse_choice

CHOICES = ("2u", "3u", "4l", "8u", "fp32")


@pytest.fixture(scope="module")
def workload() -> Workload:
    options = {"embed_dim": 32, "depth": 1, "heads": 2, "pooled_stages": 3}
    model = build_model("spikformer", options, timesteps=4, size=32, classes=3).to("meta")
    return trace_workload(model, torch.zeros(4, 1, 2, 32, 32, device="meta"), 4).with_rate(0.2)


def sized(kib: float, name: str = "resident-45nm") -> Profile:
    profile = load_profile(name)
    buffer = replace(profile.constants["weight_buffer"], value=kib, origin="assumed")
    return replace(profile, constants={**profile.constants, "weight_buffer": buffer})


def costs(workload: Workload, profile: Profile) -> CostModel:
    return CostModel(workload, profile, dict.fromkeys(workload.layers, CHOICES))


def slow_energy(model: CostModel, choices: dict[str, str]) -> float:
    """µJ, operation by operation, and bit by bit beyond the capacity."""
    values, rules = model.profile.values(), model.profile.rules
    picojoules, bits = 0.0, 0
    for path, op in model.workload.layers.items():
        choice = parse_choice(choices[path])
        columns = weight_layer(op, choice, values, rules)
        picojoules += float(sum(columns[name] for name in COLUMNS))
        bits += op.weights * choice.bits
    capacity = int(values["weight_buffer"] * 8192)
    beyond = bits - capacity if bits > capacity else 0
    others = sum(row.total for row in model.energy(choices).rows if row.kind != "weight")
    return picojoules * 1e-6 + beyond * values["offchip"] * values["weight_loads"] * 1e-6 + others


def test_estimates_equal_a_slow_sum_on_both_sides_of_the_capacity(workload: Workload) -> None:
    model = costs(workload, sized(32))
    codes = np.random.default_rng(0).integers(0, len(CHOICES), (200, len(model.layers)))
    codes[:40] = np.minimum(codes[:40], 1)
    found = model.estimate(codes)
    assert model.memory is not None
    fits = model.memory.excess(found.average_bits * workload.weights) == 0
    assert 20 < fits.sum() < 180
    for index in range(0, 200, 7):
        choices = {p: CHOICES[c] for p, c in zip(model.layers, codes[index], strict=True)}
        assert found.energy[index] == pytest.approx(slow_energy(model, choices), rel=1e-9)
        report, placed = model.energy(choices), model.placement(choices)
        assert found.energy[index] == report.total == sum(r.total for r in report.rows)
        assert placed is not None
        assert report.offchip == placed.energy
        assert placed.codes == pytest.approx(found.average_bits[index] * workload.weights / 8192)
        assert placed.offchip == pytest.approx(max(0.0, placed.codes - 32), rel=1e-12)


def test_layers_share_what_loading_costs_by_their_bits(workload: Workload) -> None:
    model = costs(workload, sized(8))
    report = model.energy(model.uniform("8u"))
    layers = [row for row in report.rows if row.kind == "weight"]
    weights = [workload.layers[row.path].weights for row in layers]
    shares = np.array([row.offchip for row in layers]) / report.offchip
    np.testing.assert_allclose(shares, np.array(weights) / sum(weights), rtol=1e-6)
    assert all(row.offchip < row.columns["weights"] for row in layers)
    assert all(row.offchip == 0.0 for row in report.rows if row.kind != "weight")


def test_without_capacity_everything_streams(workload: Workload) -> None:
    model = costs(workload, sized(0))
    placed = model.placement(model.uniform("2u"))
    assert placed is not None
    assert placed.offchip == placed.codes == workload.weights * 2 / 8192
    assert placed.as_json()["resident_kib"] == 0.0
    # What streams passes some memory: reading from it costs as in the smallest published one.
    assert model.profile.values()["weight_memory"] == 10 / 64


def test_a_memory_larger_than_any_network_loads_nothing(workload: Workload) -> None:
    model = costs(workload, sized(1e9))
    placed = model.placement(model.uniform("fp32"))
    assert placed is not None
    assert (placed.offchip, placed.energy) == (0.0, 0.0)


def test_profiles_of_layers_have_no_shared_memory(workload: Workload) -> None:
    model = costs(workload, load_profile("horowitz-45nm-memory"))
    assert model.memory is None
    assert model.placement(model.uniform("4l")) is None
    report = model.energy(model.uniform("4l"))
    loads = workload.weights * 4 * 20.3125e-6
    assert report.offchip == pytest.approx(loads)


def test_linear_bits_saves_32_over_average_bits(workload: Workload) -> None:
    model = costs(workload, load_profile("linear-bits"))
    codes = np.random.default_rng(1).integers(0, len(CHOICES), (100, len(model.layers)))
    found = model.estimate(codes)
    fp32 = model.energy(model.uniform("fp32")).total
    np.testing.assert_allclose(fp32 / found.energy, 32 / found.average_bits, rtol=1e-9)


def test_read_energies_meet_the_published_points_and_rise_with_the_size() -> None:
    points = load_profile("resident-45nm").values()
    for kib, picojoules in ((8, 10), (32, 20), (1024, 100)):
        assert read_energy(kib, points) == pytest.approx(picojoules / 64)
    sizes = np.geomspace(8, 8192, 50)
    assert (np.diff(read_energy(sizes, points)) > 0).all()
    assert read_energy(1, points) == read_energy(8, points)


def test_draws_move_capacity_and_read_energy_together(workload: Workload) -> None:
    profile = sized(32)
    values = draw_constants(profile, draws=64)
    assert values["weight_memory"].shape == (64,)
    np.testing.assert_array_equal(
        values["weight_memory"], read_energy(values["weight_buffer"], values)
    )
    memory = WeightMemory.of(values, profile.rules)
    assert memory is not None
    assert np.ptp(memory.excess(40 * 8192)) > 0
    candidates = [(dict.fromkeys(workload.layers, c), None) for c in ("2u", "8u", "fp32")]
    varied = vary_constants(workload, profile, candidates, draws=100)
    model = costs(workload, profile)
    expected = [model.energy(choices).total for choices, _ in candidates]
    assert varied.nominal == pytest.approx(expected, rel=1e-9)
    assert varied.importance["weight_buffer"] > 0
