"""What it costs to add a weight to a sum, by the arithmetic that a scheme needs, in pJ.

Costs are functions of a hardware profile's constants ``c`` (numbers or arrays of draws; the
result has that shape) and rules. Rule ``adder`` says whether an adder is as wide as its weight
or as the accumulator. A scheme picks one of these classes or brings its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Number = Any  # a float, or an array [draws]
Values = Mapping[str, Number]
Rules = Mapping[str, str]


class Adder(Protocol):
    """Cost of the two things that are done with a weight."""

    def accumulate(self, c: Values, rules: Rules) -> Number:
        """Adding one weight to a sum, pJ."""

    def multiply_accumulate(self, input_bits: int | None, c: Values, rules: Rules) -> Number:
        """Multiplying one input with one weight and adding the product to a sum, pJ.

        Args:
            input_bits: width of the integer input; None for a real one (fp32).
            c: the profile's constants.
            rules: the profile's rules.
        """


def addition(c: Values, bits: Number) -> Number:
    """One integer addition of ``bits`` bits, pJ."""
    return c["add_base"] + c["add_per_bit"] * bits


@dataclass(frozen=True, slots=True)
class FloatAdder:
    """Weights are fp32."""

    def accumulate(self, c: Values, rules: Rules) -> Number:
        return c["float_add"]

    def multiply_accumulate(self, input_bits: int | None, c: Values, rules: Rules) -> Number:
        return c["float_multiply"] + c["float_add"]


@dataclass(frozen=True, slots=True)
class IntegerAdder:
    """Weights are integers of ``bits`` bits; real inputs are multiplied in fp32."""

    bits: int

    def accumulate(self, c: Values, rules: Rules) -> Number:
        return addition(c, self.bits if rules["adder"] == "weight" else c["accumulator_bits"])

    def multiply_accumulate(self, input_bits: int | None, c: Values, rules: Rules) -> Number:
        if input_bits is None:
            return c["float_multiply"] + c["float_add"]
        width = self.bits + input_bits
        total = width if rules["adder"] == "weight" else c["accumulator_bits"]
        return c["multiply_per_bit2"] * self.bits * input_bits + addition(c, total)


@dataclass(frozen=True, slots=True)
class ShiftAdder:
    """Weights are powers of two: decoded and shifted in place of multiplied.

    Attributes:
        span: difference between the largest and the smallest exponent; it widens the sum.
    """

    span: int

    @property
    def stages(self) -> int:
        """Bits of a code that name its exponent (ternary: none), as many stages of a shifter."""
        return self.span.bit_length()

    def accumulate(self, c: Values, rules: Rules) -> Number:
        decode = c["decode_per_stage"] * self.stages
        width = 2 if rules["adder"] == "weight" else c["accumulator_bits"]
        return decode + addition(c, width + self.span)

    def multiply_accumulate(self, input_bits: int | None, c: Values, rules: Rules) -> Number:
        decode = c["decode_per_stage"] * self.stages
        if input_bits is None:
            return decode + c["exponent_add"] + c["float_add"]
        width = input_bits + self.span
        shift = c["shift_per_bit"] * width * self.stages
        total = width + 1 if rules["adder"] == "weight" else c["accumulator_bits"] + self.span
        return decode + shift + addition(c, total)
