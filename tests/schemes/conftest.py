"""Schemes that a test makes known are forgotten after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hqsearch.schemes import parse_choice, registry, schemes


@pytest.fixture
def registered() -> Iterator[None]:
    schemes()
    before = dict(registry._registered)
    yield
    registry._registered.clear()
    registry._registered.update(before)
    registry._read_entry_points.cache_clear()
    parse_choice.cache_clear()
