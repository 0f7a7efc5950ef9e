"""Integer neurons: their levels, their gradients, and the binary spikes that they stand for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hqsearch.models.integer_neurons import IntegerLIF, IntegerNeuron, virtual_steps
from hqsearch.models.neurons import LIF


def currents(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.double) * 0.8 + 0.3


def slope_of(function, x: torch.Tensor, step: float = 1e-6) -> torch.Tensor:
    """Central differences of the sum of ``function`` with respect to every element of ``x``."""
    flat = x.flatten()
    slopes = []
    for index in range(len(flat)):
        shifted = []
        for sign in (1, -1):
            moved = flat.clone()
            moved[index] += sign * step
            shifted.append(float(function(moved.view_as(x))))
        slopes.append((shifted[0] - shifted[1]) / (2 * step))
    return torch.tensor(slopes, dtype=x.dtype).view_as(x)


def gradient_of(neuron, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    x = x.clone().requires_grad_()
    (neuron(x) * weight).sum().backward()
    assert x.grad is not None
    return x.grad


def test_the_published_code_in_numbers():
    """floor(clamp(4 x, 0, 4) + 0.5) / 4: half rounds up, and the ends clip."""
    x = torch.tensor([-3.0, 0.1249, 0.125, 0.3749, 0.375, 0.625, 0.874, 0.875, 1.0, 7.0])
    assert (IntegerNeuron(4)(x) * 4).tolist() == [0, 0, 1, 1, 2, 3, 3, 4, 4, 4]
    assert (IntegerNeuron(4, gain=2.0)(x) * 2).tolist() == [0, 0, 1, 1, 2, 3, 3, 4, 4, 4]


@pytest.mark.parametrize("levels", [1, 2, 3, 5, 16])
def test_any_number_of_levels(levels):
    neuron = IntegerNeuron(levels, gain=1.5)
    out = neuron(torch.linspace(-0.5, 1.5, 997))
    counts = out / neuron.unit
    torch.testing.assert_close(counts, counts.round(), rtol=0, atol=1e-5)
    assert set(counts.round().tolist()) == set(range(levels + 1))
    assert (neuron.levels, neuron.threshold) == (levels, 0.5 / levels)


@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_the_gradient_is_that_of_a_clamp(gain):
    x, weight = currents(1, 4, 30), currents(2, 4, 30)
    assert ((x < 0).any(), (x > 1).any()) == (True, True)
    wanted = slope_of(lambda v: (gain * v.clamp(0, 1) * weight).sum(), x)
    got = gradient_of(IntegerNeuron(4, gain), x, weight)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-8)
    ends = torch.tensor([0.0, 1.0], dtype=torch.double)
    assert gradient_of(IntegerNeuron(4, gain), ends, torch.ones(2)).tolist() == [0.0, 0.0]


def test_the_gradient_of_the_stateful_one_is_that_of_clamps_between_its_own_resets():
    """What it fired is subtracted as a constant (detached); what rests leaks."""
    x, weight = currents(3, 5, 7), currents(4, 5, 7)
    neuron = IntegerLIF(4, gain=2.0, leak=0.5)
    fired = neuron(x)

    def smooth(given_x: torch.Tensor) -> torch.Tensor:
        total, rest = torch.zeros(()), torch.zeros_like(given_x[0])
        for current, spikes, w in zip(given_x, fired, weight, strict=True):
            h = rest + current
            total = total + (2.0 * h.clamp(0, 1) * w).sum()
            rest = 0.5 * (h - spikes / 2.0)
        return total

    torch.testing.assert_close(
        gradient_of(neuron, x, weight), slope_of(smooth, x), rtol=0, atol=1e-7
    )


def test_the_gradient_of_the_binary_one_is_that_of_sigmoids_between_its_own_resets():
    x, weight = currents(5, 4, 9) * 2, currents(6, 4, 9)
    neuron = LIF()
    fired = neuron(x)

    def smooth(given_x: torch.Tensor) -> torch.Tensor:
        total, v = torch.zeros(()), torch.zeros_like(given_x[0])
        for current, spikes, w in zip(given_x, fired, weight, strict=True):
            h = v + (current - v) / 2.0
            total = total + (torch.sigmoid(4.0 * (h - 1.0)) * w).sum()
            v = h * (1 - spikes)
        return total

    torch.testing.assert_close(
        gradient_of(neuron, x, weight), slope_of(smooth, x), rtol=0, atol=1e-7
    )


def test_with_one_step_the_stateful_one_is_the_stateless_one():
    x = currents(7, 1, 500)
    assert torch.equal(IntegerLIF(4, 2.0)(x), IntegerNeuron(4, 2.0)(x))


def test_copies_of_an_input_are_told_apart_by_a_state_alone():
    x = currents(8, 1, 400).expand(4, -1)
    stateless, stateful = IntegerNeuron()(x), IntegerLIF()(x)
    assert all(torch.equal(step, stateless[0]) for step in stateless)
    assert not torch.equal(stateful[1], stateful[0])
    assert (IntegerNeuron.stateless, IntegerLIF.stateless, LIF.stateless) == (True, False, False)


def test_what_a_stateful_one_does_step_by_step():
    x = torch.tensor([[0.6], [0.1], [1.4], [0.0]], dtype=torch.double)
    # h: 0.6 → fires 2/4, rests 0.1 · 0.25; 0.125 → 1/4, rests −0.125 · 0.25; …
    expected, rest = [], 0.0
    for value in x[:, 0].tolist():
        h = rest + value
        m = int(min(max(4 * h, 0), 4) + 0.5)
        expected.append(m / 4)
        rest = 0.25 * (h - m / 4)
    assert IntegerLIF()(x)[:, 0].tolist() == expected == [0.5, 0.25, 1.0, 0.0]


@settings(max_examples=30, deadline=None)
@given(levels=st.integers(1, 9), seed=st.integers(0, 1000), gain=st.sampled_from([1.0, 2.0]))
def test_binary_virtual_steps_give_exactly_what_the_integers_give(levels, seed, gain):
    generator = torch.Generator().manual_seed(seed)
    neuron = IntegerNeuron(levels, gain)
    spikes = neuron(currents(seed, 6, 20))
    steps = virtual_steps(spikes, levels, neuron.unit)
    assert set(steps.unique().tolist()) <= {0.0, 1.0}
    assert bool((steps[1:] <= steps[:-1]).all())  # ones first
    codes = torch.randint(-8, 8, (20, 5), generator=generator).double()
    counts = (spikes / neuron.unit).round()
    assert torch.equal((steps @ codes).sum(0), counts @ codes)


def test_products_of_attention_need_the_sums_first():
    """Exact where virtual steps of q, k and v are summed before they are multiplied."""
    neuron = IntegerNeuron(4)
    q, k, v = (neuron(currents(seed, 6, 8)) for seed in (1, 2, 3))
    expanded = [virtual_steps(s, 4, neuron.unit) for s in (q, k, v)]
    a, b, c = (steps.sum(0) for steps in expanded)
    assert torch.equal(a @ (b.T @ c) / 64, q @ (k.T @ v))
    apart = sum(x @ (y.T @ z) for x, y, z in zip(*expanded, strict=True)) / 64
    assert not torch.equal(apart, q @ (k.T @ v))


@pytest.mark.parametrize(
    "make",
    [
        lambda: IntegerNeuron(0),
        lambda: IntegerNeuron(4, gain=0.0),
        lambda: IntegerLIF(0),
        lambda: IntegerLIF(leak=1.0),
    ],
)
def test_constants_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match="levels >= 1"):
        make()


def test_not_a_number_stays_visible():
    assert bool(IntegerNeuron()(torch.tensor([float("nan")])).isnan().all())
    assert "levels=4, gain=1.0" in repr(IntegerNeuron())
    assert "leak=0.25" in repr(IntegerLIF())
