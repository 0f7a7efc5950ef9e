"""What strategies make of candidates that were stopped early."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import optuna
import pytest

from hqsearch.strategies import Problem, Result, Strategy, strategy_class
from hqsearch.strategies.base import COHORT
from hqsearch.strategies.nsga2.pymoo_parts import population_of
from hqsearch.testing import StrategyContract


def make(name: str, problem: Problem, **options: object) -> Strategy:
    kind = strategy_class(name)
    return kind(problem, kind.Options.model_validate(options), 0)


@pytest.fixture
def problem() -> Problem:
    class Contract(StrategyContract):
        def make(self, problem: Problem, seed: int) -> Strategy:
            raise NotImplementedError

    return replace(Contract().problem(), full_budget=8, early_stopping=True)


def test_pymoo_ranks_them_below_violators_and_above_failures(problem: Problem) -> None:
    candidate = problem.baselines[0]
    stopped = Result(0, candidate, "search", None, stopped_at=1, rungs=((1, (0.9, 1.0)),))
    results = [
        Result(0, candidate, "search", None),
        stopped,
        replace(stopped, stopped_at=4),
        Result(0, candidate, "search", (0.5, 2.0), violation=3.0),
        Result(0, candidate, "search", (0.4, 2.0)),
    ]
    untrained = np.array([problem.untrained(r) for r in results])
    assert untrained.tolist() == [0.0, 0.875, 0.5, 0.0, 0.0]
    codes = problem.space.encode([candidate] * 5)
    violation = np.array([r.violation for r in results])
    told = population_of(codes, problem.costs(results), violation, untrained)
    constraints = told.get("G")[:, 0]
    assert np.argsort(constraints).tolist() == [4, 3, 2, 1, 0]
    assert np.isfinite(told.get("F")).all()


def test_optuna_is_told_the_rung_and_a_violated_constraint(problem: Problem) -> None:
    strategy = make("optuna-tpe", problem)
    first, second = strategy.next(), strategy.next()
    slot = len(problem.baselines)
    rungs = ((1, (0.2, 3.0)), (2, (0.3, 3.0)))
    strategy.observe(Result(slot, first, "search", None, stopped_at=2, rungs=rungs))  # type: ignore[arg-type]
    strategy.observe(Result(slot + 1, second, "search", (0.9, 4.0)))  # type: ignore[arg-type]
    told = strategy._mirror.get_trials(states=(optuna.trial.TrialState.COMPLETE,))  # type: ignore[attr-defined]
    assert [t.values for t in told] == [[-0.3, 3.0], [-0.9, 4.0]]
    assert [t.constraints for t in told] == [{"stopped": 0.75}, {"stopped": 0.0}]


def test_what_is_compared_with_each_other(problem: Problem) -> None:
    assert make("nsga2", problem).cohort is None
    assert make("nsga2", problem, mode="steady", population=7).cohort == 7
    assert make("optuna-nsga2", problem, population=9).cohort == 9
    assert make("random", problem).cohort == make("optuna-tpe", problem).cohort == COHORT
