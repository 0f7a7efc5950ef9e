"""Costs that bend at a capacity: everything that works with sums, against enumeration."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from hqsearch.errors import BudgetError
from hqsearch.problem.additive import AdditiveTables
from hqsearch.problem.budgets import Budget, Budgets
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.overflow import Overflow
from hqsearch.problem.space import Dimension, Space
from hqsearch.supernet.derive import derive

VALUES = ("2u", "4u", "4l", "fp32")
METRICS = ("energy", "storage", "bits")
SPACE = Space(tuple(Dimension(f"l{i}", "weights", VALUES, (f"l{i}",)) for i in range(4)))
EVERY = np.array(list(itertools.product(range(4), repeat=4)))


def drawn(seed: int) -> tuple[Callable[[Sequence[Candidate]], np.ndarray], Overflow]:
    """Random costs, in which more bits may cost less, and a capacity that some exceed."""
    generator = np.random.default_rng(seed)
    tables = generator.uniform(0.1, 4.0, (4, 4, 3))
    tables[..., 2] = generator.integers(1, 9, (4, 4))
    bits = tables[..., 2]
    capacity = generator.uniform(bits.min(axis=1).sum(), bits.max(axis=1).sum())
    price = generator.uniform(0.0, 2.0)

    def cheap(candidates: Sequence[Candidate]) -> np.ndarray:
        total = tables[np.arange(4), SPACE.encode(candidates)].sum(axis=1)
        total[:, 0] += price * np.maximum(total[:, 2] - capacity, 0.0)
        return total

    return cheap, Overflow(0, 2, float(capacity), float(price))


def every(cheap: Callable[[Sequence[Candidate]], np.ndarray]) -> np.ndarray:
    return cheap(SPACE.decode(EVERY))


@pytest.mark.parametrize("seed", range(12))
def test_tables_and_extremes_are_those_of_enumeration(seed: int) -> None:
    cheap, overflow = drawn(seed)
    tables = AdditiveTables(SPACE, cheap, overflows={"": overflow})
    costs = every(cheap)
    assert tables.additive
    np.testing.assert_allclose(tables.metrics(EVERY), costs, rtol=1e-12)
    for column in range(3):
        assert tables.extremes(column) == pytest.approx(
            (costs[:, column].min(), costs[:, column].max()), rel=1e-9
        )
    quantized = (EVERY < 3).all(axis=1)
    low, high = tables.extremes(0, lambda value: value != "fp32")
    assert (low, high) == pytest.approx(
        (costs[quantized, 0].min(), costs[quantized, 0].max()), rel=1e-9
    )


def test_what_does_not_fit_and_its_straight_lines() -> None:
    cheap, overflow = drawn(0)
    tables = AdditiveTables(SPACE, cheap, overflows={"": overflow})
    costs = every(cheap)
    below, above = tables.straightened(EVERY, 0.0), tables.straightened(EVERY, 1.0)
    amounts = tables.metrics(EVERY) - below
    expected = overflow.price * np.maximum(costs[:, 2] - overflow.capacity, 0.0)
    np.testing.assert_allclose(amounts[:, 0], expected, atol=1e-12)
    assert 0 < (expected > 0).mean() < 1
    assert not amounts[:, 1:].any()
    np.testing.assert_allclose(np.maximum(below, above), costs, rtol=1e-12)


def test_an_undeclared_bend_is_noticed_and_a_wrong_one_too() -> None:
    cheap, overflow = drawn(1)
    assert not AdditiveTables(SPACE, cheap).additive
    wrong = Overflow(0, 2, overflow.capacity, overflow.price * 1.01)
    assert not AdditiveTables(SPACE, cheap, overflows={"": wrong}).additive
    with pytest.raises(ValueError, match="must not be negative"):
        Overflow(0, 2, 1.0, -1.0)
    with pytest.raises(ValueError, match="pay for its own excess"):
        Overflow(2, 2, 1.0, 1.0)


@pytest.mark.parametrize("seed", range(12))
def test_budgets_find_a_way_wherever_there_is_one(seed: int) -> None:
    cheap, overflow = drawn(seed)
    costs = every(cheap)
    least = costs[:, 0].min()
    generator = np.random.default_rng(seed)
    for share in (1.0 + 1e-9, 1.1, 1.5):
        budget = Budget("energy", float(least * share), "")
        budgets = Budgets([budget], SPACE, METRICS, cheap, {"": overflow})
        budgets.check()
        for code in generator.integers(0, 4, (5, 4)):
            repaired = budgets.repair(SPACE.decode(code)[0], generator)
            assert cheap([repaired])[0, 0] <= budget.limit
    refused = Budgets([Budget("energy", float(least) * 0.999, "")], SPACE, METRICS, cheap,
                      {"": overflow})  # fmt: skip
    with pytest.raises(BudgetError, match="cannot be met"):
        refused.check()


def test_repair_takes_several_steps_at_once_where_one_does_not_help() -> None:
    """``b`` at 4u saves more than it costs only where ``a`` at 2u has made room for its bits."""
    space = Space(tuple(Dimension(n, "weights", ("2u", "4u"), (n,)) for n in "ab"))
    tables = np.array([[[4.5, 0.0], [0.0, 7.0]], [[4.0, 0.0], [0.0, 5.0]]])

    def cheap(candidates: Sequence[Candidate]) -> np.ndarray:
        total = tables[np.arange(2), space.encode(candidates)].sum(axis=1)
        total[:, 0] += np.maximum(total[:, 1] - 6.0, 0.0)
        return total

    codes = [[1, 0], [0, 0], [1, 1], [0, 1]]
    assert cheap(space.decode(codes))[:, 0].tolist() == [5.0, 8.5, 6.0, 4.5]
    overflows = {"": Overflow(0, 1, 6.0, 1.0)}
    budgets = Budgets([Budget("energy", 4.6, "")], space, ("energy", "bits"), cheap, overflows)
    start = space.decode([1, 0])[0]
    assert budgets.repair(start, np.random.default_rng(0)).key == "a=2u;b=4u"


@pytest.mark.parametrize("seed", range(8))
def test_the_most_probable_candidates_are_those_of_enumeration(seed: int) -> None:
    cheap, overflow = drawn(seed)
    costs = every(cheap)
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.full(4, 0.7), 4)
    logs = np.log(probabilities[np.arange(4), EVERY]).sum(axis=1)
    limit = float(np.quantile(costs[:, 0], 0.3))
    found = derive(probabilities, SPACE, cheap, METRICS, {"energy": limit}, 3, {"": overflow})
    expected = np.sort(logs[costs[:, 0] <= limit])[::-1][:3]
    np.testing.assert_allclose([d.log_likelihood for d in found], expected, rtol=1e-5, atol=1e-5)
    assert all(d.costs["energy"] <= limit for d in found)


def test_structural_parts_have_capacities_of_their_own() -> None:
    space = Space(
        (
            Dimension("steps", "structure", ("4", "2"), (), (4, 2)),
            *(Dimension(n, "weights", VALUES, (n,)) for n in "ab"),
        )
    )
    bits = np.array([2.0, 4.0, 4.0, 32.0])
    overflows = {
        key: Overflow(0, 1, capacity, price)
        for key, (capacity, price) in zip(space.parts, ((8.0, 1.0), (30.0, 3.0)), strict=True)
    }

    def cheap(candidates: Sequence[Candidate]) -> np.ndarray:
        codes = space.encode(candidates)
        total = np.zeros((len(codes), 2))
        total[:, 1] = bits[codes[:, 1:]].sum(axis=1)
        total[:, 0] = total[:, 1] * (0.5 - 0.2 * codes[:, 0])
        capacity, price = np.array([[8.0, 1.0], [30.0, 3.0]])[codes[:, 0]].T
        total[:, 0] += price * np.maximum(total[:, 1] - capacity, 0.0)
        return total

    tables = AdditiveTables(space, cheap, overflows=overflows)
    codes = np.array(list(itertools.product(range(2), range(4), range(4))))
    costs = cheap(space.decode(codes))
    assert tables.additive
    np.testing.assert_allclose(tables.metrics(codes), costs, rtol=1e-12)
    assert tables.extremes(0) == pytest.approx((costs[:, 0].min(), costs[:, 0].max()))
    budgets = Budgets([Budget("energy", 2.0, "")], space, ("energy", "bits"), cheap, overflows)
    repaired = budgets.repair(space.decode(codes[-1])[0], np.random.default_rng(0))
    assert cheap([repaired])[0, 0] <= 2.0
