"""NSGA-II (Deb et al. 2002) on pymoo, generational or steady-state, and replayable.

Individuals are vectors of value indices; crossover is uniform, mutation resets a gene to
another value. All randomness goes through ``algorithm.random_state``, which is set anew from
(seed, index) before every ask and tell, so repeating the calls from the log rebuilds the
algorithm exactly, at any cut.

``mode = "generational"`` (the default) waits until every result of a generation is in: the
table does not depend on the number of workers, but workers idle at the end of a generation.
``mode = "steady"`` proposes an offspring whenever a worker is free and takes every result
into the population as it comes (μ + 1). Its price is an evaluation-time bias: what evaluates
fast returns early, is mated more often and so is over-represented, in the early population
above all; where evaluation time goes with an objective (fewer timesteps, say), the search
leans to that end of the front. And with several workers the table depends on the order in
which evaluations finish; a cut run is continued exactly, for the log holds that order.
"""

from __future__ import annotations

from collections import deque
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from hqsearch.candidate import Candidate
from hqsearch.strategies.base import Problem, Result, Signal, Strategy, StrategyOptions
from hqsearch.strategies.notes import many_objectives
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
    mode: Literal["generational", "steady"] = "generational"
    """Whether offspring wait for their whole parent generation, or come one by one."""


class Nsga2(Strategy):
    """Proposes a generation when every result of the last one is in; with ``mode = "steady"``
    an offspring at every call. See the module's docstring."""

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
        self._populated = False
        self._proposals = 0
        self._observations = 0
        self._baselines_awaited = len(problem.baselines)
        self._algorithm = make_nsga2(
            problem.space.cardinalities,
            len(problem.objectives),
            options.population,
            options.crossover,
            options.mutation,
            self._repair_codes,
            self._is_new,
            offspring=options.population if options.mode == "generational" else 1,
        )

    def notes(self) -> list[str]:
        notes = many_objectives(self.problem)
        if self.options.mode == "steady":
            notes.append(
                "steady state favours candidates that evaluate fast, and with several workers "
                "the order of results decides what is proposed"
            )
        return notes

    def next(self) -> Candidate | Signal:
        if not self._started:
            self._start()
        if not self._queue and not self._exhausted:
            if self.options.mode == "steady":
                self._breed()
            elif self._generation_is_complete:
                self._advance()
        if self._queue:
            self._awaited += 1
            self._proposals += 1
            return self._queue.popleft()
        if self._exhausted and self._generation_is_complete:
            return Signal.DONE
        return Signal.WAIT

    def observe(self, result: Result) -> None:
        self._seen.add(result.candidate)
        self._results.append(result)
        self._observations += 1
        if result.kind == "baseline":
            self._baselines_awaited -= 1
        else:
            self._awaited -= 1
        if self.options.mode == "steady":
            self._absorb()

    @property
    def _generation_is_complete(self) -> bool:
        return self._awaited == 0 and self._baselines_awaited <= 0

    def _start(self) -> None:
        """Draw generation 0: it fills up what the feasible baselines leave of the population."""
        self._started = True
        generator = self.generator(0, 0)
        estimates = self.problem.cheap(self.problem.baselines) if self.problem.baselines else None
        joining = 0
        if estimates is not None:
            joining = int((self.problem.budgets.violations(estimates) <= 0).sum())
        wanted = max(self.options.population - joining, 2)
        for _ in range(wanted):
            self._enqueue_unseen(generator)

    def _enqueue_unseen(self, generator: np.random.Generator) -> None:
        """Queue a random candidate that is new, if one is found."""
        for _ in range(ATTEMPTS):
            candidate = self.problem.budgets.repair(self._draw(generator), generator)
            if candidate not in self._seen:
                self._seen.add(candidate)
                self._queue.append(candidate)
                return

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
        # In the order of proposal, whatever order the workers finished in.
        self._results.sort(key=lambda r: r.slot)
        self._tell(self.generator(self._generation, 1))
        self._generation += 1
        self._ask(self.generator(self._generation, 0))

    def _absorb(self) -> None:
        """Steady state: tell pymoo the first population at once, then every single result."""
        self._results = [r for r in self._results if self._joins(r)]
        needed = 1 if self._populated else self.options.population
        if len(self._results) >= needed:
            self._tell(self.generator(self._observations, 3))

    def _breed(self) -> None:
        """Steady state: one offspring, or a random candidate while there are no parents yet."""
        generator = self.generator(self._proposals, 2)
        if self._populated:
            self._ask(generator)
            if self._queue:
                return
        self._enqueue_unseen(generator)
        self._exhausted = not self._queue

    def _joins(self, result: Result) -> bool:
        """A baseline that violates a budget stays outside the population."""
        return result.kind != "baseline" or result.violation <= 0

    def _tell(self, generator: np.random.Generator) -> None:
        results = [r for r in self._results if self._joins(r)]
        codes = self.problem.space.encode(r.candidate for r in results)
        violation = np.array([r.violation for r in results])
        self._algorithm.random_state = generator
        self._algorithm.tell(infills=population_of(codes, self.problem.costs(results), violation))
        self._populated = True
        self._results = []

    def _ask(self, generator: np.random.Generator) -> None:
        """Queue what pymoo breeds; it finds nothing where all within its reach is known."""
        self._algorithm.random_state = generator
        offspring = self._algorithm.ask()
        if offspring is None or len(offspring) == 0:
            # pymoo would end for good; in steady state the next result may open a way on.
            self._algorithm.termination.force_termination = False
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
