"""Every registered scheme keeps the contract."""

from __future__ import annotations

from hqsearch.schemes import Scheme, parse_choice, schemes
from hqsearch.testing import SchemeContract


class TestUniform(SchemeContract):
    def make(self) -> Scheme:
        return parse_choice("4u").scheme


class TestPowerOfTwo(SchemeContract):
    def make(self) -> Scheme:
        return parse_choice("4l").scheme


class TestBinary(SchemeContract):
    def make(self) -> Scheme:
        return parse_choice("1b").scheme


class TestFloat(SchemeContract):
    def make(self) -> Scheme:
        return parse_choice("fp32").scheme


def test_no_scheme_is_left_out() -> None:
    classes = (TestUniform, TestPowerOfTwo, TestBinary, TestFloat)
    assert {scheme.name for scheme in schemes()} == {kind().make().name for kind in classes}
