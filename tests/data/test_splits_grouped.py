from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hqsearch.data import DataSpec
from hqsearch.data.prepare import list_samples
from hqsearch.data.splits import SplitItem
from hqsearch.data.splits_grouped import split_groups
from hqsearch.errors import DataError

CLASSES = ("a", "b", "c")


def _spec(**changes: Any) -> DataSpec:
    return DataSpec("folder", 4, 32, path=Path("data"), sensor=(34, 34), **changes)


@settings(max_examples=60, deadline=None)
@given(
    groups=st.integers(3, 12), seed=st.integers(0, 50), per=st.integers(1, 4), mixed=st.booleans()
)
def test_no_group_is_torn_apart(groups: int, seed: int, per: int, mixed: bool) -> None:
    """Groups of all classes, or of one class each."""
    pool = [
        SplitItem(label, group=f"{g}" if mixed else f"{g} {label}")
        for g in range(groups)
        for label in range(3)
        for _ in range(per + (g + label) % 2)
    ]
    parts = split_groups(_spec(seed=seed), pool, None, CLASSES)
    held = [{pool[i].group for i in part} for part in (parts.train, parts.validation, parts.test)]
    assert sum(map(len, held)) == len({item.group for item in pool})
    assert sorted(parts.train + parts.validation + parts.test) == list(range(len(pool)))
    assert len({pool[i].label for i in parts.train}) == 3
    assert parts == split_groups(_spec(seed=seed), pool, None, CLASSES)


def test_groups_of_one_class_are_stratified() -> None:
    pool = [SplitItem(i // 40, group=f"{i // 4}") for i in range(120)]
    parts = split_groups(_spec(validation=24), pool, None, CLASSES)
    assert Counter(pool[i].label for i in parts.validation) == {0: 8, 1: 8, 2: 8}
    assert len(parts.test) == 12


def test_requested_sizes_are_exact_and_the_rest_of_a_group_is_left_out() -> None:
    pool = [SplitItem(i % 3, group=f"{i // 12}") for i in range(96)]
    parts = split_groups(_spec(train=30, validation=10, test=7), pool, None, CLASSES)
    assert [len(parts.train), len(parts.validation), len(parts.test)] == [30, 10, 7]
    train, validation = ({pool[i].group for i in p} for p in (parts.train, parts.validation))
    assert not train & validation
    assert "validation holds the group" in parts.warnings[-1]


def test_too_few_groups_are_refused() -> None:
    pool = [SplitItem(i % 3, group=f"{i % 2}") for i in range(30)]
    with pytest.raises(DataError, match="cannot be taken from whole groups"):
        split_groups(_spec(), pool, None, CLASSES)


def test_a_group_in_two_folders_is_refused() -> None:
    pool = [SplitItem(i % 3, group=f"{i // 6}") for i in range(30)]
    with pytest.raises(DataError, match="the group '4' lies in train/ and in test/"):
        split_groups(_spec(), pool, [SplitItem(0, group="4")], CLASSES)


def test_recordings_that_the_pattern_misses_are_all_named(tmp_path: Path) -> None:
    for label in "ab":
        for name in ("user1_0", "user2_0", "user3_0", "other", "more"):
            path = tmp_path / label / f"{name}.bin"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(bytes(50))
    spec = DataSpec("folder", 4, 32, path=tmp_path, sensor=(34, 34), group=r"user(\d)")
    with pytest.raises(DataError, match="4 recordings cannot be used") as caught:
        list_samples(spec)
    assert "does not match its path" in str(caught.value)
    nowhere = DataSpec("folder", 4, 32, path=tmp_path, sensor=(34, 34), group=r"person(\d)")
    with pytest.raises(DataError, match=r"matches no path below .*, such as a/more\.bin"):
        list_samples(nowhere)


def test_subjects_of_file_names_stay_together(tmp_path: Path) -> None:
    for label in "ab":
        for user in range(6):
            for take in range(3):
                path = tmp_path / label / f"user{user}_{take}.bin"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(bytes(50))
    spec = DataSpec("folder", 4, 32, path=tmp_path, sensor=(34, 34), group=r"user(\d)")
    parts = list_samples(spec).splits
    users = {name: {s.group for s in part} for name, part in parts.items()}
    assert sum(map(len, users.values())) == 6
    assert all(users.values())
