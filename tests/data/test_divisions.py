"""Divisions of recordings: no sample is tested twice, none in training, classes in proportion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hqsearch.data import DataSpec
from hqsearch.data.divisions import divided, most_divisions, why_undivided


def test_no_sample_is_tested_twice_or_learned_from() -> None:
    train, test = [i % 10 for i in range(720)], [i % 10 for i in range(100)]
    assert most_divisions(720, 100) == 8
    tested: list[int] = []
    for division in range(8):
        learned, measured = (set(a.tolist()) for a in divided(train, test, division, 3))
        assert not learned & measured
        assert (len(learned), len(measured)) == (720, 100)
        assert learned | measured == set(range(820))
        tested += sorted(measured)
        counts = np.bincount([(train + test)[i] for i in measured])
        assert counts.min() >= 9
        assert counts.max() <= 11
    assert len(set(tested)) == len(tested) == 800
    own = divided(train, test, 0, 3)
    assert own[0].tolist() == list(range(720))
    assert own[1].tolist() == list(range(720, 820))


def test_they_are_drawn_by_the_seed_of_the_splits_alone() -> None:
    train, test = [0, 1] * 30, [0, 1] * 5
    first = [divided(train, test, 2, 0)[1].tolist() for _ in range(2)]
    assert first[0] == first[1]
    assert divided(train, test, 2, 1)[1].tolist() != first[0]
    assert most_divisions(9, 10) == 1


def test_what_was_given_or_hangs_together_is_not_divided(tmp_path: Path) -> None:
    assert why_undivided(DataSpec("simulated-gestures", 2, 16)) == ""
    assert "given" in why_undivided(DataSpec("arrays", 2, 16, path=tmp_path / "x.npz"))
    assert "given" in why_undivided(DataSpec("cifar10", 1, 32, path=tmp_path))
    grouped = DataSpec("folder", 2, 16, path=tmp_path, group="(.)", sensor=(8, 8))
    assert "groups" in why_undivided(grouped)
    for split in ("train", "test"):
        for name in "ab":
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "0.npy").touch()
    assert "given" in why_undivided(DataSpec("folder", 2, 16, path=tmp_path, sensor=(8, 8)))
    for name in "ab":
        (tmp_path / "all" / name).mkdir(parents=True)
        (tmp_path / "all" / name / "0.npy").touch()
    drawn = DataSpec("folder", 2, 16, path=tmp_path / "all", sensor=(8, 8))
    assert why_undivided(drawn) == ""


@pytest.mark.parametrize("seed", range(3))
def test_with_few_samples_they_still_are_whole(seed: int) -> None:
    train, test = [0, 1, 2] * 11, [0, 1, 2, 0]
    for division in range(most_divisions(len(train), len(test))):
        learned, measured = divided(train, test, division, seed)
        assert not set(learned.tolist()) & set(measured.tolist())
        assert len(learned) == len(train)
