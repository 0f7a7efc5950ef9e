from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from hqsearch.errors import BudgetError, DefinitionError, UnknownName
from hqsearch.evaluator import Evaluator
from hqsearch.problem.budgets import Budget, Budgets, parse_budgets
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.space import Dimension, Space


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


UNITLESS = Space((Dimension("a", "weights", ("2u", "4u", "8u"), ("a",)),))


@pytest.mark.parametrize(
    ("metric", "text", "limit"),
    [
        ("energy", "<= 5000000 pJ", 5.0),
        ("energy", "<= 5e3 nJ", 5.0),
        ("energy", "  <=  5 uJ  ", 5.0),
        ("energy", "<=.5µJ", 0.5),
        ("energy", "<= 2.5e-3 mJ", 2.5),
        ("energy", "<= 0.25 fp32", 10.0),
        ("storage", "<= 2048 B", 2.0),
        ("storage", "<= 1.024 kB", 1.0),
        ("storage", "<= 3 KiB", 3.0),
        ("storage", "<= 1.024 MB", 1000.0),
        ("storage", "<= 2 MiB", 2048.0),
        ("average_bits", "<= 4", 4.0),
        ("average_bits", "<= 4 bits", 4.0),
        ("average_bits", "<= 0.5 fp32", 16.0),
        ("latency", "<= 3", 3.0),
        ("latency", "<= 2 fp32", 14.0),
    ],
)
def test_limits_in_the_metric_s_own_unit(metric: str, text: str, limit: float) -> None:
    reference = {"energy": 40.0, "storage": 100.0, "average_bits": 32.0, "latency": 7.0}
    (budget,) = parse_budgets({metric: text}, list(reference), reference)
    assert (budget.metric, budget.text) == (metric, text.strip())
    assert budget.limit == pytest.approx(limit)


def table(*columns: Sequence[float]) -> tuple[str, ...]:
    return tuple(f"m{i}" for i in range(len(columns)))


def on_columns(limits: dict[str, float], *columns: Sequence[float]) -> Budgets:
    """Budgets on a space of three candidates, whose metrics m0, m1 … are these columns."""
    costs = np.array(columns).T

    def cheap(candidates: Sequence[Candidate]) -> np.ndarray:
        return costs[UNITLESS.encode(candidates)[:, 0]]

    budgets = [Budget(name, limit, f"<= {limit}") for name, limit in limits.items()]
    return Budgets(budgets, UNITLESS, table(*columns), cheap)


def test_violations_add_up_relative_excesses_of_the_budgeted_columns() -> None:
    own = on_columns({"m2": 4.0, "m0": 2.0}, (1, 2, 3), (9, 9, 9), (6, 4, 2))
    metrics = np.array([[1.0, 9, 6], [2, 9, 4], [3, 9, 2], [3, 9, 5]])
    np.testing.assert_allclose(own.violations(metrics), [0.5, 0.0, 0.5, 0.75])
    assert own.measured_violation({"m0": 3.0, "m2": 5.0}) == pytest.approx(0.75)
    assert own.measured_violation({"m2": 6.0}) == pytest.approx(0.5)
    assert own.measured_violation({"m1": 99.0}) == 0.0
    free = on_columns({}, (1, 2, 3))
    assert free.violations(np.ones((2, 1))).tolist() == [0.0, 0.0]
    assert free.measured_violation({"m0": 1.0}) == 0
    assert free.repair(UNITLESS.decode([2])[0], np.random.default_rng(0))["a"] == "8u"


@pytest.mark.parametrize(("limit", "told"), [(2.9, False), (3.0, True), (3.1, True), (1.0, False)])
def test_a_budget_binds_if_the_dearest_is_beyond_it(limit: float, told: bool) -> None:
    notes = on_columns({"m0": limit}, (2, 3, 1)).check()
    assert bool(notes) == told
    if told:
        assert notes == [f"budget m0 <= {limit} binds nobody: no candidate needs more than 3 "]


def test_a_budget_just_below_the_cheapest_is_refused() -> None:
    with pytest.raises(BudgetError, match=r"the cheapest candidate needs 1 , the limit is 0\.9 $"):
        on_columns({"m0": 0.9}, (2, 3, 1)).check()


def test_extremes_are_taken_per_dimension() -> None:
    """Over all candidates of a sum over dimensions of different sizes."""
    sizes = (("2u", "4u", "8u"), ("2u", "4u"), ("2u", "4u", "6u", "8u"))
    space = Space(
        tuple(Dimension(n, "weights", v, (n,)) for n, v in zip("abc", sizes, strict=True))
    )
    costs = [np.array([5.0, 1, 3]), np.array([2.0, 7]), np.array([4.0, 6, 0, 8])]

    def cheap(candidates: Sequence[Candidate]) -> np.ndarray:
        codes = space.encode(candidates)
        return np.array(
            [[0.0, sum(c[k] for c, k in zip(costs, row, strict=True))] for row in codes]
        )

    for limit, told in ((3.0, 0), (19.9, 0), (20.0, 1)):
        budgets = Budgets([Budget("x", limit, "")], space, ("none", "x"), cheap)
        assert len(budgets.check()) == told
    with pytest.raises(BudgetError, match="needs 3 "):
        Budgets([Budget("x", 2.99, "")], space, ("none", "x"), cheap).check()


def test_budgets_that_can_be_met_together_from_the_first_values_pass() -> None:
    own = on_columns({"m0": 2.0, "m1": 2.0}, (3, 2, 1), (1, 2, 3))
    assert own.check() == []
    repaired = own.repair(UNITLESS.decode([0])[0], np.random.default_rng(0))
    assert repaired["a"] == "4u"


def test_repair_refuses_where_no_single_step_helps() -> None:
    own = on_columns({"m0": 1.0, "m1": 1.0}, (1, 2, 3), (2, 1, 3))
    with pytest.raises(BudgetError, match=r"all budgets together: m0 <= 1[.]0, m1"):
        own.repair(UNITLESS.decode([0])[0], np.random.default_rng(0))
