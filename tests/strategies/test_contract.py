from __future__ import annotations

import numpy as np
import pytest

from hqsearch.errors import UnknownName
from hqsearch.problem.pareto import hypervolume
from hqsearch.strategies import Problem, Result, Signal, Strategy, strategy_class, strategy_names
from hqsearch.testing import StrategyContract


class TestRandom(StrategyContract):
    def make(self, problem: Problem, seed: int) -> Strategy:
        return strategy_class("random")(problem, strategy_class("random").Options(), seed)


class TestNsga2(StrategyContract):
    def make(self, problem: Problem, seed: int) -> Strategy:
        kind = strategy_class("nsga2")
        return kind(problem, kind.Options.model_validate({"population": 8, "assist": False}), seed)

    def test_order_of_results_within_a_generation_changes_nothing(self) -> None:
        problem = self.problem()

        def generations(reverse: bool) -> list[str]:
            strategy = self.make(problem, 0)
            proposed: list[str] = []
            results = [
                Result(slot, c, "baseline", self.measure(problem, c))
                for slot, c in enumerate(problem.baselines)
            ]
            for _ in range(4):
                while not isinstance(candidate := strategy.next(), Signal):
                    slot = len(problem.baselines) + len(proposed)
                    values = self.measure(problem, candidate)
                    results.append(Result(slot, candidate, "search", values))
                    proposed.append(candidate.key)
                for result in reversed(results) if reverse else results:
                    strategy.observe(result)
                results = []
            return proposed

        assert generations(reverse=False) == generations(reverse=True)

    def test_waits_for_its_generation(self) -> None:
        problem = self.problem()
        strategy = self.make(problem, 0)
        proposals = [strategy.next() for _ in range(20)]
        assert Signal.WAIT in proposals
        assert proposals.index(Signal.WAIT) == 8 - len(problem.baselines)

    def test_many_objectives_are_warned_of(self) -> None:
        problem = self.problem()
        many = Problem(
            problem.space,
            problem.objectives * 2,
            problem.cheap,
            problem.metrics,
            problem.budgets,
        )
        assert "optuna-nsga3" in self.make(many, 0).notes()[0]
        assert self.make(problem, 0).notes() == []

    def test_learns(self) -> None:
        """Gets closer to the front of a separable problem than random search does."""
        problem = self.problem(layers=10)

        def volume(strategy: StrategyContract, seed: int) -> float:
            found = strategy.drive(problem, seed, 120)
            values = np.array([self.measure(problem, c) for c in [*found, *problem.baselines]])
            costs = values * [-1.0, 1.0]
            return hypervolume((costs - [-1.0, 10.0]) / [1.0, 20.0], [1.1, 1.1])

        own = np.median([volume(self, s) for s in range(5)])
        other = np.median([volume(TestRandom(), s) for s in range(5)])
        assert own > other


def test_names() -> None:
    assert {"nsga2", "random"} <= set(strategy_names())
    with pytest.raises(UnknownName, match="did you mean 'nsga2'"):
        strategy_class("nsga")
