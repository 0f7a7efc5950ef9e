"""A study whose evaluator imports what lies beside it: it runs, goes on, and notices edits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hqsearch.errors import StudyMismatch
from hqsearch.store.log import LogReader, storage_url
from hqsearch.study import opening

OWN = """
from hqsearch.evaluators.toy import Toy
import helpers

class Mine(Toy):
    costly = True

    def evaluate(self, candidate, seed, *rest, **more):
        from parts.scale import scaled  # as late as in a worker
        return scaled(super().evaluate(candidate, seed, *rest, **more), helpers.SCALE)
"""
PART = """
from dataclasses import replace

def scaled(done, scale):
    return replace(done, values={**done.values, "accuracy": scale * done.values["accuracy"]})
"""


@pytest.fixture
def study(tmp_path: Path, study_file: Callable[..., Path]) -> Path:
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "helpers.py").write_text("SCALE = 0.5\n")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").write_text("")
    (tmp_path / "parts" / "scale.py").write_text(PART)
    return study_file("mine", evaluator="own.py:Mine")


def run(study: Path, launched: Any, folder: Path, evaluations: int) -> list[tuple[Any, ...]]:
    launched.run(
        folder, str(study), strategy="random", evaluations=evaluations, executor="in-process"
    )
    return list(launched.table(folder, "mine"))


def test_here_and_on_workers_alike(tmp_path: Path, study: Path, launched: Any) -> None:
    here = run(study, launched, tmp_path / "here", 8)
    assert all(row[3][0] <= 0.5 for row in here)
    words = ["--study", str(study), "--strategy", "random", "--evaluations", "8", "--workers", "2"]
    words += ["--executor", "ray", "--studies-dir", str(tmp_path / "ray")]
    subprocess.run(
        [sys.executable, "-m", "hqsearch", "run", *words], cwd="/", check=True, capture_output=True
    )
    assert launched.table(tmp_path / "ray", "mine") == here


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("own.py", "# a comment" + OWN),
        ("helpers.py", '"""What all share."""\n\n\nSCALE = 0.5  # halved\n'),
        ("parts/scale.py", PART.replace("    ", "  ")),
        ("unused.py", "SCALE = 3"),
    ],
)
def test_what_is_no_code_does_not_lock(
    tmp_path: Path, study: Path, launched: Any, file: str, text: str
) -> None:
    before = run(study, launched, tmp_path / "s", 6)
    (tmp_path / file).write_text(text)
    assert run(study, launched, tmp_path / "s", 8)[:6] == before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("own.py", OWN.replace("helpers.SCALE)", "1.0)")),
        ("helpers.py", "SCALE = 0.6\n"),
        ("parts/scale.py", PART.replace("scale *", "scale + 0 *")),
        ("parts/__init__.py", "import helpers"),
    ],
)
def test_an_edit_is_noticed_wherever_it_is(
    tmp_path: Path, study: Path, launched: Any, file: str, text: str
) -> None:
    before = run(study, launched, tmp_path / "s", 6)
    (tmp_path / file).write_text(text)
    with pytest.raises(StudyMismatch, match=r"evaluator: own\.py:Mine.* has changed since"):
        run(study, launched, tmp_path / "s", 8)
    assert launched.table(tmp_path / "s", "mine") == before


def test_what_0_1_recorded_goes_on_while_the_bytes_are_the_same(
    tmp_path: Path, study: Path, launched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fingerprint_of = opening.fingerprint_of

    def as_then(*asked: Any) -> dict[str, Any]:
        made = fingerprint_of(*asked)
        return {**made, "evaluator": made["evaluator"].partition(" code ")[0]}

    with monkeypatch.context() as then:
        then.setattr(opening, "fingerprint_of", as_then)
        run(study, launched, tmp_path / "s", 6)
    reader = LogReader(storage_url(None, tmp_path / "s" / "mine"), "mine")
    assert " code " not in json.dumps(reader.attributes()["fingerprint"])
    reader.close()
    assert len(run(study, launched, tmp_path / "s", 8)) == 8
    (tmp_path / "own.py").write_text(OWN + "# even a comment: 0.1 recorded no more than bytes\n")
    with pytest.raises(StudyMismatch):
        run(study, launched, tmp_path / "s", 9)
