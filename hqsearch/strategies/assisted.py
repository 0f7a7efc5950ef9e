"""What an evolution does with a surrogate: many virtual generations, few real trainings.

Energy and storage of a candidate are known before it is trained; only accuracy (and whatever
else is measured) needs a model, fitted to the log (:mod:`hqsearch.surrogate`). NSGA-II runs on
known costs and predicted ones; from everything that it and the additive part of the model come
up with, a batch is taken greedily by expected hypervolume gain, each pick improved by single
changes and then believed (Kriging believer; Ginsbourger et al. 2010), so that the next one looks
elsewhere. Everything is a function of (problem, seed, results so far).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from hqsearch.candidate import Candidate
from hqsearch.strategies.base import Problem, Result
from hqsearch.strategies.cost_tables import CostTables, neighbours
from hqsearch.strategies.pymoo_parts import make_nsga2, population_of
from hqsearch.surrogate import (
    Design,
    Front,
    Posterior,
    Scores,
    Settings,
    expected_improvement,
    fit,
)

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: Completed evaluations before a surrogate is asked.
LEAST = 5
#: A surrogate knows something when its skill exceeds this over the root of the number of
#: evaluations: what nine of ten get by chance where there is nothing to know stays below.
CHANCE = 1.5
#: The prior is chosen anew when there are this many times as many measurements.
REFIT = 1.15
#: Share of the posterior's deviation that the expected gain uses. All of it explores the large
#: volume near the dearest candidates, where next to nothing is to be gained.
BOLDNESS = 0.3
#: Relative difference (logarithm) up to which a measured cost is the estimated one.
SAME = 1e-6
#: The virtual evolution: where costs are sums over dimensions, scalarizations and single changes
#: were measured to find as much without it.
POPULATION, GENERATIONS = 60, 20
#: Scalarizations of the additive part, and draws from the posterior that they are applied to.
WEIGHTS, DRAWS = 150, 4
#: Single changes in a row that a pick is improved by, at most.
STEPS = 12
#: Of the pool, whose gains are looked at again at a time.
LOOK = 64


@dataclass
class _Columns:
    """Predicted costs: the uncertain objective with its posterior, and the others' means."""

    main: int
    sign: float
    model: Posterior
    known: Callable[[Codes], Floats]


class Assistant:
    """Fits surrogates to results and proposes the batch that promises most."""

    def __init__(self, problem: Problem, scores: Scores | None = None) -> None:
        self.problem = problem
        self._plain = Design(problem.space)
        self._design = Design(problem.space, scores)
        names = [o.name for o in problem.objectives]
        dear = [i for i, name in enumerate(names) if name not in problem.metrics]
        self._main = dear[0] if dear else 0
        self._blas = ThreadpoolController()
        self.costs = CostTables(problem)
        self._fitted_at = 0
        self._settings: dict[int, Settings] = {}

    def propose(
        self,
        results: Sequence[Result],
        pending: Iterable[Candidate],
        taken: Iterable[Candidate],
        count: int,
        generator: np.random.Generator,
    ) -> list[Candidate]:
        """Up to ``count`` new candidates, the most promising first; none where it knows nothing.

        Args:
            results: everything measured so far, in an order that replay repeats.
            pending: proposed, not yet measured.
            taken: what must not be proposed (again).
            count: how many are wanted.
            generator: the only source of randomness.
        """
        # Small matrices: threads that wait for each other cost more than they bring, and a
        # result that depends on how many there are could not be replayed elsewhere.
        with self._blas.limit(limits=1, user_api="blas"):
            return self._propose(results, list(pending), taken, count, generator)

    def skip(self, results: Sequence[Result]) -> None:
        """Take note of a call of :meth:`propose` that replay spares itself."""
        if len(results) < REFIT * self._fitted_at:
            return  # nor are there more candidates than results
        count = len(_measured(results))
        if count >= LEAST:
            self._age(count)

    def _propose(
        self,
        results: Sequence[Result],
        pending: list[Candidate],
        taken: Iterable[Candidate],
        count: int,
        generator: np.random.Generator,
    ) -> list[Candidate]:
        space = self.problem.space
        measured = _measured(results)
        if len(measured) < LEAST:
            return []
        self._age(len(measured))
        codes = space.encode(r.candidate for r in measured)
        columns = self._fit(measured, codes)
        if columns.model.skill() <= CHANCE / np.sqrt(len(measured)):
            return []
        if pending:
            waiting = space.encode(pending)
            columns.model = columns.model.believing(waiting)
            codes = np.vstack([codes, waiting])
        feasible = np.array([r.violation <= 0 for r in measured] + [True] * len(pending))
        if not feasible.any():
            return []  # nothing to improve on: plain NSGA-II finds the way into the budgets
        found = _Batch(self, columns, codes[feasible], taken, generator)
        return found.choose(count)

    def _fit(self, measured: Sequence[Result], codes: Codes) -> _Columns:
        """A posterior of the main objective, and what is known or predicted of the others."""
        values = np.array([r.values for r in measured])
        noise = np.array([np.nan if r.noise is None else r.noise for r in measured])
        estimates = self.costs.metrics(codes)
        model = self._model(self._main, codes, values[:, self._main], noise)
        predictors = []
        for column, objective in enumerate(self.problem.objectives):
            if column == self._main:
                continue
            sign = -1.0 if objective.direction == "max" else 1.0
            if objective.name in self.problem.metrics:
                place = self.problem.metrics.index(objective.name)
                predictors.append(self._corrected(column, place, codes, estimates, values, sign))
            else:
                other = self._model(column, codes, values[:, column])
                predictors.append(_times(sign, other))

        def known(asked: Codes) -> Floats:
            cheap = self.costs.metrics(asked)
            return np.column_stack([p(asked, cheap) for p in predictors])

        sign = -1.0 if self.problem.objectives[self._main].direction == "max" else 1.0
        return _Columns(self._main, sign, model, known)

    def _model(
        self, column: int, codes: Codes, values: Floats, errors: Floats | None = None
    ) -> Posterior:
        """A posterior; its prior is chosen anew whenever there are so much more data."""
        design = self._design if column == self._main else self._plain
        if column not in self._settings:
            # Of the data there were then, which are the first ones now.
            first = slice(self._fitted_at)
            known = None if errors is None else errors[first]
            self._settings[column] = fit(design, codes[first], values[first], known).settings
        return fit(design, codes, values, errors, self._settings[column])

    def _age(self, count: int) -> None:
        """Forget the priors where there are so much more data than they were chosen for."""
        if count >= REFIT * self._fitted_at:
            self._fitted_at = count
            self._settings.clear()

    def _corrected(
        self,
        column: int,
        place: int,
        codes: Codes,
        estimates: Floats,
        values: Floats,
        sign: float,
    ) -> Callable[[Codes, Floats], Floats]:
        """A cheap column, times what measurements were found to differ from it."""
        own, measured = estimates[:, place], values[:, column]
        ratio = np.zeros(len(own))
        if ((own > 0) & (measured > 0)).all():
            ratio = np.log(measured / own)
        if np.abs(ratio).max() < SAME:
            return lambda _, cheap: sign * cheap[:, place]
        model = self._model(column, codes, ratio)
        return lambda asked, cheap: sign * cheap[:, place] * np.exp(model.mean(asked))


def _measured(results: Iterable[Result]) -> list[Result]:
    """The first result with values of every candidate."""
    first: dict[Candidate, Result] = {}
    for result in results:
        if result.values is not None and result.kind != "replicate":
            first.setdefault(result.candidate, result)
    return list(first.values())


def _times(sign: float, model: Posterior) -> Callable[[Codes, Floats], Floats]:
    return lambda asked, _: sign * model.mean(asked)


class _Batch:
    """The choice of one batch: a pool of ideas, then greedy picks."""

    def __init__(
        self,
        assistant: Assistant,
        columns: _Columns,
        measured: Codes,
        taken: Iterable[Candidate],
        generator: np.random.Generator,
    ) -> None:
        self.problem, self.metrics = assistant.problem, assistant.costs.metrics
        self.additive = assistant.costs.additive
        self.columns, self.generator = columns, generator
        self.cardinalities = self.problem.space.cardinalities
        self.taken = {c.tobytes() for c in self.problem.space.encode(taken)}
        self.front_codes = measured
        self._front: Front | None = None
        main, known = self._costs(measured)
        self.reference = self._reference(main, known)

    def choose(self, count: int) -> list[Candidate]:
        pool = self._pool()
        gains = np.full(len(pool), np.inf)
        chosen: list[Codes] = []
        while len(chosen) < count and len(pool):
            place = self._best(pool, gains)
            if not gains[place] > 0:
                break
            best = self._improve(pool[place], float(gains[place]))
            chosen.append(best)
            self.taken.add(best.tobytes())
            left = (pool != best).any(axis=1)
            pool, gains = pool[left], gains[left]
            self.columns.model = self.columns.model.believing(best[None])
            self.front_codes = np.vstack([self.front_codes, best[None]])
            self._front = None
        return self.problem.space.decode(np.array(chosen)) if chosen else []

    def _best(self, pool: Codes, gains: Floats) -> int:
        """Where the pool's largest expected gain is.

        ``gains`` are those before the last pick was believed, and are brought up to date only as
        far as needed: a front that has grown and deviations that have shrunk leave less to gain,
        so they are upper bounds.
        """
        order = np.argsort(-gains, kind="stable")
        best = -np.inf
        for start in range(0, len(order), LOOK):
            if best >= gains[order[start]]:
                break
            some = order[start : start + LOOK] if np.isfinite(gains).any() else order
            gains[some] = self._gain(pool[some])
            best = max(best, float(gains[some].max()))
        return int(gains.argmax())

    def _costs(self, codes: Codes) -> tuple[Floats, Floats]:
        """Mean of the main cost ``[n]``, and the other costs ``[n, m - 1]``."""
        return self.columns.sign * self.columns.model.mean(codes), self.columns.known(codes)

    def _reference(self, main: Floats, known: Floats) -> Floats:
        costs = np.column_stack([main, _evened(known)])
        worst, best = costs.max(axis=0), costs.min(axis=0)
        return np.asarray(worst + 0.1 * (worst - best) + 1e-12)

    def _gain(self, codes: Codes) -> Floats:
        if self._front is None:
            main, known = self._costs(self.front_codes)
            self._front = Front.of(main, _evened(known), self.reference)
        mean, deviation = self.columns.model.predict(codes)
        return expected_improvement(
            self._front,
            self.columns.sign * mean,
            BOLDNESS * deviation,
            _evened(self.columns.known(codes)),
            self.reference,
        )

    def _improve(self, code: Codes, gain: float) -> Codes:
        """Climb by single changes while the expected gain rises."""
        for _ in range(STEPS):
            around = self._allowed(neighbours(code, self.cardinalities))
            if not len(around):
                break
            gains = self._gain(around)
            if gains.max() <= gain:
                break
            code, gain = around[int(gains.argmax())], float(gains.max())
        return code

    def _allowed(self, codes: Codes) -> Codes:
        """Those that are new and within the budgets."""
        within = self.problem.budgets.violations(self.metrics(codes)) <= 0
        new = np.array([c.tobytes() not in self.taken for c in codes], dtype=np.bool_)
        return codes[within & new]

    def _pool(self) -> Codes:
        seeds = self._scalarized()
        if not self.additive:
            bred = self._evolve(np.unique(np.vstack([seeds, self.front_codes]), axis=0))
            seeds = np.unique(np.vstack([seeds, bred]), axis=0)
        return self._allowed(seeds)

    def _scalarized(self) -> Codes:
        """Best assignments of the additive part, for many weights of the objectives."""
        main, _ = self._costs(self.front_codes)
        base = self.front_codes[int(main.argmin())]
        probes = np.vstack([base[None], neighbours(base, self.cardinalities)])
        mean, spread = self.columns.model.draw(probes, DRAWS, self.generator)
        drawn = self.columns.sign * np.vstack([mean[None], spread])
        costs = self.columns.known(probes)
        scale = np.maximum(np.ptp(costs, axis=0), 1e-12)
        found = []
        for own in drawn:
            weights = 10.0 ** self.generator.uniform(-2.5, 1.5, (WEIGHTS, costs.shape[1]))
            change = (own - own[0])[None] / max(np.ptp(main), 1e-12) + weights @ (
                (costs - costs[0]) / scale
            ).T
            found.append(self._assemble(base, change))
        return np.unique(np.vstack(found), axis=0)

    def _assemble(self, base: Codes, change: Floats) -> Codes:
        """Per weight, the best value of every dimension by itself."""
        codes = np.repeat(base[None], len(change), axis=0)
        start = 1
        for dimension, cardinality in enumerate(self.cardinalities):
            others = np.array([v for v in range(cardinality) if v != base[dimension]])
            own = change[:, start : start + len(others)]
            start += len(others)
            if len(others):
                best = own.argmin(axis=1)
                better = own.min(axis=1) < 0
                codes[better, dimension] = others[best[better]]
        return codes

    def _evolve(self, seeds: Codes) -> Codes:
        """Everything in the last of the virtual generations."""
        algorithm = make_nsga2(
            self.cardinalities,
            len(self.problem.objectives),
            POPULATION,
            0.9,
            None,
            lambda codes, _: codes,
            lambda codes: [True] * len(codes),
            offspring=POPULATION,
        )
        algorithm.random_state = self.generator
        codes = seeds
        for _ in range(GENERATIONS):
            main, known = self._costs(codes)
            violation = self.problem.budgets.violations(self.metrics(codes))
            algorithm.tell(population_of(codes, np.column_stack([main, known]), violation))
            offspring = algorithm.ask()
            if offspring is None or len(offspring) == 0:
                break
            codes = np.array([i.X for i in offspring], dtype=np.int64)
        return np.array([i.X for i in algorithm.pop], dtype=np.int64)


def _evened(known: Floats) -> Floats:
    """Costs on a scale on which gains count: the square root of what cannot be negative.

    Linear costs spend most on the dearest quarter of the front, logarithms most on the cheapest;
    in between, both a near and a far reference point were measured to be served.
    """
    return np.where((known >= 0).all(axis=0), np.sqrt(np.maximum(known, 0.0)), known)
