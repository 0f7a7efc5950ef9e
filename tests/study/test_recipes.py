"""A study of an older recipe shows all that it holds, and nothing is added to it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hqsearch.cli import cli
from hqsearch.errors import StudyMismatch
from hqsearch.evaluator.registry import evaluator_class
from hqsearch.schemes.choice import parse_choice
from hqsearch.store.log import LogReader, storage_url

MINE = """
from hqsearch.evaluators.toy import Toy

class Mine(Toy):
    pass
"""
#: What release 0.1 accepted. Logs hold these texts: none may ever be taken away, whatever a
#: later release proposes.
CHOICES_OF_0_1 = (
    "2u", "3u", "4u", "5u", "6u", "7u", "8u", "2l", "3l", "4l", "5l", "fp32",
)  # fmt: skip
READING = (
    ("front", "--json"),
    ("front", "--csv"),
    ("trials", "--json"),
    ("status", "--json"),
    ("show", "--trial", "3"),
)


@pytest.fixture
def old(
    tmp_path: Path,
    study_file: Callable[..., Path],
    launched: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A study file whose log was made by recipe 1 of an evaluator that now has recipe 2."""
    (tmp_path / "mine.py").write_text(MINE)
    study = study_file("mine", evaluator="mine.py:Mine")
    launched.run(tmp_path / "studies", str(study), evaluations=8)
    monkeypatch.setattr(evaluator_class("mine.py:Mine", tmp_path), "recipe", 2)
    return study


def invoke(folder: Path, study: Path | str, *words: str) -> Result:
    command, *more = words
    place = ["--study", str(study), "--studies-dir", str(folder / "studies")]
    return CliRunner().invoke(cli, [command, *place, *more])


def without_sizes(text: str) -> str:
    """What is shown, but for bytes on disk: tables grow as they are read."""
    return re.sub(r'"tables": \d+|tables [0-9.]+ \w+', "tables", text)


@pytest.mark.parametrize("words", READING)
def test_it_opens_and_shows_all_that_it_holds(
    tmp_path: Path, old: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = invoke(tmp_path, "mine", *words)
    assert shown.exit_code == 0, shown.output
    monkeypatch.setattr(evaluator_class("mine.py:Mine", old.parent), "recipe", 1)
    again = invoke(tmp_path, "mine", *words).stdout
    assert without_sizes(shown.stdout) == without_sizes(again)


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--strategy", "nsga2", "--evaluations", "12"),
        ("run", "--strategy", "random", "--evaluations", "12"),
        ("confirm", "--seeds", "1"),
        ("compare", "--strategies", "random,nsga2", "--evaluations", "8", "--seeds", "1"),
    ],
)
def test_nothing_is_added_to_it(tmp_path: Path, old: Path, words: tuple[str, ...]) -> None:
    before = invoke(tmp_path, "mine", "trials", "--json").stdout
    told = invoke(tmp_path, "mine" if words[0] == "confirm" else old, *words)
    assert isinstance(told.exception, StudyMismatch)
    assert "study 'mine' was made by recipe 1 of mine.py:Mine, this version has recipe 2" in str(
        told.exception
    )
    assert invoke(tmp_path, "mine", "trials", "--json").stdout == before


def test_an_unfinished_run_of_it_is_not_resumed(
    tmp_path: Path, launched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hqsearch.evaluators.toy import Toy

    def cut(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hqsearch.executors.in_process.perform", cut)
    with pytest.raises(KeyboardInterrupt):
        launched.run(tmp_path / "studies")
    monkeypatch.undo()
    monkeypatch.setattr(Toy, "recipe", 2)
    told = invoke(tmp_path, "toy", "resume")
    assert isinstance(told.exception, StudyMismatch)
    assert "recipe 1 of toy, this version has recipe 2" in str(told.exception)


def test_it_is_started_afresh(tmp_path: Path, old: Path) -> None:
    words = ("run", "--strategy", "random", "--evaluations", "6", "--fresh")
    assert invoke(tmp_path, old, *words).exit_code == 0
    assert len(json.loads(invoke(tmp_path, "mine", "trials", "--json").stdout)) == 6
    assert len(list((tmp_path / "studies").glob("mine.before-*"))) == 1


def test_only_the_evaluator_that_changed_is_concerned(
    tmp_path: Path, old: Path, launched: Any
) -> None:
    assert old.name == "mine.toml"
    launched.run(tmp_path / "studies", evaluations=6)
    assert launched.run(tmp_path / "studies", evaluations=8).finished == 8
    reader = LogReader(storage_url(None, (tmp_path / "studies" / "toy").resolve()), "toy")
    assert reader.attributes()["fingerprint"]["recipe"] == 1
    reader.close()


@pytest.mark.parametrize("choice", CHOICES_OF_0_1)
def test_choices_once_accepted_stay_readable(choice: str) -> None:
    parsed = parse_choice(choice)
    assert str(parsed) == choice
    assert parsed.bits == (32 if choice == "fp32" else int(choice[0]))
