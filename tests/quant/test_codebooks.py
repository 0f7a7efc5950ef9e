"""Codebooks: properties that hold for every width, scheme, weight and scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hqsearch.quant import (
    code_range,
    decode,
    encode,
    exponents,
    integer_unit,
    integers,
    levels,
    scale_of,
)
from hqsearch.schemes.choice import all_choices, parse_choice

QUANTIZED = [choice for choice in all_choices() if choice != "fp32"]
POWER = [choice for choice in QUANTIZED if choice.endswith("l")]
UNIFORM = [choice for choice in QUANTIZED if choice.endswith("u")]


@st.composite
def problems(draw, choices=tuple(QUANTIZED)):
    """A choice, a weight ``[C, ...]`` and scales ``[C]`` that fit it."""
    choice = draw(st.sampled_from(choices))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from([(3, 7), (2, 3, 5), (4, 2, 3, 3)]))
    size = 10.0 ** draw(st.integers(-4, 2))
    weight = torch.from_numpy(rng.normal(0, size, shape)).float()
    if choice.endswith("l"):
        scale = scale_of(torch.from_numpy(rng.integers(-9, 9, shape[0])).to(torch.int8))
    else:
        scale = torch.from_numpy(size * rng.uniform(0.02, 2.0, shape[0])).float()
    return choice, weight, scale


@pytest.mark.parametrize("choice", QUANTIZED)
def test_number_of_levels_and_bits(choice):
    bits = parse_choice(choice).bits
    low, high = code_range(choice)
    values = levels(choice)
    assert len(values) == 2**bits - (choice in POWER)
    assert torch.equal(values, values.unique())
    assert (0.0 in values) == (choice != "1b")
    assert high - low + 1 == len(values)


@pytest.mark.parametrize("choice", POWER)
def test_power_of_two_levels_are_powers_of_two_and_symmetric(choice):
    bits = parse_choice(choice).bits
    values = levels(choice)
    assert torch.equal(values, -values.flip(0))
    positive = [2.0**-k for k in range(2 ** (bits - 1) - 1)]
    assert values[values > 0].flip(0).tolist() == positive


@pytest.mark.parametrize("choice", ["4u", "4l", "1b"])
def test_what_is_not_a_number_has_no_code(choice):
    weight = torch.tensor([[0.5, float("nan")]])
    with pytest.raises(ValueError, match="not a number"):
        encode(weight, torch.ones(1), choice)


def test_examples():
    assert levels("2l").tolist() == [-1, 0, 1]
    assert levels("2u").tolist() == [-2, -1, 0, 1]
    assert levels("4l")[8:].tolist() == [2**-6, 2**-5, 2**-4, 2**-3, 2**-2, 0.5, 1]
    weight = torch.tensor([[0.9, 0.76, 0.74, 0.13, 0.12, -5.0]])
    assert encode(weight, torch.ones(1), "3l").tolist() == [[3, 3, 2, 1, 0, -3]]


@settings(max_examples=150, deadline=None)
@given(problems())
def test_codes_fit_and_round_trip_exactly(problem):
    choice, weight, scale = problem
    codes = encode(weight, scale, choice)
    low, high = code_range(choice)
    assert codes.dtype == torch.int8
    assert codes.shape == weight.shape
    assert codes.min() >= low
    assert codes.max() <= high
    decoded = decode(codes, scale, choice)
    assert torch.equal(encode(decoded, scale, choice), codes)
    again = decode(encode(decoded, scale, choice), scale, choice)
    assert torch.equal(again, decoded)


@pytest.mark.parametrize("choice", QUANTIZED)
def test_every_code_round_trips_at_awkward_scales(choice):
    low, high = code_range(choice)
    if choice in POWER:
        scale = scale_of(torch.arange(-60, 61).to(torch.int8))
    else:
        scale = torch.rand(200, generator=torch.Generator().manual_seed(0)).add(1e-3).pow(9)
    codes = torch.arange(low, high + 1).to(torch.int8).repeat(len(scale), 1)
    decoded = decode(codes, scale, choice)
    assert torch.equal(encode(decoded, scale, choice), codes)
    assert bool((decoded.diff(dim=1) > 0).all())


@settings(max_examples=100, deadline=None)
@given(problems())
def test_no_value_of_the_codebook_is_nearer(problem):
    choice, weight, scale = problem
    decoded = decode(encode(weight, scale, choice), scale, choice).double()
    spread = scale.double().view(-1, *[1] * (weight.ndim - 1), 1)
    distances = (weight.double().unsqueeze(-1) - levels(choice).double() * spread).abs()
    nearest = distances.min(-1).values
    error = (weight.double() - decoded).abs()
    assert bool((error <= nearest + 1e-6 * weight.double().abs()).all())


@settings(max_examples=60, deadline=None)
@given(problems(tuple(UNIFORM)))
def test_uniform_error_is_at_most_half_a_step_inside_the_range(problem):
    choice, weight, scale = problem
    low, high = code_range(choice)
    spread = scale.view(-1, *[1] * (weight.ndim - 1))
    inside = (weight >= low * spread) & (weight <= high * spread)
    error = (weight - decode(encode(weight, scale, choice), scale, choice)).abs()
    assert bool((error <= 0.5001 * spread)[inside].all())


@settings(max_examples=60, deadline=None)
@given(problems(tuple(POWER)))
def test_power_of_two_is_odd_and_within_a_third_of_the_weight(problem):
    choice, weight, scale = problem
    decoded = decode(encode(weight, scale, choice), scale, choice)
    assert torch.equal(decode(encode(-weight, scale, choice), scale, choice), -decoded)
    ratio = (weight / scale.view(-1, *[1] * (weight.ndim - 1))).abs()
    _, high = code_range(choice)
    inside = (ratio <= 1) & (ratio >= 0.75 * 2.0 ** (1 - high))
    error = (weight - decoded).abs() / weight.abs().clamp_min(1e-30)
    assert bool((error <= 1 / 3 + 1e-6)[inside].all())
    # Multiplier-free: what is stored times a power of two is a power of two or zero.
    mantissa, _ = torch.frexp(decoded.abs())
    assert bool(((mantissa == 0.5) | (decoded == 0)).all())


@pytest.mark.parametrize("choice", QUANTIZED)
def test_integers_times_their_unit_are_the_weights(choice):
    low, high = code_range(choice)
    codes = torch.arange(low, high + 1).to(torch.int8).repeat(3, 1)
    scale = torch.tensor([0.25, 1.0, 8.0])
    found = integers(codes, choice) * integer_unit(scale, choice).view(-1, 1)
    assert torch.equal(found, decode(codes, scale, choice))
    assert integers(codes, choice).dtype == torch.int32


def test_exponents_round_trip_and_refuse_anything_else():
    wanted = torch.arange(-126, 128).to(torch.int8)
    assert torch.equal(exponents(scale_of(wanted)), wanted)
    with pytest.raises(ValueError, match="power of two"):
        exponents(torch.tensor([1.0, 0.3]))
    with pytest.raises(ValueError, match="power of two"):
        exponents(torch.tensor([0.0]))


def test_fp32_has_no_codes():
    with pytest.raises(ValueError, match="no codes"):
        encode(torch.ones(1, 1), torch.ones(1), "fp32")
