"""NSGA-II (Deb et al. 2002) on pymoo, generational and replayable.

Individuals are vectors of value indices; crossover is uniform, mutation resets a gene to
another value. All randomness goes through ``algorithm.random_state``, which is set anew from
(seed, generation) before every ask and tell, so repeating the tells from the log rebuilds
the algorithm exactly, at any cut.
"""

from __future__ import annotations

from collections import deque
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from hqsearch.candidate import Candidate
from hqsearch.strategies.base import Problem, Result, Signal, Strategy, StrategyOptions
from hqsearch.strategies.pymoo_parts import make_nsga2, population_of

#: Draws per missing individual before the space counts as exhausted.
ATTEMPTS = 100


class Nsga2Options(StrategyOptions):
    """``[strategy.nsga2]``."""

    population: Annotated[int, Field(ge=4, le=10_000)] = 12
    crossover: Annotated[float, Field(ge=0.0, le=1.0)] = 0.9
    """Probability that two parents are recombined."""
    mutation: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Probability that a gene is reset; 1 / number of dimensions by default."""
    initial: Literal["spread", "uniform"] = "spread"
    """First population: each individual with its own mix of choices, so that costs spread, or
    every gene uniform (which crowds around the average cost)."""


class Nsga2(Strategy):
    """Proposes one generation at a time; the next when every result of it is in."""

    name: ClassVar[str] = "nsga2"
    Options: ClassVar[type[StrategyOptions]] = Nsga2Options

    def __init__(self, problem: Problem, options: Any, seed: int) -> None:
        super().__init__(problem, options, seed)
        self._seen = set(problem.baselines)
        self._generation = 0
        self._queue: deque[Candidate] = deque()
        self._awaited = 0
        self._results: list[Result] = []
        self._started = False
        self._exhausted = False
        self._baselines_awaited = len(problem.baselines)
        self._algorithm = make_nsga2(
            problem.space.cardinalities,
            len(problem.objectives),
            options.population,
            options.crossover,
            options.mutation,
            self._repair_codes,
            self._is_new,
        )

    def notes(self) -> list[str]:
        if len(self.problem.objectives) <= 3:
            return []
        return [
            f"{len(self.problem.objectives)} objectives: above 3, dominance gets weak and nsga2 "
            "selects little better than chance; optuna-nsga3 is made for many objectives"
        ]

    def next(self) -> Candidate | Signal:
        if not self._started:
            self._start()
        if not self._queue and self._awaited == 0 and self._baselines_awaited <= 0:
            self._advance()
        if self._queue:
            self._awaited += 1
            return self._queue.popleft()
        if self._exhausted and self._awaited == 0 and self._baselines_awaited <= 0:
            return Signal.DONE
        return Signal.WAIT

    def observe(self, result: Result) -> None:
        self._seen.add(result.candidate)
        self._results.append(result)
        if result.kind == "baseline":
            self._baselines_awaited -= 1
        else:
            self._awaited -= 1

    def _start(self) -> None:
        """Draw generation 0: it fills up what the feasible baselines leave of the population."""
        self._started = True
        generator = self.generator(0, 0)
        estimates = self.problem.cheap(self.problem.baselines) if self.problem.baselines else None
        joining = 0
        if estimates is not None:
            joining = int((self.problem.budgets.violations(estimates) <= 0).sum())
        wanted = max(self.options.population - joining, 2)
        for _ in range(wanted * ATTEMPTS):
            if len(self._queue) == wanted:
                break
            candidate = self.problem.budgets.repair(self._draw(generator), generator)
            if candidate not in self._seen:
                self._seen.add(candidate)
                self._queue.append(candidate)

    def _draw(self, generator: np.random.Generator) -> Candidate:
        space = self.problem.space
        if self.options.initial == "uniform":
            return space.random(generator)
        values = sorted({v for d in space.dimensions for v in d.values})
        # A mix that favours few choices: concentration below 1.
        mix = dict(zip(values, generator.dirichlet(np.full(len(values), 0.5)), strict=True))
        code = []
        for dimension in space.dimensions:
            weights = np.array([mix[v] for v in dimension.values]) + 1e-9
            code.append(generator.choice(len(weights), p=weights / weights.sum()))
        return space.decode(np.array(code))[0]

    def _advance(self) -> None:
        """Tell pymoo the generation that is complete; ask for the next one."""
        self._algorithm.random_state = self.generator(self._generation, 1)
        # In the order of proposal, whatever order the workers finished in.
        results = sorted(self._results, key=lambda r: r.slot)
        if self._generation == 0:
            # A baseline that violates a budget stays outside the population.
            results = [r for r in results if r.kind != "baseline" or r.violation <= 0]
        codes = self.problem.space.encode(r.candidate for r in results)
        violation = np.array([r.violation for r in results])
        self._algorithm.tell(infills=population_of(codes, self.problem.costs(results), violation))
        self._results = []
        self._generation += 1
        self._algorithm.random_state = self.generator(self._generation, 0)
        offspring = self._algorithm.ask()
        if offspring is None or len(offspring) == 0:
            self._exhausted = True
            return
        for candidate in self.problem.space.decode(np.array([i.X for i in offspring], dtype=int)):
            self._seen.add(candidate)
            self._queue.append(candidate)

    def _repair_codes(
        self, codes: npt.NDArray[np.int64], generator: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        space, budgets = self.problem.space, self.problem.budgets
        if not budgets.budgets:
            return codes
        candidates = space.decode(codes)
        bad = budgets.violations(self.problem.cheap(candidates)) > 0
        return space.encode(
            budgets.repair(c, generator) if b else c for c, b in zip(candidates, bad, strict=True)
        )

    def _is_new(self, codes: npt.NDArray[np.int64]) -> list[bool]:
        return [c not in self._seen for c in self.problem.space.decode(codes)]
