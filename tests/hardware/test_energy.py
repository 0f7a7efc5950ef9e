"""The energy formula: hand-computed cases, and what must never decrease."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hqsearch.errors import DefinitionError
from hqsearch.hardware import Operation, load_profile, profile_names
from hqsearch.hardware.cost import energy_row
from hqsearch.hardware.energy import operations, padded_operations
from hqsearch.schemes import parse_choice
from hqsearch.schemes.power_of_two import PowerOfTwo

PROFILES = {name: load_profile(name) for name in profile_names()}


def layer(kind: str = "binary", **changes: object) -> Operation:
    base = Operation(
        kind="weight",
        path="layer",
        input_shape=(64,),
        output_shape=(32,),
        timesteps=4,
        macs_per_step=64 * 32 * 10,
        inputs=640,
        outputs=320,
        input_kind="binary",
        input_bits=1,
        input_levels=1,
        input_source="spikes",
        rate=0.25,
        activity=0.25,
        rate_path="layer",
        weights=64 * 32,
        channels=32,
        positions=10,
        norm="norm",
        neuron="neuron",
    )
    kinds: dict[str, dict[str, object]] = {
        "binary": {},
        "integer": {"input_kind": "integer", "input_bits": 3, "input_levels": 4, "activity": 0.5},
        "frames": {"input_kind": "integer", "input_bits": 4, "input_levels": 15,
                   "input_source": "frames", "activity": 1.5},
        "real": {"input_kind": "real", "input_bits": 32, "input_levels": 0,
                 "input_source": "other", "rate": 0.5, "activity": 0.1},
    }  # fmt: skip
    return replace(base, **{**kinds[kind], **changes})  # type: ignore[arg-type]


def total(op: Operation, choice: str, profile: str = "sop-45nm") -> float:
    p = PROFILES[profile]
    return energy_row(op, parse_choice(choice), p.values(), p.rules).total


def test_padding_costs_nothing_and_inputs_count_as_often_as_they_are_read() -> None:
    macs, valid = 64 * 32 * 10 * 4, 64 * 32 * 8 * 4
    padded = {"padding_macs_per_step": 64 * 32 * 2, "rate_per_use": 0.3, "activity_per_use": 0.7}
    for kind, share, each in (
        ("binary", 0.3, 0.9),
        ("integer", 0.7, 0.9),
        ("frames", 1.0, 4.6),
        ("real", 1.0, 4.6),
    ):
        op = layer(kind, **padded)
        rules = PROFILES["sop-45nm"].rules
        assert total(op, "fp32") == pytest.approx(each * 1e-6 * share * valid)
        assert operations(op, rules) == pytest.approx(share * valid)
        plain = {"binary": 0.25, "integer": 0.5}.get(kind, 1.0)
        assert padded_operations(op, rules) == pytest.approx(plain * macs)


def test_the_field_convention_at_fp32() -> None:
    macs = 64 * 32 * 10 * 4
    assert total(layer(), "fp32") == pytest.approx(0.9e-6 * 0.25 * macs)
    assert total(layer("integer"), "fp32") == pytest.approx(0.9e-6 * 0.5 * macs)
    assert total(layer("frames"), "fp32") == pytest.approx(4.6e-6 * macs)
    assert total(layer("real"), "fp32") == pytest.approx(4.6e-6 * macs)


def test_low_bit_accumulates_lie_on_the_line_through_the_published_adders() -> None:
    macs = 64 * 32 * 10 * 4
    slope = (0.1 - 0.03) / (32 - 8)
    for bits in (2, 4, 8):
        each = 0.03 + slope * (bits - 8)
        assert total(layer(), f"{bits}u") == pytest.approx(each * 1e-6 * 0.25 * macs, rel=1e-3)


def test_multiplications_of_frames_scale_with_both_widths() -> None:
    macs = 64 * 32 * 10 * 4
    each = 0.2 * (4 * 4) / 64 + 0.03  # 4-bit weight, 4-bit input, 8-bit sum
    assert total(layer("frames"), "4u") == pytest.approx(each * 1e-6 * macs, rel=1e-3)


def test_power_of_two_pays_a_decode_and_gains_only_where_it_saves_multiplications() -> None:
    for name in ("sop-45nm", "horowitz-45nm"):
        assert total(layer("binary"), "4l", name) > total(layer("binary"), "4u", name)
        assert total(layer("real"), "4l", name) < total(layer("real"), "4u", name)
    adders = [PowerOfTwo().adder(bits) for bits in (2, 3, 4, 5)]
    assert [adder.span for adder in adders] == [0, 2, 6, 14]
    assert [adder.stages for adder in adders] == [0, 2, 3, 4]


def test_a_power_of_two_accumulate_by_hand() -> None:
    c = PROFILES["sop-45nm"].values()
    # 4l: seven exponents, so a 3-bit decode, and a fixed-point sum of 2 + 6 bits.
    each = 3 * c["decode_per_stage"] + 0.03
    assert total(layer(), "4l") == pytest.approx(each * 1e-6 * 0.25 * 81920, rel=1e-3)
    assert total(layer(), "2l") == total(layer(), "2u")  # ternary: nothing to decode


def test_outgrowing_the_buffer_never_pays() -> None:
    weights = 1024 * 8192 // 4  # 4-bit codes fill the buffer of 1024 KiB, 5-bit codes do not fit
    op = layer(weights=weights, rate=1e-4, activity=1e-4, positions=1, timesteps=1)
    name = "horowitz-45nm-memory"
    assert total(op, "4u", name) < total(op, "5u", name)


def test_accumulators_do_not_shrink_with_the_weights() -> None:
    assert total(layer(), "2u", "horowitz-45nm") == total(layer(), "8u", "horowitz-45nm")
    assert total(layer(), "2u", "sop-45nm") < total(layer(), "8u", "sop-45nm")


def test_weights_that_do_not_fit_the_buffer_stream_from_off_chip() -> None:
    profile = PROFILES["horowitz-45nm-memory"]
    c = profile.values()
    small = layer(weights=1024, positions=16, timesteps=2, rate=1.0)
    large = layer(weights=1024**2, positions=16, timesteps=2, rate=1.0)
    for op, bits, off in ((small, 4, 1), (large, 32, 2)):
        choice = parse_choice("4u" if bits == 4 else "fp32")
        row = energy_row(op, choice, c, profile.rules)
        fetched = op.weights * bits * 2  # once per step: 16 positions share a fetch
        expected = fetched * c["weight_memory"] + op.weights * bits * off * c["offchip"]
        assert row.columns["weights"] == pytest.approx(expected * 1e-6)


def test_a_fetch_is_skipped_only_if_all_its_uses_are_zero() -> None:
    profile = PROFILES["horowitz-45nm-memory"]
    c = {**profile.values(), "offchip": 0.0}
    op = layer(positions=16, timesteps=1, rate=0.1)
    row = energy_row(op, parse_choice("4u"), c, profile.rules)
    share = 1 - 0.9**16
    assert row.columns["weights"] == pytest.approx(
        op.weights * 4 * share * c["weight_memory"] * 1e-6, rel=1e-6
    )


def test_uses_on_padding_need_no_weight() -> None:
    profile = PROFILES["horowitz-45nm-memory"]
    c = {**profile.values(), "offchip": 0.0}
    op = layer(positions=16, timesteps=1, rate=0.1, rate_per_use=0.2)
    op = replace(op, padding_macs_per_step=op.macs_per_step // 4)
    row = energy_row(op, parse_choice("4u"), c, profile.rules)
    share = 1 - (1 - 0.2 * 3 / 4) ** 16
    assert row.columns["weights"] == pytest.approx(
        op.weights * 4 * share * c["weight_memory"] * 1e-6, rel=1e-6
    )


def test_unabsorbed_norms_cost_a_multiplication_for_each_output() -> None:
    profile = PROFILES["horowitz-45nm"]
    absorbed, loose = layer(), layer(neuron=None)
    rows = [energy_row(op, parse_choice("4u"), profile.values(), profile.rules)
            for op in (absorbed, loose)]  # fmt: skip
    assert rows[0].columns["rest"] == 0
    assert rows[1].columns["rest"] == pytest.approx(320 * 4 * 4.6e-6)


def test_a_neuron_without_a_state_reads_and_writes_no_membrane() -> None:
    stateful = layer(kind="binary", weights=0, macs_per_step=0)
    stateful = replace(stateful, kind="neuron")
    stateless = replace(stateful, stateful=False)
    p = PROFILES["horowitz-45nm-memory"]
    c = p.values()
    one, other = (
        energy_row(op, None, c, p.rules).columns["membrane"] for op in (stateful, stateless)
    )
    kept = 2 * c["membrane_bits"] * c["membrane_memory"] * 320 * 4 * 1e-6
    assert one - other == pytest.approx(kept)
    assert other > 0


def test_integer_spikes_are_repeated_or_multiplied_as_the_profile_says() -> None:
    """320 outputs of depth 64 in each of 4 steps, gated by spikes of 3 bit, 0.25 of them not 0."""
    gate = replace(layer("integer"), kind="attention", weights=0, operand_bits=3, output_bits=12)
    p = PROFILES["horowitz-45nm-memory"]
    c, macs = p.values(), gate.valid_macs
    add = c["add_base"] + 12 * c["add_per_bit"]
    multiply = energy_row(gate, None, c, p.rules)
    assert multiply.columns["compute"] == pytest.approx(
        0.25 * macs * (c["multiply_per_bit2"] * 9 + add) * 1e-6
    )
    repeated = energy_row(gate, None, c, {**p.rules, "integer_inputs": "unit-spikes"})
    assert repeated.columns["compute"] == pytest.approx(0.5 * macs * add * 1e-6)
    assert (multiply.operations, repeated.operations) == (0.25 * macs, 0.5 * macs)


def test_unknown_rates_are_not_invented() -> None:
    with pytest.raises(DefinitionError, match="--rate"):
        total(layer(rate=None, activity=None), "4u")


kinds = st.sampled_from(["binary", "integer", "frames", "real"])
profiles = st.sampled_from(sorted(PROFILES))
schemes = st.sampled_from([["2u", "3u", "4u", "5u", "6u", "7u", "8u"], ["2l", "3l", "4l", "5l"]])
shapes = st.fixed_dictionaries(
    {
        "weights": st.integers(1, 3_000_000),
        "positions": st.integers(1, 300),
        "timesteps": st.integers(1, 20),
        "rate": st.floats(0, 1),
        "neuron": st.sampled_from([None, "neuron"]),
    }
)


def shaped(kind: str, shape: dict[str, object]) -> Operation:
    op = layer(kind, **shape)
    levels = max(op.input_levels, 1)
    return replace(
        op,
        macs_per_step=op.weights * op.positions,
        activity=(op.rate or 0.0) * (levels + 1) / 2,
    )


@given(kinds, profiles, schemes, shapes)
def test_energy_never_falls_with_the_bits(
    kind: str, profile: str, scheme: list[str], shape: dict[str, object]
) -> None:
    op = shaped(kind, shape)
    found = [total(op, choice, profile) for choice in scheme]
    assert found == sorted(found)


@given(kinds, profiles, st.sampled_from(["2u", "4u", "4l", "fp32"]), shapes, st.floats(0, 1))
def test_energy_never_falls_with_the_firing_rate(
    kind: str, profile: str, choice: str, shape: dict[str, object], other: float
) -> None:
    low, high = sorted([float(shape["rate"]), other])  # type: ignore[arg-type]
    quiet, busy = (shaped(kind, {**shape, "rate": rate}) for rate in (low, high))
    assert total(quiet, choice, profile) <= total(busy, choice, profile)


@given(kinds, profiles, st.sampled_from(["2u", "4u", "4l", "fp32"]), shapes)
def test_energy_never_falls_with_the_timesteps(
    kind: str, profile: str, choice: str, shape: dict[str, object]
) -> None:
    op = shaped(kind, shape)
    longer = replace(op, timesteps=op.timesteps + 1)
    assert total(op, choice, profile) <= total(longer, choice, profile)
