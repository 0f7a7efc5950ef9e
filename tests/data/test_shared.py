"""Samples of one split that are in another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hqsearch.data import get_encoding, shared
from hqsearch.data.frames import FrameData, Split
from hqsearch.data.shared import shared_samples


def made(*, again: bool) -> FrameData:
    """Random counts; with ``again``, two test samples are of validation and one of train."""
    rng = np.random.default_rng(0)
    parts = [rng.integers(1, 9, (n, 2, 2, 8, 8)).astype(np.uint8) for n in (9, 6, 6)]
    for part in parts:
        part[0] = 0  # silence is no sample of another split
    if again:
        parts[2][3:5], parts[2][5] = parts[1][1:3], parts[0][2]
    splits = (Split(part, np.arange(len(part)) % 3) for part in parts)
    return FrameData(*splits, ("a", "b", "c"), get_encoding("count"), "", False, (), Path())


def test_they_are_counted() -> None:
    assert shared_samples(made(again=False)) == []
    trained, validated = shared_samples(made(again=True))
    assert trained.startswith("1 of 6 test samples are train samples, too")
    assert validated.startswith("2 of 6 test samples are validation samples, too")


def test_large_sets_are_not_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "MOST_BYTES", 100)
    assert shared_samples(made(again=True)) == []
