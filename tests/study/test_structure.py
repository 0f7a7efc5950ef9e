"""A study with a structural dimension: every strategy, its log, budgets, stopping, confirming."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hqsearch.analysis.confirmation import confirmation_of
from hqsearch.analysis.confirmed_verdict import study_verdict
from hqsearch.definition import embedded, load_study
from hqsearch.evaluator import Evaluator, Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.problem.candidate import Candidate
from hqsearch.show.live import LiveProgress
from hqsearch.store.fronts import front_of
from hqsearch.store.log import LogReader, storage_url
from hqsearch.store.records import TaskRecord, TrialRow
from hqsearch.store.results import Results
from hqsearch.strategies import strategy_names
from hqsearch.study.confirming import confirm
from hqsearch.study.running import Request, read_study, resume

STUDY = "toy-structure"
PARTS = ("timesteps=4", "timesteps=2", "timesteps=1")
#: Options with which a run is short.
SHORT: dict[str, dict[str, Any]] = {
    "gumbel": {"strategy.gumbel.epochs": 4, "strategy.gumbel.count": 1},
    "nsga2": {"strategy.nsga2.population": 12},
    "optuna-gp": {"strategy.optuna-gp.startup": 15},
}


#: nsga2 with a surrogate that is told the scores of every part.
PRIOR = {"strategy.nsga2.assist": True, "strategy.nsga2.prior": True}


@pytest.fixture
def structured(tmp_path: Path) -> Evaluator:
    return make_evaluator(Setup(load_study(embedded("studies")[STUDY]), tmp_path))


def tasks_of(folder: Path) -> list[TaskRecord]:
    reader = LogReader(storage_url(None, folder.resolve() / STUDY), STUDY)
    tasks = reader.tasks()
    reader.close()
    return tasks


def parts_of(table: list[tuple[Any, ...]]) -> Counter[str]:
    """How many trials are of which structural part."""
    return Counter(row[2].rpartition(";")[2] for row in table)


@pytest.mark.parametrize(
    "strategy",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name == "optuna-gp" else [])
        for name in strategy_names()
    ],
)
def test_every_strategy_searches_every_part(tmp_path: Path, launched: Any, strategy: str) -> None:
    more = SHORT.get(strategy, {})
    finished = launched.run(tmp_path, STUDY, strategy=strategy, evaluations=16, overrides=more)
    table = launched.table(tmp_path, STUDY)
    assert finished.mismatches == 0
    assert {row[1] for row in table} == {"COMPLETE"}
    assert set(parts_of(table)) == set(PARTS)
    # Baselines are of the first part, and come first.
    assert set(parts_of(table[:5])) == {PARTS[0]}


@pytest.mark.parametrize(
    "options",
    [
        {"strategy.nsga2.assist": True},
        PRIOR,
        {"strategy.nsga2.mode": "steady"},
        {"strategy.nsga2.mode": "steady", "strategy.nsga2.assist": True},
        {"strategy.nsga2.initial": "uniform"},
    ],
)
def test_every_kind_of_nsga2(tmp_path: Path, launched: Any, options: dict[str, Any]) -> None:
    options = {"strategy.nsga2.population": 12, **options}
    launched.run(tmp_path, STUDY, evaluations=30, overrides=options)
    table = launched.table(tmp_path, STUDY)
    assert len({row[2] for row in table}) == 30
    assert set(parts_of(table)) == set(PARTS)


@pytest.mark.parametrize("strategy", ["sensitivity", "nsga2"])
def test_scores_are_those_of_every_part(tmp_path: Path, launched: Any, strategy: str) -> None:
    launched.run(tmp_path, STUDY, strategy=strategy, evaluations=12, overrides=PRIOR)
    tasks = tasks_of(tmp_path)
    assert [(t.kind, t.payload) for t in tasks] == [("scores", {"structure": p}) for p in PARTS]
    assert [t.label for t in tasks] == [f"one pass over the parent of {p}" for p in PARTS]
    four, two, _ = ((t.details or {})["scores"]["stem"]["2u"] for t in tasks)
    assert two == pytest.approx(four * 2**0.25)


def test_sensitivity_goes_through_the_parts(tmp_path: Path, launched: Any) -> None:
    launched.run(tmp_path, STUDY, strategy="sensitivity", evaluations=35)
    searched = launched.table(tmp_path, STUDY)[5:]
    assert parts_of(searched) == dict.fromkeys(PARTS, 10)
    origins = [t.proposal.origin for t in trials(tmp_path)[5:8]]
    assert [origin.partition(": ")[0] for origin in origins] == list(PARTS)


def test_a_supernet_for_every_part_and_target(tmp_path: Path, launched: Any) -> None:
    options = {"strategy.gumbel.epochs": 4, "strategy.gumbel.targets": [0.01, 0.1]}
    launched.run(tmp_path, STUDY, strategy="gumbel", evaluations=20, overrides=options)
    tasks = tasks_of(tmp_path)
    # Four timesteps cannot do with a hundredth of their own fp32.
    assert [t.label for t in tasks] == [
        "timesteps=4: energy <= 0.1 fp32",
        "timesteps=2: energy <= 0.1 fp32",
        "timesteps=1: energy <= 0.01 fp32",
        "timesteps=1: energy <= 0.1 fp32",
    ]
    for task in tasks:
        for found in (task.details or {})["candidates"]:
            assert found["key"].endswith(f";{task.payload['structure']}")


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        ("sensitivity", {}),
        pytest.param("nsga2", PRIOR, marks=pytest.mark.slow),
        pytest.param("gumbel", SHORT["gumbel"], marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_cut_everywhere_goes_on_as_if_it_had_not_been(
    tmp_path: Path,
    launched: Any,
    cut_driver: Callable[[Callable[[], Any]], int],
    strategy: str,
    options: dict[str, Any],
) -> None:
    def run(folder: Path) -> Any:
        return launched.run(folder, STUDY, strategy=strategy, evaluations=12, overrides=options)

    run(tmp_path / "whole")
    assert cut_driver(lambda: run(tmp_path / "cut")) > 3
    assert launched.table(tmp_path / "cut", STUDY) == launched.table(tmp_path / "whole", STUDY)


@pytest.mark.slow
def test_two_workers_give_the_table_of_one(tmp_path: Path, launched: Any) -> None:
    launched.run(tmp_path / "one", STUDY, evaluations=20, overrides=PRIOR)
    more = {"executor": "ray", "workers": 2}
    launched.run(tmp_path / "two", STUDY, evaluations=20, overrides=PRIOR, **more)
    assert launched.table(tmp_path / "two", STUDY) == launched.table(tmp_path / "one", STUDY)


def test_resuming_repeats_no_proposal(tmp_path: Path, launched: Any) -> None:
    launched.run(tmp_path / "whole", STUDY, evaluations=24)
    launched.run(tmp_path / "parts", STUDY, evaluations=13)
    launched.run(tmp_path / "parts", STUDY, evaluations=24)
    assert launched.table(tmp_path / "parts", STUDY) == launched.table(tmp_path / "whole", STUDY)
    with pytest.raises(Exception, match="nothing to resume"):
        launched.run(tmp_path / "parts", STUDY, action=resume)


def test_candidates_of_all_parts_are_stopped_against_each_other(
    tmp_path: Path, launched: Any
) -> None:
    options = {"evaluation.epochs": 8, "search.early_stopping": "halving"}
    launched.run(tmp_path, STUDY, strategy="random", evaluations=30, overrides=options)
    states = Counter(row[1] for row in launched.table(tmp_path, STUDY))
    assert states["PRUNED"] > 5
    assert states["COMPLETE"] + states["PRUNED"] == 30


@pytest.mark.parametrize("strategy", ["random", "nsga2", "sensitivity", "optuna-tpe"])
def test_budgets_are_shares_of_the_first_part(
    tmp_path: Path, launched: Any, structured: Evaluator, strategy: str
) -> None:
    """A fiftieth of fp32 at 4 timesteps: out of reach of 4 timesteps, not of 2 and 1."""
    launched.run(
        tmp_path,
        STUDY,
        strategy=strategy,
        evaluations=14,
        overrides={"constraints.energy": "<= 0.02 fp32"},
    )
    searched = launched.table(tmp_path, STUDY)[5:]
    assert searched
    keys = [Candidate.from_key(row[2]) for row in searched]
    limit = 0.02 * structured.reference()["energy"]
    assert (structured.cheap(keys)[:, 0] <= limit).all()
    assert PARTS[0] not in parts_of(searched)


def test_confirm_evaluates_the_baselines_of_parts_on_the_front(
    tmp_path: Path, launched: Any, structured: Evaluator
) -> None:
    options = {"constraints.energy": "<= 0.02 fp32"}
    launched.run(tmp_path, STUDY, strategy="sensitivity", evaluations=20, overrides=options)
    with LiveProgress(Console(quiet=True)) as progress:
        request = Request(STUDY, "", studies_dir=tmp_path)
        confirm(request, 2, None, progress, "front")
    rows = [TrialRow.of(t, structured.objectives) for t in trials(tmp_path)]
    front = front_of(rows, structured.objectives, runs(tmp_path)[0].budgets)
    reached = {structured.space.structural_key(Candidate.of(r.choices)) for r in front}
    assert reached == set(PARTS[1:])
    origins = {r.origin for r in rows if r.kind == "replicate" and r.origin.startswith("uniform")}
    choices = ("2l", "2u", "4l", "4u", "fp32")
    assert origins == {f"uniform {c}" for c in choices} | {
        f"uniform {c}, {part}" for c in choices for part in reached
    }
    # The search itself has spent nothing on them.
    assert {r.key for r in rows if r.kind == "baseline"} == {
        c.key for c in structured.space.baselines().values()
    }
    confirmation = confirmation_of(front, rows, structured.objectives)
    assert confirmation is not None
    twos = structured.space.parts["timesteps=2"].baselines()
    member = confirmation.of(twos["4u"].key)
    assert member is not None
    assert (member.label, member.searched) == ("uniform 4u, timesteps=2", {})
    assert member.confirmed["energy"] == structured.cheap([twos["4u"]])[0, 0]
    assert "against uniform 4u, timesteps=2: " in study_verdict(front, rows, structured.objectives)


def test_confirm_adds_nothing_where_the_front_is_of_the_first_part(
    tmp_path: Path, launched: Any
) -> None:
    launched.run(tmp_path, STUDY, strategy="random", evaluations=5)
    with LiveProgress(Console(quiet=True)) as progress:
        done = confirm(Request(STUDY, "", studies_dir=tmp_path), 1, None, progress)
    assert done.candidates == 5


def test_tables_hold_the_structure_as_a_column(tmp_path: Path, launched: Any) -> None:
    launched.run(tmp_path, STUDY, strategy="random", evaluations=10)
    reader = LogReader(storage_url(None, tmp_path.resolve() / STUDY), STUDY)
    results = Results(tmp_path.resolve() / STUDY, reader)
    reader.close()
    rows = results.trials()
    results.close()
    assert [f"timesteps={row.choices['timesteps']}" for row in rows[:5]] == [PARTS[0]] * 5
    assert {row.choices["timesteps"] for row in rows} == {"4", "2", "1"}


def trials(folder: Path) -> Any:
    return read_study(Request(STUDY, "", studies_dir=folder))[2]


def runs(folder: Path) -> Any:
    return read_study(Request(STUDY, "", studies_dir=folder))[1]
