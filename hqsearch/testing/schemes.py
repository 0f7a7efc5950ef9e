"""What every scheme promises, as tests to subclass; see :class:`hqsearch.schemes.Scheme`."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hqsearch.hardware import load_profile, profile_names
from hqsearch.quant import (
    FakeQuantizer,
    decode,
    encode,
    exponents,
    integer_unit,
    integers,
    levels,
    make_quantizer,
    quantize_model,
    scale_of,
)
from hqsearch.quant.mixture import MixedQuantizer
from hqsearch.schemes import FP32, Choice, Scheme, parse_choice
from hqsearch.schemes.base import EXPONENT_SCALE_BITS

CHANNELS = 6


class SchemeContract:
    """What every scheme promises, for each of its widths.

    The scheme must be registered (:func:`hqsearch.schemes.register`) when the tests run. Tests of
    codes pass at once for a scheme that has none.
    """

    @abstractmethod
    def make(self) -> Scheme:
        """The scheme, as it is registered."""

    def coded(self) -> tuple[Choice, ...]:
        scheme = self.make()
        return scheme.choices() if scheme.has_codes else ()

    def weight(self, seed: int = 0) -> Tensor:
        """A weight ``[6, 5, 3, 3]`` of very unlike channels."""
        generator = torch.Generator().manual_seed(seed)
        size = torch.logspace(-3, 1, CHANNELS).view(-1, 1, 1, 1)
        return torch.randn((CHANNELS, 5, 3, 3), generator=generator) * size

    def test_every_choice_reads_back(self) -> None:
        scheme = self.make()
        assert scheme.choices()
        for choice in scheme.choices():
            assert parse_choice(choice.text) == choice
            assert choice.scheme is scheme
            assert copy.deepcopy(choice) == choice
        assert scheme.parse("no such choice") is None
        assert scheme.text(scheme.widths[0]) in scheme.describe() or "<bits>" in scheme.describe()

    def test_codes_fit_the_bits(self) -> None:
        for choice in self.coded():
            low, high = choice.scheme.code_range(choice.bits)
            assert low < high
            assert high - low < 2**choice.bits
            assert low >= -128
            assert high <= 127
            codes = encode(self.weight(), torch.full((CHANNELS,), 0.25), choice)
            assert codes.dtype == torch.int8
            assert low <= int(codes.min())
            assert int(codes.max()) <= high

    def test_levels_ascend_within_the_gradient_range(self) -> None:
        for choice in self.coded():
            values = levels(choice)
            low, high = choice.scheme.level_range(choice.bits)
            assert bool((values.diff() > 0).all())
            assert values[0] == low
            assert values[-1] == high
            assert choice.scheme.gradient_divisor(choice.bits) >= 1.0

    def test_every_code_and_every_decoded_weight_comes_back(self) -> None:
        for choice in self.coded():
            low, high = choice.scheme.code_range(choice.bits)
            scale = scale_of(torch.arange(-20, 21).to(torch.int8))
            codes = torch.arange(low, high + 1).to(torch.int8).repeat(len(scale), 1)
            decoded = decode(codes, scale, choice)
            assert torch.equal(encode(decoded, scale, choice), codes)

    def test_no_level_is_nearer(self) -> None:
        for choice in self.coded():
            values = levels(choice).double()
            ratio = torch.linspace(1.2 * float(values[0]), 1.2 * float(values[-1]), 997)
            chosen = decode(encode(ratio[None], torch.ones(1), choice), torch.ones(1), choice)[0]
            nearest = (ratio.double()[:, None] - values).abs().min(1).values
            torch.testing.assert_close((ratio - chosen).abs().double(), nearest)

    def test_integers_times_their_unit_are_the_weights(self) -> None:
        for choice in self.coded():
            if not choice.scheme.has_integers:
                continue
            quantizer = make_quantizer(choice, self.weight())
            scale, codes = quantizer.scale().detach(), quantizer.codes(self.weight())
            summed = integers(codes, choice)
            assert summed.dtype == torch.int32
            unit = integer_unit(scale, choice).view(-1, 1, 1, 1)
            assert torch.equal(summed * unit, decode(codes, scale, choice))

    def test_codes_are_packed_without_gaps_and_come_back(self) -> None:
        generator = np.random.default_rng(0)
        for choice in self.coded():
            scheme, bits = choice.scheme, choice.bits
            low, high = scheme.code_range(bits)
            for count in (0, 1, 3, 8, 13, 1001):
                codes = generator.integers(low, high + 1, count)
                packed = scheme.pack(codes, bits)
                assert len(packed) == -(-count * bits // 8)
                np.testing.assert_array_equal(scheme.unpack(packed, bits, count), codes)

    def test_what_is_no_number_never_becomes_one(self) -> None:
        for choice in self.coded():
            weight, quantizer = self.weight(), make_quantizer(choice, self.weight())
            weight[1, 2, 0, 0] = float("nan")
            out = quantizer(weight)
            assert bool(out[1, 2, 0, 0].isnan())
            assert int(out.isnan().sum()) == 1

    def test_extreme_weights_take_the_outermost_levels(self) -> None:
        for choice in self.coded():
            quantizer = make_quantizer(choice, self.weight())
            scale = quantizer.scale().detach()
            low, high = choice.scheme.level_range(choice.bits)
            for value in (3e38, float("inf")):
                weight = torch.full((CHANNELS, 2), value) * torch.tensor([1.0, -1.0])
                out = quantizer(weight)
                torch.testing.assert_close(out[:, 0], scale * high)
                torch.testing.assert_close(out[:, 1], scale * low)
            for value in (0.0, 1e-38):
                assert bool(quantizer(torch.full((CHANNELS, 2), value)).isfinite().all())

    def test_initial_scales_fit_the_weight(self) -> None:
        for choice in self.coded():
            weight = self.weight()
            weight[2] = 0.0
            quantizer = make_quantizer(choice, weight)
            scale = quantizer.scale().detach()
            assert bool((scale > 0).all())
            assert bool(scale.isfinite().all())
            other = torch.arange(CHANNELS) != 2
            error = (quantizer(weight) - weight).square().flatten(1).sum(1)[other]
            assert bool((error < weight.square().flatten(1).sum(1)[other]).all())

    def test_the_parameter_of_a_scale_gives_that_scale(self) -> None:
        for choice in self.coded():
            scale = scale_of(torch.arange(-9, 9).to(torch.int8))
            parameter = choice.scheme.parameter_of(scale)
            torch.testing.assert_close(choice.scheme.scale(parameter), scale)
            start = FakeQuantizer(choice, 3).scale()
            assert bool((start > 0).all())
            assert start.shape == (3,)

    def test_scales_are_stored_as_it_says(self) -> None:
        for choice in self.coded():
            scheme = choice.scheme
            assert scheme.scale_bits > 0
            if scheme.exponent_scale:
                assert scheme.scale_bits == EXPONENT_SCALE_BITS
                scale = make_quantizer(choice, self.weight()).scale().detach()
                assert torch.equal(scale_of(exponents(scale)), scale)

    def test_a_layer_learns(self) -> None:
        for choice in self.coded():
            generator = torch.Generator().manual_seed(1)
            layer = nn.Linear(6, 4, bias=False)
            with torch.no_grad():
                layer.weight.copy_(torch.randn((4, 6), generator=generator))
            quantize_model(layer, {"": choice.text})
            inputs = torch.randn((32, 6), generator=generator)
            wanted = inputs @ torch.randn((4, 6), generator=generator).T
            optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
            losses = []
            for _ in range(80):
                optimizer.zero_grad()
                loss = (layer(inputs) - wanted).square().mean()
                loss.backward()
                for name, parameter in layer.named_parameters():
                    assert parameter.grad is not None, name
                    assert bool(parameter.grad.isfinite().all()), name
                optimizer.step()
                losses.append(loss.item())
            assert losses[-1] < 0.8 * losses[0], choice

    def test_a_mixture_holds_it_exactly(self) -> None:
        for choice in self.coded():
            mixed = MixedQuantizer([choice.text, FP32], self.weight())
            mixed.mix(torch.tensor([1.0, 0.0]))
            single = make_quantizer(choice, self.weight())
            assert torch.equal(mixed(self.weight()), single(self.weight()))

    def test_costs_grow_with_the_bits(self) -> None:
        scheme = self.make()
        for name in profile_names():
            profile = load_profile(name)
            values = profile.values()
            for adder in ("weight", "accumulator"):
                rules = {**profile.rules, "adder": adder}
                rows = [_costs(scheme, bits, values, rules) for bits in scheme.widths]
                # Nothing is free, unless the profile says that operations are.
                free = not values["add_per_bit"]
                assert (np.array(rows) >= 0 if free else np.array(rows) > 0).all()
                assert (np.diff(np.array(rows), axis=0) >= 0).all()

    def test_the_nominal_error_falls_with_the_bits(self) -> None:
        scheme = self.make()
        errors = [scheme.nominal_error(bits) for bits in scheme.widths]
        assert errors == sorted(errors, reverse=True)
        assert all((error > 0) == scheme.has_codes for error in errors)
        assert -1.0 <= scheme.feature <= 1.0


def _costs(scheme: Scheme, bits: int, values: Any, rules: Any) -> list[float]:
    """Accumulating, and multiplying with integer inputs of several widths and real ones, pJ."""
    adder = scheme.adder(bits)
    products = [adder.multiply_accumulate(width, values, rules) for width in (2, 4, 8, None)]
    return [float(adder.accumulate(values, rules)), *map(float, products)]
