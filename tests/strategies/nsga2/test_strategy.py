"""Steady-state NSGA-II; the generational mode is tested in test_contract.py."""

from __future__ import annotations

import numpy as np

from hqsearch.problem.candidate import Candidate
from hqsearch.strategies import Problem, Result, Signal, Strategy, strategy_class
from hqsearch.testing import StrategyContract


class TestSteady(StrategyContract):
    def make(self, problem: Problem, seed: int) -> Strategy:
        kind = strategy_class("nsga2")
        options = {"population": 8, "mode": "steady", "assist": False}
        return kind(problem, kind.Options.model_validate(options), seed)

    def in_flight(
        self, workers: int, rank: int, count: int, problem: Problem | None = None
    ) -> tuple[list[Candidate], list[Signal]]:
        """Keep ``workers`` evaluations in flight; the ``rank``-th oldest finishes first."""
        problem = problem or self.problem()
        strategy = self.make(problem, 0)
        waiting = [Result(i, c, "baseline", None) for i, c in enumerate(problem.baselines)]
        proposed: list[Candidate] = []
        signals: list[Signal] = []
        while len(proposed) < count or waiting:
            while len(waiting) < workers and len(proposed) < count:
                candidate = strategy.next()
                if isinstance(candidate, Signal):
                    signals.append(candidate)
                    break
                slot = len(problem.baselines) + len(proposed)
                waiting.append(Result(slot, candidate, "search", None))
                proposed.append(candidate)
            if not waiting:
                break
            done = waiting.pop(min(rank, len(waiting) - 1))
            values = self.measure(problem, done.candidate)
            strategy.observe(Result(done.slot, done.candidate, done.kind, values))
        return proposed, signals

    def test_every_free_worker_gets_an_offspring(self) -> None:
        proposed, signals = self.in_flight(workers=16, rank=3, count=90)
        assert len(set(proposed)) == 90
        assert signals == []

    def test_the_order_of_results_is_all_that_matters(self) -> None:
        """Two orders of finishing differ; the same order again gives the same proposals."""
        first, _ = self.in_flight(workers=4, rank=0, count=40)
        other, _ = self.in_flight(workers=4, rank=2, count=40)
        assert first == self.in_flight(workers=4, rank=0, count=40)[0]
        assert other == self.in_flight(workers=4, rank=2, count=40)[0]
        assert first != other

    def test_ends_only_when_all_of_a_small_space_is_found(self) -> None:
        small = self.problem(layers=2)
        proposed, signals = self.in_flight(workers=3, rank=1, count=50, problem=small)
        assert signals[-1] is Signal.DONE
        assert len({*proposed, *small.baselines}) == small.space.size

    def test_breeds_once_the_first_population_is_in(self) -> None:
        """Offspring of a population without ``fp32`` have little of it: only mutations."""
        problem = self.problem(layers=12)
        strategy = self.make(problem, 0)
        for slot, candidate in enumerate(problem.baselines):
            strategy.observe(Result(slot, candidate, "baseline", None, violation=1.0))
        cheap = problem.space.decode(np.zeros((1, 12), dtype=np.int64))[0]
        proposed: list[Candidate] = []
        while len(proposed) < 30:
            candidate = strategy.next()
            assert isinstance(candidate, Candidate)
            # The log's version of a proposal wins, here: always near the cheapest.
            near = cheap if len(proposed) < 8 else candidate
            slot = len(problem.baselines) + len(proposed)
            strategy.observe(Result(slot, near, "search", self.measure(problem, near)))
            proposed.append(candidate)
        share = [sum(v == "fp32" for v in c.choices.values()) / 12 for c in proposed]
        assert np.mean(share[:8]) > 0.2
        assert np.mean(share[8:16]) < 0.15

    def test_learns(self) -> None:
        """Finds cheaper and better candidates than its first population."""
        problem = self.problem(layers=10)
        found = self.drive(problem, 0, 120)
        cost = [(1 - a) * 20 + e for a, e in (self.measure(problem, c) for c in found)]
        assert np.mean(cost[-30:]) < np.mean(cost[:8])

    def test_tells_of_its_bias(self) -> None:
        assert "evaluate fast" in self.make(self.problem(), 0).notes()[0]
