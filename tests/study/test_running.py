"""Runs as a person starts them: continue, resume after a crash anywhere, runs on one study."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hqsearch.errors import (
    BudgetError,
    DefinitionError,
    DeviceError,
    DiskFull,
    InputError,
    StorageError,
    StudyMismatch,
    UnknownName,
)
from hqsearch.show.live import LiveProgress
from hqsearch.store.log import LogReader, StudyLog, storage_url
from hqsearch.store.results import Results
from hqsearch.study import running as launch
from hqsearch.study.running import Request, resume


@pytest.fixture
def run(launched: Any) -> Any:
    return launched.run


@pytest.fixture
def table(launched: Any) -> Any:
    return launched.table


def test_a_run_reaches_its_number_with_baselines_first(
    tmp_path: Path, run: Any, table: Any
) -> None:
    finished = run(tmp_path)
    assert finished.finished == 20
    rows = table(tmp_path)
    assert [r[1] for r in rows] == ["COMPLETE"] * 20
    assert rows[0][2].count("2l") == 8
    assert len({r[2] for r in rows}) == 20


def test_the_same_command_continues_to_the_same_table(tmp_path: Path, run: Any, table: Any) -> None:
    run(tmp_path / "whole", evaluations=30)
    for count in (3, 7, 18, 30):
        run(tmp_path / "parts", evaluations=count)
    assert table(tmp_path / "parts") == table(tmp_path / "whole")
    assert len(LogReader(storage_url(None, tmp_path / "parts" / "toy"), "toy").runs()) == 1


class Crash(BaseException):
    """Stands for a power cut: nothing catches it."""


@pytest.mark.parametrize("strategy", ["nsga2", "random"])
def test_a_crash_at_any_write_loses_nothing(
    tmp_path: Path, cut_driver: Any, run: Any, table: Any, strategy: str
) -> None:
    run(tmp_path / "whole", evaluations=14, strategy=strategy)
    cuts = cut_driver(lambda: run(tmp_path / "cut", evaluations=14, strategy=strategy))
    assert cuts > 14
    assert table(tmp_path / "cut") == table(tmp_path / "whole")


def test_resume_needs_no_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any, table: Any
) -> None:
    run(tmp_path / "whole", evaluations=16, seed=5)
    original = StudyLog.finish

    def cut(self: StudyLog, trial: Any, *args: Any) -> Any:
        if trial.number == 9:
            raise Crash
        return original(self, trial, *args)

    monkeypatch.setattr(StudyLog, "finish", cut)
    with pytest.raises(Crash):
        run(tmp_path / "cut", evaluations=16, seed=5)
    monkeypatch.setattr(StudyLog, "finish", original)
    with LiveProgress(Console(quiet=True)) as progress:
        resume(Request("toy", "", studies_dir=tmp_path / "cut"), progress)
        assert table(tmp_path / "cut") == table(tmp_path / "whole")
        with pytest.raises(StorageError, match="nothing to resume"):
            resume(Request("toy", "", studies_dir=tmp_path / "cut"), progress)


def test_a_second_strategy_is_a_second_run_and_copies(tmp_path: Path, run: Any, table: Any) -> None:
    run(tmp_path)
    before = table(tmp_path)
    run(tmp_path, strategy="random", evaluations=10)
    rows = table(tmp_path)
    assert rows[:20] == before
    copies = [r for r in rows[20:] if r[5] is not None]
    assert len(rows) == 30
    assert len(copies) >= 5  # the baselines, at least
    for row in copies:
        original = rows[row[5]]
        assert (original[2], original[3]) == (row[2], row[3])
    reader = LogReader(storage_url(None, tmp_path / "toy"), "toy")
    assert [r.strategy for r in reader.runs()] == ["nsga2", "random"]
    assert reader.runs()[1].start == 20
    results = Results(tmp_path / "toy", reader)
    assert len({t.key for t in results.front()}) == len(results.front())


def test_another_seed_is_another_run(tmp_path: Path, run: Any) -> None:
    assert run(tmp_path, seed=0).run.ordinal == 0
    assert run(tmp_path, seed=1).run.ordinal == 1
    assert run(tmp_path, seed=0, evaluations=25).run.ordinal == 0


def test_failures_are_recorded_and_the_search_goes_on(
    tmp_path: Path, study_file: Callable[..., Path], run: Any
) -> None:
    (tmp_path / "flaky.py").write_text(
        "from hqsearch.evaluators.toy import Toy\n"
        "class Flaky(Toy):\n"
        "    def evaluate(self, candidate, seed, *rest, **more):\n"
        "        done = super().evaluate(candidate, seed, *rest, **more)\n"
        "        if candidate['stem'] == '2l':\n"
        "            raise ValueError('the stem does not like 2l')\n"
        "        if candidate['head'] == '2u':\n"
        "            done.values['accuracy'] = float('nan')\n"
        "        return done\n"
    )
    path = study_file(evaluator="flaky.py:Flaky")
    run(tmp_path / "studies", str(path), evaluations=40)
    reader = LogReader(storage_url(None, tmp_path / "studies" / "mine"), "mine")
    failures = {t.outcome.failure: t for t in reader.trials() if t.outcome and t.outcome.failure}
    assert set(failures) == {"exception", "nan"}
    assert failures["exception"].outcome.reason == "ValueError: the stem does not like 2l"
    assert "accuracy=nan" in failures["nan"].outcome.reason
    assert failures["nan"].state == "FAIL"
    assert len(reader.trials()) == 40
    assert sum(t.state == "COMPLETE" for t in reader.trials()) > 10
    front = Results(tmp_path / "studies" / "mine", reader).front()
    assert all(t.choices["stem"] != "2l" for t in front)


def test_budgets_hold_for_all_but_baselines(tmp_path: Path, run: Any) -> None:
    run(tmp_path, evaluations=30, overrides={"constraints.energy": "<= 0.1 fp32"})
    reader = LogReader(storage_url(None, tmp_path / "toy"), "toy")
    limit = reader.runs()[0].budgets[0].limit
    for trial in reader.trials():
        assert trial.values is not None
        if trial.proposal.kind == "search":
            assert trial.values[1] <= limit
    fp32 = next(t for t in reader.trials() if t.proposal.origin == "fp32")
    assert fp32.outcome is not None
    assert fp32.outcome.violation > 0
    front = Results(tmp_path / "toy", reader).front()
    assert front
    assert all(t.values and t.values["energy"] <= limit for t in front)


def test_other_settings_are_refused_with_the_difference(
    tmp_path: Path, study_file: Callable[..., Path], run: Any, table: Any
) -> None:
    path = study_file()
    run(tmp_path / "s", str(path))
    before = table(tmp_path / "s", "mine")
    with pytest.raises(StudyMismatch, match=r"evaluation\.seed: 0 in the study, 3 asked for"):
        run(tmp_path / "s", str(path), overrides={"evaluation.seed": 3})
    assert table(tmp_path / "s", "mine") == before
    run(tmp_path / "s", str(path), overrides={"evaluation.seed": 3}, fresh=True)
    aside = [p.name for p in (tmp_path / "s").iterdir() if ".before-" in p.name]
    assert len(aside) == 1
    assert (tmp_path / "s" / aside[0] / "study.db").exists()


@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        ({"strategy": "nsag2"}, UnknownName, "did you mean 'nsga2'"),
        ({"study": "tyo"}, UnknownName, "did you mean 'toy'"),
        ({"overrides": {"evaluator": "toi"}}, UnknownName, "did you mean 'toy'"),
        ({"overrides": {"space": "toi"}}, UnknownName, "did you mean 'toy'"),
        ({"overrides": {"strategy.nsga2.popluation": 3}}, UnknownName, "'population'"),
        ({"overrides": {"strategy.nsga2.population": 1}}, DefinitionError, "population"),
        ({"overrides": {"evaluation.sedd": 1}}, UnknownName, "did you mean 'seed'"),
        ({"overrides": {"constraints.energy": "<= 0.001 fp32"}}, BudgetError, "cheapest"),
        ({"overrides": {"constraints.energy": "less"}}, DefinitionError, "expected '<= NUMBER"),
        ({"device": "cuda"}, DeviceError, "CPU only"),
        ({"workers": 0}, InputError, "at least 1"),
        ({"executor": "in-process", "workers": 2}, InputError, "cannot keep workers"),
        (
            {"executor": "in-process", "overrides": {"evaluation.time_limit": 3.0}},
            InputError,
            "cannot keep evaluation.time_limit",
        ),
        (
            {"executor": "in-process", "overrides": {"evaluation.memory_gib": 1.0}},
            InputError,
            "cannot keep evaluation.memory_gib",
        ),
        (
            {"executor": "in-process", "overrides": {"evaluation.gpus": 0.5}},
            InputError,
            "cannot keep evaluation.gpus",
        ),
    ],
)
def test_bad_input_creates_nothing(
    tmp_path: Path, asked: dict[str, Any], error: type[Exception], told: str, run: Any
) -> None:
    with pytest.raises(error, match=told):
        run(tmp_path / "s", **asked)
    assert not list((tmp_path / "s").glob("**/study.db"))


def test_a_foreign_file_in_place_of_the_log_is_kept(tmp_path: Path, run: Any) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "study.db").write_text("not a database at all")
    with pytest.raises(StorageError, match="is not a database"):
        run(tmp_path)
    assert (tmp_path / "toy" / "study.db").read_text() == "not a database at all"


def test_a_small_space_ends_when_exhausted(
    tmp_path: Path, study_file: Callable[..., Path], run: Any, table: Any
) -> None:
    (tmp_path / "tiny.toml").write_text(
        'choices = ["2u", "4u"]\n[[layers]]\nmatch = "*"\npin = "4u"\n'
        '[[layers]]\nmatch = "block.*"\nchoices = ["2u", "4u"]\n'
    )
    path = study_file(space="tiny.toml")
    for strategy in ("nsga2", "random"):
        finished = run(tmp_path / strategy, str(path), strategy=strategy, evaluations=100)
        assert finished.exhausted
        assert finished.finished <= 32
        assert json.dumps(table(tmp_path / strategy, "mine")).count("block.q=2u") <= 16


def test_a_full_disk_stops_cleanly_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any, table: Any
) -> None:
    """SQLite itself reports a full disk, by a limit on the database's pages."""
    run(tmp_path / "whole", evaluations=60)
    from hqsearch.store import database, log

    original = database.tune_sqlite

    def limited(connection: Any, record: Any) -> None:
        original(connection, record)
        connection.execute("PRAGMA max_page_count = 50")

    for module in (database, log):
        monkeypatch.setattr(module, "tune_sqlite", limited)
    with pytest.raises(DiskFull, match="no space left"):
        run(tmp_path / "cut", evaluations=60)
    monkeypatch.undo()
    assert 0 < len(table(tmp_path / "cut")) < 60
    run(tmp_path / "cut", evaluations=60)
    assert table(tmp_path / "cut") == table(tmp_path / "whole")


def test_a_budget_on_what_is_no_objective_holds_on_the_front(
    tmp_path: Path, study_file: Callable[..., Path], run: Any
) -> None:
    path = study_file()
    text = path.read_text().replace('[[objective]]\nname = "energy"\n', "")
    path.write_text(text)
    limits = {"constraints.energy": "<= 0.3 fp32", "constraints.average_bits": "<= 8"}
    run(tmp_path / "s", str(path), overrides=limits)
    reader = LogReader(storage_url(None, tmp_path / "s" / "mine"), "mine")
    fp32 = next(t for t in reader.trials() if t.proposal.origin == "fp32")
    assert fp32.outcome is not None
    assert fp32.outcome.violation > 0
    energies = [
        (t.details.measured or {})["energy"]
        for t in Results(tmp_path / "s" / "mine", reader).front()
    ]
    assert energies
    assert max(energies) <= reader.runs()[0].budgets[0].limit


def test_an_edited_evaluator_is_another_study(
    tmp_path: Path, study_file: Callable[..., Path], run: Any
) -> None:
    (tmp_path / "mine.py").write_text(
        "from hqsearch.evaluators.toy import Toy\nclass Mine(Toy): pass\n"
    )
    path = study_file(evaluator="mine.py:Mine")
    run(tmp_path / "s", str(path))
    with (tmp_path / "mine.py").open("a") as file:
        file.write('Mine.now = "it measures something else"\n')
    with pytest.raises(
        StudyMismatch, match=r"evaluator: mine\.py:Mine has changed since \(sha256 "
    ):
        run(tmp_path / "s", str(path), seed=1)


def test_a_result_file_of_another_study_is_not_taken_over(
    tmp_path: Path,
    study_file: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    run: Any,
    table: Any,
) -> None:
    (tmp_path / "dear.py").write_text(
        "from hqsearch.evaluators.toy import Toy\nclass Dear(Toy):\n    costly = True\n"
    )
    path = study_file(evaluator="dear.py:Dear")
    folder = tmp_path / "s"
    original = StudyLog.finish

    def cut(self: StudyLog, trial: Any, *args: Any) -> Any:
        raise Crash

    monkeypatch.setattr(StudyLog, "finish", cut)
    for place in (tmp_path / "other", folder):  # two studies with the very same definition
        with pytest.raises(Crash):
            run(place, str(path), executor="in-process", workers=1)
    foreign = (tmp_path / "other" / "mine" / "results" / "0.json").read_text()
    left = folder / "mine" / "results" / "0.json"
    assert left.exists()
    left.write_text(foreign.replace('"accuracy": 0', '"accuracy": 9'))
    monkeypatch.setattr(StudyLog, "finish", original)
    run(folder, str(path), executor="in-process", workers=1)
    rows = table(folder, "mine")
    assert all(r[3][0] <= 1 for r in rows)
    assert rows[0][1] == "COMPLETE"


def test_an_exhausted_run_does_not_hide_an_interrupted_one(
    tmp_path: Path, study_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, run: Any
) -> None:
    (tmp_path / "tiny.toml").write_text(
        'choices = ["2u", "4u"]\n[[layers]]\nmatch = "*"\npin = "4u"\n'
        '[[layers]]\nmatch = "block.*"\nchoices = ["2u", "4u"]\n'
    )
    path = study_file(space="tiny.toml")
    original = StudyLog.create

    def cut(self: StudyLog, proposal: Any) -> Any:
        if proposal.slot == 5:
            raise Crash
        return original(self, proposal)

    monkeypatch.setattr(StudyLog, "create", cut)
    with pytest.raises(Crash):
        run(tmp_path / "s", str(path), evaluations=10)
    monkeypatch.setattr(StudyLog, "create", original)
    assert run(tmp_path / "s", str(path), strategy="random", evaluations=100).exhausted
    with LiveProgress(Console(quiet=True)) as progress:
        done = resume(Request("mine", "", studies_dir=tmp_path / "s"), progress)
    assert (done.run.strategy, done.finished) == ("nsga2", 10)


def test_steady_state_goes_on_where_pymoo_finds_nothing_new(
    tmp_path: Path, run: Any, table: Any
) -> None:
    """A budget that leaves few candidates: every one is proposed once, then the run ends."""
    overrides = {"strategy.nsga2.mode": "steady", "constraints.storage": "<= 194.83 KiB"}
    finished = run(tmp_path, seed=3, evaluations=300, overrides=overrides)
    keys = [row[2] for row in table(tmp_path)]
    assert len(set(keys)) == len(keys)
    assert finished.exhausted or finished.finished == 300


def test_resume_takes_the_free_settings_given_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any
) -> None:
    run(tmp_path, evaluations=6, overrides={"evaluation.retries": 1})
    original = StudyLog.finish

    def cut(self: StudyLog, trial: Any, *args: Any) -> Any:
        if trial.number == 8:
            raise Crash
        return original(self, trial, *args)

    monkeypatch.setattr(StudyLog, "finish", cut)
    with pytest.raises(Crash):
        run(tmp_path, evaluations=12, overrides={"evaluation.retries": 4}, workers=1)
    monkeypatch.setattr(StudyLog, "finish", original)
    seen = []
    original_launch = launch._launch

    def watched(definition: Any, request: Request, *rest: Any) -> Any:
        seen.append((definition.evaluation["retries"], request.workers))
        return original_launch(definition, request, *rest)

    monkeypatch.setattr(launch, "_launch", watched)
    with LiveProgress(Console(quiet=True)) as progress:
        assert resume(Request("toy", "", studies_dir=tmp_path), progress).finished == 12
    assert seen == [(4, 1)]
