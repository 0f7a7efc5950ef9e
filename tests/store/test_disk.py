"""What a study takes on disk."""

from __future__ import annotations

from pathlib import Path

from hqsearch.store.disk import disk_use, size_of


def test_kinds_and_order(tmp_path: Path) -> None:
    for path, size in (
        ("study.db", 10),
        ("study.db-wal", 5),
        ("results.db", 7),
        ("data/a/train-frames.npy", 100),
        ("parents/p/checkpoint/epoch-1.safetensors", 50),
        ("tasks/t/state", 3),
        ("prepared.json", 2),
        ("empty", 0),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"x" * size)
    assert list(disk_use(tmp_path).items()) == [
        ("frames", 100), ("parents", 50), ("log", 15), ("tables", 7), ("strategies", 3),
        ("other", 2),
    ]  # fmt: skip


def test_links_count_nothing(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 1000)
    folder = tmp_path / "study"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "linked").symlink_to(tmp_path)
    (folder / "parents").symlink_to(tmp_path)
    assert disk_use(folder) == {}


def test_what_is_not_there_takes_nothing(tmp_path: Path) -> None:
    assert disk_use(tmp_path / "absent") == {}
    assert size_of(tmp_path / "absent") == 0
