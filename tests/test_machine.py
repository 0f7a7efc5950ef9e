"""Cores that a process may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hqsearch import machine
from hqsearch.machine import cores, quota_cores


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    (tmp_path / "user" / "job").mkdir(parents=True)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    return tmp_path


def test_the_affinity_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "CONTROL_GROUPS", tmp_path)
    for allowed in ({0}, {1, 5}, set(range(40))):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, a=allowed: a)
        assert cores() == len(allowed)
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


@pytest.mark.parametrize(
    ("own", "above", "expected"),
    [
        ("max 100000", "max 100000", 8),
        ("200000 100000", "max 100000", 2),
        ("150000 100000", None, 2),
        (None, "300000 100000", 3),
        ("400000 100000", "50000 100000", 1),
        ("nonsense", "1 0", 8),
        ("9000000 100000", "max 100000", 8),
    ],
)
def test_the_tightest_quota_counts(
    groups: Path, own: str | None, above: str | None, expected: int
) -> None:
    for folder, text in ((groups / "user" / "job", own), (groups / "user", above)):
        if text is not None:
            (folder / "cpu.max").write_text(text + "\n")
    assert quota_cores("1:name=x:/other\n0::/user/job\n", groups, 8) == expected


@pytest.mark.parametrize("group", ["", "4:cpu:/user\n", "0::/../outside\n", "0::/gone\n", "0::/\n"])
def test_where_no_group_is_shown_there_is_no_quota(groups: Path, group: str) -> None:
    assert quota_cores(group, groups, 8) == 8


def test_a_container_sees_its_quota_at_the_root(groups: Path) -> None:
    (groups / "cpu.max").write_text("100000 100000\n")
    assert quota_cores("0::/\n", groups, 8) == 1
