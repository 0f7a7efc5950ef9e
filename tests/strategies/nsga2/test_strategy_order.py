"""A generation is told in the order of proposal, whatever order its results come in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hqsearch.problem.candidate import Candidate
from hqsearch.strategies import Problem, Result, Strategy, strategy_class
from hqsearch.strategies.nsga2.assistant import Assistant
from hqsearch.testing import StrategyContract

GENERATIONS = 3


class Contract(StrategyContract):
    def make(self, problem: Problem, seed: int) -> Strategy:
        raise NotImplementedError


def proposals(assist: bool, finishing: np.random.Generator | None) -> list[Candidate]:
    """Of some generations, their results coming in the order of proposal or in any other."""
    problem = Contract().problem(layers=5)
    kind = strategy_class("nsga2")
    strategy = kind(problem, kind.Options.model_validate({"population": 6, "assist": assist}), 0)
    waiting = [(c, "baseline") for c in problem.baselines]
    proposed: list[Candidate] = []
    told = 0
    for _ in range(GENERATIONS):
        while isinstance(candidate := strategy.next(), Candidate):
            waiting.append((candidate, "search"))
            proposed.append(candidate)
        results = [
            # Ties in rank and crowding, which only the order can decide.
            Result(told + i, c, k, tuple(round(v, 1) for v in Contract().measure(problem, c)))
            for i, (c, k) in enumerate(waiting)
        ]
        told += len(results)
        waiting = []
        if finishing is not None:
            results = [results[i] for i in finishing.permutation(len(results))]
        for result in results:
            strategy.observe(result)
    return proposed


@pytest.mark.parametrize("assist", [False, True])
def test_the_order_of_finishing_changes_no_proposal(assist: bool) -> None:
    expected = proposals(assist, None)
    assert len(expected) > GENERATIONS
    for seed in range(3):
        assert proposals(assist, np.random.default_rng(seed)) == expected


def test_the_surrogate_learns_in_the_order_of_proposal(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []
    original = Assistant.propose

    def spied(self: Assistant, results: Sequence[Result], *rest: Any) -> list[Candidate]:
        asked.append([r.slot for r in results])
        return original(self, results, *rest)

    monkeypatch.setattr(Assistant, "propose", spied)
    proposals(True, np.random.default_rng(1))
    assert asked
    assert all(slots == list(range(len(slots))) for slots in asked)
