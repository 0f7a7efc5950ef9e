"""Definitions of projects that moved: where their files are looked for."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from hqsearch.definition import load_study, located_definition
from hqsearch.plugins import file_identity

FILES = {"own.py": "class Own: ...\n", "space.toml": 'choices = ["2u", "4u"]\n'}


@pytest.fixture
def attributes(tmp_path: Path) -> dict[str, Any]:
    """Those of a study that was made in ``old``."""
    old = tmp_path / "old"
    old.mkdir()
    for name, content in FILES.items():
        (old / name).write_text(content)
    (old / "own.toml").write_text(
        'space = "space.toml"\nevaluator = "own.py:Own"\n'
        '[[objective]]\nname = "a"\n[[objective]]\nname = "b"\n'
    )
    definition = load_study(old / "own.toml", {"data.dataset": "nmnist"})
    stored = definition.model_dump(mode="json")
    stored["data"]["path"] = str(old / "recordings")
    evaluator = file_identity("own.py:Own", old)
    return {"definition": stored, "fingerprint": {"evaluator": evaluator}}


def test_it_stays_where_it_was(tmp_path: Path, attributes: dict[str, Any]) -> None:
    found = located_definition(attributes, "own", tmp_path / "elsewhere")
    assert found.folder == tmp_path / "old"


@pytest.mark.parametrize("studies", ["new/studies", "new"])
def test_it_moved_with_its_studies(
    tmp_path: Path, attributes: dict[str, Any], studies: str
) -> None:
    (tmp_path / "old").rename(tmp_path / "new")
    found = located_definition(attributes, "own", tmp_path / studies)
    assert found.folder == tmp_path / "new"
    assert found.data is not None
    assert found.data.path == tmp_path / "new" / "recordings"


def test_the_file_that_is_named_comes_first(tmp_path: Path, attributes: dict[str, Any]) -> None:
    shutil.copytree(tmp_path / "old", tmp_path / "copy")
    named = str(tmp_path / "copy" / "own.toml")
    assert located_definition(attributes, named, tmp_path).folder == tmp_path / "copy"


def test_contents_decide(
    tmp_path: Path, attributes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tmp_path / "old", tmp_path / "copy")
    (tmp_path / "old" / "own.py").write_text("class Own: '''edited'''\n")
    monkeypatch.chdir(tmp_path / "copy")
    assert located_definition(attributes, "own", tmp_path).folder == tmp_path / "copy"
    (tmp_path / "copy" / "own.py").write_text("class Own: '''edited, too'''\n")
    # Nowhere as it was: the fingerprint will say so.
    assert located_definition(attributes, "own", tmp_path).folder == tmp_path / "old"


def test_files_that_are_nowhere(tmp_path: Path, attributes: dict[str, Any]) -> None:
    shutil.rmtree(tmp_path / "old")
    assert located_definition(attributes, "own", tmp_path).folder == tmp_path / "old"
