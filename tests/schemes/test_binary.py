"""One bit: values, start, gradients and costs by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from hqsearch.hardware import load_profile
from hqsearch.quant import decode, encode, make_quantizer, quantize_model, read_codes
from hqsearch.quant.mixture import MixedQuantizer
from hqsearch.schemes import parse_choice

WEIGHT = torch.tensor([[0.5, -0.1, 0.0, 0.2], [-3.0, 1.0, 1.0, 1.0]])


def test_codes_and_levels() -> None:
    codes = encode(WEIGHT, torch.tensor([0.2, 1.5]), "1b")
    assert codes.tolist() == [[1, 0, 1, 1], [0, 1, 1, 1]]
    assert decode(codes, torch.tensor([0.25, 1.5]), "1b").tolist() == [
        [0.25, -0.25, 0.25, 0.25],
        [-1.5, 1.5, 1.5, 1.5],
    ]
    scheme = parse_choice("1b").scheme
    assert scheme.pack(codes.numpy(), 1) == bytes([0b1110_1101])


def test_it_starts_at_the_mean_magnitude() -> None:
    quantizer = make_quantizer("1b", WEIGHT)
    torch.testing.assert_close(quantizer.scale(), torch.tensor([0.2, 1.5]))
    assert bool((make_quantizer("1b", torch.zeros(2, 4)).scale() > 0).all())


def test_gradients_are_divided_by_the_root_of_n() -> None:
    weight = WEIGHT.double().requires_grad_()
    quantizer = make_quantizer("1b", WEIGHT.double())
    upstream = torch.arange(1.0, 9.0, dtype=torch.double).view(2, 4)
    quantizer(weight).backward(upstream)
    ratio = WEIGHT.double() / torch.tensor([[0.2], [1.5]], dtype=torch.double)
    inside = ratio.abs() <= 1
    assert torch.equal(weight.grad, upstream * inside)
    level = torch.where(ratio >= 0, 1.0, -1.0).double()
    slope = torch.where(inside, level - ratio, level)
    step = quantizer.get_parameter("step").grad
    torch.testing.assert_close(step, (upstream * slope).sum(1) / math.sqrt(4))


def test_a_network_stores_it() -> None:
    layer = nn.Linear(4, 2)
    with torch.no_grad():
        layer.weight.copy_(WEIGHT)
    quantize_model(layer, {"": "1b"})
    (stored,) = read_codes(layer).values()
    assert stored.choice == "1b"
    assert stored.codes is not None
    assert set(stored.codes.unique().tolist()) == {0, 1}
    assert stored.exponents is None
    assert torch.equal(stored.weight, layer.weight)


def test_it_mixes_with_others() -> None:
    mixed = MixedQuantizer(["1b", "4u", "fp32"], WEIGHT)
    mixed.mix(torch.tensor([0.5, 0.0, 0.5]))
    torch.testing.assert_close(mixed(WEIGHT)[0, 1], torch.tensor(0.5 * -0.2 + 0.5 * -0.1))


def test_inputs_are_added_or_subtracted() -> None:
    profile = load_profile("horowitz-45nm")
    c, adder = profile.values(), parse_choice("1b").scheme.adder(1)
    narrow = {**profile.rules, "adder": "weight"}
    wide = {**profile.rules, "adder": "accumulator"}

    def addition(bits: float) -> float:
        return c["add_base"] + c["add_per_bit"] * bits

    assert adder.accumulate(c, narrow) == pytest.approx(addition(2))
    assert adder.accumulate(c, wide) == pytest.approx(addition(c["accumulator_bits"]))
    assert adder.multiply_accumulate(4, c, narrow) == pytest.approx(addition(5))
    assert adder.multiply_accumulate(4, c, wide) == pytest.approx(addition(c["accumulator_bits"]))
    assert adder.multiply_accumulate(None, c, narrow) == c["float_add"]
