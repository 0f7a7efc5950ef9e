from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hqsearch.data import DataSpec
from hqsearch.data.splits import SplitItem, split
from hqsearch.errors import DataError

CLASSES = ("a", "b", "c")


def _spec(**changes: int) -> DataSpec:
    return DataSpec("folder", 4, 32, path=Path("data"), sensor=(34, 34), **changes)


@settings(max_examples=50, deadline=None)
@given(n=st.integers(15, 120), seed=st.integers(0, 50))
def test_parts_are_disjoint_complete_and_stratified(n: int, seed: int) -> None:
    pool = [SplitItem(i % 3) for i in range(n)]
    parts = split(_spec(seed=seed), pool, None, CLASSES)
    everything = parts.train + parts.validation + parts.test
    assert sorted(everything) == list(range(n))
    for part in (parts.train, parts.validation, parts.test):
        counts = Counter(i % 3 for i in part)
        assert max(counts.values()) - min(counts[k] for k in range(3)) <= 2


def test_split_depends_on_the_seed_alone() -> None:
    pool = [SplitItem(i % 3) for i in range(60)]
    assert split(_spec(seed=1), pool, None, CLASSES) == split(_spec(seed=1), pool, None, CLASSES)
    assert split(_spec(seed=1), pool, None, CLASSES) != split(_spec(seed=2), pool, None, CLASSES)


def test_official_test_split_is_kept() -> None:
    pool, test_pool = [SplitItem(i % 3) for i in range(30)], [SplitItem(i % 3) for i in range(9)]
    parts = split(_spec(), pool, test_pool, CLASSES)
    assert parts.own_test
    assert parts.test == list(range(9))
    assert len(parts.train) + len(parts.validation) == 30


def test_validation_subjects_do_not_train() -> None:
    pool = [SplitItem(i % 3, subject=i // 6) for i in range(60)]
    parts = split(_spec(validation=10), pool, pool, CLASSES)
    assert len(parts.validation) == 10
    assert not {pool[i].subject for i in parts.train} & {pool[i].subject for i in parts.validation}
    assert any("subjects" in warning for warning in parts.warnings)


def test_requested_sizes_are_exact() -> None:
    pool = [SplitItem(i % 3) for i in range(60)]
    parts = split(_spec(train=21, validation=12, test=6), pool, None, CLASSES)
    assert [len(parts.train), len(parts.validation), len(parts.test)] == [21, 12, 6]


@pytest.mark.parametrize("key", ["train", "validation", "test"])
def test_more_than_there_is_is_refused(key: str) -> None:
    pool = [SplitItem(i % 3) for i in range(30)]
    with pytest.raises(DataError, match=rf"{key} = 100 samples, but .* leaves only"):
        split(_spec(**{key: 100}), pool, None, CLASSES)


def test_class_without_training_samples_is_named() -> None:
    pool = [SplitItem(i % 2) for i in range(30)]
    with pytest.raises(DataError, match="no training sample of class 'c'"):
        split(_spec(), pool, None, CLASSES)
