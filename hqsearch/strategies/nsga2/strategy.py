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

``assist = true`` (the default) lets a surrogate of the measured objectives choose what is trained
(:mod:`hqsearch.strategies.nsga2.assistant`); where it knows nothing, the evolution breeds on its
own. Where the evaluator can score layers without training (``prior``), the first ones are an
optimum of the scores and a random one, and the surrogate learns by what the scores err
(:mod:`hqsearch.surrogate.scored`), or does without them once it predicts better so. With
``assist = false`` this is plain NSGA-II.

The defaults rest on ``synthetic-2`` (chosen on instances 0 to 99; medians of instances 1000
to 1019 by the costs of gesture-memory after 16, 24 and 48 evaluations: 0.983, 0.988, 0.991 of what
there is to find; ``sensitivity`` 0.976, 0.984, 0.990; without scores 0.922, 0.928, 0.954); see
``hqsearch guide results``.

The log says of every candidate of the surrogate which place it has in its batch, so that replay
takes batches from there and thinks only about one that the log does not hold as a whole.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from hqsearch.errors import InputError
from hqsearch.evaluator.tasks import SCORES
from hqsearch.problem.candidate import Candidate
from hqsearch.strategies.additive_program import best_by_scores
from hqsearch.strategies.base import (
    Problem,
    Result,
    Signal,
    Strategy,
    StrategyOptions,
    StrategyTask,
    TaskResult,
)
from hqsearch.strategies.notes import many_objectives
from hqsearch.strategies.nsga2.assistant import Assistant
from hqsearch.strategies.nsga2.first import drawn, inherited
from hqsearch.strategies.nsga2.pymoo_parts import make_nsga2, population_of
from hqsearch.strategies.scoring import scores_of, scoring_tasks
from hqsearch.surrogate import Scores
from hqsearch.wording import setting

#: Strategies whose front an evolution starts from.
INHERITED = ("gumbel", "sensitivity")
#: Origins in the log: of the surrogate's candidates, place and size of the batch; and pymoo's.
ASSISTED = re.compile(r"assisted (\d+)/(\d+)")
BRED = "bred"
#: And of what the scores' integer program has solved, before its limits.
SOLVED = "solved"
#: Draws per missing individual before the space counts as exhausted.
ATTEMPTS = 100


class Nsga2Options(StrategyOptions):
    """``[strategy.nsga2]``."""

    BEFORE: ClassVar[Mapping[str, Any]] = {"solved": 0, "drawn": 0, "errors": "additive"}
    CHANGED: ClassVar[Mapping[str, Any]] = {"prior": False}

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
    assist: bool = True
    """Choose what to train with a surrogate of the measured objectives; see ``assisted``."""
    batch: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Candidates of an assisted generation, a third of a population by default; the first one,
    which a surrogate knows nothing of yet, is of two batches."""
    prior: bool | None = None
    """Score every layer and choice without training first, for the surrogate: where the evaluator
    can, by default. How much the scores weigh is learned."""
    solved: Annotated[int, Field(ge=0, le=1000)] = 1
    """Best assignments by the scores alone, spread over the front, that are trained first."""
    drawn: Annotated[int, Field(ge=0, le=1000)] = 1
    """Random ones that are trained first beside what is solved or was found by others."""
    errors: Literal["factors", "additive"] = "factors"
    """How scores are taken to err: by factors, or as one more term of the additive model."""
    history: bool = True
    """Start from what gumbel and sensitivity found in the study's earlier runs, and let the
    surrogate learn from all of them."""

    @model_validator(mode="after")
    def _used(self) -> Nsga2Options:
        if self.batch is not None and (not self.assist or self.mode == "steady"):
            raise ValueError("batch has no effect with assist = false or mode = 'steady'")
        if self.prior and not self.assist:
            raise ValueError("prior has no effect with assist = false")
        return self


@dataclass
class _Deferred:
    """A batch that replay takes from the log, and what it takes to think of its rest."""

    results: int
    """Of this run, known when the batch was chosen; the first ones."""
    seen: int
    flying: tuple[Candidate, ...]
    count: int
    generator: np.random.Generator
    size: int
    taken: int = 1


class Nsga2(Strategy):
    """Proposes a generation when every result of the last one is in; with ``mode = "steady"``
    an offspring at every call. See the module's docstring."""

    name: ClassVar[str] = "nsga2"
    Options: ClassVar[type[StrategyOptions]] = Nsga2Options

    def __init__(self, problem: Problem, options: Any, seed: int) -> None:
        super().__init__(problem, options, seed)
        self._seen: dict[Candidate, None] = dict.fromkeys(problem.baselines)
        self._generation = 0
        self._queue: deque[Candidate] = deque()
        self._awaited = 0
        self._results: list[Result] = []
        self._started = False
        self._exhausted = False
        self._populated = False
        self._proposals = 0
        self._observations = 0
        self._history = problem.history if options.history else ()
        self._measured: list[Result] = []
        self._flying: dict[Candidate, None] = dict.fromkeys(problem.baselines)
        self._assistant: Assistant | None = None
        self._origins: dict[Candidate, str] = {}
        self._promises: dict[Candidate, float] = {}
        self._recorded: tuple[Candidate, str] | None = None
        self._deferred: _Deferred | None = None
        scored = options.assist and options.prior is not False and SCORES in problem.tasks
        self._scoring = deque(scoring_tasks(problem.space) if scored else [])
        self._passes = self._unscored = len(self._scoring)
        self._solves = scored and options.solved > 0 and problem.tables.additive
        self._scores: dict[str, Scores] = {}
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
        self._batch = options.batch or max(options.population // 3, 1)
        self._first = options.population
        if options.assist:
            # Fewer random ones, measured to be worth it: the surrogate makes more of the rest.
            self._first = min(2 * self._batch, options.population)

    @classmethod
    def check(cls, options: Any, metrics: Sequence[str], tasks: frozenset[str]) -> None:
        if options.prior and SCORES not in tasks:
            raise InputError(
                "strategy.nsga2.prior needs an evaluator that scores layers, and this one does not"
            )

    @classmethod
    def aims(cls, options: Any) -> bool:
        return bool(options.assist)

    @property
    def planned_tasks(self) -> int:
        return self._passes

    @property
    def cohort(self) -> int | None:
        return None if self.options.mode == "generational" else int(self.options.population)

    @property
    def batch(self) -> int:
        return int(self.options.population)

    def notes(self) -> list[str]:
        notes = many_objectives(self.problem)
        if self.options.mode == "steady":
            notes.append(
                "steady state favours candidates that evaluate fast, and with several workers "
                "the order of results decides what is proposed"
            )
        inherited = self._inherited()
        for name in INHERITED:
            count = sum(strategy == name for strategy in inherited.values())
            if count:
                notes.append(f"starts from {count} candidates that {name} found")
        imported = sum(strategy == "import" for strategy in inherited.values())
        if imported:
            notes.append(f"starts from {imported} candidates that were imported")
        return notes

    def notes_for(self, workers: int) -> list[str]:
        name = "batch" if self.options.assist else "population"
        at_once = self._batch if self.options.assist else self.options.population
        if self.options.mode == "steady" or workers <= at_once:
            return []
        return [
            f"nsga2 trains {at_once} candidates at a time, and {workers} workers are there: a run "
            f"with {setting(f'strategy.nsga2.{name}', workers)} keeps them busy after its first "
            "generation, one with mode=steady always"
        ]

    def next(self) -> Candidate | StrategyTask | Signal:
        if self._scoring:
            self._awaited += 1
            return self._scoring.popleft()
        if self._deferred is not None:
            self._think()
        if not self._started:
            self._start()
        if self._solves and not self._unscored:
            self._solve()
        if not self._queue and not self._exhausted:
            if self.options.mode == "steady":
                self._breed()
            elif self._generation_is_complete:
                self._advance()
        if self._queue:
            return self._take()
        if self._exhausted and self._generation_is_complete:
            return Signal.DONE
        return Signal.WAIT

    def next_recorded(self, candidate: Candidate, origin: str) -> Candidate | StrategyTask | Signal:
        place, batch = ASSISTED.fullmatch(origin), self._deferred
        if place and batch and (int(place[1]), int(place[2])) == (batch.taken + 1, batch.size):
            batch.taken += 1
            if batch.taken == batch.size:
                self._deferred = None
            self._enqueue([candidate], origin)
            return self._take()
        self._recorded = candidate, origin
        try:
            return self.next()
        finally:
            self._recorded = None

    def overruled(self, proposed: Candidate | StrategyTask | Signal, recorded: Candidate) -> None:
        if isinstance(proposed, Signal):
            self._awaited += 1  # otherwise it stands for the one that was proposed
        elif isinstance(proposed, Candidate):
            self._flying.pop(proposed, None)
        if recorded in self._queue:
            self._queue.remove(recorded)
        self._flying[recorded] = None
        self._seen[recorded] = None

    def origin(self, candidate: Candidate) -> str:
        return self._origins.pop(candidate, "")

    def promise(self, candidate: Candidate) -> float | None:
        """By the surrogate, of a batch that it has chosen; in steady state there are none."""
        return self._promises.pop(candidate, None)

    def _take(self) -> Candidate:
        self._awaited += 1
        self._proposals += 1
        candidate = self._queue.popleft()
        self._flying[candidate] = None
        return candidate

    def _enqueue(self, candidates: Sequence[Candidate], *origins: str) -> None:
        self._seen.update(dict.fromkeys(candidates))
        self._queue.extend(candidates)
        self._origins.update(zip(candidates, origins, strict=False))

    def observe(self, result: Result) -> None:
        self._seen[result.candidate] = None
        self._results.append(result)
        self._measured.append(result)
        self._flying.pop(result.candidate, None)
        self._observations += 1
        if result.kind == "baseline":
            self._baselines_awaited -= 1
        else:
            self._awaited -= 1
        if self.options.mode == "steady":
            self._absorb()

    def observe_task(self, result: TaskResult) -> None:
        self._awaited -= 1
        self._unscored -= 1
        self._scores |= scores_of(result, self.problem.space)

    def _assisted(self, count: int, generator: np.random.Generator) -> bool:
        """Queue what the surrogate promises most of; False where it knows nothing."""
        if not self.options.assist:
            return False
        if self._assistant is None:
            factors = self.options.errors == "factors"
            self._assistant = Assistant(self.problem, self._scores, factors)
        results = [*self._history, *self._measured]
        candidate, origin = self._recorded or (None, "")
        place = ASSISTED.fullmatch(origin)
        if candidate is not None and place and place[1] == "1":
            self._assistant.skip(results)
            size, known = int(place[2]), (len(self._measured), len(self._seen))
            if size > 1:
                self._deferred = _Deferred(*known, tuple(self._flying), count, generator, size)
            self._enqueue([candidate], origin)
            return True
        if origin == BRED:
            self._assistant.skip(results)
            return False
        chosen = self._assistant.propose(results, self._flying, self._seen, count, generator)
        places = [f"assisted {k}/{len(chosen)}" for k in range(1, len(chosen) + 1)]
        self._enqueue(chosen, *places)
        promise = self._assistant.promise
        if promise is not None and self.options.mode != "steady":
            self._promises[chosen[0]] = promise
        return bool(chosen)

    def _think(self) -> None:
        """Choose the rest of a batch that the log holds the beginning of."""
        batch, self._deferred = self._deferred, None
        assert batch is not None
        assert self._assistant is not None
        chosen = self._assistant.propose(
            [*self._history, *self._measured[: batch.results]],
            batch.flying,
            list(self._seen)[: batch.seen],
            batch.count,
            batch.generator,
        )
        rest = [c for c in chosen[batch.taken :] if c not in self._seen]
        places = range(batch.taken + 1, batch.size + 1)
        self._enqueue(rest, *(f"assisted {k}/{batch.size}" for k in places))

    @property
    def _generation_is_complete(self) -> bool:
        return self._awaited == 0 and self._baselines_awaited <= 0

    def _start(self) -> None:
        """Draw generation 0: it fills up what the feasible baselines leave of its size."""
        self._started = True
        generator = self.generator(0, 0)
        estimates = self.problem.cheap(self.problem.baselines) if self.problem.baselines else None
        joining = 0
        if estimates is not None:
            joining = int((self.problem.budgets.violations(estimates) <= 0).sum())
        inherited = [c for c in self._inherited() if c not in self._seen]
        self._enqueue(inherited)
        self._solves = self._solves and not inherited
        wanted = max(self._first - joining - len(inherited), 0 if inherited else 2)
        if self._solves:
            # What the scores say is worth more than random ones.
            wanted = self.options.drawn
        elif inherited:
            wanted = max(wanted, self.options.drawn)
        for _ in range(wanted):
            self._enqueue_unseen(generator)

    def _solve(self) -> None:
        """Queue what is best by the scores alone; random ones where the passes failed."""
        self._solves = False
        found = best_by_scores(self.problem, self._scores, self._seen, self.options.solved)
        self._enqueue(list(found), *(f"{SOLVED} {label}" for label in found.values()))
        generator = self.generator(0, 5)
        for _ in range(0 if self._scores else self.options.solved):
            self._enqueue_unseen(generator)

    def _inherited(self) -> dict[Candidate, str]:
        return inherited(self.problem, self._history, INHERITED, self.options.population)

    def _enqueue_unseen(self, generator: np.random.Generator) -> None:
        """Queue a random candidate that is new, if one is found."""
        for _ in range(ATTEMPTS):
            candidate = drawn(self.problem.space, self.options.initial, generator)
            candidate = self.problem.budgets.repair(candidate, generator)
            if candidate not in self._seen:
                self._enqueue([candidate])
                return

    def _advance(self) -> None:
        """Tell pymoo the generation that is complete; ask for the next one."""
        # In the order of proposal, whatever order the workers finished in.
        self._results.sort(key=lambda r: r.slot)
        self._tell(self.generator(self._generation, 1))
        self._generation += 1
        self._measured.sort(key=lambda r: r.slot)
        if not self._assisted(self._batch, self.generator(self._generation, 4)):
            self._ask(self.generator(self._generation, 0))

    def _absorb(self) -> None:
        """Steady state: tell pymoo the first ones at once, then every single result."""
        self._results = [r for r in self._results if self._joins(r)]
        needed = 1 if self._populated else self._first
        if len(self._results) >= needed:
            self._tell(self.generator(self._observations, 3))

    def _breed(self) -> None:
        """Steady state: one offspring, or a random candidate while there are no parents yet."""
        generator = self.generator(self._proposals, 2)
        if self._populated:
            if self._assisted(1, self.generator(self._proposals, 4)):
                return
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
        untrained = np.array([self.problem.untrained(r) for r in results])
        costs = self.problem.costs(results)
        self._algorithm.random_state = generator
        self._algorithm.tell(infills=population_of(codes, costs, violation, untrained))
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
        bred = self.problem.space.decode(np.array([i.X for i in offspring], dtype=int))
        self._enqueue(bred, *([BRED] * len(bred) if self.options.assist else []))

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
