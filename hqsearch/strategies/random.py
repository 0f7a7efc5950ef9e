"""Uniform random search without repetition: the yardstick for every other strategy."""

from __future__ import annotations

from typing import Any, ClassVar

from hqsearch.problem.candidate import Candidate
from hqsearch.strategies.base import Problem, Result, Signal, Strategy

#: Draws for one proposal before the space counts as exhausted.
ATTEMPTS = 1000


class RandomSearch(Strategy):
    """Draws uniformly; repairs what lies beyond a budget; never proposes a candidate twice."""

    name: ClassVar[str] = "random"

    def __init__(self, problem: Problem, options: Any, seed: int) -> None:
        super().__init__(problem, options, seed)
        self._seen = set(problem.baselines)
        self._count = 0

    def next(self) -> Candidate | Signal:
        generator = self.generator(self._count)
        for _ in range(ATTEMPTS):
            drawn = self.problem.space.random(generator)
            candidate = self.problem.budgets.repair(drawn, generator)
            if candidate not in self._seen:
                self._seen.add(candidate)
                self._count += 1
                return candidate
        return Signal.DONE

    def observe(self, result: Result) -> None:
        self._seen.add(result.candidate)
