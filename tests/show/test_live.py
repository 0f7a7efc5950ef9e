"""The live display: lines where nobody draws, a table and bars on a terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from hqsearch.search.events import SearchState
from hqsearch.show import live
from hqsearch.show.live import LiveProgress
from hqsearch.study.comparing import compare
from hqsearch.study.running import Request, start


def told(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_notes_are_printed_as_they_stand_and_once() -> None:
    console = Console(file=io.StringIO(), width=20)
    with LiveProgress(console) as progress:
        progress.note("note: a long line with [brackets] in it")
        progress.note("note: a long line with [brackets] in it")
        progress.prepared("data", 0, 2)
        progress.prepared("data", 1, 2)  # too soon after the last line
        progress.prepared("data", 2, 2)
        progress.prepared("data", 2, 2)
    assert told(console).splitlines() == [
        "note: a long line with [brackets] in it",
        "data: 0/2",
        "data: 2/2",
    ]


def test_what_is_left_is_told_by_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    console = Console(file=io.StringIO(), width=60)
    with LiveProgress(console) as progress:
        for seconds, done in ((0, 0), (30, 10), (60, 10), (90, 29), (95, 30)):
            now[0] = 100.0 + seconds
            progress.prepared("training the parent", done, 30)
    assert told(console).splitlines() == [
        "training the parent: 0/30",
        "training the parent: 10/30 about 60 s left",
        "training the parent: 10/30 about 2 min left",
        "training the parent: 29/30 about 3 s left",
        "training the parent: 30/30",
    ]


def test_what_is_left_is_told_after_a_strategys_own_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default strategy begins with one; the time left was not told from then on."""
    notes: list[str] = []

    class Noted(LiveProgress):
        def changed(self, state: SearchState) -> None:
            super().changed(state)
            if state.tasks and all(task.finished for task in state.tasks):
                notes.append(self._lines["evaluations"])

    monkeypatch.setattr(live, "QUIET", 0.0)
    console = Console(file=io.StringIO())
    with Noted(console) as progress:
        start(Request("toy", "sensitivity", 12, studies_dir=tmp_path), progress)
    assert len(notes) > 2
    assert all(note.endswith("left") for note in notes[:-1])
    assert notes[-1] == "evaluations: 12/12"


FAILING = """
from hqsearch.evaluators.toy import Toy

class Failing(Toy):
    def evaluate(self, candidate, *rest, **more):
        if candidate["stem"] != "4u":
            raise ValueError(f"no room for {candidate['stem']!r}")
        return super().evaluate(candidate, *rest, **more)
"""


def test_the_first_failure_says_why_when_it_happens(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    (tmp_path / "f.toml").write_text(
        'space = "toy"\nevaluator = "failing.py:Failing"\n'
        '[[objective]]\nname = "accuracy"\n[[objective]]\nname = "energy"\n'
    )
    for evaluations, told_now in ((8, 1), (12, 1)):  # a run that goes on tells new ones alone
        console = Console(file=io.StringIO())
        with LiveProgress(console) as progress:
            start(
                Request(str(tmp_path / "f.toml"), "random", evaluations, studies_dir=tmp_path),
                progress,
            )
        lines = [line for line in told(console).splitlines() if " failed (exception): " in line]
        assert len(lines) == told_now
        assert "ValueError: no room for" in lines[0]
        number = int(lines[0].split()[1])
        assert number < 8 if evaluations == 8 else number >= 8


def test_a_search_is_followed_on_a_terminal(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with LiveProgress(console) as progress:
        start(Request("toy", "random", 12, studies_dir=tmp_path), progress)
    assert "Front so far: " in told(console)
    assert "12/12" in told(console)


def test_every_run_of_a_comparison_is_told(tmp_path: Path) -> None:
    def compared() -> list[str]:
        console = Console(file=io.StringIO(), width=100)
        with LiveProgress(console) as progress:
            compare(Request("toy", "", 8, studies_dir=tmp_path), ["random"], 2, progress)
        return told(console).splitlines()

    heads = ["run 1 of 2: random, seed 0", "run 2 of 2: random, seed 1"]
    lines = compared()
    assert [line for line in lines if line in heads] == heads
    assert [line.split()[1] for line in lines if "evaluations" in line].count("8/8") == 2
    assert compared() == [f"{head}: is in the log" for head in heads]


def test_each_run_of_a_comparison_is_drawn_anew_on_a_terminal(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with LiveProgress(console) as progress:
        compare(Request("toy", "", 8, studies_dir=tmp_path), ["random"], 2, progress)
    text = told(console)
    first, second = (text.index(f"run {n} of 2") for n in (1, 2))
    assert "8/8" in text[first:second]
    assert "8/8" in text[second:]
