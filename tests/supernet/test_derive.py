from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hqsearch.problem.candidate import Candidate
from hqsearch.problem.space import Dimension, Space
from hqsearch.supernet import derive as module
from hqsearch.supernet.derive import derive

METRICS = ("energy", "storage")


def space_of(sizes: Sequence[int]) -> Space:
    names = ("2u", "3u", "4u", "8u", "fp32")
    return Space(
        tuple(Dimension(f"l{i}", "weights", names[:n], (f"l{i}",)) for i, n in enumerate(sizes))
    )


def problem(seed: int, sizes: Sequence[int], additive: bool) -> tuple[Any, ...]:
    """Probabilities, space, costs, and the codes of all candidates with costs and likelihoods."""
    generator = np.random.default_rng(seed)
    space = space_of(sizes)
    table = [generator.dirichlet(np.full(n, 0.5)) for n in sizes]
    tables = [generator.uniform(0.1, 2.0, (n, 2)) for n in sizes]

    def cheap(candidates: Sequence[Candidate]) -> Any:
        codes = space.encode(candidates)
        rows = np.stack([t[codes[:, d]] for d, t in enumerate(tables)])
        return rows.sum(axis=0) if additive else rows.prod(axis=0)

    codes = np.array(list(itertools.product(*map(range, sizes))))
    logs = sum(np.log(np.maximum(p, module.FLOOR))[codes[:, d]] for d, p in enumerate(table))
    return table, space, cheap, codes, cheap(space.decode(codes)), logs


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    sizes=st.lists(st.integers(2, 5), min_size=1, max_size=5),
    additive=st.booleans(),
    share=st.floats(0.0, 1.2),
    both=st.booleans(),
)
def test_the_most_likely_feasible_candidates_are_found(
    seed: int, sizes: list[int], additive: bool, share: float, both: bool
) -> None:
    """Against enumeration: as likely as the best feasible ones, and feasible."""
    table, space, cheap, _, costs, logs = problem(seed, sizes, additive)
    names = METRICS if both else METRICS[:1]
    low, high = costs.min(axis=0), costs.max(axis=0)
    limits = {n: float((low + share * (high - low))[i]) for i, n in enumerate(names)}
    fits = np.all([costs[:, METRICS.index(n)] <= limits[n] for n in names], axis=0)
    found = derive(table, space, cheap, METRICS, limits, 3)
    expected = np.sort(logs[fits])[::-1][:3]
    np.testing.assert_allclose([d.log_likelihood for d in found], expected, rtol=1e-5, atol=1e-5)
    assert len({d.candidate for d in found}) == len(found)
    for each in found:
        assert all(each.costs[n] <= limits[n] for n in names)
        exact = cheap([each.candidate])[0]
        assert list(each.costs.values()) == exact.tolist()


def test_a_cost_that_equals_its_limit_is_allowed() -> None:
    table, space, cheap, codes, costs, _ = problem(3, (3, 3, 3), True)
    row = int(costs[:, 0].argmin())
    found = derive(table, space, cheap, METRICS, {"energy": float(costs[row, 0])}, 2)
    assert [d.candidate for d in found] == space.decode(codes[row])


def test_nothing_where_nothing_is_cheap_enough() -> None:
    for additive in (True, False):
        table, space, cheap, _, costs, _ = problem(4, (3, 3), additive)
        assert derive(table, space, cheap, METRICS, {"energy": costs[:, 0].min() * 0.99}, 2) == []


def test_without_limits_the_most_likely_ones() -> None:
    table, space, cheap, codes, _, logs = problem(5, (4, 3, 5), True)
    best = codes[np.argsort(-logs)[:4]]
    found = derive(table, space, cheap, METRICS, {}, 4)
    assert [d.candidate for d in found] == space.decode(best)


def test_a_large_space_is_solved_exactly() -> None:
    """5^40 candidates: those of two halves solved apart bound the whole from above."""
    generator = np.random.default_rng(0)
    space = space_of([5] * 40)
    weights = generator.uniform(0.5, 2.0, 40)
    table = [generator.dirichlet(np.full(5, 0.7)) for _ in range(40)]

    def cheap(candidates: Sequence[Candidate]) -> Any:
        return ((space.encode(candidates) + 1.0) * weights).sum(axis=1, keepdims=True)

    limit = 2.0 * weights.sum()
    found = derive(table, space, cheap, ("storage",), {"storage": limit}, 2)
    assert found[0].log_likelihood >= found[1].log_likelihood
    # No exchange of one or two layers' values is both feasible and more likely.
    code = space.encode([found[0].candidate])[0]
    logs = [np.log(p) for p in table]
    cost = float(((code + 1.0) * weights).sum())
    for i, j in itertools.combinations(range(40), 2):
        for a, b in itertools.product(range(5), repeat=2):
            change = (a - code[i]) * weights[i] + (b - code[j]) * weights[j]
            gain = logs[i][a] - logs[i][code[i]] + logs[j][b] - logs[j][code[j]]
            assert cost + change > limit or gain <= 1e-6


def test_giving_up_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOKED_THROUGH", 300)
    table, space, cheap, _, costs, _ = problem(6, (5, 5, 5, 5), False)
    with pytest.raises(ValueError, match="most probable candidates"):
        derive(table, space, cheap, METRICS, {"energy": float(costs[:, 0].min())}, 2)
