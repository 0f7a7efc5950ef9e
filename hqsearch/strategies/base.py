"""The strategy contract: propose candidates, be told results.

A strategy is replayable: its state is a function of the problem, its options and seed, and
the sequence of calls. On resume the engine makes a fresh one and repeats the calls from the
log, so nothing is pickled. All randomness comes from generators seeded by (seed, index).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hqsearch.definition import Strict
from hqsearch.evaluator.tasks import EvaluatorTask, TaskAnswer
from hqsearch.problem.additive import AdditiveTables
from hqsearch.problem.budgets import Budgets
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.interest import Range
from hqsearch.problem.objective import Objective, minimized
from hqsearch.problem.overflow import Overflow
from hqsearch.problem.space import Space

Floats = npt.NDArray[np.float64]

#: Candidates that early stopping compares with each other where a strategy never waits.
COHORT = 12


class StrategyOptions(Strict):
    """``[strategy.<name>]``; each strategy extends it."""

    #: What runs were like that were logged before an option existed. A log holds every option of
    #: a run with its value; those that it lacks have these, whatever the defaults are today.
    BEFORE: ClassVar[Mapping[str, Any]] = {}
    #: Defaults that were others until 0.2.
    CHANGED: ClassVar[Mapping[str, Any]] = {}


class Signal(Enum):
    """What :meth:`Strategy.next` says when it has no proposal."""

    WAIT = "nothing to propose until more results are in"
    DONE = "nothing left to propose"


@dataclass(frozen=True, slots=True)
class StrategyTask:
    """Work of a strategy's own that the executor runs: a supernet training, a scoring pass.

    Attributes:
        task: what :meth:`hqsearch.evaluator.Evaluator.strategy_task` is asked to do.
        label: what it is for, for people: ``energy <= 0.3 fp32``.
    """

    task: EvaluatorTask
    label: str = ""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What became of a strategy's own task. ``answer`` is None where it failed.

    ``index`` is its place among the tasks of the run, from 0.
    """

    index: int
    task: StrategyTask
    answer: TaskAnswer | None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one proposal. ``values`` is None where it failed.

    ``slot`` is its place in the run's order of proposals, baselines included.
    """

    slot: int
    candidate: Candidate
    kind: str
    values: tuple[float, ...] | None
    violation: float = 0.0
    """Sum of relative excesses over the budgets, on measured values; 0 is feasible."""
    strategy: str = ""
    """Which strategy's run it comes from."""
    stopped_at: int | None = None
    """Epoch at which early stopping ended it, and its ``values`` are None: it was worse than
    others, but it did not fail. Worth less than whatever completed, more than a failure."""
    rungs: tuple[tuple[int, tuple[float, ...]], ...] = ()
    """What it was worth part-way: epochs and objective values there."""
    noise: float | None = None
    """Standard error of the measured objective (accuracy); 0 is exact, None unknown."""


@dataclass(frozen=True)
class Problem:
    """What a strategy works on.

    Attributes:
        space: what may be chosen.
        objectives: the study's, in its order.
        cheap: candidates → cheap metrics ``[n, n_metrics]``.
        metrics: the columns of ``cheap``.
        budgets: hard limits, with repair.
        baselines: the candidates that the engine evaluates first, outside the strategy.
        history: results of the study's earlier runs that were finished when this one began,
            oldest first.
        reference: cheap metrics of the network with every layer in fp32.
        overflows: by structural part, what metrics pay for what does not fit into a memory.
    """

    space: Space
    objectives: tuple[Objective, ...]
    cheap: Callable[[Sequence[Candidate]], Floats]
    metrics: tuple[str, ...]
    budgets: Budgets
    baselines: tuple[Candidate, ...] = ()
    history: tuple[Result, ...] = ()
    reference: Mapping[str, float] = field(default_factory=dict)
    full_budget: int = 1
    """Epochs of a whole evaluation: what ``stopped_at`` is a part of."""
    early_stopping: bool = False
    """Whether candidates may be stopped early."""

    def untrained(self, result: Result) -> float:
        """Which part of a whole evaluation early stopping has spared, above 0; 0 where none."""
        at = result.stopped_at
        return 0.0 if at is None else 1.0 - at / self.full_budget

    tasks: frozenset[str] = frozenset()
    """Kinds of tasks that the evaluator does for strategies."""
    overflows: Mapping[str, Overflow] = field(default_factory=dict)
    interest: tuple[Range, ...] = ()
    """Ranges of costs in which the front is to be refined."""

    @cached_property
    def tables(self) -> AdditiveTables:
        """The cheap metrics as sums over dimensions, with what comes on top."""
        return AdditiveTables(self.space, self.cheap, overflows=self.overflows)

    def costs(self, results: Sequence[Result]) -> Floats:
        """Results as costs ``[n, m]``, every column minimized; NaN where one failed."""
        width = len(self.objectives)
        rows = [r.values if r.values is not None else (np.nan,) * width for r in results]
        return minimized(rows, self.objectives) if rows else np.empty((0, width))


class Strategy(ABC):
    """Proposes candidates and is told results.

    The engine calls :meth:`next` whenever a worker is free, and :meth:`observe` once for
    every baseline and every proposal of this run, in the order in which results reached
    the log. A baseline is observed with ``kind == "baseline"`` and was not proposed.
    """

    name: ClassVar[str]
    Options: ClassVar[type[StrategyOptions]] = StrategyOptions
    #: Kinds of tasks of its own; an evaluator that lacks one is refused at the start.
    tasks_needed: ClassVar[frozenset[str]] = frozenset()
    #: Whether its candidates may be stopped early against each other.
    stoppable: ClassVar[bool] = True
    #: Whether it ends after a number of candidates that does not grow with the evaluations; only
    #: then is something left for a strategy that starts from it in a comparison.
    ends: ClassVar[bool] = False

    def __init__(self, problem: Problem, options: Any, seed: int) -> None:
        self.problem, self.options, self.seed = problem, options, seed

    @property
    def cohort(self) -> int | None:
        """How many candidates early stopping compares with each other, unless the user says;
        None where the strategy waits for a generation of its own."""
        return COHORT

    @property
    def batch(self) -> int:
        """How many candidates that it promises nothing of are judged together
        (:mod:`hqsearch.search.stalling`)."""
        return COHORT

    @classmethod
    def check(cls, options: Any, metrics: Sequence[str], tasks: frozenset[str]) -> None:
        """Refuse options that an evaluator does not fit, before anything is created.

        Args:
            options: validated.
            metrics: the evaluator's cheap metrics.
            tasks: kinds of tasks that it does.

        Raises:
            InputError: what is wrong.
        """
        return

    @classmethod
    def aims(cls, options: Any) -> bool:
        """Whether it heeds the ranges of interest; others are refused where there are some."""
        return False

    @classmethod
    def least_wanted(cls, options: Any) -> Mapping[str, float]:
        """What options ask for of costs, at the least, in parts of the fp32 network's.

        Returns:
            By cheap metric; refused before anything is made where costs are known by then.
        """
        return {}

    @property
    def planned_tasks(self) -> int:
        """How many tasks of its own it will ask for, as far as it knows."""
        return 0

    @abstractmethod
    def next(self) -> Candidate | StrategyTask | Signal:
        """The next candidate to evaluate, a task of the strategy's own, or why there is none."""

    def next_recorded(self, candidate: Candidate, origin: str) -> Candidate | StrategyTask | Signal:
        """:meth:`next` in replay, where the log says what it proposed and with which origin.

        A strategy may spare itself the work of finding ``candidate`` again, so long as all that
        it does later is as if it had; by default it spares nothing. The last proposal of the log
        is never replayed in this way, so that it shows whether these library versions agree.
        """
        return self.next()

    def overruled(self, proposed: Candidate | StrategyTask | Signal, recorded: Candidate) -> None:
        """Learn in replay that the log holds ``recorded`` where this one just said ``proposed``.

        It happens where another version made the proposal. The log wins: what is observed next
        is the recorded candidate's result, and ``proposed`` is never evaluated.
        """
        return

    @abstractmethod
    def observe(self, result: Result) -> None:
        """Learn what became of a candidate."""

    def observe_task(self, result: TaskResult) -> None:
        """Learn what became of a task of its own."""
        raise NotImplementedError(f"{self.name} asks for no tasks of its own")

    def origin(self, candidate: Candidate) -> str:
        """Where the candidate just proposed comes from; logged with its trial."""
        return ""

    def promise(self, candidate: Candidate) -> float | None:
        """Hypervolume that the batch which begins with this candidate is expected to add.

        By the strategy's own model, as a share of what the front has; logged with the trial. None
        where it has no model, or in the middle of a batch.
        """
        return None

    def notes(self) -> list[str]:
        """What the user should know before a run of this strategy."""
        return []

    def notes_for(self, workers: int) -> list[str]:
        """What the user should know before a run on so many workers."""
        return []

    def generator(self, *index: int) -> np.random.Generator:
        """The seeded generator of event ``index`` of this run."""
        return np.random.default_rng([self.seed, *index])
