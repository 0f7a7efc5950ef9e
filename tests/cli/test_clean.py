"""``hqsearch clean`` and what ``status`` says of the disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hqsearch.cli import cli
from hqsearch.errors import StorageError, UnknownName


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a toy study with a leftover checkpoint."""
    call(tmp_path, "run", "--study", "toy", "--strategy", "random", "--evaluations", "6")
    (tmp_path / "toy" / "rungs" / "00000000-1").mkdir(parents=True)
    (tmp_path / "toy" / "rungs" / "00000000-1" / "toy.json").write_text("x" * 3000)
    return tmp_path


def call(folder: Path, *words: str) -> Result:
    words = (*words, "--studies-dir", str(folder))
    return CliRunner().invoke(cli, words, catch_exceptions=False)


def test_it_lists_then_removes(folder: Path) -> None:
    left = folder / "toy" / "rungs" / "00000000-1"
    listed = call(folder, "clean", "--study", "toy")
    assert "rungs/00000000-1" in listed.stdout
    assert left.is_dir()
    removed = json.loads(call(folder, "clean", "--study", "toy", "--yes", "--json").stdout)
    assert (removed["removed"], removed["bytes"]) == (True, 3000)
    assert set(removed) == {"study", "folder", "removed", "bytes", "items", "disk", "notes"}
    assert not left.exists()
    again = json.loads(call(folder, "clean", "--study", "toy", "--json").stdout)
    assert (again["items"], again["removed"]) == ([], False)
    assert "nothing to remove" in call(folder, "clean", "--study", "toy").stdout


def test_a_study_that_was_not_run(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="has not been run"):
        call(tmp_path, "clean", "--study", "toy")
    with pytest.raises(UnknownName, match="did you mean 'toy'"):
        call(tmp_path, "clean", "--study", "tyo")
    assert list(tmp_path.iterdir()) == []


def test_status_says_what_is_on_disk(folder: Path) -> None:
    use = json.loads(call(folder, "status", "--study", "toy", "--json").stdout)["disk"]
    assert use["rungs"] == 3000
    assert use["log"] > use["rungs"]
    assert "on disk: " in call(folder, "status", "--study", "toy").stdout
