from __future__ import annotations

import pytest
import torch

from hqsearch.errors import DefinitionError
from hqsearch.supernet.gumbel_softmax import Temperature, probabilities, sample, seeded

CHOICES = (3, 5, 2)
LOGITS = torch.linspace(-1.0, 2.0, sum(CHOICES))


@pytest.mark.parametrize("hard", [False, True])
def test_samples_are_on_the_simplex(hard: bool) -> None:
    for step in range(20):
        mixture = sample(LOGITS, CHOICES, 0.7, hard, seeded(0, step))
        assert [len(g) for g in mixture] == list(CHOICES)
        for g in mixture:
            assert float(g.sum()) == pytest.approx(1.0, abs=1e-6)
            assert (g >= 0).all()


def test_samples_sharpen_as_the_temperature_falls() -> None:
    largest = []
    for temperature in (10.0, 3.0, 1.0, 0.3, 0.05):
        drawn = [sample(LOGITS, CHOICES, temperature, False, seeded(1, s)) for s in range(200)]
        largest.append(sum(float(g.max()) for mixture in drawn for g in mixture) / 600)
    assert largest == sorted(largest)
    assert largest[0] < 0.5
    assert largest[-1] > 0.95


def test_hard_samples_are_exactly_one_hot_and_have_the_soft_gradient() -> None:
    gradients = []
    weights = torch.arange(5.0)
    for hard in (False, True):
        logits = LOGITS.clone().requires_grad_()
        mixture = sample(logits, CHOICES, 0.8, hard, seeded(2, 0))
        if hard:
            for g in mixture:
                assert sorted(g.tolist()) == [0.0] * (len(g) - 1) + [1.0]
        (gradient,) = torch.autograd.grad(mixture[1] @ weights, logits)
        gradients.append(gradient)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_choices_are_drawn_with_their_probabilities() -> None:
    counts = torch.zeros(3)
    for step in range(4000):
        counts += sample(LOGITS, CHOICES, 1.0, True, seeded(3, step))[0]
    expected = probabilities(LOGITS, CHOICES)[0]
    torch.testing.assert_close(counts / 4000, expected, atol=0.03, rtol=0.0)


def test_a_sample_comes_from_its_index_alone() -> None:
    first = sample(LOGITS, CHOICES, 1.0, False, seeded(4, 1, 2))
    torch.manual_seed(99)
    again = sample(LOGITS, CHOICES, 1.0, False, seeded(4, 1, 2))
    other = sample(LOGITS, CHOICES, 1.0, False, seeded(4, 2, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize(
    ("schedule", "middle"), [("exponential", 2.0), ("linear", 2.5), ("constant", 1.0)]
)
def test_schedules(schedule: str, middle: float) -> None:
    temperature = Temperature(4.0, 1.0, schedule)  # type: ignore[arg-type]
    assert temperature.at(0.5) == pytest.approx(middle)
    assert temperature.at(1.0) == pytest.approx(1.0)


def test_a_temperature_of_zero_is_refused() -> None:
    with pytest.raises(DefinitionError, match="positive"):
        Temperature(1.0, 0.0)
