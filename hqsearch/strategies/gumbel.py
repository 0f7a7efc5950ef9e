"""The differentiable search after SpikeHQ (arXiv 2412.05505): one supernet per target.

Every target (a cost as a fraction of fp32, or a fixed weight β) is a supernet training that the
executor runs, several at a time, for every structural part that can reach it; the most probable
candidates of each are evaluated like all others. The strategy itself is thin: what a supernet is
stands in :mod:`hqsearch.supernet`, what it trains is the evaluator's. A reconstruction: the paper
publishes neither its loss nor its schedule, and it tunes β by hand where here a target is reached
directly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from hqsearch.errors import BudgetError, DefinitionError, UnknownName
from hqsearch.evaluator.tasks import SUPERNET, SupernetResult, SupernetTask
from hqsearch.problem.candidate import Candidate
from hqsearch.schemes.choice import FP32
from hqsearch.strategies.base import (
    Problem,
    Result,
    Signal,
    Strategy,
    StrategyOptions,
    StrategyTask,
    TaskResult,
)
from hqsearch.supernet.options import Positive, TrainingOptions

#: Digits of the targets that are made here: labels stay readable.
DIGITS = 3
#: Part of a budget from which on a target is the same as the budget.
NEAR = 0.99


class GumbelOptions(StrategyOptions, TrainingOptions):
    """``[strategy.gumbel]``; how a supernet is trained is in :class:`TrainingOptions`."""

    metric: str | None = None
    """The cost that ``targets`` and ``betas`` are about; the study's first one by default."""
    count: Annotated[int, Field(ge=1, le=1000)] = 5
    """Number of targets where none are given: spread evenly in ratios from the cheapest
    assignment to the dearest one without fp32, or to the study's budget; for every structural
    part, between its own ends."""
    targets: tuple[Positive, ...] = ()
    """One supernet for each: fractions of fp32 that the cost stays under."""
    target: dict[str, Positive] = Field(default_factory=dict)
    """One supernet with exactly this target: metric → fraction of fp32."""
    betas: tuple[Annotated[float, Field(ge=0.0)], ...] = ()
    """One supernet for each: fixed weights of the cost (as a fraction of fp32) in the loss."""

    @model_validator(mode="after")
    def _one_kind(self) -> GumbelOptions:
        given = [name for name in ("targets", "target", "betas") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other: give one of them")
        # A recorded run has every field set: only another count than usual was asked for.
        if given and self.count != type(self).model_fields["count"].default:
            raise ValueError(f"count has no effect where {given[0]} is given")
        if self.target and self.metric is not None:
            raise ValueError("metric has no effect where target names its metrics")
        return self


class Gumbel(Strategy):
    """Asks for its supernets first, then proposes what was derived from them.

    Candidates are proposed in the order of the targets, the most probable one of each before
    all others, whichever supernet is done first, so
    that the table of trials does not depend on the number of workers. A supernet that fails
    loses its own candidates and nothing else.
    """

    name: ClassVar[str] = "gumbel"
    Options: ClassVar[type[StrategyOptions]] = GumbelOptions
    tasks_needed: ClassVar[frozenset[str]] = frozenset({SUPERNET})
    stoppable: ClassVar[bool] = False
    ends: ClassVar[bool] = True

    def __init__(self, problem: Problem, options: Any, seed: int) -> None:
        super().__init__(problem, options, seed)
        self._tasks = self._plan()
        self._asked = 0
        self._answers: dict[int, list[str]] = {}
        self._released = 0
        self._queue: deque[Candidate] = deque()
        self._origins: dict[Candidate, str] = {}
        self._seen = set(problem.baselines)

    @classmethod
    def check(cls, options: Any, metrics: Sequence[str], tasks: frozenset[str]) -> None:
        for metric in (*options.target, *([options.metric] if options.metric else [])):
            if metric not in metrics:
                raise UnknownName("cost", metric, metrics, "[strategy.gumbel]")

    @classmethod
    def least_wanted(cls, options: Any) -> Mapping[str, float]:
        if options.target:
            return dict(options.target)
        known = options.metric is not None and options.targets
        return {options.metric: min(options.targets)} if known else {}

    @property
    def planned_tasks(self) -> int:
        return len(self._tasks)

    def notes(self) -> list[str]:
        labels = ", ".join(task.label for task in self._tasks)
        return [f"supernets: {len(self._tasks)}, one each for {labels}"]

    def next(self) -> Candidate | StrategyTask | Signal:
        if self._asked < len(self._tasks):
            self._asked += 1
            return self._tasks[self._asked - 1]
        if self._queue:
            return self._queue.popleft()
        return Signal.WAIT if self._released < len(self._tasks) else Signal.DONE

    def observe(self, result: Result) -> None:
        """Nothing is learned from evaluations."""

    def observe_task(self, result: TaskResult) -> None:
        answer = result.answer
        derived = answer.candidates if isinstance(answer, SupernetResult) else ()
        self._answers[result.index] = [c.key for c in derived]
        while self._released in self._answers:
            self._release(self._released, self._answers[self._released][:1])
            self._released += 1
        if self._released == len(self._tasks):
            for index in range(len(self._tasks)):
                self._release(index, self._answers[index][1:])

    def _release(self, index: int, keys: list[str]) -> None:
        """Queue candidates of a supernet that are new."""
        for key in keys:
            candidate = Candidate.from_key(key)
            if candidate not in self._seen:
                self._seen.add(candidate)
                self._origins[candidate] = self._tasks[index].label
                self._queue.append(candidate)

    def origin(self, candidate: Candidate) -> str:
        """The target of the supernet that it was derived from."""
        return self._origins[candidate]

    # What is trained

    def _plan(self) -> list[StrategyTask]:
        options = self.options
        if options.target:
            for metric, share in options.target.items():
                self._require(metric)
                self._require_attainable(metric, [share])
        else:
            self._require(options.metric or self._first_cost())
            if options.targets:
                self._require_attainable(options.metric or self._first_cost(), options.targets)
        return [task for part in self.problem.space.parts for task in self._plan_part(part)]

    def _plan_part(self, part: str) -> list[StrategyTask]:
        """The supernets of a structural part; none for a target that it cannot reach."""
        options = self.options
        if options.target:
            able = all(self._reaches(part, m, share) for m, share in options.target.items())
            return [self._task(part, "target", options.target)] if able else []
        metric = options.metric or self._first_cost()
        if options.betas:
            betas = dict.fromkeys(options.betas)
            return [self._task(part, "beta", {metric: beta}) for beta in betas]
        return [self._task(part, "target", {metric: t}) for t in self._targets(part, metric)]

    def _task(self, part: str, kind: str, values: dict[str, float]) -> StrategyTask:
        training = self.options.model_dump(mode="json", include=set(TrainingOptions.model_fields))
        budgets = {b.metric: b.limit for b in self.problem.budgets.budgets}
        if kind == "beta":
            label = ", ".join(f"{m} beta {v:g}" for m, v in values.items())
            task = SupernetTask(beta=values, budgets=budgets, training=training)
        else:
            label = ", ".join(f"{m} <= {v:.{DIGITS}g} fp32" for m, v in values.items())
            task = SupernetTask(target=values, budgets=budgets, training=training)
        return StrategyTask(replace(task, structure=part), f"{part}: {label}" if part else label)

    def _targets(self, part: str, metric: str) -> list[float]:
        """Fractions of fp32, ascending: those given, or a spread; never above the budget."""
        reference = self.problem.reference[metric]
        limits = [b.limit for b in self.problem.budgets.budgets if b.metric == metric]
        low, high = (bound / reference for bound in self._attainable(part, metric))
        budget = min([limit / reference for limit in limits], default=np.inf)
        if part and not self._reaches(part, metric, budget):
            return []
        if self.options.targets:
            reached = [t for t in self.options.targets if self._reaches(part, metric, t)]
            return sorted({min(t, budget) for t in reached})
        binding = budget < high
        top = budget if binding else high
        # Evenly in ratios, without the cheapest candidate, which is known without a search.
        parts = self.options.count
        spread = [low * (top / low) ** (i / parts) for i in range(1, parts + 1)]
        rounded = [float(f"{t:.{DIGITS}g}") for t in spread]
        wanted = [t for t in dict.fromkeys(rounded) if t >= low]
        if not binding:
            return wanted or [high]
        return [*[t for t in wanted if t < NEAR * budget], budget]

    def _attainable(self, part: str, metric: str) -> tuple[float, float]:
        """Least cost in a structural part, and the largest of candidates without fp32.

        fp32 is what the others are measured by: between the dearest codes and fp32 there is
        accuracy to gain only where the codes are too few, and a supernet for each step of that
        wide range would leave none for the range of the codes. Exact where a metric is a sum
        over dimensions, or one with a memory that codes may exceed, as those of the cost model are.
        """
        column = self.problem.metrics.index(metric)
        least, _ = self.problem.tables.part_extremes(column)[part]
        _, most = self.problem.tables.part_extremes(column, lambda value: value != FP32)[part]
        return least, most

    def _reaches(self, part: str, metric: str, target: float) -> bool:
        """Whether a candidate of a part stays under a fraction of fp32."""
        least = self._attainable(part, metric)[0] / self.problem.reference[metric]
        return target >= least * (1.0 - 1e-9)

    def _first_cost(self) -> str:
        for objective in self.problem.objectives:
            if objective.name in self.problem.metrics:
                return objective.name
        raise DefinitionError(
            "[strategy.gumbel]: no objective of the study is a cost; say which one with metric"
        )

    def _require_attainable(self, metric: str, targets: Sequence[float]) -> None:
        parts = self.problem.space.parts
        for target in targets:
            if not any(self._reaches(part, metric, target) for part in parts):
                least = min(self._attainable(part, metric)[0] for part in parts)
                least /= self.problem.reference[metric]
                raise BudgetError(
                    f"[strategy.gumbel]: target {metric} <= {target:g} fp32 cannot be met: the "
                    f"cheapest candidate needs {least:.3g}"
                )

    def _require(self, metric: str) -> None:
        if metric not in self.problem.metrics:
            raise UnknownName("cost", metric, self.problem.metrics, "[strategy.gumbel]")
