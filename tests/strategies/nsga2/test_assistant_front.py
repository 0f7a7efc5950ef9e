"""What the assistant takes for the front that a batch has to improve on."""

from __future__ import annotations

import numpy as np
import pytest

from hqsearch.problem.candidate import Candidate
from hqsearch.strategies import Problem, Result, Strategy
from hqsearch.strategies.nsga2 import assistant
from hqsearch.strategies.nsga2.assistant import Assistant
from hqsearch.testing import StrategyContract


class Contract(StrategyContract):
    def make(self, problem: Problem, seed: int) -> Strategy:
        raise NotImplementedError


class Recorder:
    """Stands for the choice of a batch, and keeps what it was to improve on."""

    improved_on: np.ndarray | None = None

    def __init__(self, *arguments: object) -> None:
        Recorder.improved_on = np.asarray(arguments[3])

    def choose(self, count: int) -> list[Candidate]:
        return []


@pytest.mark.parametrize("over", [(), (0, 3, 4, 17), range(19), range(20)])
def test_what_breaks_a_budget_is_no_front(over: range, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Contract().problem()
    generator = np.random.default_rng(0)
    candidates = [problem.space.random(generator) for _ in range(20)]
    assert len(set(candidates)) == 20
    results = [
        Result(
            i, c, "search", Contract().measure(problem, c), violation=0.25 * (i in over), noise=0.0
        )
        for i, c in enumerate(candidates)
    ]
    monkeypatch.setattr(assistant, "Batch", Recorder)
    Recorder.improved_on = None
    waiting = [problem.space.decode(np.full(6, 1))[0]]
    chosen = Assistant(problem).propose(results, waiting, candidates, 3, generator)
    assert chosen == []
    within = [c for i, c in enumerate(candidates) if i not in over]
    # What is on its way counts as feasible: budgets are kept on the estimate.
    expected = problem.space.encode([*within, *waiting])
    assert Recorder.improved_on is not None
    np.testing.assert_array_equal(Recorder.improved_on, expected)
    if not within:
        Recorder.improved_on = None
        assert Assistant(problem).propose(results, [], candidates, 3, generator) == []
        assert Recorder.improved_on is None
