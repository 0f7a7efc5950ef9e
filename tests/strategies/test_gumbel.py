from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hqsearch.definition import validate
from hqsearch.errors import DefinitionError, InputError, UnknownName
from hqsearch.evaluator import EvaluatorTask, SupernetResult, SupernetTask, TaskAnswer
from hqsearch.evaluator.tasks import DerivedCandidate
from hqsearch.problem.budgets import Budget, Budgets
from hqsearch.problem.candidate import Candidate
from hqsearch.store.log import LogReader, storage_url
from hqsearch.strategies import Problem, Signal, Strategy, StrategyTask, TaskResult, strategy_class
from hqsearch.testing import StrategyContract

KIND = strategy_class("gumbel")


def make(problem: Problem, **options: Any) -> Strategy:
    return KIND(problem, validate(KIND.Options, options, "[strategy.gumbel]"), 0)


def asked(strategy: Strategy) -> list[StrategyTask]:
    tasks = []
    while isinstance(proposed := strategy.next(), StrategyTask):
        tasks.append(proposed)
    assert proposed is Signal.WAIT
    return tasks


def labels(problem: Problem, **options: Any) -> list[str]:
    return [task.label for task in asked(make(problem, **options))]


class TestGumbel(StrategyContract):
    """Few proposals, all of them derived by tasks; the strategy itself draws nothing."""

    def problem(self, layers: int = 6, budget: float | None = None) -> Problem:
        problem = super().problem(layers, budget)
        return replace(problem, reference={"energy": 3.0 * layers})

    def make(self, problem: Problem, seed: int) -> Strategy:
        return KIND(problem, KIND.Options(), seed)

    def perform(self, problem: Problem, task: EvaluatorTask) -> TaskAnswer:
        """Random candidates within the target, the same ones for one task."""
        assert isinstance(task, SupernetTask)
        limit = task.target["energy"] * problem.reference["energy"]
        generator = np.random.default_rng(int(1000 * limit))
        found: list[Candidate] = []
        while len(found) < task.training["top"]:
            drawn = problem.space.random(generator)
            if problem.cheap([drawn])[0, 0] <= limit:
                found.append(drawn)
        return SupernetResult(candidates=tuple(DerivedCandidate(key=c.key) for c in found))

    def test_other_seed_other_proposals(self) -> None:
        """The seeds are those of the tasks, which the engine derives from the run's."""

    def test_survives_failures(self) -> None:
        assert len(self.drive(self.problem(), 0, 60, fail=1)) >= 5

    def test_proposals_respect_budgets(self) -> None:
        problem = self.problem(budget=10.0)
        proposed = self.drive(problem, 0, 40)
        assert len(proposed) >= 5
        assert (problem.cheap(proposed) <= 10.0).all()


@pytest.fixture
def problem() -> Problem:
    return TestGumbel().problem()


def with_budgets(problem: Problem, **limits: float) -> Problem:
    budgets = [Budget(metric, limit, f"<= {limit}") for metric, limit in limits.items()]
    return replace(problem, budgets=Budgets(budgets, problem.space, problem.metrics, problem.cheap))


def test_default_targets_spread_over_what_codes_attain(problem: Problem) -> None:
    """From a third of fp32 (2u everywhere costs 1 of 3), left out, to two thirds (4u)."""
    targets = [t.task.to_json()["target"]["energy"] for t in asked(make(problem))]
    assert len(targets) == 5
    np.testing.assert_allclose(targets, 2.0 ** (np.arange(1, 6) / 5) / 3.0, rtol=0.01)
    assert len(labels(problem, count=8)) == 8


def test_a_budget_is_a_target_and_none_goes_beyond_it(problem: Problem) -> None:
    tight = with_budgets(problem, energy=9.0)
    tasks = asked(make(tight))
    targets = [t.task.to_json()["target"]["energy"] for t in tasks]
    assert len(targets) == 5
    assert targets[-1] == 0.5
    assert targets == sorted(targets)
    assert all(t.task.to_json()["budgets"] == {"energy": 9.0} for t in tasks)
    assert labels(tight, targets=[0.4, 0.8]) == ["energy <= 0.4 fp32", "energy <= 0.5 fp32"]


def test_a_budget_that_binds_nobody_is_no_target(problem: Problem) -> None:
    assert labels(with_budgets(problem, energy=1e6)) == labels(problem)


def test_one_target_as_asked(problem: Problem) -> None:
    tasks = asked(make(problem, target={"energy": 0.45}, hard=True, top=4))
    assert len(tasks) == 1
    assert tasks[0].label == "energy <= 0.45 fp32"
    assert tasks[0].task.to_json()["target"] == {"energy": 0.45}
    assert tasks[0].task.to_json()["hard"] is True
    assert tasks[0].task.to_json()["top"] == 4


def test_betas(problem: Problem) -> None:
    tasks = asked(make(problem, betas=[0.1, 1]))
    assert [t.task.to_json()["beta"] for t in tasks] == [{"energy": 0.1}, {"energy": 1.0}]
    assert [t.label for t in tasks] == ["energy beta 0.1", "energy beta 1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": [0.3], "betas": [1]}, "exclude each other"),
        ({"targets": [0.3], "count": 4}, "count has no effect"),
        ({"target": {"energy": 0.3}, "metric": "energy"}, "metric has no effect"),
        ({"warmup": 15}, "must be less than epochs"),
        ({"targets": [0]}, "greater than 0"),
    ],
)
def test_what_makes_no_sense_is_refused(
    problem: Problem, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DefinitionError, match=message):
        make(problem, **options)


def test_unknown_costs_are_named(problem: Problem) -> None:
    for options in ({"target": {"enrgy": 0.3}}, {"metric": "enrgy"}):
        with pytest.raises(UnknownName, match="did you mean 'energy'"):
            make(problem, **options)


def proposals(problem: Problem, order: Sequence[int], fail: int = -1) -> list[tuple[str, str]]:
    """Keys and origins, with the answers of three supernets arriving in ``order``."""
    strategy = make(problem, targets=[0.4, 0.6, 0.8])
    tasks = asked(strategy)
    names = [f"l{i}" for i in range(6)]
    cheap = Candidate((*((n, "2u") for n in names[:5]), ("l5", "4u")))
    dear = Candidate((*((n, "fp32") for n in names[:5]), ("l5", "4u")))
    derived = [[cheap, problem.baselines[0]], [dear, cheap], [dear]]
    found = []
    for index in order:
        keys = [{"key": c.key} for c in derived[index]]
        answer = None if index == fail else SupernetResult.from_json({"candidates": keys})
        strategy.observe_task(TaskResult(index, tasks[index], answer))
        while isinstance(proposed := strategy.next(), Candidate):
            found.append((proposed.key, strategy.origin(proposed)))
    assert proposed is Signal.DONE
    return found


def test_candidates_come_once_and_in_the_order_of_targets(problem: Problem) -> None:
    """Neither a baseline nor what another target gave; whichever supernet is done first."""
    found = proposals(problem, (0, 1, 2))
    assert [origin for _, origin in found] == ["energy <= 0.4 fp32", "energy <= 0.6 fp32"]
    assert proposals(problem, (2, 0, 1)) == proposals(problem, (1, 2, 0)) == found


def test_a_failed_supernet_loses_its_own_candidates_only(problem: Problem) -> None:
    assert [o for _, o in proposals(problem, (0, 1, 2), fail=1)] == [
        "energy <= 0.4 fp32",
        "energy <= 0.8 fp32",
    ]


# On the toy, through the engine

SHORT = {"strategy.gumbel.epochs": 8, "strategy.gumbel.warmup": 1}


def test_a_run_gives_a_front_and_is_cut_without_a_difference(
    tmp_path: Path, launched: Any, cut_driver: Any
) -> None:
    asked_for = {"strategy": "gumbel", "overrides": {**SHORT, "strategy.gumbel.count": 2}}
    finished = launched.run(tmp_path / "whole", **asked_for)
    assert finished.exhausted

    def again() -> None:
        assert launched.run(tmp_path / "cut", **asked_for).mismatches == 0

    assert cut_driver(again) > 3
    assert launched.table(tmp_path / "cut") == launched.table(tmp_path / "whole")
    reader = LogReader(storage_url(None, tmp_path / "whole" / "toy"), "toy")
    trials, tasks = reader.trials(), reader.tasks()
    reader.close()
    derived = [t for t in trials if t.proposal.kind == "search"]
    assert {t.proposal.strategy for t in derived} == {"gumbel"}
    targets = {t.label: t.payload["target"]["energy"] for t in tasks}
    assert {t.proposal.origin for t in derived} == set(targets)
    fp32 = max(t.values[1] for t in trials if t.values)
    for trial in derived:
        assert trial.values is not None
        assert trial.values[1] <= targets[trial.proposal.origin] * fp32 * (1 + 1e-9)


def test_an_evaluator_without_supernets_is_refused(
    tmp_path: Path, launched: Any, study_file: Callable[..., Path]
) -> None:
    (tmp_path / "plain.py").write_text(
        "from hqsearch.evaluators.toy import Toy\n"
        "class Plain(Toy):\n    strategy_tasks = frozenset()\n"
    )
    study = study_file("plain", evaluator="plain.py:Plain")
    with pytest.raises(InputError, match=r"needs an evaluator that can do supernet.*toy"):
        launched.run(tmp_path, str(study), strategy="gumbel")
    assert not (tmp_path / "plain").exists()
