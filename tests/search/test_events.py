"""Listeners: told what happens, silent by default, and never in the way of a result."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqsearch.search.events import Guarded, Listener, SearchState, guarded
from hqsearch.study.running import Request, start


class Recorder(Listener):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.states: list[tuple[int, int]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def changed(self, state: SearchState) -> None:
        assert state.finished == sum(t.finished for t in state.trials)
        assert {t.number for t in state.trials if t.finished} <= set(state.records)
        self.states.append((state.finished, state.evaluations))


class Broken(Listener):
    def changed(self, state: SearchState) -> None:
        raise ValueError(f"cannot draw {state.finished}")


def test_a_run_tells_its_progress_and_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    listener = Recorder()
    request = Request("toy", "random", 12, studies_dir=tmp_path)
    assert start(request, listener).finished == 12
    assert listener.states[-1] == (12, 12)
    assert [done for done, _ in listener.states] == sorted(done for done, _ in listener.states)
    assert start(Request("toy", "random", 14, studies_dir=tmp_path)).finished == 14
    assert capfd.readouterr() == ("", "")


def test_moving_a_study_aside_is_told(tmp_path: Path) -> None:
    listener = Recorder()
    for fresh in (False, True):
        start(Request("toy", "random", 6, studies_dir=tmp_path, fresh=fresh), listener)
    (aside,) = tmp_path.glob("toy.before-*")
    assert f"note: the old study is kept as {aside}" in listener.notes


def test_a_listener_that_raises_loses_no_result(tmp_path: Path) -> None:
    request = Request("toy", "random", 12, studies_dir=tmp_path)
    with pytest.warns(RuntimeWarning, match="Broken failed .*told nothing more") as warned:
        assert start(request, Broken()).finished == 12
    assert len(warned) == 1


def test_an_interrupt_is_no_failure_of_a_listener() -> None:
    class Impatient(Listener):
        def note(self, text: str) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guarded(Impatient()).note("now")


def test_everything_is_passed_on_and_guarded_once() -> None:
    told: list[tuple[object, ...]] = []

    class All(Listener):
        def note(self, text: str) -> None:
            told.append(("note", text))

        def started(self, title: str) -> None:
            told.append(("started", title))

        def prepared(self, label: str, done: int, total: int) -> None:
            told.append(("prepared", label, done, total))

    listener = guarded(All())
    assert isinstance(listener, Guarded)
    assert guarded(listener) is listener
    listener.note("a")
    listener.started("b")
    listener.prepared("c", 1, 2)
    assert told == [("note", "a"), ("started", "b"), ("prepared", "c", 1, 2)]
