"""The choice of one batch: a pool of ideas, then greedy picks by expected hypervolume gain.

NSGA-II runs on known costs and predicted ones; from everything that it and the additive part of
the model come up with, a batch is taken greedily, each pick improved by single changes and then
believed (Kriging believer; Ginsbourger et al. 2010), so that the next one looks elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hqsearch.problem.additive import AdditiveTables, neighbours
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.pareto import hypervolume
from hqsearch.strategies.base import Problem
from hqsearch.strategies.nsga2.pymoo_parts import make_nsga2, population_of
from hqsearch.surrogate import CellFront, Model, expected_improvement

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: Share of the posterior's deviation that the expected gain uses. All of it explores the large
#: volume near the dearest candidates, where next to nothing is to be gained.
BOLDNESS = 0.3
#: The same of a model that scores give its shape: what it is unsure of is mostly not worth a look.
SCORED_BOLDNESS = 0.1
#: The virtual evolution: where costs are sums over dimensions, scalarizations and single changes
#: were measured to find as much without it.
POPULATION, GENERATIONS = 60, 20
#: Scalarizations of the additive part, and draws from the posterior that they are applied to.
WEIGHTS, DRAWS = 150, 4
#: Structural parts share the scalarizations; each has this many at least.
LEAST_WEIGHTS = 30
#: Single changes in a row that a pick is improved by, at most.
STEPS = 12
#: Of the pool, whose gains are looked at again at a time.
LOOK = 64


class Known(Protocol):
    """The other costs ``[n, m - 1]`` of value indices ``[n, n_dimensions]``."""

    def __call__(self, codes: Codes, bend: float | None = None) -> Floats: ...


@dataclass
class Columns:
    """Predicted costs: the uncertain objective with its posterior, and the others' means.

    Where costs bend (a memory that codes may exceed), ``known`` takes the part of the bend's price
    that a straight line in its place has (:meth:`hqsearch.problem.overflow.Overflow.amount`).
    """

    main: int
    sign: float
    model: Model
    known: Known
    bends: bool = False
    boldness: float = BOLDNESS


class Batch:
    """See the module's docstring.

    Args:
        problem: whose costs are known.
        costs: its cheap metrics.
        columns: predicted costs; its model is replaced as picks are believed.
        measured: what the front is made of.
        taken: what must not be proposed (again).
        generator: the only source of randomness.
    """

    def __init__(
        self,
        problem: Problem,
        costs: AdditiveTables,
        columns: Columns,
        measured: Codes,
        taken: Iterable[Candidate],
        generator: np.random.Generator,
    ) -> None:
        self.problem, self.metrics = problem, costs.metrics
        self.additive = costs.additive
        self.columns, self.generator = columns, generator
        self.cardinalities = self.problem.space.cardinalities
        self.taken = {c.tobytes() for c in self.problem.space.encode(taken)}
        self.front_codes = measured
        self._front: CellFront | None = None
        main, known = self._costs(measured)
        self.reference = self._reference(main, known)
        self.volume = hypervolume(np.column_stack([main, self._scaled(known)]), self.reference)
        self.promise = 0.0
        """Expected gain of all that was chosen, as a share of the front's hypervolume."""

    def choose(self, count: int) -> list[Candidate]:
        pool = self._pool()
        gains = np.full(len(pool), np.inf)
        chosen: list[Codes] = []
        while len(chosen) < count and len(pool):
            place = self._best(pool, gains)
            if not gains[place] > 0:
                break
            best, gain = self._improve(pool[place], float(gains[place]))
            self.promise += gain / max(self.volume, 1e-300)
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
        far as needed: a front that has grown and deviations that have shrunk leave less to gain.
        (Means move a little, too: stale gains were seen to rise by a hundred thousandth of the
        largest one, and the picks to be the same as without this.)
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
        costs = np.column_stack([main, self._scaled(known)])
        worst, best = costs.max(axis=0), costs.min(axis=0)
        return np.asarray(worst + 0.1 * (worst - best) + 1e-12)

    def _scaled(self, known: Floats) -> Floats:
        """The other costs on a scale on which gains count, stretched where they count most."""
        scaled = _evened(known)
        names = [o.name for i, o in enumerate(self.problem.objectives) if i != self.columns.main]
        for own in self.problem.interest:
            place = names.index(own.metric)
            ends = _evened(np.array([[own.low], [own.high]]))[:, 0]
            scaled[:, place] = own.stretched(scaled[:, place], *ends)
        return scaled

    def _gain(self, codes: Codes) -> Floats:
        if self._front is None:
            main, known = self._costs(self.front_codes)
            self._front = CellFront.of(main, self._scaled(known), self.reference)
        mean, deviation = self.columns.model.predict(codes)
        return expected_improvement(
            self._front,
            self.columns.sign * mean,
            self.columns.boldness * deviation,
            self._scaled(self.columns.known(codes)),
            self.reference,
        )

    def _improve(self, code: Codes, gain: float) -> tuple[Codes, float]:
        """Climb by single changes while the expected gain rises; the code, and its gain."""
        for _ in range(STEPS):
            around = self._allowed(neighbours(code, self.cardinalities))
            if not len(around):
                break
            gains = self._gain(around)
            if gains.max() <= gain:
                break
            code, gain = around[int(gains.argmax())], float(gains.max())
        return code, gain

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
        bases = self._in_every_part(self.front_codes[int(main.argmin())])
        range_of_main = max(np.ptp(main), 1e-12)
        weights = max(WEIGHTS // len(bases), LEAST_WEIGHTS)
        found = [self._scalarized_around(base, range_of_main, weights) for base in bases]
        return np.unique(np.vstack(found), axis=0)

    def _in_every_part(self, code: Codes) -> Codes:
        """A code with the structure of every structural part ``[n_parts, n_dimensions]``."""
        places = list(self.problem.space.structural)
        codes = np.repeat(code[None], len(self.problem.space.parts), axis=0)
        grid = np.indices(tuple(self.cardinalities[places]))
        codes[:, places] = grid.reshape(len(places), len(codes)).T
        return codes

    def _scalarized_around(self, base: Codes, range_of_main: float, count: int) -> Codes:
        """Of the base's structural part, for ``count`` weights per draw; may repeat some."""
        among = self.problem.space.weighted
        probes = np.vstack([base[None], neighbours(base, self.cardinalities, among)])
        mean, spread = self.columns.model.draw(probes, DRAWS, self.generator)
        drawn = self.columns.sign * np.vstack([mean[None], spread])
        costs = self.columns.known(probes)
        scale = np.maximum(np.ptp(costs, axis=0), 1e-12)
        bent = None
        if self.columns.bends:
            # Below the capacity another bit costs less than beyond it, and where the network just
            # fits anything in between: single changes of a straight line each.
            costs = self.columns.known(probes, 0.0)
            bent = self.columns.known(probes, 1.0) - costs
        found = []
        for own in drawn:
            weights = 10.0 ** self.generator.uniform(-2.5, 1.5, (count, costs.shape[1]))
            change = (own - own[0])[None] / range_of_main + weights @ ((costs - costs[0]) / scale).T
            if bent is not None:
                bends = np.clip(self.generator.uniform(-0.5, 1.5, (count, 1)), 0.0, 1.0)
                change += (bends * weights) @ ((bent - bent[0]) / scale).T
            found.append(self._assemble(base, change))
        return np.vstack(found)

    def _assemble(self, base: Codes, change: Floats) -> Codes:
        """Per weight, the best value of every dimension of weights by itself."""
        codes = np.repeat(base[None], len(change), axis=0)
        start = 1
        for dimension in self.problem.space.weighted:
            others = np.delete(np.arange(self.cardinalities[dimension]), base[dimension])
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
