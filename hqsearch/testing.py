"""Contract tests that every evaluator, strategy and executor must pass; users' plugins too.

Subclass one in a pytest file and say how to make the thing::

    class TestMine(EvaluatorContract):
        def make(self, folder):
            return make_evaluator(Setup(load_study(Path("mine.toml")), folder))

Evaluators are prepared in this process; keep theirs small.
"""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hqsearch.evaluator import Evaluation, Evaluator, PrepareContext
from hqsearch.executors.base import Executor
from hqsearch.executors.task import Task, TaskOutcome, perform
from hqsearch.problem.budgets import Budget, Budgets
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import ACCURACY, ENERGY
from hqsearch.problem.space import Dimension, Space
from hqsearch.strategies import Problem, Result, Signal, Strategy, StrategyTask, TaskResult


def prepare_here(evaluator: Evaluator) -> dict[str, str]:
    """Prepare an evaluator in this process, silently."""

    def run_task(payload: dict[str, Any], resources: Any, poll: Any) -> dict[str, Any]:
        return perform(evaluator, Task(-1, "prepare", payload, 0, resources)).details

    return evaluator.prepare(PrepareContext(lambda *_: None, lambda _: None, 2, run_task))


class EvaluatorContract:
    """What every evaluator promises; see :class:`hqsearch.evaluator.Evaluator`."""

    @abstractmethod
    def make(self, folder: Path) -> Evaluator:
        """A new evaluator whose artifacts go to ``folder``; called twice with the same one."""

    def prepared(self, tmp_path: Path) -> Evaluator:
        evaluator = self.make(tmp_path)
        evaluator.check()
        prepare_here(evaluator)
        return evaluator

    def candidates(self, evaluator: Evaluator) -> list[Candidate]:
        generator = np.random.default_rng(0)
        return [*evaluator.space.baselines().values(), evaluator.space.random(generator)]

    def test_declares_objectives_and_metrics(self, tmp_path: Path) -> None:
        evaluator = self.make(tmp_path)
        names = [o.name for o in evaluator.objectives]
        assert len(set(names)) == len(names) >= 2
        assert {o.name for o in evaluator.objectives if o.cheap} <= set(evaluator.metrics)

    def test_construction_and_check_write_nothing(self, tmp_path: Path) -> None:
        folder = tmp_path / "absent"
        evaluator = self.make(folder)
        evaluator.check()
        assert evaluator.space.dimensions
        assert not folder.exists()

    def test_cheap_is_finite_and_rowwise(self, tmp_path: Path) -> None:
        evaluator = self.prepared(tmp_path)
        candidates = self.candidates(evaluator)
        together = evaluator.cheap(candidates)
        assert together.shape == (len(candidates), len(evaluator.metrics))
        assert np.isfinite(together).all()
        alone = np.vstack([evaluator.cheap([c]) for c in candidates])
        np.testing.assert_allclose(together, alone, rtol=1e-12)

    def test_reference_is_dearest(self, tmp_path: Path) -> None:
        evaluator = self.prepared(tmp_path)
        reference = np.array([evaluator.reference()[m] for m in evaluator.metrics])
        assert (evaluator.cheap(self.candidates(evaluator)) <= reference * (1 + 1e-9)).all()

    def test_preparing_again_changes_nothing(self, tmp_path: Path) -> None:
        first = self.make(tmp_path)
        before = prepare_here(first)
        second = self.make(tmp_path)
        assert prepare_here(second) == before
        candidates = self.candidates(first)
        np.testing.assert_array_equal(first.cheap(candidates), second.cheap(candidates))

    def test_evaluation_is_complete_and_deterministic(self, tmp_path: Path) -> None:
        evaluator = self.prepared(tmp_path)
        candidate = self.candidates(evaluator)[-1]
        first = evaluator.evaluate(candidate, seed=3)
        again = self.make(tmp_path).evaluate(candidate, seed=3)
        assert set(first.values) >= {o.name for o in evaluator.objectives}
        assert all(math.isfinite(v) for v in first.values.values())
        assert first.values == again.values
        assert first.details == again.details

    def test_a_confirmation_is_complete_and_deterministic(self, tmp_path: Path) -> None:
        evaluator = self.prepared(tmp_path)
        if not evaluator.can_confirm:
            return
        candidate = self.candidates(evaluator)[-1]
        first = evaluator.confirm(candidate, seed=3)
        again = self.make(tmp_path).confirm(candidate, seed=3)
        assert set(first.values) >= {o.name for o in evaluator.objectives}
        assert all(math.isfinite(v) for v in first.values.values())
        assert (first.values, first.details) == (again.values, again.details)

    def test_stopping_and_going_on_is_bit_for_bit_the_same(self, tmp_path: Path) -> None:
        evaluator = self.prepared(tmp_path)
        if evaluator.full_budget < 2:
            return
        candidate = self.candidates(evaluator)[-1]
        whole = evaluator.evaluate(candidate, seed=5)
        at = tmp_path / "rung"
        stopped: Evaluation = evaluator.evaluate(candidate, seed=5, budget=1, checkpoint=at)
        assert stopped.checkpoint == at
        resumed = evaluator.evaluate(candidate, seed=5, resume_from=at)
        assert resumed.values == whole.values
        nothing = tmp_path / "nothing"
        nothing.mkdir()  # cut off before a checkpoint was finished: from the start, then
        afresh = evaluator.evaluate(candidate, seed=5, budget=1, resume_from=nothing)
        assert afresh.values == stopped.values


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

    def perform(self, problem: Problem, task: StrategyTask) -> dict[str, Any]:
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
                details = self.perform(problem, asked[index])
                strategy.observe_task(TaskResult(index, asked[index], details))

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


class ExecutorContract:
    """What every executor promises; see :class:`hqsearch.executors.base.Executor`."""

    @abstractmethod
    def make(self, folder: Path) -> tuple[Executor, Evaluator]:
        """A new executor, and an evaluator as its workers make it."""

    def test_every_task_comes_back_once(self, tmp_path: Path) -> None:
        executor, evaluator = self.make(tmp_path)
        candidates = list(evaluator.space.baselines().values())
        with executor:
            for number, candidate in enumerate(candidates):
                executor.submit(Task(number, "evaluate", {"key": candidate.key}, 1))
            returned: dict[int, TaskOutcome] = {}
            while len(returned) < len(candidates):
                finished = executor.next_finished(5.0)
                if finished is not None:
                    assert finished[0].number not in returned
                    returned[finished[0].number] = finished[1]
            assert executor.next_finished(0.0) is None
        for number, candidate in enumerate(candidates):
            expected = evaluator.evaluate(candidate, 1).values
            assert returned[number].values == expected
            assert returned[number].failure == ""

    def test_an_exception_fails_its_task_alone(self, tmp_path: Path) -> None:
        executor, evaluator = self.make(tmp_path)
        good = next(iter(evaluator.space.baselines().values()))
        with executor:
            executor.submit(Task(0, "evaluate", {"key": "no-such-layer=4u"}, 1))
            executor.submit(Task(1, "evaluate", {"key": good.key}, 1))
            returned: dict[int, TaskOutcome] = {}
            while len(returned) < 2:
                finished = executor.next_finished(5.0)
                if finished is not None:
                    returned[finished[0].number] = finished[1]
        assert returned[0].failure == "exception"
        assert returned[0].reason
        assert returned[0].attempts == 1
        assert returned[1].failure == ""

    def test_a_result_file_is_left_before_returning(self, tmp_path: Path) -> None:
        executor, evaluator = self.make(tmp_path)
        candidate = next(iter(evaluator.space.baselines().values()))
        path = tmp_path / "results" / "0.json"
        with executor:
            executor.submit(Task(0, "evaluate", {"key": candidate.key}, 1, result_file=path))
            while executor.next_finished(5.0) is None:
                pass
        assert path.is_file()
