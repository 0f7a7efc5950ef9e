"""What a run says before it starts: what it will do, and what that rests on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hqsearch.evaluator import Outlook
from hqsearch.search.events import Listener
from hqsearch.study.expecting import Expected
from hqsearch.study.running import Request, start

FIRST = Expected("nsga2", evaluations=48, left=48, workers=2, outlook=Outlook())


class Heard(Listener):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_nothing_is_made_up() -> None:
    plan, cost = FIRST.notes()
    assert plan == "about to: 48 evaluations by nsga2, 2 at a time"
    assert "not known before something of this study was measured" in cost
    assert "a log of unknown size" in cost
    assert not any(character.isdigit() for character in cost)


def test_what_the_evaluator_says_is_told_with_its_basis() -> None:
    outlook = Outlook(
        steps=("frame 100 samples", "train the fp32 parent"),
        preparation_seconds=120.0,
        evaluation_seconds=10.0,
        basis="a rough figure",
        disk_bytes=3 * 2**20,
    )
    plan, cost = replace(FIRST, outlook=outlook).notes()
    assert "first frame 100 samples and train the fp32 parent; then 48 evaluations" in plan
    assert "6.0 minutes (10.0 s an evaluation: a rough figure), 2.0 minutes of it" in cost
    assert "3.0 MiB for what is prepared and a log of unknown size" in cost
    unsure = replace(outlook, preparation_seconds=None, disk_bytes=None)
    _, cost = replace(FIRST, outlook=unsure, measured=(4.0,)).notes()
    assert "a preparation of unknown length" in cost
    assert "an unknown size for what is prepared" in cost


def test_what_the_study_has_measured_comes_first() -> None:
    outlook = Outlook(evaluation_seconds=10.0, basis="a rough figure")
    measured = replace(FIRST, outlook=outlook, left=12, measured=(3.0, 5.0), per_trial=2**20)
    plan, cost = measured.notes()
    assert plan == "about to: 48 evaluations (12 left) by nsga2, 2 at a time"
    assert "24.0 s (4.0 s an evaluation: the mean of 2 of this study)" in cost
    assert "on disk 12.0 MiB of log" in cost
    assert "rough" not in cost


def test_what_is_not_counted_is_said() -> None:
    cost = replace(FIRST, measured=(1.0,), stops=True, own_tasks=("supernet",)).notes()[1]
    assert "less what early stopping spares" in cost
    assert "nsga2's own tasks (supernet) come on top" in cost


def test_where_baselines_leave_nothing() -> None:
    few = replace(FIRST, evaluations=5, left=5, baselines=7)
    assert few.notes()[0] == (
        "about to: 5 evaluations (all of them uniform baselines: none is left for the search) by "
        "nsga2, 2 at a time"
    )


def test_a_run_that_is_done() -> None:
    plan, cost = replace(FIRST, left=0, measured=(1.0,)).notes()
    assert plan.endswith("all of them done")
    assert "no training" in cost


def test_a_run_says_it_first(tmp_path: Path) -> None:
    request = Request("toy", "random", evaluations=8, studies_dir=tmp_path)
    first, again, more = Heard(), Heard(), Heard()
    start(request, first)
    start(request, again)
    start(replace(request, evaluations=12), more)
    assert first.notes[0] == (
        "about to: 8 evaluations (5 of them uniform baselines) by random, 1 at a time"
    )
    assert "all of them done" in again.notes[0]
    assert more.notes[0] == "about to: 12 evaluations (4 left) by random, 1 at a time"
    assert "the mean of 8 of this study" in more.notes[1]


def test_a_refused_run_says_nothing(tmp_path: Path, study_file: Callable[..., Path]) -> None:
    heard = Heard()
    request = Request(str(study_file(space="toy")), "random", 8, studies_dir=tmp_path)
    start(request, Heard())
    other: Any = replace(request, overrides={"evaluation.noise": 0.1})
    with pytest.raises(Exception, match="noise"):
        start(other, heard)
    assert heard.notes == []
