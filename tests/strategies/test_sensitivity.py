"""The classical baseline: exact solutions of the additive model, under limits and budgets."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hqsearch.errors import DefinitionError
from hqsearch.evaluator import ScoresResult, ScoresTask
from hqsearch.problem.budgets import Budget, Budgets
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import ACCURACY, ENERGY
from hqsearch.problem.overflow import Overflow
from hqsearch.problem.space import Dimension, Space
from hqsearch.strategies import Problem, Result, Signal, StrategyTask, TaskResult, strategy_class
from hqsearch.strategies.scoring import scores_of
from hqsearch.strategies.sensitivity import AdditiveProgram, Sensitivity
from hqsearch.surrogate import Scores

VALUES = ("2u", "4u", "fp32")
COST = np.array([[1.0, 2.0, 9.0], [2.0, 4.5, 18.0], [0.5, 1.0, 4.0], [3.0, 6.0, 25.0]])
LOSS = np.array([[0.9, 0.2, 0.0], [0.4, 0.1, 0.0], [1.5, 0.3, 0.0], [0.7, 0.3, 0.0]])


def problem(budget: float | None = None, square: bool = False) -> Problem:
    space = Space(tuple(Dimension(f"l{i}", "weights", VALUES, (f"l{i}",)) for i in range(4)))

    def cheap(candidates: Sequence[Candidate]) -> Any:
        codes = space.encode(candidates)
        total = COST[np.arange(4), codes].sum(axis=1, keepdims=True)
        return total**2 if square else total

    limits = (Budget("energy", budget, f"<= {budget} uJ"),) if budget else ()
    return Problem(
        space,
        (ACCURACY, ENERGY),
        cheap,
        ("energy",),
        Budgets(limits, space, ("energy",), cheap),
        tuple(space.baselines().values()),
        reference={"energy": float(COST[:, 2].sum())},
    )


def answer() -> ScoresResult:
    scores = {f"l{i}": dict(zip(VALUES, own, strict=True)) for i, own in enumerate(LOSS)}
    return ScoresResult(scores=scores)


def proposals(given: Problem) -> tuple[list[Candidate], Sensitivity]:
    strategy = strategy_class("sensitivity")(given, strategy_class("sensitivity").Options(), 0)
    assert isinstance(strategy, Sensitivity)
    asked = strategy.next()
    assert asked == StrategyTask(ScoresTask(), "one pass over the parent")
    assert strategy.next() is Signal.WAIT
    strategy.observe_task(TaskResult(0, asked, answer()))
    found: list[Candidate] = []
    while not isinstance(candidate := strategy.next(), Signal):
        strategy.observe(Result(len(found), candidate, "search", (0.5, 1.0)))
        found.append(candidate)
    assert candidate is Signal.DONE
    return found, strategy


def scored(problem: Problem) -> Scores:
    """What the pass of a problem without structure found."""
    asked = StrategyTask(ScoresTask(), "one pass over the parent")
    return scores_of(TaskResult(0, asked, answer()), problem.space)[""]


def test_every_solution_is_the_best_under_its_limit() -> None:
    given = problem()
    program = AdditiveProgram(given, scored(given))
    every = np.array(list(itertools.product(range(3), repeat=4)))
    costs = COST[np.arange(4), every].sum(axis=1)
    losses = LOSS[np.arange(4), every].sum(axis=1)
    for index in range(1, 40):
        solved = program.solve(index)
        assert solved is not None
        candidate, label = solved
        limit = float(label.removeprefix("energy <= ").removesuffix(" fp32")) * COST[:, 2].sum()
        code = given.space.encode([candidate])[0]
        own = COST[np.arange(4), code].sum()
        assert own <= limit * 1.01
        best = losses[costs <= max(own, limit * 0.99)].min()
        assert LOSS[np.arange(4), code].sum() == pytest.approx(best)


@pytest.mark.parametrize("budget", [None, 40.0])
def test_solutions_are_best_where_codes_may_exceed_a_memory(budget: float | None) -> None:
    """Energy pays 2 for each unit of bits beyond 60; the best of all 81 under its limits."""
    bits = np.array([[2.0, 4.0, 32.0]] * 4) * np.array([1.0, 2.0, 0.5, 3.0])[:, None]
    overflow = Overflow(0, 1, 60.0, 2.0)
    space = problem().space

    def cheap(candidates: Sequence[Candidate]) -> Any:
        codes = space.encode(candidates)
        total = np.stack([t[np.arange(4), codes].sum(axis=1) for t in (COST, bits)], axis=1)
        total[:, 0] += overflow.amount(total)
        return total

    every = np.array(list(itertools.product(range(3), repeat=4)))
    costs = cheap(space.decode(every))
    assert 0 < (costs[:, 1] > 60).sum() < 81
    limits = (Budget("energy", budget, "") for _ in range(1 if budget else 0))
    metrics, overflows = ("energy", "average_bits"), {"": overflow}
    given = Problem(
        space,
        (ACCURACY, ENERGY),
        cheap,
        metrics,
        Budgets(tuple(limits), space, metrics, cheap, overflows),
        reference={"energy": float(costs[-1, 0])},
        overflows=overflows,
    )
    program = AdditiveProgram(given, scored(given))
    losses = LOSS[np.arange(4), every].sum(axis=1)
    seen = set()
    for index in range(1, 40):
        solved = program.solve(index)
        assert solved is not None
        candidate, label = solved
        limit = float(label.removeprefix("energy <= ").removesuffix(" fp32")) * costs[-1, 0]
        own = cheap([candidate])[0, 0]
        assert own <= min(limit * 1.01, budget or np.inf)
        best = losses[costs[:, 0] <= max(own, min(limit, budget or np.inf) * 0.99)].min()
        code = space.encode([candidate])[0]
        assert LOSS[np.arange(4), code].sum() == pytest.approx(best)
        seen.add(bool(costs[(every == code).all(axis=1), 1][0] > 60))
    assert seen == ({False, True} if budget is None else {False})


def test_a_memory_that_no_objective_pays_for_changes_nothing() -> None:
    """Energy is no objective and no budget here: its bend must not reach the program."""
    overflows = {"": Overflow(1, 0, 9.0, 5.0)}
    plain = problem()

    def cheap(candidates: Sequence[Candidate]) -> Any:
        own = plain.cheap(candidates)
        return np.column_stack([own, 5.0 * np.maximum(own[:, 0] - 9.0, 0.0)])

    given = replace(plain, cheap=cheap, metrics=("energy", "paid"), overflows=overflows)
    with_it, without = (AdditiveProgram(p, scored(p)) for p in (given, plain))
    for index in range(1, 20):
        assert with_it.solve(index) == without.solve(index)


def test_proposes_each_once_and_says_why() -> None:
    found, strategy = proposals(problem())
    assert len(found) == len(set(found)) >= 8
    assert not set(found) & set(strategy.problem.baselines)
    assert strategy.origin(found[0]).startswith("energy <= ")


def test_respects_budgets() -> None:
    given = problem(budget=12.0)
    found, _ = proposals(given)
    assert found
    assert (given.cheap(found) <= 12.0).all()


def test_a_failed_scoring_pass_ends_it() -> None:
    kind = strategy_class("sensitivity")
    strategy = kind(problem(), kind.Options(), 0)
    asked = strategy.next()
    assert isinstance(asked, StrategyTask)
    strategy.observe_task(TaskResult(0, asked, None, "died"))
    assert strategy.next() is Signal.DONE


def test_costs_that_are_no_sums_are_refused() -> None:
    given = problem(square=True)
    with pytest.raises(DefinitionError, match="sums over the space's dimensions"):
        AdditiveProgram(given, scored(given))


def test_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """The standard output may be one JSON document; HiGHS prints to it on its own."""
    proposals(problem())
    assert capfd.readouterr().out == ""


def test_goes_on_with_neighbours_of_its_optima() -> None:
    found, strategy = proposals(problem())
    origins = [strategy.origin(c) for c in found]
    own = origins.index("neighbour")
    assert 0 < own < len(origins)
    assert set(origins[own:]) == {"neighbour"}
    for place in range(own, len(found)):
        changes = [
            sum(a != b for a, b in zip(found[place].items, c.items, strict=True))
            for c in found[:place]
        ]
        assert min(changes) == 1


def test_runs_from_before_neighbours_end_with_their_optima() -> None:
    options = strategy_class("sensitivity").Options
    assert options.BEFORE == {"neighbours": False}
    assert "neighbours" in options.model_fields
