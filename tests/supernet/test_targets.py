from __future__ import annotations

import json

import pytest
import torch

from hqsearch.errors import UnknownName
from hqsearch.supernet.targets import Gains, Target


def settle(target: Target, steps: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    """Minimize −x0 −2·x1 under the target's costs (x0, x0 + x1) by plain steps."""
    point = torch.full((2,), 0.5, requires_grad=True)
    for step in range(steps):
        costs = torch.stack([point[0], point[0] + point[1]])
        direction = target.direction(torch.tensor([-1.0, -2.0]), costs, point)
        with torch.no_grad():
            point.sub_(0.05 * (1 - step / steps) * direction).clamp_(0.01, 1.0)
    with torch.no_grad():
        return point.detach(), torch.stack([point[0], point[0] + point[1]])


def test_a_binding_limit_is_reached() -> None:
    point, costs = settle(Target(("a", "b"), {"b": 0.8}, {}))
    assert float(costs[1]) == pytest.approx(0.8, rel=0.02)
    assert point[1] > point[0]


def test_several_limits_hold_together() -> None:
    _, costs = settle(Target(("a", "b"), {"a": 0.2, "b": 0.8}, {}))
    assert float(costs[0]) <= 0.2 * 1.03
    assert float(costs[1]) == pytest.approx(0.8, rel=0.03)


def test_a_limit_that_binds_nobody_changes_nothing() -> None:
    target = Target(("a", "b"), {"b": 3.0}, {})
    point, _ = settle(target)
    assert point.tolist() == [1.0, 1.0]
    assert target.multipliers == {"b": 0.0}


def test_beta_weighs_costs_in_units_of_the_loss() -> None:
    costs = torch.tensor([0.5, 0.25], requires_grad=True)
    penalty = Target(("a", "b"), {}, {"b": 2.0}).penalty(costs)
    assert penalty.item() == 0.5
    (gradient,) = torch.autograd.grad(penalty, costs)
    assert gradient.tolist() == [0.0, 2.0]


def test_the_scale_of_the_loss_does_not_matter() -> None:
    directions = []
    for scale in (1.0, 1000.0):
        target = Target(("a",), {"a": 0.5}, {})
        point = torch.tensor([0.7, 0.1], requires_grad=True)
        directions.append(target.direction(scale * torch.tensor([-1.0, 0.5]), point[:1], point))
    torch.testing.assert_close(directions[0], directions[1])


def test_state_goes_through_json_bit_for_bit() -> None:
    first = Target(("a", "b"), {"b": 0.8}, {"a": 0.1}, Gains(2.0, 0.3, 1.0))
    second = Target(("a", "b"), {"b": 0.8}, {"a": 0.1}, Gains(2.0, 0.3, 1.0))
    settle(first, 7)
    second.load_state(json.loads(json.dumps(first.state())))
    assert settle(first, 7)[0].tolist() == settle(second, 7)[0].tolist()
    assert first.multipliers == second.multipliers


def test_an_unknown_cost_is_named() -> None:
    with pytest.raises(UnknownName, match="did you mean 'energy'"):
        Target(("energy", "storage"), {"enrgy": 0.3}, {})


def follow(gains: Gains, excesses: list[float]) -> list[float]:
    """Multipliers of a target of 1 while log(cost) takes these values."""
    target = Target(("a",), {"a": 1.0}, {}, gains)
    followed = []
    for excess in excesses:
        point = torch.tensor([excess], dtype=torch.float64, requires_grad=True)
        target.direction(torch.ones(1, dtype=torch.float64), point.exp(), point)
        followed.append(target.multipliers["a"])
    return followed


def test_a_rising_cost_is_pushed_harder_and_a_falling_one_less() -> None:
    assert follow(Gains(0.0, 0.0, 2.0), [0.1, 0.4, 0.3]) == pytest.approx([0.0, 0.6, 0.0])
    # Proportional 0.1, 0.4, 0.3; the derivative adds twice the change.
    assert follow(Gains(1.0, 0.0, 2.0), [0.1, 0.4, 0.3]) == pytest.approx([0.1, 1.0, 0.1])


def test_time_spent_under_the_target_is_no_credit() -> None:
    assert follow(Gains(0.0, 1.0, 0.0), [-1.0, 0.5, -0.2, 0.1]) == pytest.approx(
        [0.0, 0.5, 0.3, 0.4]
    )


def test_a_start_far_from_the_target_does_not_wind_it_up() -> None:
    assert follow(Gains(1.0, 0.0, 0.0), [9.0, 1.4]) == pytest.approx([1.5, 1.4])
    assert follow(Gains(0.0, 1.0, 0.0), [9.0, 9.0, -9.0]) == pytest.approx([1.5, 3.0, 1.5])
    assert follow(Gains(1.0, 2.0, 0.0), [9.0, -1.0, -9.0]) == pytest.approx([4.5, 0.0, 0.0])
