"""What every strategy promises, as tests to subclass."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hqsearch.evaluator.tasks import EvaluatorTask, TaskAnswer, checked_answer
from hqsearch.problem.budgets import Budget, Budgets
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import ACCURACY, ENERGY
from hqsearch.problem.space import Dimension, Space
from hqsearch.strategies import Problem, Result, Signal, Strategy, StrategyTask, TaskResult


class StrategyContract:
    """What every strategy promises; see :class:`hqsearch.strategies.base.Strategy`."""

    @abstractmethod
    def make(self, problem: Problem, seed: int) -> Strategy:
        """A new strategy with default options."""

    def problem(self, layers: int = 6, budget: float | None = None) -> Problem:
        """Separable accuracy and energy over ``layers`` dimensions of three values."""
        values = ("2u", "4u", "fp32")
        space = Space(
            tuple(Dimension(f"l{i}", "weights", values, (f"l{i}",)) for i in range(layers))
        )

        def cheap(candidates: Sequence[Candidate]) -> Any:
            return (space.encode(candidates) + 1.0).sum(axis=1, keepdims=True)

        limits = (Budget("energy", budget, f"<= {budget} uJ"),) if budget else ()
        return Problem(
            space,
            (ACCURACY, ENERGY),
            cheap,
            ("energy",),
            Budgets(limits, space, ("energy",), cheap),
            tuple(space.baselines().values()),
        )

    def measure(self, problem: Problem, candidate: Candidate) -> tuple[float, ...]:
        codes = problem.space.encode([candidate])[0]
        weights = np.linspace(1.0, 2.0, len(codes))
        return float(1.0 - 0.05 * ((2 - codes) * weights).sum()), float(codes.sum() + len(codes))

    def perform(self, problem: Problem, task: EvaluatorTask) -> TaskAnswer | Mapping[str, Any]:
        """What an evaluator would answer to a task of the strategy's own."""
        raise NotImplementedError(f"say what comes of a task {task.kind!r}")

    def next_candidate(
        self,
        problem: Problem,
        strategy: Strategy,
        asked: list[StrategyTask],
        answered: list[int],
        recorded: tuple[Candidate, str] | None = None,
    ) -> Candidate | None:
        """The next candidate, tasks performed in the order asked; None where it is done.

        ``asked`` and ``answered`` (indices) gather the tasks over all calls; ``recorded`` is what
        the log says was proposed, with its origin.
        """
        while True:
            proposed = strategy.next_recorded(*recorded) if recorded else strategy.next()
            if isinstance(proposed, Candidate):
                return proposed
            if isinstance(proposed, StrategyTask):
                asked.append(proposed)
            elif proposed is Signal.DONE:
                return None
            else:
                index = len(answered)
                assert index < len(asked), "it waits for nothing"
                answered.append(index)
                task = asked[index].task
                answer = checked_answer(task.kind, self.perform(problem, task))
                strategy.observe_task(TaskResult(index, asked[index], answer))

    def drive(
        self,
        problem: Problem,
        seed: int,
        count: int,
        fail: int | None = None,
        stop: Container[int] = (),
        log: list[tuple[Candidate, str]] | None = None,
    ) -> list[Candidate]:
        """Run a strategy for ``count`` proposals, one at a time.

        The one with index ``fail`` fails; those in ``stop`` are stopped early, at epoch 1. What
        ``log`` holds is replayed, as the engine does it, and what is proposed is appended.
        """
        strategy = self.make(problem, seed)
        log = [] if log is None else log
        replayed = len(log)
        slots = itertools.count()
        for baseline in problem.baselines:
            values = self.measure(problem, baseline)
            strategy.observe(Result(next(slots), baseline, "baseline", values))
        proposed: list[Candidate] = []
        asked: list[StrategyTask] = []
        answered: list[int] = []
        for index in range(count):
            trusted = log[index] if index < replayed - 1 else None
            candidate = self.next_candidate(problem, strategy, asked, answered, trusted)
            if candidate is None:
                break
            proposed.append(candidate)
            if index >= replayed:
                log.append((candidate, strategy.origin(candidate)))
            promise = strategy.promise(candidate)
            assert promise is None or promise >= 0.0, "a batch is expected to add, never to take"
            measured = None if index == fail else self.measure(problem, candidate)
            result = Result(next(slots), candidate, "search", measured)
            if index in stop and measured is not None:
                result = replace(result, values=None, stopped_at=1, rungs=((1, measured),))
            strategy.observe(result)
        return proposed

    def test_same_seed_same_proposals(self) -> None:
        problem = self.problem()
        assert self.drive(problem, 1, 40) == self.drive(problem, 1, 40)

    def test_other_seed_other_proposals(self) -> None:
        problem = self.problem()
        assert self.drive(problem, 1, 40) != self.drive(problem, 2, 40)

    def test_never_proposes_twice(self) -> None:
        problem = self.problem()
        proposed = self.drive(problem, 0, 100)
        assert len({*proposed, *problem.baselines}) == len(proposed) + len(problem.baselines)

    def test_ends_when_the_space_is_exhausted(self) -> None:
        problem = self.problem(layers=2)
        proposed = self.drive(problem, 0, 50)
        assert len(proposed) + len(problem.baselines) <= problem.space.size

    def test_a_run_that_was_cut_goes_on_as_if_it_had_not(self) -> None:
        problem = self.problem()
        whole: list[tuple[Candidate, str]] = []
        proposed = self.drive(problem, 1, 40, log=whole)
        for cut in (1, 2, 11, 18, 27, 39):
            if cut <= len(whole):
                log = whole[:cut]
                assert self.drive(problem, 1, 40, log=log) == proposed
                assert log == whole

    def test_survives_failures(self) -> None:
        proposed = self.drive(self.problem(), 0, 60, fail=5)
        assert len(proposed) == 60

    def test_survives_early_stopping(self) -> None:
        problem = replace(self.problem(), full_budget=4, early_stopping=True)
        every_second = range(0, 24, 2)
        proposed = self.drive(problem, 0, 24, stop=every_second)
        assert proposed
        assert len(set(proposed)) == len(proposed)
        assert self.drive(problem, 0, 24, stop=every_second) == proposed

    def test_proposals_respect_budgets(self) -> None:
        problem = self.problem(budget=10.0)
        proposed = self.drive(problem, 0, 40)
        assert len(proposed) == 40
        assert (problem.cheap(proposed) <= 10.0).all()
