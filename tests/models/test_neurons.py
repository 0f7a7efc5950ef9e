"""The LIF neuron against a step-by-step float64 reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hqsearch.models import neurons
from hqsearch.models.neurons import LIF, charge, fire, reset


def reference(x, grad, tau, threshold, alpha):
    """Spikes, potentials and input gradient, one scalar equation after the other."""
    steps = x.shape[0]
    h, spikes = np.zeros_like(x), np.zeros_like(x)
    v = np.zeros_like(x[0])
    for t in range(steps):
        h[t] = v + (x[t] - v) / tau
        spikes[t] = h[t] >= threshold
        v = np.where(spikes[t] == 1, 0.0, h[t])
    into = np.zeros_like(x)
    dv = np.zeros_like(x[0])
    for t in reversed(range(steps)):
        sigma = 1 / (1 + np.exp(-alpha * (h[t] - threshold)))
        dh = grad[t] * alpha * sigma * (1 - sigma) + dv * (1 - spikes[t])
        into[t] = dh / tau
        dv = dh * (1 - 1 / tau)
    return spikes, h, into


@settings(max_examples=40, deadline=None)
@given(
    steps=st.integers(1, 9),
    units=st.integers(1, 40),
    tau=st.sampled_from([1.0, 1.5, 2.0, 5.0]),
    threshold=st.sampled_from([0.5, 1.0]),
    seed=st.integers(0, 2**31 - 1),
)
def test_forward_and_gradient_equal_the_float64_reference(steps, units, tau, threshold, seed):
    rng = np.random.default_rng(seed)
    x, grad = rng.normal(0.6, 1.5, (steps, 3, units)), rng.normal(size=(steps, 3, units))
    spikes, _, into = reference(x, grad, tau, threshold, 4.0)
    tensor = torch.from_numpy(x).requires_grad_()
    fired = LIF(tau, threshold, 4.0)(tensor)
    fired.backward(torch.from_numpy(grad))
    assert np.array_equal(fired.detach().numpy(), spikes)
    np.testing.assert_allclose(tensor.grad.numpy(), into, rtol=1e-12, atol=1e-14)


def test_float32_agrees_wherever_the_potential_is_not_at_the_threshold():
    rng = np.random.default_rng(0)
    x, grad = rng.normal(0.6, 1.5, (8, 500)), rng.normal(size=(8, 500))
    spikes, h, into = reference(x, grad, 2.0, 1.0, 4.0)
    clear = (np.abs(h - 1.0) > 1e-4).all(0)
    assert clear.sum() > 400
    tensor = torch.from_numpy(x[:, clear]).float().requires_grad_()
    fired = LIF()(tensor)
    fired.backward(torch.from_numpy(grad[:, clear]).float())
    assert np.array_equal(fired.detach().numpy(), spikes[:, clear])
    np.testing.assert_allclose(tensor.grad.numpy(), into[:, clear], rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("slab", [1, 100, 1 << 18])
def test_memory_layout_and_slab_size_do_not_matter(monkeypatch, slab):
    monkeypatch.setattr(neurons, "_SLAB", slab)
    shape = (5, 2, 3, 4, 4)  # float64: by torch
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2
    grad = torch.randn(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    plain, images = x.clone().requires_grad_(), x.flatten(0, 1)
    last = images.contiguous(memory_format=torch.channels_last).requires_grad_()
    expected = LIF()(plain)
    expected.backward(grad)
    found = LIF()(last.unflatten(0, (5, 2)))
    found.backward(grad)
    assert torch.equal(found, expected)
    torch.testing.assert_close(last.grad.unflatten(0, (5, 2)), plain.grad)


def test_without_gradient_the_spikes_are_the_same():
    x = torch.randn(6, 50, generator=torch.Generator().manual_seed(3)) * 2
    learned = LIF()(x.clone().requires_grad_())
    with torch.no_grad():
        assert torch.equal(LIF()(x), learned)
    assert 0.05 < learned.mean() < 0.5


@pytest.mark.parametrize("tau", [1.0, 1.5, 2.0, 3.0, 5.0])
def test_training_and_evaluation_fire_alike(tau):
    x = torch.randn(9, 4000, generator=torch.Generator().manual_seed(5)) * 3
    learned = LIF(tau)(x.clone().requires_grad_())
    assert torch.equal(LIF(tau)(x), learned)


@pytest.mark.parametrize("tau", [1.0, 1.5, 2.0, 5.0])
@pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan"), 3e38, -3e38])
def test_training_and_evaluation_agree_on_extreme_current(tau, value):
    """At every timestep, at several, and mixed with the other sign."""
    x = torch.randn(6, 64, generator=torch.Generator().manual_seed(4)) * 2
    for column in range(64):
        for t in range(6):
            if column >> t & 1:
                x[t, column] = value if column % 5 else -value
    spikes = LIF(tau)(x)
    assert torch.equal(LIF(tau)(x.clone().requires_grad_()), spikes)
    assert set(spikes.unique().tolist()) <= {0.0, 1.0}
    # Infinite current at once fires, against it never.
    first = LIF(tau)(torch.tensor([[float("inf"), -float("inf")]]))
    assert first.tolist() == [[1.0, 0.0]]


def test_the_gradient_does_not_change_the_incoming_one_and_refuses_a_second_pass():
    x = torch.randn(4, 10, dtype=torch.float64).requires_grad_()
    grad = torch.ones(4, 10, dtype=torch.float64)
    spikes = LIF()(x)
    spikes.backward(grad, retain_graph=True)
    assert torch.equal(grad, torch.ones(4, 10, dtype=torch.float64))
    with pytest.raises(RuntimeError, match="inplace"):
        spikes.backward(grad)


def test_the_step_functions():
    v, x = torch.tensor([0.5, 0.0]), torch.tensor([2.5, 1.0])
    h = charge(v, x, 2.0)
    assert h.tolist() == [1.5, 0.5]
    assert fire(h, 1.0).tolist() == [1.0, 0.0]
    assert fire(torch.tensor([1.0]), 1.0).item() == 1.0
    assert reset(h, fire(h, 1.0)).tolist() == [0.0, 0.5]


@pytest.mark.parametrize("constants", [(0.5, 1.0, 4.0), (2.0, 0.0, 4.0), (2.0, 1.0, -1.0)])
def test_constants_out_of_range_are_refused(constants):
    with pytest.raises(ValueError, match="LIF needs"):
        LIF(*constants)
