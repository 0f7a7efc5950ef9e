"""NSGA-II with a surrogate: the contract, what it gains, and when it steps back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hqsearch.evaluators.synthetic import Synthetic, attainable, costs_of, volume

from hqsearch.definition import embedded, load_study
from hqsearch.evaluator import Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.evaluator.tasks import ScoresTask, checked_answer
from hqsearch.problem.budgets import Budgets
from hqsearch.problem.candidate import Candidate
from hqsearch.strategies import (
    Problem,
    Result,
    Signal,
    Strategy,
    StrategyTask,
    TaskResult,
    strategy_class,
)
from hqsearch.strategies.nsga2.assistant import Assistant
from hqsearch.testing import StrategyContract


def nsga2(problem: Problem, seed: int, **options: object) -> Strategy:
    kind = strategy_class("nsga2")
    return kind(problem, kind.Options.model_validate({"assist": True, **options}), seed)


class TestGenerational(StrategyContract):
    def make(self, problem: Problem, seed: int) -> Strategy:
        return nsga2(problem, seed, population=8)


class TestSteady(StrategyContract):
    def make(self, problem: Problem, seed: int) -> Strategy:
        return nsga2(problem, seed, population=8, mode="steady")


@pytest.fixture
def synthetic(tmp_path: Path) -> Synthetic:
    found = make_evaluator(Setup(load_study(embedded("studies")["synthetic"]), tmp_path))
    assert isinstance(found, Synthetic)
    return found


def problem_of(evaluator: Synthetic, history: tuple[Result, ...] = ()) -> Problem:
    return Problem(
        evaluator.space,
        evaluator.objectives,
        evaluator.cheap,
        evaluator.metrics,
        Budgets((), evaluator.space, evaluator.metrics, evaluator.cheap),
        tuple(evaluator.space.baselines().values()),
        history,
        reference=evaluator.reference(),
        tasks=evaluator.strategy_tasks,
    )


def values(evaluator: Synthetic, candidate: Candidate) -> tuple[float, ...]:
    return tuple(evaluator.evaluate(candidate, 0).values.values())


def drive(
    evaluator: Synthetic,
    strategy: Strategy,
    count: int,
    workers: int = 1,
    log: list[tuple[Candidate, str]] | None = None,
) -> list[Result]:
    """Run until ``count`` results are in, the newest of ``workers`` finishing first.

    What ``log`` holds is replayed; what is proposed is appended.
    """
    log = [] if log is None else log
    replayed, index = len(log), 0
    waiting = [(c, "baseline") for c in strategy.problem.baselines]
    slots = {c: i for i, (c, _) in enumerate(waiting)}
    results: list[Result] = []
    while len(results) < count:
        while len(waiting) < workers or not waiting:
            if index < replayed - 1:
                proposed = strategy.next_recorded(*log[index])
            else:
                proposed = strategy.next()
            if isinstance(proposed, StrategyTask):
                given = evaluator.strategy_task(proposed.task, 0, Path())
                answer = checked_answer(proposed.task.kind, given)
                strategy.observe_task(TaskResult(0, proposed, answer))
                continue
            if isinstance(proposed, Signal):
                assert waiting, proposed
                break
            slots[proposed] = len(slots)
            waiting.append((proposed, "search"))
            if index >= replayed:
                log.append((proposed, strategy.origin(proposed)))
            index += 1
        candidate, kind = waiting.pop()
        measured = values(evaluator, candidate)
        results.append(Result(slots[candidate], candidate, kind, measured, noise=0.0))
        strategy.observe(results[-1])
    return results


def share(evaluator: Synthetic, results: list[Result]) -> float:
    costs = costs_of(evaluator, evaluator.space.encode(r.candidate for r in results))
    return volume(costs) / volume(attainable(evaluator, 200))


def test_finds_more_than_plain_evolution(synthetic: Synthetic) -> None:
    found = {
        assist: share(
            synthetic, drive(synthetic, nsga2(problem_of(synthetic), 0, assist=assist), 40)
        )
        for assist in (True, False)
    }
    assert found[True] > 0.88
    assert found[True] > found[False] + 0.05


def test_table_does_not_depend_on_the_number_of_workers(synthetic: Synthetic) -> None:
    tables = []
    for workers in (1, 3):
        results = drive(synthetic, nsga2(problem_of(synthetic), 0), 36, workers)
        tables.append([r.candidate.key for r in sorted(results, key=lambda r: r.slot)][:30])
    assert tables[0] == tables[1]


@pytest.mark.parametrize("mode", ["generational", "steady"])
def test_replay_takes_batches_from_the_log(
    synthetic: Synthetic, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    original = Assistant.propose

    def counted(self: Assistant, *arguments: Any) -> list[Candidate]:
        nonlocal calls
        calls += 1
        return original(self, *arguments)

    monkeypatch.setattr(Assistant, "propose", counted)

    def run(log: list[tuple[Candidate, str]]) -> list[Result]:
        strategy = nsga2(problem_of(synthetic), 0, population=10, mode=mode)
        return drive(synthetic, strategy, 34, 3, log)

    whole: list[tuple[Candidate, str]] = []
    results = run(whole)
    origins = [origin for _, origin in whole]
    size = 3 if mode == "generational" else 1
    assert 0 < origins.count(f"assisted 1/{size}") <= calls
    assert f"assisted {size}/{size}" in origins
    for cut in range(1, len(whole) + 1, 3):
        log, calls = whole[:cut], 0
        assert run(log) == results
        assert log == whole
        # Of the last recorded proposal's batch, and of those that the log holds nothing of.
        assert calls <= 1 + sum(o in (f"assisted 1/{size}", "bred") for o in origins[cut:])


def test_steps_back_where_it_knows_nothing(synthetic: Synthetic) -> None:
    """Accuracies that have nothing to do with the candidates: the evolution breeds as it would."""

    def told(
        strategy: Strategy, slot: int, candidate: Candidate, kind: str, noise: np.random.Generator
    ) -> None:
        _, energy, storage = values(synthetic, candidate)
        accuracy = 0.5 + 0.01 * float(noise.standard_normal())
        strategy.observe(Result(slot, candidate, kind, (accuracy, energy, storage)))

    origins = []
    for seed in range(10):
        strategy = nsga2(problem_of(synthetic), seed, prior=False)
        noise = np.random.default_rng(seed)
        for slot, candidate in enumerate(strategy.problem.baselines):
            told(strategy, slot, candidate, "baseline", noise)
        for slot in range(5, 13):
            proposed = strategy.next()
            assert isinstance(proposed, Candidate)
            origins.append(strategy.origin(proposed))
            told(strategy, slot, proposed, "search", noise)
    # The first generation has three random ones beside the baselines.
    assert origins.count("") == 30
    assert origins.count("bred") >= 35


def test_measured_costs_correct_the_estimates(synthetic: Synthetic) -> None:
    """Recorded energy differs from the estimate by what the layers' choices do to it."""
    strategy = nsga2(problem_of(synthetic), 0, prior=False)
    slots = iter(range(100))

    def told(candidate: Candidate, kind: str) -> None:
        accuracy, energy, storage = values(synthetic, candidate)
        more = 1.0 + 0.5 * sum(v == "2l" for v in candidate.choices.values()) / 18
        strategy.observe(Result(next(slots), candidate, kind, (accuracy, energy * more, storage)))

    for candidate in strategy.problem.baselines:
        told(candidate, "baseline")
    for _ in range(30):
        candidate = strategy.next()
        assert isinstance(candidate, Candidate)
        told(candidate, "search")


def test_starts_from_what_gumbel_found(synthetic: Synthetic) -> None:
    generator = np.random.default_rng(0)
    found = [synthetic.space.random(generator) for _ in range(6)]
    history = tuple(
        Result(i, c, "search", values(synthetic, c), strategy="gumbel") for i, c in enumerate(found)
    )
    strategy = nsga2(problem_of(synthetic, history), 0, prior=False)
    noted = next(n for n in strategy.notes() if "gumbel" in n)
    count = int(noted.split()[2])
    assert noted == f"starts from {count} candidates that gumbel found"
    assert 0 < count <= 6
    proposed = [strategy.next() for _ in range(count)]
    assert set(proposed) <= set(found)
    alone = nsga2(problem_of(synthetic, history), 0, history=False, prior=False)
    assert not any("gumbel" in n for n in alone.notes())
    assert alone.next() not in found


def test_asks_for_scores_first(synthetic: Synthetic) -> None:
    strategy = nsga2(problem_of(synthetic), 0)
    asked = strategy.next()
    assert isinstance(asked, StrategyTask)
    assert asked.task == ScoresTask()
    results = drive(synthetic, nsga2(problem_of(synthetic), 0), 30)
    assert share(synthetic, results) > 0.9


def test_workers_that_would_idle_are_told_of(synthetic: Synthetic) -> None:
    problem = problem_of(synthetic)
    assert nsga2(problem, 0).notes_for(4) == []
    (told,) = nsga2(problem, 0).notes_for(5)
    assert "settings={'strategy.nsga2.batch': 5}" in told
    assert nsga2(problem, 0, batch=5).notes_for(5) == []
    assert nsga2(problem, 0, mode="steady").notes_for(64) == []
    (told,) = nsga2(problem, 0, assist=False).notes_for(13)
    assert "settings={'strategy.nsga2.population': 13}" in told
