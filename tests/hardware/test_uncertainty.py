"""Varied constants: seeded, exact at the nominal constants, and blind to what is published."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from hqsearch.errors import DefinitionError
from hqsearch.hardware import CostModel, Workload, load_profile
from hqsearch.hardware.trace import trace_workload
from hqsearch.hardware.uncertainty import draw_constants, scheme_differences, vary_constants
from hqsearch.models import build_model


@cache
def workload() -> Workload:
    options = {"embed_dim": 32, "depth": 1, "heads": 2, "pooled_stages": 3}
    model = build_model("spikformer", options, timesteps=4, size=32, classes=3).to("meta")
    return trace_workload(model, torch.zeros(4, 1, 2, 32, 32, device="meta"), 4).with_rate(0.2)


def candidates() -> list[tuple[dict[str, str], None]]:
    return [(dict.fromkeys(workload().layers, c), None) for c in ("2u", "4u", "4l", "fp32")]


def test_draws_vary_only_unpublished_constants() -> None:
    profile = load_profile("horowitz-45nm-memory")
    values = draw_constants(profile, draws=64)
    for name, constant in profile.constants.items():
        drawn = np.asarray(values[name])
        if constant.origin == "published" or constant.value == 0:
            assert drawn == constant.value
        else:
            ratio = drawn / constant.value
            assert 0.5 <= ratio.min() < 0.52
            assert 1.48 < ratio.max() <= 1.5


def test_nominal_energies_and_intervals() -> None:
    profile = load_profile("horowitz-45nm-memory")
    varied = vary_constants(workload(), profile, candidates(), draws=200, seed=1)
    costs = CostModel(workload(), profile, {})
    expected = [costs.energy(choices).total for choices, _ in candidates()]
    assert varied.nominal == pytest.approx(expected, rel=1e-9)
    assert (varied.low < varied.nominal).all()
    assert (varied.nominal < varied.high).all()
    assert varied.tau.shape == (200,)
    assert (np.abs(varied.tau) <= 1).all()
    again = vary_constants(workload(), profile, candidates(), draws=200, seed=1)
    assert np.array_equal(varied.tau, again.tau)
    other = vary_constants(workload(), profile, candidates(), draws=200, seed=2)
    assert not np.array_equal(varied.low, other.low)
    assert varied.to_json()["most_important"] == varied.most_important


def test_the_most_important_constant_is_found() -> None:
    # With one kind of cost left, its constant must explain the energy.
    profile = load_profile("horowitz-45nm")
    varied = vary_constants(workload(), profile, candidates()[1:2], draws=500)
    assert varied.most_important in ("add_per_bit", "accumulator_bits", "multiply_per_bit2")
    assert sum(varied.importance.values()) == pytest.approx(1.0, abs=0.1)
    assert varied.importance["decode_per_stage"] < 0.02
    assert np.isnan(varied.tau).all()


def test_fp32_in_the_field_convention_is_published_and_does_not_move() -> None:
    varied = vary_constants(workload(), load_profile("sop-45nm"), candidates()[3:], draws=50)
    assert varied.low[0] == pytest.approx(varied.high[0], rel=1e-12)
    assert varied.most_important is None


def test_scheme_differences_by_kind_of_input() -> None:
    for profile in ("sop-45nm", "horowitz-45nm"):
        differences = {
            d.input_kind: d for d in scheme_differences(workload(), load_profile(profile), draws=99)
        }
        assert set(differences) == {"binary", "integer", "frames", "real"}
        assert sum(d.layers for d in differences.values()) == len(workload().layers)
        assert all(0 <= d.holds <= 1 for d in differences.values())
        # On binary inputs there is no multiplication to save; on real ones there is.
        assert differences["binary"].difference < 0
        assert differences["real"].difference > 0


def test_bad_settings() -> None:
    profile = load_profile("sop-45nm")
    for draws, spread in ((1, 0.5), (10, 0.0), (10, 1.5)):
        with pytest.raises(DefinitionError, match="draws"):
            draw_constants(profile, draws, spread=spread)
    with pytest.raises(DefinitionError, match="no choice for"):
        vary_constants(workload(), profile, [({"head": "2u"}, None)], draws=10)
