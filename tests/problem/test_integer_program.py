"""The choose-one program against brute force on small spaces."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hqsearch.problem.integer_program import ChooseOne, Hinge

Arrays = tuple[list[int], np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def drawn(seed: int, sizes: list[int], rows: int) -> Arrays:
    """Sizes, target, costs, limits that some codes meet, and every code as 0 and 1 per value."""
    generator = np.random.default_rng(seed)
    count = sum(sizes)
    costs = generator.uniform(0.0, 5.0, (rows, count)) * generator.choice([1.0, 1e4], (rows, 1))
    starts = np.cumsum(sizes) - sizes
    codes = np.array(list(itertools.product(*map(range, sizes))))
    chosen = np.zeros((len(codes), count))
    for column, start in enumerate(starts):
        chosen[np.arange(len(codes)), start + codes[:, column]] = 1.0
    total = chosen @ costs.T
    limits = np.quantile(total, generator.uniform(0.1, 0.9), axis=0)
    return sizes, generator.normal(size=count), costs, limits, chosen


def best(target: np.ndarray, feasible: np.ndarray) -> float:
    return float(target[feasible].min()) if feasible.any() else np.inf


def row_of(sizes: list[int], code: np.ndarray) -> int:
    return int(np.ravel_multi_index(tuple(code), tuple(sizes)))


sizes_drawn = st.lists(st.integers(1, 4), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), sizes=sizes_drawn, rows=st.integers(0, 2))
def test_best_under_limits_then_the_next_best(seed: int, sizes: list[int], rows: int) -> None:
    sizes, target, costs, limits, chosen = drawn(seed, sizes, rows)
    values = chosen @ target
    feasible = (chosen @ costs.T <= limits * (1 + 1e-9)).all(axis=1)
    program = ChooseOne(sizes, target, costs, limits * (1 + 1e-9))
    for _ in range(4):
        code = program.solve()
        if code is None:
            assert not feasible.any()
            break
        row = row_of(sizes, code)
        assert feasible[row]
        assert values[row] == pytest.approx(best(values, feasible), abs=1e-6)
        program.exclude(code)
        feasible[row] = False


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    sizes=sizes_drawn,
    rows=st.integers(0, 2),
    share=st.floats(-0.2, 1.2),
    price=st.floats(0.0, 3.0),
    cost_price=st.floats(0.0, 3.0),
    unit=st.sampled_from([1.0, 1e5]),
)
def test_a_hinge_costs_what_exceeds_its_capacity(
    seed: int,
    sizes: list[int],
    rows: int,
    share: float,
    price: float,
    cost_price: float,
    unit: float,
) -> None:
    """Weights that do not fit into a memory: extra in the target and in every limited cost."""
    sizes, target, costs, _, chosen = drawn(seed, sizes, rows)
    totals = np.random.default_rng([seed, 1]).uniform(0.0, 2.0, chosen.shape[1]) * unit
    needed = chosen @ totals
    capacity = float(needed.min() + share * (needed.max() - needed.min()))
    excess = np.maximum(needed - capacity, 0.0)
    prices = tuple(cost_price * float(c.max()) / unit for c in costs)
    values = chosen @ target + price / unit * excess
    total = chosen @ costs.T + excess[:, None] * np.array(prices)[None, :]
    limits = np.quantile(total, 0.4, axis=0) if rows else np.empty(0)
    hinge = Hinge(totals, capacity, price / unit, prices)
    code = ChooseOne(sizes, target, costs, limits * (1 + 1e-9), hinge).solve()
    scale = np.maximum(np.abs(costs).max(axis=1), 1e-300)
    over = ((total - limits) / scale).max(axis=1, initial=-1.0)
    feasible = over <= -1e-5  # whatever the solver's tolerance is
    if code is None:
        assert not feasible.any()
        return
    row = row_of(sizes, code)
    assert over[row] <= 1e-5
    assert values[row] <= best(values, feasible) + 1e-5


def test_a_hinge_moves_the_optimum() -> None:
    """The dearer value is worth 1, but 3 units too large: at a price of 0.5 it no longer is."""
    target, totals = np.array([0.0, -1.0]), np.array([1.0, 5.0])
    none = np.empty((0, 2))

    def pick(price: float) -> list[int]:
        solved = ChooseOne([2], target, none, np.empty(0), Hinge(totals, 2.0, price)).solve()
        assert solved is not None
        return solved.tolist()

    assert (pick(0.0), pick(0.3), pick(0.5)) == ([1], [1], [0])


def test_negative_prices_are_refused() -> None:
    for given_prices in ({"price": -1.0}, {"cost_prices": (0.0, -0.1)}):
        with pytest.raises(ValueError, match="must not be negative"):
            Hinge(np.ones(2), 1.0, **given_prices)  # type: ignore[arg-type]


def test_nothing_fits() -> None:
    program = ChooseOne([2, 2], np.zeros(4), np.ones((1, 4)), np.array([1.0]))
    assert program.solve() is None
