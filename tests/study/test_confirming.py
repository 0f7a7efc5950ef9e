"""Confirmation: outside of every search, resumable, and honest about what survived."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from hqsearch.cli import cli
from hqsearch.errors import InputError, RunFailed, StorageError
from hqsearch.search.events import Listener
from hqsearch.show.live import LiveProgress
from hqsearch.store.log import LogReader, storage_url
from hqsearch.store.records import TrialRecord
from hqsearch.study.confirming import Confirmed, Starts, confirm, fresh_seeds
from hqsearch.study.running import Request, read_study, resume

NOISE = {"evaluation.noise": 0.01}


def confirmed(folder: Path, seeds: int = 2, epochs: int | None = None) -> Confirmed:
    request = Request("toy", "", studies_dir=folder)
    with LiveProgress(Console(quiet=True)) as progress:
        return confirm(request, seeds, epochs, progress)


def trials(folder: Path) -> list[TrialRecord]:
    return read_study(Request("toy", "", studies_dir=folder))[2]


def replicates(folder: Path) -> list[tuple[Any, ...]]:
    return [
        (t.number, t.state, t.proposal.key, t.proposal.seed, t.values, t.proposal.origin)
        for t in trials(folder)
        if t.proposal.kind == "replicate"
    ]


def invoke(folder: Path, command: str, *more: str) -> str:
    words = [command, "--study", "toy", "--studies-dir", str(folder), *more]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_seeds_are_fresh_and_stay_the_same() -> None:
    assert fresh_seeds(0, 3) == fresh_seeds(0, 5)[:3]
    assert fresh_seeds(0, 3) != fresh_seeds(1, 3)
    for seed in range(50):
        drawn = fresh_seeds(seed, 20)
        assert seed not in drawn
        assert len(set(drawn)) == 20
        assert all(0 <= s < 2**31 for s in drawn)


def test_a_confirmation_changes_no_search(tmp_path: Path, launched: Any) -> None:
    """Not the run that goes on, not a later one that learns from history, not the front."""
    assisted = {**NOISE, "strategy.nsga2.assist": True, "strategy.nsga2.history": True}
    fronts, tables = [], []
    for name in ("with", "without"):
        folder = tmp_path / name
        launched.run(folder, overrides=NOISE, evaluations=14)
        before = json.loads(invoke(folder, "front", "--json"))
        if name == "with":
            assert confirmed(folder).replicates > 0
            after = json.loads(invoke(folder, "front", "--json"))
            assert all(r.pop("confirmed")["status"] for r in after)
            assert after == before
        launched.run(folder, overrides=NOISE, evaluations=20)
        launched.run(folder, overrides=assisted, evaluations=16, seed=5)
        fronts.append([r["choices"] for r in json.loads(invoke(folder, "front", "--json"))])
        tables.append(
            [
                (t.proposal.key, t.state, t.values, t.proposal.seed)
                for t in trials(folder)
                if t.proposal.kind != "replicate"
            ]
        )
    assert tables[0] == tables[1]
    assert fronts[0] == fronts[1]


def test_replicates_cover_front_and_baselines_and_are_added_to(
    tmp_path: Path, launched: Any
) -> None:
    launched.run(tmp_path, overrides=NOISE)
    first = confirmed(tmp_path, seeds=2)
    rows = replicates(tmp_path)
    assert len(rows) == first.replicates == 2 * first.candidates
    assert {f"uniform {c}" for c in ("2u", "4u", "2l", "4l", "fp32")} <= {r[5] for r in rows}
    assert {r[3] for r in rows} == set(fresh_seeds(0, 2))
    searched = {t.proposal.key: t.values for t in trials(tmp_path) if t.proposal.kind == "search"}
    assert any(searched.get(r[2], r[4]) != r[4] for r in rows)
    confirmed(tmp_path, seeds=3)
    assert len(replicates(tmp_path)) == 3 * first.candidates
    assert replicates(tmp_path)[: len(rows)] == rows
    runs = read_study(Request("toy", "", studies_dir=tmp_path))[1]
    assert [r.strategy for r in runs] == ["nsga2", "confirm"]
    assert runs[1].evaluations == 3 * first.candidates
    confirmed(tmp_path, seeds=1, epochs=7)
    assert len(read_study(Request("toy", "", studies_dir=tmp_path))[1]) == 3


def test_a_confirmation_that_was_cut_goes_on(
    tmp_path: Path, launched: Any, cut_driver: Callable[[Callable[[], Any]], int]
) -> None:
    for name in ("whole", "cut"):
        launched.run(tmp_path / name, overrides=NOISE, evaluations=9)
    confirmed(tmp_path / "whole")
    assert cut_driver(lambda: confirmed(tmp_path / "cut")) > 2
    assert replicates(tmp_path / "cut") == replicates(tmp_path / "whole")
    with pytest.raises(StorageError, match="nothing to resume"):
        launched.run(tmp_path / "cut", action=resume)


def test_a_result_that_a_worker_left_is_taken_over(
    tmp_path: Path, launched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hqsearch.evaluators.toy import Toy

    from hqsearch.executors.in_process import InProcessExecutor

    monkeypatch.setattr(Toy, "costly", True)
    launched.run(tmp_path, overrides=NOISE, evaluations=6, executor="in-process", workers=1)
    original = InProcessExecutor.next_finished
    done = 0

    def dies(self: InProcessExecutor, timeout: float) -> Any:
        nonlocal done
        found = original(self, timeout)
        done += 1
        if done == 3:
            raise KeyboardInterrupt  # the worker is done, the driver did not hear of it
        return found

    monkeypatch.setattr(InProcessExecutor, "next_finished", dies)
    with (
        pytest.raises(KeyboardInterrupt),
        LiveProgress(Console(quiet=True)) as progress,
    ):
        confirm(_here(tmp_path), 1, None, progress)
    with LiveProgress(Console(quiet=True)) as progress:
        assert confirm(_here(tmp_path), 1, None, progress).recovered == 1
    assert all(r[1] == "COMPLETE" for r in replicates(tmp_path))
    assert not list((tmp_path / "toy" / "results").iterdir())


def _here(folder: Path) -> Request:
    return Request("toy", "", studies_dir=folder, executor="in-process", workers=1)


def from_parents(
    folder: Path, parents: int = 2, splits: int | None = None, listener: Listener | None = None
) -> Confirmed:
    request = Request("toy", "", studies_dir=folder, executor="in-process")
    return confirm(request, 2, None, listener, starts=Starts(parents, splits))


def starts(folder: Path) -> list[tuple[Any, ...]]:
    return [
        (t.number, t.state, p.key, p.seed, p.parent, t.values)
        for t in trials(folder)
        if (p := t.proposal).kind == "replicate"
    ]


def parents_of(folder: Path) -> list[tuple[Any, ...]]:
    reader = LogReader(storage_url(None, folder / "toy"), "toy")
    try:
        return [(t.run, t.index, t.kind, t.state, t.seed) for t in reader.tasks()]
    finally:
        reader.close()


def test_fresh_parents_are_tasks_and_every_seed_starts_from_each(
    tmp_path: Path, launched: Any
) -> None:
    launched.run(tmp_path, overrides=NOISE, evaluations=12)
    confirmed(tmp_path, seeds=1)
    plain = starts(tmp_path)
    done = from_parents(tmp_path)
    assert (done.parents, done.replicates) == (2, 4 * done.candidates)
    fresh = [row for row in starts(tmp_path) if row not in plain]
    trained = parents_of(tmp_path)
    assert [(t[:4]) for t in trained] == [(2, i, "parent", "COMPLETE") for i in (0, 1)]
    seeds = {t[4] for t in trained}
    assert {row[4] for row in plain} == {None}
    assert {row[4] for row in fresh} == seeds
    assert len({row[2:5] for row in fresh}) == len(fresh) == done.replicates
    assert 0 not in seeds | {row[3] for row in fresh}
    # More of them are added to what is there, and what was confirmed before is another run.
    again = from_parents(tmp_path, 3)
    assert again.replicates == 6 * again.candidates
    assert [t for t in parents_of(tmp_path) if t[1] < 2] == trained
    assert len(parents_of(tmp_path)) == 3
    assert set(fresh) < set(starts(tmp_path))
    told = json.loads(invoke(tmp_path, "confirm", "--parents", "3", "--seeds", "2", "--json"))
    assert {p["seed"] for p in told["parents"]} >= seeds
    assert (len(told["parents"]), told["divisions"], told["seeds"]) == (3, 1, 2)
    components = told["components"]
    assert components["parents"]["number"] == 3
    assert components["parents"]["accuracy"] > 0
    assert components["parents"]["difference"] >= 0
    assert components["seeds"]["accuracy"] > 0
    assert {m["trainings"] for m in told["members"]} == {6}
    text = invoke(tmp_path, "confirm", "--parents", "3", "--seeds", "2")
    assert "Standard deviations: from parent to parent accuracy by" in text
    assert "3 fresh parents and 2 fresh seeds from each" in invoke(tmp_path, "front")
    assert "confirmed: 3 fresh parents" in invoke(tmp_path, "choose")


def test_a_confirmation_from_parents_that_was_cut_goes_on(
    tmp_path: Path, launched: Any, cut_driver: Callable[[Callable[[], Any]], int]
) -> None:
    for name in ("whole", "cut"):
        launched.run(tmp_path / name, overrides=NOISE, evaluations=8)
    from_parents(tmp_path / "whole")
    assert cut_driver(lambda: from_parents(tmp_path / "cut")) > 2
    assert starts(tmp_path / "cut") == starts(tmp_path / "whole")
    assert parents_of(tmp_path / "cut") == parents_of(tmp_path / "whole")


def test_nothing_starts_from_a_parent_that_failed(
    tmp_path: Path, launched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hqsearch.evaluators.toy import Toy

    original, broken = Toy.strategy_task, [fresh_seeds(0, 1, 0x70617265)[0]]

    def fails(self: Toy, task: Any, seed: int, folder: Path) -> Any:
        if seed in broken:
            raise FloatingPointError("weight is NaN")
        return original(self, task, seed, folder)

    monkeypatch.setattr(Toy, "strategy_task", fails)
    launched.run(tmp_path, overrides=NOISE, evaluations=8)
    notes: list[str] = []

    class Told(Listener):
        def note(self, text: str) -> None:
            notes.append(text)

    done = from_parents(tmp_path, listener=Told())
    assert [t[3] for t in parents_of(tmp_path)] == ["FAIL", "COMPLETE"]
    assert done.replicates == 2 * done.candidates
    assert broken[0] not in {row[4] for row in starts(tmp_path)}
    assert any(f"parent with seed {broken[0]} failed" in note for note in notes)
    assert "1 fresh parent and 2 fresh seeds" in invoke(tmp_path, "front")
    other = tmp_path / "other"
    launched.run(other, overrides=NOISE, evaluations=8)
    with pytest.raises(RunFailed, match="all 1 parents failed: weight is NaN"):
        from_parents(other, 1)


def test_what_has_no_parents_or_divisions_is_refused(tmp_path: Path, launched: Any) -> None:
    launched.run(tmp_path, evaluations=6)
    before = trials(tmp_path)
    with pytest.raises(InputError, match="no recordings that could be divided"):
        from_parents(tmp_path, splits=5)
    launched.run(tmp_path, "synthetic", evaluations=6)
    request = Request("synthetic", "", studies_dir=tmp_path)
    with pytest.raises(InputError, match=r"cannot retrain|no parent that could be"):
        confirm(request, 1, None, starts=Starts(2))
    assert trials(tmp_path) == before


MINE = """
from hqsearch.evaluators.toy import Toy

class Mine(Toy):
    can_confirm = {able}

    def confirm(self, candidate, seed, epochs=None):
        if "fp32" in candidate.key.split("=")[1]:
            raise RuntimeError("no luck")
        return self.evaluate(candidate, seed)
"""


def test_an_evaluator_that_cannot_and_one_that_fails(
    tmp_path: Path, study_file: Callable[..., Path], launched: Any
) -> None:
    study = study_file(evaluator="mine.py:Mine")
    (tmp_path / "mine.py").write_text(MINE.format(able=False))
    launched.run(tmp_path, str(study), evaluations=8)
    request = Request("mine", "", studies_dir=tmp_path)
    with (
        pytest.raises(InputError, match="cannot retrain"),
        LiveProgress(Console(quiet=True)) as progress,
    ):
        confirm(request, 1, None, progress)
    (tmp_path / "mine.py").write_text(MINE.format(able=True))
    (tmp_path / "mine").rename(tmp_path / "aside")
    launched.run(tmp_path, str(study), evaluations=8)
    with LiveProgress(Console(quiet=True)) as progress:
        done = confirm(request, 1, None, progress)
    assert done.failed >= 1
    words = ["front", "--study", "mine", "--studies-dir", str(tmp_path)]
    text = CliRunner().invoke(cli, words, catch_exceptions=False).stdout
    assert "replicate" in text
    assert "failed" in text
    assert "not confirmed" in text


def test_the_verdict_rests_on_the_confirmation(tmp_path: Path, launched: Any) -> None:
    launched.run(tmp_path, overrides=NOISE, evaluations=30)
    assert "provisional" in invoke(tmp_path, "front")
    told = json.loads(invoke(tmp_path, "confirm", "--json"))
    assert told["seeds"] == 3
    assert told["missing"] == []
    assert {m["label"] for m in told["members"] if m["label"]} >= {"uniform 4u", "uniform fp32"}
    for member in told["members"]:
        low, high = member["interval"]
        assert low <= member["confirmed"]["accuracy"] <= high
        assert member["status"] or not member["on_front"]
    assert "front members are confirmed" in invoke(tmp_path, "confirm")
    front = invoke(tmp_path, "front")
    assert "provisional" not in front
    assert "confirmed: 3 fresh seeds" in front
    assert "✓" in front
    rows = json.loads(invoke(tmp_path, "front", "--json"))
    assert all(r["confirmed"]["seeds"] == sorted(fresh_seeds(0, 3)) for r in rows)
    status = json.loads(invoke(tmp_path, "status", "--json"))
    assert status["evaluations_left"] == 0
    assert status["trials"] == {"COMPLETE": 30}
    assert status["replicates"] == {"COMPLETE": len(told["members"]) * 3}
    assert status["verdict"][0].startswith("Verdict (confirmed")
    assert "confirmation, " in invoke(tmp_path, "status")
