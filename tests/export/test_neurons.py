"""The membrane in fixed point fires as exact arithmetic does."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hqsearch.errors import ExportError
from hqsearch.export.bounds import SUM_LIMIT, check_sums, input_limits, sum_limits
from hqsearch.export.graph import Graph, Logits, Neuron, Value
from hqsearch.export.integer import run_integers
from hqsearch.export.network import IntegerNetwork
from hqsearch.export.neurons import FixedPoint, fixed_point, has_gain, in_units


def fired(fixed: FixedPoint, leak: int, sums: np.ndarray) -> np.ndarray:
    """Spikes [T, C] of the reference's neuron on sums [T, C], which frames stand for."""
    steps, channels = sums.shape
    levels = int(np.abs(sums).max())
    values = (Value((channels,), levels), Value((channels,), 1), Value((channels,), 1))
    neuron = Neuron("neuron", (0,), 1, "", leak, *fixed.shape())
    graph = Graph(steps, values, (neuron, Logits("logits", (1,), 2, 0, 0)))
    ones = np.ones(channels, np.int32)
    network = IntegerNetwork(graph, {}, {1: (fixed.thresholds, fixed.biases), 2: (ones, 0 * ones)})
    seen: dict[int, np.ndarray] = {}
    run_integers(network, sums[None], seen.update)
    return seen[1]


def exactly(tau: int, threshold: Fraction, bias: Fraction, sums: list[int]) -> list[int]:
    """Spikes of one channel in exact arithmetic; a negative threshold is that of one flipped."""
    potential, spikes = Fraction(0), []
    for total in sums:
        potential += (total + bias - potential) / tau
        spike = potential <= threshold if threshold < 0 else potential >= threshold
        spikes.append(int(spike))
        potential = Fraction(0) if spike else potential
    return spikes


@settings(max_examples=150, deadline=None)
@given(
    leak=st.integers(0, 2),
    threshold=st.floats(0.3, 60.0),
    sign=st.sampled_from([1, -1]),
    bias=st.integers(-40, 40),
    sums=st.lists(st.integers(0, 90), min_size=1, max_size=12),
)
def test_firing_is_exact_where_the_bias_is(
    leak: int, threshold: float, sign: int, bias: int, sums: list[int]
) -> None:
    level = np.array([sign * threshold])
    fixed = fixed_point("n", leak, len(sums), level, np.array([bias / 8]), np.array([90]))
    expected = exactly(2**leak, Fraction(sign * threshold), Fraction(bias, 8), sums)
    assert fired(fixed, leak, np.array(sums)[:, None])[:, 0].tolist() == expected


def test_membranes_at_the_threshold_fire() -> None:
    fixed = fixed_point("n", 1, 3, np.array([1.5, -1.5]), np.array([0.0, -4.0]), np.array([9, 9]))
    assert fired(fixed, 1, np.array([[3, 1], [2, 1], [1, 1]])).tolist() == [[1, 1], [0, 1], [0, 1]]


def test_widths_follow_from_what_is_needed() -> None:
    def made(threshold: float, reach: int, steps: int = 8) -> FixedPoint:
        return fixed_point("n", 1, steps, np.array([threshold]), np.array([0.3]), np.array([reach]))

    assert made(10.0, 100).bits == 32
    assert made(10.0, 100).fraction == 16
    assert made(1e4, 200_000).bits == 32
    assert made(10.0, 200_000).bits == 64
    assert made(10.0, 100, 24).bits == 64
    with pytest.raises(ExportError, match="the membrane of 'n' can reach"):
        made(10.0, 100, 60)


def test_large_constants_are_shifted_and_unreached_ones_cut_off() -> None:
    fixed = fixed_point(
        "n", 1, 16, np.array([1e3, 1e12, -1e12]), np.array([0.0, 3e9, 0.0]), np.array([2**20] * 3)
    )
    assert fixed.bits == 64
    assert fixed.bias_shift > 0
    assert fixed.threshold_shift > 0
    whole = 16 + fixed.fraction
    real = fixed.thresholds.astype(object) * 2**fixed.threshold_shift
    assert abs(real[0] / 2**whole - 1e3) < 2.0 ** (fixed.threshold_shift - whole)
    assert 2**20 * 2**whole < -real[2] < 2**21 * 2**whole
    bias = fixed.biases[1] * 2.0 ** (fixed.bias_shift - fixed.fraction)
    assert bias == pytest.approx(3e9, rel=2**-30)


def test_channels_without_sums_see_their_constant() -> None:
    """With tau 2, a constant of 1.6 reaches a threshold of 1 in the second step, and again."""
    fixed = fixed_point("n", 1, 6, np.array([1.0, 40.0]), np.array([1.6, 0.0]), np.array([0, 500]))
    spikes = fired(fixed, 1, np.array([[0, 90], [0, 90]] * 3))
    assert spikes[:, 0].tolist() == [0, 1, 0, 1, 0, 1]
    assert spikes[:, 1].all()


def test_a_normalisation_that_multiplies_by_nothing_has_no_gain() -> None:
    scale, offset = np.array([0.5, 1e-12]), np.array([0.0, 1.0])
    assert not has_gain(1.0, scale, offset, np.array([10, 10]))
    assert has_gain(1.0, scale, offset, np.array([10, 0]))
    level, bias = in_units(1.0, scale, offset, np.array([10, 0]))
    assert level.tolist() == [2.0, 1.0]
    assert bias.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_an_integer_neuron_counts_odd_multiples(sign: float) -> None:
    """Every sum from end to end, against fractions; 2D - 1 times the threshold fits, too."""
    levels, threshold, bias = 255, np.array([sign * 7.3]), np.array([1.25])
    sums = np.arange(-4000, 4001)
    fixed = fixed_point("n", 0, 4, threshold, bias, np.array([4000]), counting=True)
    level = int(fixed.thresholds[0]) << fixed.threshold_shift
    reached = (sums << fixed.fraction) + (int(fixed.biases[0]) << fixed.bias_shift)
    odd = np.arange(1, 2 * levels, 2)
    assert abs(level) * (2 * levels - 1) < 2**62
    compared = reached[:, None] >= level * odd if sign > 0 else reached[:, None] <= level * odd
    exact = Fraction(float(threshold[0]))
    expected = [
        sum((s + Fraction(5, 4)) * int(sign) >= abs(exact) * int(k) for k in odd) for s in sums
    ]
    assert compared.sum(1).tolist() == expected


def test_bounds_hold_every_order_of_additions() -> None:
    weights = np.array([[3, -2, 0], [-1, -1, -5]])
    assert [part.tolist() for part in sum_limits(weights, *input_limits(4, False))] == [
        [-8, -28],
        [12, 0],
    ]
    assert [part.tolist() for part in sum_limits(weights, *input_limits(2, True))] == [
        [-10, -14],
        [10, 14],
    ]
    check_sums("here", np.array([-SUM_LIMIT]), np.array([3]))
    with pytest.raises(ExportError, match=r"sums of 'here' can reach 2,147,483,647"):
        check_sums("here", np.array([0]), np.array([SUM_LIMIT + 1]))
