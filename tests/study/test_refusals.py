"""What a run refuses, and what it tells where it got nothing: no run is left behind."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hqsearch.analysis.overview import status_of
from hqsearch.errors import BudgetError, DefinitionError, InputError, RunFailed, UnknownName
from hqsearch.schemes.power_of_two import PowerOfTwo
from hqsearch.show.live import LiveProgress
from hqsearch.show.overview import status_text
from hqsearch.store.log import LogReader, StudyLog, storage_url
from hqsearch.store.results import Results
from hqsearch.study.running import Request, resume

HALVING = {
    "evaluation.epochs": 8,
    "search.early_stopping": "halving",
    "strategy.nsga2.assist": False,
}
OVER = """
from hqsearch.evaluators.toy import Toy

class Over(Toy):
    def evaluate(self, candidate, *rest, **more):
        done = super().evaluate(candidate, *rest, **more)
        done.values["energy"] *= 2.0
        return done
"""
FAILING = """
from hqsearch.evaluators.toy import Toy

class Failing(Toy):
    def strategy_task(self, task, seed, folder):
        raise ValueError("no such luck")
"""


@pytest.mark.parametrize(
    ("strategy", "overrides", "error", "told"),
    [
        ("gumbel", {"strategy.gumbel.target.enrgy": 0.1}, UnknownName, "did you mean 'energy'"),
        ("gumbel", {"strategy.gumble.target.energy": 0.1}, UnknownName, "did you mean 'gumbel'"),
        ("random", {"strategy.nsga2.assit": True}, UnknownName, "did you mean 'assist'"),
        ("nsga2", {"strategy.nsga2.prior": True}, DefinitionError, "prior has no effect"),
        ("nsga2", {"strategy.nsga2.batch": 3}, DefinitionError, "batch has no effect"),
        (
            "gumbel",
            {"evaluation.epochs": 8, "search.early_stopping": "halving"},
            InputError,
            "gumbel cannot be used with search.early_stopping",
        ),
    ],
)
def test_bad_options_create_nothing(
    tmp_path: Path,
    launched: Any,
    refused: Any,
    strategy: str,
    overrides: dict[str, Any],
    error: type[InputError],
    told: str,
) -> None:
    with refused(error, match=told):
        launched.run(tmp_path / "studies", strategy=strategy, overrides=overrides)


def test_a_prior_needs_scores(
    tmp_path: Path, launched: Any, study_file: Callable[..., Path], refused: Any
) -> None:
    (tmp_path / "plain.py").write_text(
        "from hqsearch.evaluators.toy import Toy\n"
        "class Plain(Toy):\n    strategy_tasks = frozenset()\n"
    )
    study = str(study_file("plain", evaluator="plain.py:Plain"))
    with refused(InputError, match="needs an evaluator that scores layers"):
        launched.run(tmp_path / "studies", study, overrides={"strategy.nsga2.prior": True})


def test_a_target_nobody_meets_leaves_no_run(tmp_path: Path, launched: Any, refused: Any) -> None:
    for overrides in (
        {"strategy.gumbel.target.energy": 0.001},
        {"strategy.gumbel.targets": [0.001, 0.1]},
    ):
        with refused(BudgetError, match="the cheapest candidate needs"):
            launched.run(tmp_path, strategy="gumbel", overrides=overrides)


def test_tasks_that_all_failed_are_a_failed_run(
    tmp_path: Path, launched: Any, study_file: Callable[..., Path]
) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    study = str(study_file("failing", evaluator="failing.py:Failing"))
    with pytest.raises(RunFailed, match="every task of gumbel failed"):
        launched.run(tmp_path, study, strategy="gumbel")


def test_gumbel_with_targets_is_resumed(
    tmp_path: Path, launched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {
        "strategy": "gumbel",
        "overrides": {"strategy.gumbel.targets": [0.06, 0.1], "strategy.gumbel.epochs": 4},
    }
    launched.run(tmp_path / "whole", **asked)
    original = StudyLog.put_task

    def dies(self: StudyLog, task: Any) -> None:
        if task.finished:
            raise KeyboardInterrupt
        original(self, task)

    monkeypatch.setattr(StudyLog, "put_task", dies)
    with pytest.raises(KeyboardInterrupt):
        launched.run(tmp_path / "cut", **asked)
    monkeypatch.setattr(StudyLog, "put_task", original)
    with LiveProgress(Console(quiet=True)) as progress:
        resume(Request("toy", "", studies_dir=tmp_path / "cut"), progress)
    assert launched.table(tmp_path / "cut") == launched.table(tmp_path / "whole")


def test_a_run_that_ended_early_is_not_shown_as_unfinished(tmp_path: Path, launched: Any) -> None:
    launched.run(
        tmp_path,
        strategy="gumbel",
        evaluations=400,
        overrides={"strategy.gumbel.targets": [0.06], "strategy.gumbel.epochs": 4},
    )
    reader = LogReader(storage_url(None, tmp_path / "toy"), "toy")
    results = Results(tmp_path / "toy", reader)
    facts = status_of(results)
    assert facts["evaluations_left"] == 0
    assert "nothing left to propose" in status_text(facts)
    results.close()
    reader.close()


def test_assisted_evolution_goes_on_where_nothing_is_feasible(
    tmp_path: Path, launched: Any, study_file: Callable[..., Path]
) -> None:
    (tmp_path / "over.py").write_text(OVER)
    study = str(study_file("over", evaluator="over.py:Over"))
    finished = launched.run(
        tmp_path,
        study,
        evaluations=24,
        overrides={"constraints.energy": "<= 0.023 fp32", "strategy.nsga2.assist": True},
    )
    assert finished.finished == 24


def test_history_is_judged_by_the_budgets_of_the_run(tmp_path: Path, launched: Any) -> None:
    launched.run(tmp_path, strategy="sensitivity", evaluations=20)
    overrides = {"constraints.energy": "<= 0.027 fp32", "strategy.nsga2.population": 8}
    launched.run(tmp_path, evaluations=24, overrides=overrides)
    reader = LogReader(storage_url(None, tmp_path / "toy"), "toy")
    mine = [t for t in reader.trials() if t.proposal.run == 1 and t.proposal.kind == "search"]
    reader.close()
    assert mine
    assert all(t.outcome is not None and t.outcome.violation == 0.0 for t in mine)


def test_errors_with_suggestions_come_back_from_workers() -> None:
    error = UnknownName("strategy", "nsga", ["nsga2", "random"], "here")
    assert str(copy.copy(error)) == str(error)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"search.early_stopping": "halving"}, r"for 1 epoch.*raise evaluation\.epochs"),
        ({**HALVING, "search.rungs": [2, 8]}, "8 is not before the end, epoch 8"),
        ({**HALVING, "search.rungs": [4, 2]}, r"rungs must rise.*\[4, 2\]"),
        ({**HALVING, "search.keep": 1.0}, "keep"),
        ({"search.keep": 0.3}, "keep has no effect without early_stopping"),
        ({**HALVING, "search.early_stopping": "asha"}, "'none' or 'halving'"),
    ],
)
def test_bad_search_settings_create_nothing(
    tmp_path: Path, launched: Any, refused: Any, overrides: dict[str, Any], told: str
) -> None:
    with refused(DefinitionError, match=told):
        launched.run(tmp_path / "s", overrides=overrides)


def test_a_misspelt_search_setting_is_refused(tmp_path: Path, launched: Any, refused: Any) -> None:
    with refused(UnknownName, match="did you mean 'rungs'"):
        launched.run(tmp_path / "s", overrides={**HALVING, "search.rugns": [1]})


def five(folder: Path, study_file: Callable[..., Path]) -> str:
    (folder / "five.toml").write_text('choices = ["4u", "4l", "5l"]\n')
    return str(study_file("mine", space="five.toml"))


def test_a_new_study_with_five_power_of_two_bits_is_refused(
    tmp_path: Path, launched: Any, study_file: Callable[..., Path]
) -> None:
    study = five(tmp_path, study_file)
    for fresh in (False, True):
        with pytest.raises(DefinitionError, match="5l errs as much as 4l"):
            launched.run(tmp_path / "studies", study, fresh=fresh)
    assert not (tmp_path / "studies").exists()


def test_an_old_study_with_five_power_of_two_bits_goes_on(
    tmp_path: Path,
    launched: Any,
    study_file: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both ways: by its recorded definition, and by the file again. ``--fresh`` makes it new."""
    study = five(tmp_path, study_file)
    with monkeypatch.context() as before:
        before.setattr(PowerOfTwo, "needless", lambda self, bits: "")
        launched.run(tmp_path / "whole", study, evaluations=16)
        original = StudyLog.finish

        def cut(self: StudyLog, trial: Any, *args: Any) -> Any:
            if trial.number == 9:
                raise KeyboardInterrupt
            return original(self, trial, *args)

        before.setattr(StudyLog, "finish", cut)
        with pytest.raises(KeyboardInterrupt):
            launched.run(tmp_path / "old", study, evaluations=14)
    launched.run(tmp_path / "old", "mine", action=resume)
    launched.run(tmp_path / "old", study, evaluations=16)
    table = launched.table(tmp_path / "old", "mine")
    assert table == launched.table(tmp_path / "whole", "mine")
    assert any("5l" in row[2] for row in table)
    files = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    with pytest.raises(DefinitionError, match="5l errs as much as 4l"):
        launched.run(tmp_path / "old", study, fresh=True)
    assert sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*")) == files
