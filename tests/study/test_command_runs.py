"""Whole studies of a command: failures stay with their trials, confirmation, processor time."""

from __future__ import annotations

from pathlib import Path

import pytest

import hqsearch
from hqsearch.errors import DefinitionError
from hqsearch.search.events import Listener

STUDY = """title = "A script that fails now and then"
evaluator = "command"
evaluations = 12
space = { choices = ["2u", "3u", "4u", "8u"] }
[evaluation]
command = ["{python}", "train.py", "{assignment}", "{seed}"SPLIT]
layers = { conv1 = 100, conv2 = 1000 }
[[objective]]
name = "accuracy"
[[objective]]
name = "storage"
"""
SCRIPT = """
import json, sys
rows = json.load(open(sys.argv[1]))["layers"]
bits = sum(row["bits"] for row in rows)
if bits % 3 == 0:
    sys.exit("CUDA out of memory")
sum(i * i for i in range(600_000))
print(json.dumps({"accuracy": 0.5 + bits / 1000, "samples": 100}))
"""


class Heard(Listener):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def study(folder: Path, split: str = ', "{split}"') -> hqsearch.Study:
    (folder / "train.py").write_text(SCRIPT)
    (folder / "flaky.toml").write_text(STUDY.replace("SPLIT", split))
    return hqsearch.Study(folder / "flaky.toml", studies_dir=folder / "studies")


def test_a_failing_candidate_does_not_end_the_search(tmp_path: Path) -> None:
    flaky = study(tmp_path)
    flaky.run("nsga2", executor="in-process")
    trials = flaky.trials()
    assert len(trials) == 12
    failed = [t for t in trials if t.state == "FAIL"]
    assert {t.row.reason for t in failed} == {
        "the command failed (exit code 1); standard error: CUDA out of memory"
    }
    for trial in trials:
        bits = sum(int(choice[0]) for choice in trial.choices.values())
        assert (trial.state == "FAIL") == (bits % 3 == 0)
    # The script's own processor time, not that of waiting for it.
    assert all((t.row.details.cpu_seconds or 0) > 0.02 for t in trials)
    heard = Heard()
    confirmed = flaky.confirm(seeds=2, executor="in-process", listener=heard)
    (plan,) = [note for note in heard.notes if note.startswith("about to: ")]
    number = len(confirmed.summary.members)
    assert f"about to: {2 * number} trainings of {number} candidates, 1 at a time: " in plan
    assert "each, as in the search" in plan
    for member in confirmed.summary.members:
        bits = sum(int(choice[0]) for choice in member.choices.values())
        assert member.confirmed["accuracy"] == pytest.approx(0.5 + bits / 1000)
        assert len(member.seeds) == 2


def test_confirming_needs_a_word_for_the_split(tmp_path: Path) -> None:
    flaky = study(tmp_path, split="")
    flaky.run("random", evaluations=4, executor="in-process")
    before = sorted(p for p in tmp_path.rglob("*") if p.is_file())
    with pytest.raises(DefinitionError, match=r"the command has no \{split\}"):
        flaky.confirm(seeds=2, executor="in-process")
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == before
