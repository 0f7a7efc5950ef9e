"""Sums over dimensions, per structural part: against the function that they were taken from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hqsearch.evaluator import Evaluator
from hqsearch.problem.additive import AdditiveTables, Cheap, Sums, neighbours
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.space import Dimension, Space

VALUES = ("2u", "4u", "fp32")
LAYERS = tuple(Dimension(f"l{i}", "weights", VALUES, (f"l{i}",)) for i in range(4))
PLAIN = Space(LAYERS)
STRUCTURED = Space(
    (
        *LAYERS,
        Dimension.structural("timesteps", [4, 2, 1]),
        Dimension.structural("neuron", ["lif", "if"]),
    )
)
COST = np.array([[1.0, 2.0, 9.0], [2.0, 4.5, 18.0], [0.5, 1.0, 4.0], [3.0, 6.0, 25.0]])


def cheap_of(space: Space, power: float = 1.0) -> Cheap:
    """Energy, scaled by structure, and storage, which is not; no sums with another power."""

    def cheap(candidates: Sequence[Candidate]) -> Any:
        codes = space.encode(candidates)
        total = COST[np.arange(4), codes[:, :4]].sum(axis=1)
        scale = np.ones(len(codes))
        for row, candidate in enumerate(candidates):
            structure = space.structure(candidate)
            scale[row] = float(structure.get("timesteps", 1))
            scale[row] += 0.5 * (structure.get("neuron") == "if")
        return np.column_stack([total * scale, total**power])

    return cheap


def every(space: Space) -> np.ndarray:
    sizes = space.cardinalities
    return np.indices(tuple(sizes)).reshape(len(sizes), -1).T


@pytest.mark.parametrize("space", [PLAIN, STRUCTURED])
def test_sums_are_the_metrics(space: Space) -> None:
    cheap = cheap_of(space)
    tables = AdditiveTables(space, cheap)
    codes = every(space)
    assert tables.additive
    np.testing.assert_allclose(tables.metrics(codes), cheap(space.decode(codes)), rtol=1e-12)


@pytest.mark.parametrize("space", [PLAIN, STRUCTURED])
def test_what_is_no_sum_is_noticed_and_asked_for(space: Space) -> None:
    cheap = cheap_of(space, power=1.5)
    tables = AdditiveTables(space, cheap)
    codes = every(space)[::7]
    assert not tables.additive
    np.testing.assert_array_equal(tables.metrics(codes), cheap(space.decode(codes)))


def test_the_tolerance_decides_what_counts_as_a_sum() -> None:
    cheap = cheap_of(PLAIN, power=1 + 1e-8)
    assert not AdditiveTables(PLAIN, cheap).additive
    assert AdditiveTables(PLAIN, cheap, 1e-6).additive


@pytest.mark.parametrize("space", [PLAIN, STRUCTURED])
@pytest.mark.parametrize("column", [0, 1])
def test_extremes_are_those_of_all_candidates(space: Space, column: int) -> None:
    tables = AdditiveTables(space, cheap_of(space))
    values = cheap_of(space)(space.decode(every(space)))[:, column]
    assert tables.extremes(column) == (values.min(), values.max())


def test_extremes_among_some_values_and_by_part() -> None:
    tables = AdditiveTables(STRUCTURED, cheap_of(STRUCTURED))
    coded = [c for c in STRUCTURED.decode(every(STRUCTURED)) if "fp32" not in c.choices.values()]
    values = cheap_of(STRUCTURED)(coded)[:, 0]
    assert tables.extremes(0, lambda v: v != "fp32") == (values.min(), values.max())
    by_part = tables.part_extremes(0, lambda v: v != "fp32")
    keys = np.array([STRUCTURED.structural_key(c) for c in coded])
    assert list(by_part) == list(STRUCTURED.parts)
    for key, (low, high) in by_part.items():
        own = values[keys == key]
        assert (low, high) == (own.min(), own.max())


def test_a_dimension_without_an_allowed_value_takes_its_first() -> None:
    tables = AdditiveTables(PLAIN, cheap_of(PLAIN))
    assert tables.extremes(0, lambda v: False) == (COST[:, 0].sum(), COST[:, 0].sum())


def test_neighbours_are_all_single_changes_in_order() -> None:
    found = neighbours(np.array([1, 0, 2]), np.array([3, 1, 3]))
    assert found.tolist() == [[0, 0, 2], [2, 0, 2], [1, 0, 0], [1, 0, 1]]
    assert neighbours(np.array([1, 0, 2]), np.array([3, 1, 3]), [2]).tolist() == found.tolist()[2:]
    assert neighbours(np.array([0, 0]), np.array([1, 1])).shape == (0, 2)


def test_one_value_everywhere_has_a_base_alone() -> None:
    space = Space(tuple(d.only("4u") for d in LAYERS))
    sums = Sums.of(space, lambda candidates: cheap_of(PLAIN)(candidates))
    assert [table.tolist() for table in sums.tables] == [[[0.0, 0.0]]] * 4
    assert sums.base[0] == COST[:, 1].sum()


def test_thousands_of_codes_take_a_millisecond(toy: Evaluator) -> None:
    tables = AdditiveTables(toy.space, toy.cheap)
    codes = np.random.default_rng(0).integers(0, toy.space.cardinalities, (5000, 8))
    tables.metrics(codes)
    taken = []
    for _ in range(20):
        began = time.perf_counter()
        tables.metrics(codes)
        taken.append(time.perf_counter() - began)
    # About 1 ms; asking for candidates takes about 30.
    assert min(taken) < 0.01
