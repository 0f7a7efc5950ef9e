"""Peers of hqsearch's strategies, for ``race.py``; ``pip install -e '.[race]'`` brings BoTorch.

Each is told what its interface can take. Both here know the exact costs, the uniform baselines and
the scores of one pass without training; Optuna's samplers, which are strategies of hqsearch, have
no place for known costs or for scores.
"""

from __future__ import annotations

import warnings
from collections import deque
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hqsearch.problem.additive import neighbours
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.pareto import non_dominated
from hqsearch.schemes.choice import FP32
from hqsearch.strategies import Problem, Result, Signal, Strategy, StrategyTask, TaskResult
from hqsearch.strategies.additive_program import best_by_scores, van_der_corput
from hqsearch.strategies.scoring import scores_of, scoring_tasks
from hqsearch.surrogate import Scores

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: Of the acquisition function: samples (of one uncertain objective), random candidates, members
#: of the front whose neighbours are looked at, starts of the climb, and its steps.
SAMPLES, POOL, LOOKED, STARTS, STEPS = 32, 200, 4, 2, 12


class Scored(Strategy):
    """Asks for the scores first; baselines are evaluated before."""

    def __init__(self, problem: Problem, options: Any, seed: int) -> None:
        super().__init__(problem, options, seed)
        self._tasks = deque(scoring_tasks(problem.space) if self.scored else [])
        self._scores: dict[str, Scores] = {}
        self._results: list[Result] = []
        self._seen = set(problem.baselines)

    scored: ClassVar[bool] = True

    def next(self) -> Candidate | StrategyTask | Signal:
        if self._tasks:
            return self._tasks.popleft()
        found = self.propose()
        if isinstance(found, Candidate):
            self._seen.add(found)
        return found

    def propose(self) -> Candidate | Signal:
        raise NotImplementedError

    def observe(self, result: Result) -> None:
        self._results.append(result)

    def observe_task(self, result: TaskResult) -> None:
        self._scores |= scores_of(result, self.problem.space)


class HawqRanking(Scored):
    """Layers ranked by their score at the fewest bits, as HAWQ ranks them by their curvature (Dong
    et al. 2019): the most sensitive ones get the next width, for as many layers as the van der
    Corput sequence says; uniform codes alone, in which HAWQ chooses widths."""

    name: ClassVar[str] = "hawq-ranking"

    def __init__(self, problem: Problem, options: Any, seed: int) -> None:
        super().__init__(problem, options, seed)
        self._index = 0

    def propose(self) -> Candidate | Signal:
        space = self.problem.space
        (scores,) = self._scores.values()
        widths = [self._widths(d.values) for d in space.dimensions]
        ladder = max(len(w) for w in widths)
        count = len(widths)
        lowest = [own[w[0]] for own, w in zip(scores.increase, widths, strict=True)]
        order = np.argsort(-np.array(lowest), kind="stable")
        for _ in range(64 * count):
            self._index += 1
            place = int(van_der_corput(self._index, 2) * (ladder - 1) * count)
            rung, raised = divmod(place, count)
            code = np.array([w[min(rung, len(w) - 1)] for w in widths])
            for layer in order[:raised]:
                code[layer] = widths[layer][min(rung + 1, len(widths[layer]) - 1)]
            candidate = space.decode(code)[0]
            if candidate not in self._seen:
                return candidate
        return Signal.DONE

    def _widths(self, values: tuple[str, ...]) -> list[int]:
        """Places of the uniform codes, fewest bits first, and of fp32."""
        uniform = sorted((int(v[:-1]), i) for i, v in enumerate(values) if v.endswith("u"))
        places = [i for _, i in uniform]
        return places + ([values.index(FP32)] if FP32 in values else [])


class Botorch(Scored):
    """A Gaussian process of accuracy and the exact costs, with qLogEHVI (Daulton et al. 2020; Ament
    et al. 2023), one candidate at a time.

    The first two are as in nsga2, an optimum of the scores and a random one. Of a candidate the
    process sees the root of every layer's score and their sum; costs count by their roots. The
    acquisition function is climbed by single changes from the best of a random pool and of the
    neighbours of the front.
    """

    name: ClassVar[str] = "botorch"

    def propose(self) -> Candidate | Signal:
        own = len(self._results) - len(self.problem.baselines)
        generator = self.generator(len(self._results))
        if own == 0 and self.scored:
            return next(iter(best_by_scores(self.problem, self._scores, self._seen, 1)))
        if own < 2:
            return self.problem.space.random(generator)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._best(generator)

    def _best(self, generator: np.random.Generator) -> Candidate:
        space = self.problem.space
        codes = space.encode(r.candidate for r in self._results)
        costs = self._costs(codes)
        accuracy = np.array([r.values[0] for r in self._results if r.values])
        taken = {c.tobytes() for c in space.encode(self._seen)}
        value = self._acquisition(codes, accuracy, costs)
        sizes = space.cardinalities
        random = generator.integers(0, sizes, (POOL, len(sizes)))
        front = np.flatnonzero(non_dominated(-np.column_stack([accuracy, costs])))
        around = [neighbours(codes[i], sizes) for i in generator.permutation(front)[:LOOKED]]
        pool = np.unique(np.vstack([random, *around]), axis=0)
        pool = pool[[c.tobytes() not in taken for c in pool]]
        values = value(pool)
        best, top = pool[0], -np.inf
        for start in np.argsort(-values, kind="stable")[:STARTS]:
            code, gain = pool[start], float(values[start])
            for _ in range(STEPS):
                near = neighbours(code, sizes)
                near = near[[c.tobytes() not in taken for c in near]]
                gains = value(near)
                if not len(gains) or gains.max() <= gain:
                    break
                code, gain = near[int(gains.argmax())], float(gains.max())
            if gain > top:
                best, top = code, gain
        return space.decode(best)[0]

    def _features(self, codes: Codes) -> Floats:
        """What the process sees ``[n, k]``."""
        if not self.scored:
            sizes = self.problem.space.cardinalities
            return np.hstack([np.eye(s)[c] for s, c in zip(sizes, codes.T, strict=True)])
        (scores,) = self._scores.values()
        roots = [np.sqrt(own / max(own.max(), 1e-300)) for own in scores.increase]
        summed = sum(own[c] for own, c in zip(scores.increase, codes.T, strict=True))
        top = sum(float(own.max()) for own in scores.increase)
        columns = [own[c] for own, c in zip(roots, codes.T, strict=True)]
        return np.column_stack([*columns, np.asarray(summed) / top])

    def _costs(self, codes: Codes) -> Floats:
        """Roots of the costs, negated: BoTorch maximizes ``[n, m - 1]``."""
        metrics = self.problem.tables.metrics(codes)
        names = [o.name for o in self.problem.objectives[1:]]
        return -np.sqrt(metrics[:, [self.problem.metrics.index(n) for n in names]])

    def _acquisition(self, codes: Codes, accuracy: Floats, costs: Floats) -> Any:
        import torch
        from botorch.acquisition.multi_objective import logei
        from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import SingleTaskGP
        from botorch.models.transforms import Standardize
        from botorch.models.transforms.input import FilterFeatures
        from botorch.sampling import SobolQMCNormalSampler
        from botorch.utils.multi_objective.box_decompositions import (
            FastNondominatedPartitioning,
        )
        from gpytorch.mlls import ExactMarginalLogLikelihood

        # Else it compiles C++ for this processor at the first use, where a compiler is found.
        logei._load_attempted = True
        torch.manual_seed(self.seed * 1000 + len(codes))
        scale = np.ptp(costs, axis=0)
        known = (costs - costs.min(axis=0)) / scale

        def inputs(some: Codes) -> Any:
            return torch.as_tensor(
                np.hstack([self._features(some), (self._costs(some) - costs.min(axis=0)) / scale])
            )

        width = self._features(codes[:1]).shape[1]
        features = inputs(codes)
        process = SingleTaskGP(
            features,
            torch.as_tensor(accuracy)[:, None],
            outcome_transform=Standardize(1),
            input_transform=FilterFeatures(torch.arange(width)),
        )
        fit_gpytorch_mll(ExactMarginalLogLikelihood(process.likelihood, process))
        with torch.no_grad():
            means = process.posterior(features).mean[:, 0]
        seen = torch.column_stack([means, torch.as_tensor(known)])
        low, high = seen.min(dim=0).values, seen.max(dim=0).values
        reference = low - 0.1 * (high - low)

        def with_costs(samples: Any, X: Any = None) -> Any:
            exact = X[..., width:]
            return torch.cat([samples, exact.expand(*samples.shape[:-1], -1)], dim=-1)

        function = logei.qLogExpectedHypervolumeImprovement(
            model=process,
            objective=GenericMCMultiOutputObjective(with_costs),
            ref_point=reference.tolist(),
            partitioning=FastNondominatedPartitioning(ref_point=reference, Y=seen),
            sampler=SobolQMCNormalSampler(torch.Size([SAMPLES]), seed=len(codes)),
        )

        def value(some: Codes) -> Floats:
            if not len(some):
                return np.empty(0)
            with torch.no_grad():
                parts = inputs(some)[:, None].split(256)
                return torch.cat([function(p) for p in parts]).numpy()

        return value


class BotorchUnscored(Botorch):
    """The same without scores: two random ones first, and the process sees every value of a
    dimension as a column of its own."""

    name: ClassVar[str] = "botorch-unscored"
    scored: ClassVar[bool] = False


#: By name, as ``race.py`` takes them beside hqsearch's own strategies.
PEERS: dict[str, type[Strategy]] = {p.name: p for p in (HawqRanking, Botorch, BotorchUnscored)}
