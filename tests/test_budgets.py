from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from hqsearch.budgets import Budget, Budgets, parse_budgets
from hqsearch.candidate import Candidate
from hqsearch.errors import BudgetError, DefinitionError, UnknownName
from hqsearch.evaluator import Evaluator
from hqsearch.space import Dimension, Space


def budgets(toy: Evaluator, **constraints: str) -> Budgets:
    parsed = parse_budgets(constraints, toy.metrics, toy.reference())
    return Budgets(parsed, toy.space, toy.metrics, toy.cheap)


def test_units_and_fp32_are_the_same_limit(toy: Evaluator) -> None:
    whole = toy.reference()["energy"]
    for text in ("<= 0.5 fp32", f"<= {whole / 2} uJ", f"<= {whole * 500} nJ", f"<={whole / 2}µJ"):
        assert budgets(toy, energy=text).budgets[0].limit == pytest.approx(whole / 2)


def test_repair_makes_feasible_and_is_seeded(toy: Evaluator) -> None:
    own = budgets(toy, energy="<= 0.1 fp32", average_bits="<= 5")
    dearest = toy.space.baseline("fp32")
    for seed in range(5):
        repaired = own.repair(dearest, np.random.default_rng(seed))
        assert own.violations(toy.cheap([repaired]))[0] == 0.0
        assert repaired == own.repair(dearest, np.random.default_rng(seed))
    different = {own.repair(dearest, np.random.default_rng(s)) for s in range(5)}
    assert len(different) > 1


def test_repair_leaves_the_feasible_alone(toy: Evaluator) -> None:
    own = budgets(toy, energy="<= 0.5 fp32")
    cheapest = toy.space.baseline("2u")
    assert own.repair(cheapest, np.random.default_rng(0)) == cheapest


def test_repair_does_not_cheapen_more_than_needed(toy: Evaluator) -> None:
    own = budgets(toy, storage="<= 0.9 fp32")
    repaired = own.repair(toy.space.baseline("fp32"), np.random.default_rng(0))
    changed = sum(value != "fp32" for value in repaired.choices.values())
    assert 0 < changed < len(toy.space.dimensions)


def test_a_budget_nobody_can_meet_names_the_cheapest(toy: Evaluator) -> None:
    least = toy.cheap([toy.space.baseline("2u")])[0, 1]
    with pytest.raises(BudgetError, match=f"cheapest candidate needs {least:.4g} KiB"):
        budgets(toy, storage="<= 1 KiB").check()


def test_budgets_that_contradict_each_other_are_refused() -> None:
    """Each alone can be met; what saves energy here costs storage."""
    space = Space((Dimension("a", "weights", ("2u", "4u"), ("a",)),))

    def cheap(candidates: Sequence[Candidate]) -> np.ndarray:
        codes = space.encode(candidates)[:, 0]
        return np.column_stack([codes + 1.0, 2.0 - codes])

    limits = [Budget("energy", 1.0, "<= 1 uJ"), Budget("storage", 1.0, "<= 1 KiB")]
    with pytest.raises(BudgetError, match="no candidate meets all budgets together"):
        Budgets(limits, space, ("energy", "storage"), cheap).check()


def test_a_budget_that_binds_nobody_is_told(toy: Evaluator) -> None:
    (told,) = budgets(toy, energy="<= 2 fp32").check()
    assert "binds nobody" in told
    assert budgets(toy, energy="<= 0.5 fp32").check() == []


def test_grammar_and_names() -> None:
    reference = {"energy": 1.0}
    with pytest.raises(UnknownName, match="did you mean 'energy'"):
        parse_budgets({"enrgy": "<= 1 uJ"}, ["energy"], reference)
    for text in ("< 1 uJ", "<= 1", "<= 1 KiB", ">= 1 uJ", "1 uJ"):
        with pytest.raises(DefinitionError, match="expected '<= NUMBER UNIT'"):
            parse_budgets({"energy": text}, ["energy"], reference)


def test_measured_violation_is_relative(toy: Evaluator) -> None:
    own = budgets(toy, energy="<= 4 uJ", storage="<= 400 KiB")
    assert own.measured_violation({"energy": 5.0, "storage": 500.0}) == pytest.approx(0.5)
    assert own.measured_violation({"energy": 4.0, "storage": 1.0}) == 0.0


def test_repair_takes_the_smallest_step_that_helps() -> None:
    """Two layers that cost 0, 5 or 10, under a limit of 10: half a step, then another."""
    space = Space(tuple(Dimension(n, "weights", ("2u", "4u", "8u"), (n,)) for n in "ab"))

    def cheap(candidates: Sequence[Candidate]) -> np.ndarray:
        return 5.0 * space.encode(candidates).sum(axis=1, keepdims=True)

    own = Budgets([Budget("energy", 10.0, "<= 10 uJ")], space, ("energy",), cheap)
    dearest = space.decode([2, 2])[0]
    ends = {own.repair(dearest, np.random.default_rng(seed)).key for seed in range(12)}
    # By one layer alone, in two steps, or by both.
    assert ends == {"a=2u;b=8u", "a=8u;b=2u", "a=4u;b=2u", "a=2u;b=4u"}
