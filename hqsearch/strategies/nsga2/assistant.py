"""What an evolution does with a surrogate: many virtual generations, few real trainings.

Energy and storage of a candidate are known before it is trained; only accuracy (and whatever
else is measured) needs a model, fitted to the log (:mod:`hqsearch.surrogate`); how a batch is
chosen with it is in :mod:`hqsearch.strategies.nsga2.batch`. Everything is a function of
(problem, seed, results so far).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from hqsearch.problem.candidate import Candidate
from hqsearch.strategies.base import Problem, Result
from hqsearch.strategies.nsga2.batch import BOLDNESS, SCORED_BOLDNESS, Batch, Columns
from hqsearch.surrogate import (
    Design,
    Model,
    Posterior,
    ScoredPosterior,
    Scores,
    Settings,
    fit,
)

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: Completed evaluations before a surrogate is asked.
LEAST = 5
#: A surrogate knows something when its skill exceeds this over the root of the number of
#: evaluations: what nine of ten get by chance where there is nothing to know stays below.
CHANCE = 1.5
#: Up to here scores are trusted; from here on, only as long as they predict better than a model
#: that does not know them.
TRUSTED = 20
#: The prior is chosen anew when there are this many times as many measurements.
REFIT = 1.15
#: Relative difference (logarithm) up to which a measured cost is the estimated one.
SAME = 1e-6


class Assistant:
    """Fits surrogates to results and proposes the batch that promises most."""

    def __init__(
        self, problem: Problem, scores: Mapping[str, Scores] | None = None, factors: bool = True
    ) -> None:
        self.problem = problem
        self._plain = Design(problem.space)
        # Parts of a structure have scores of their own, which a linear model can put side by side.
        factors = factors and not problem.space.structural
        self._scores = dict(scores or {}) if factors else {}
        self._design = Design(problem.space, None if self._scores else scores)
        names = [o.name for o in problem.objectives]
        dear = [i for i, name in enumerate(names) if name not in problem.metrics]
        self._main = dear[0] if dear else 0
        self._blas = ThreadpoolController()
        self.costs = problem.tables
        self._fitted_at = 0
        self._settings: dict[int, Settings] = {}
        self.promise: float | None = None
        """What the batch proposed last is expected to add to the front's hypervolume, as a share
        of it; None where there was none."""

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
        self.promise = None
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
        columns, skill = self._fit(measured, codes)
        scored = isinstance(columns.model, ScoredPosterior)
        if skill <= CHANCE / np.sqrt(len(measured)) and not (scored and len(measured) < TRUSTED):
            return []
        if pending:
            waiting = space.encode(pending)
            columns.model = columns.model.believing(waiting)
            codes = np.vstack([codes, waiting])
        feasible = np.array([r.violation <= 0 for r in measured] + [True] * len(pending))
        if not feasible.any():
            return []  # nothing to improve on: plain NSGA-II finds the way into the budgets
        found = Batch(self.problem, self.costs, columns, codes[feasible], taken, generator)
        chosen = found.choose(count)
        self.promise = found.promise if chosen else None
        return chosen

    def _fit(self, measured: Sequence[Result], codes: Codes) -> tuple[Columns, float]:
        """A posterior of the main objective with its skill, and what is known or predicted of the
        others."""
        values = np.array([r.values for r in measured])
        noise = np.array([np.nan if r.noise is None else r.noise for r in measured])
        straight, top = self._estimates(codes)
        model, skill = self._best_model(codes, values[:, self._main], noise)
        predictors = []
        for column, objective in enumerate(self.problem.objectives):
            if column == self._main:
                continue
            sign = -1.0 if objective.direction == "max" else 1.0
            if objective.name in self.problem.metrics:
                place = self.problem.metrics.index(objective.name)
                # What does not fit into a memory depends on bits alone: it is known exactly.
                own, rest = straight[:, place], values[:, column] - top[:, place]
                predictors.append(self._corrected(column, place, codes, own, rest, sign))
            else:
                other = self._model(column, codes, values[:, column])
                predictors.append(_times(sign, other))

        def known(codes: Codes, bend: float | None = None) -> Floats:
            cheap, on_top = self._estimates(codes, bend)
            return np.column_stack([p(codes, cheap, on_top) for p in predictors])

        sign = -1.0 if self.problem.objectives[self._main].direction == "max" else 1.0
        boldness = SCORED_BOLDNESS if isinstance(model, ScoredPosterior) else BOLDNESS
        return Columns(self._main, sign, model, known, self.costs.bends, boldness), skill

    def _best_model(self, codes: Codes, values: Floats, noise: Floats) -> tuple[Model, float]:
        """By scores, or without them where those are seen to mislead; with its skill."""
        plain = self._model(self._main, codes, values, noise)
        skill = plain.skill()
        scores = self._scores.get("")
        if scores is None or not any(own.max() > 0 for own in scores.increase):
            return plain, skill
        sign = -1.0 if self.problem.objectives[self._main].direction == "max" else 1.0
        scored = ScoredPosterior.fit(self.problem.space, scores, codes, values, noise, sign)
        own = scored.skill()
        if len(values) >= TRUSTED and skill > own:
            return plain, skill
        return scored, own

    def _estimates(self, codes: Codes, bend: float | None = None) -> tuple[Floats, Floats]:
        """Cheap metrics as sums, and what comes on top; each ``[n, n_metrics]``."""
        metrics = self.costs.metrics(codes)
        if not self.costs.bends:
            return metrics, np.zeros_like(metrics)
        straight = self.costs.straightened(codes, 0.0)
        whole = metrics if bend is None else self.costs.straightened(codes, bend)
        return straight, whole - straight

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
        own: Floats,
        measured: Floats,
        sign: float,
    ) -> Callable[[Codes, Floats, Floats], Floats]:
        """A cheap column, times what measurements were found to differ from it, and its top."""
        ratio = np.zeros(len(own))
        if ((own > 0) & (measured > 0)).all():
            ratio = np.log(measured / own)
        if np.abs(ratio).max() < SAME:
            return lambda _, cheap, top: sign * (cheap[:, place] + top[:, place])
        model = self._model(column, codes, ratio)

        def corrected(asked: Codes, cheap: Floats, top: Floats) -> Floats:
            return sign * (cheap[:, place] * np.exp(model.mean(asked)) + top[:, place])

        return corrected


def _measured(results: Iterable[Result]) -> list[Result]:
    """The first result with values of every candidate."""
    first: dict[Candidate, Result] = {}
    for result in results:
        if result.values is not None and result.kind != "replicate":
            first.setdefault(result.candidate, result)
    return list(first.values())


def _times(sign: float, model: Posterior) -> Callable[[Codes, Floats, Floats], Floats]:
    return lambda asked, *_: sign * model.mean(asked)
