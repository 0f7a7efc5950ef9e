"""The person, and the capsules that draw arms and hands."""

from __future__ import annotations

import numpy as np
import pytest

from hqsearch.data.simulated.person import ARM_CAPSULES, Motion, Person, draw_person, limbs


def draw(seed: int) -> Person:
    return draw_person(np.random.default_rng(seed))


def still(person: Person, elbow: tuple[float, float], hand: tuple[float, float]) -> Motion:
    """One frame in which both arms reach from their shoulder to ``elbow`` and ``hand``."""
    shoulders = person.shoulders[None]
    return Motion(shoulders + elbow, shoulders + hand, shoulders, np.zeros((1, 2)))


@pytest.mark.parametrize("seed", range(30))
def test_proportions_are_a_persons(seed: int) -> None:
    person = draw(seed)
    right, left = person.shoulders
    assert right[0] < left[0]  # the person faces the camera
    assert np.linalg.norm(left - right) == pytest.approx(2 * 0.92 * person.unit)
    assert 13.5 <= person.unit <= 23.5
    assert 1.4 < person.upper_arm / person.unit < 1.7
    assert 1.1 < person.forearm / person.unit < 1.3
    head, hips = person.body[4], person.body[2]
    assert head[1] < person.shoulders[:, 1].min() < hips[4]  # y points down
    assert (person.body[:, [2, 5]] > 0).all()


def test_arms_are_told_from_clothes() -> None:
    """A gesture before the chest would be unseen otherwise."""
    people = [draw(seed) for seed in range(200)]
    gaps = [abs(p.body_brightness[3] - p.body_brightness[0]) for p in people]
    assert min(gaps) >= 0.6 - 1e-9
    darker = np.mean([p.arm_brightness[2] < 0 for p in people])
    assert 0.65 < darker < 0.85


def test_limbs_join_shoulder_elbow_and_hand() -> None:
    person = draw(0)
    motion = still(person, (0.0, 25.0), (0.0, 45.0))
    capsules = limbs(person, motion)
    assert capsules.shape == (1, 2 * ARM_CAPSULES, 6)
    arms = capsules.reshape(2, ARM_CAPSULES, 6)
    for side, arm in enumerate(arms):
        np.testing.assert_allclose(arm[0, 0:2], motion.shoulders[0, side])
        np.testing.assert_allclose(arm[0, 3:5], motion.elbows[0, side])
        np.testing.assert_allclose(arm[1, 0:2], arm[0, 3:5])
        np.testing.assert_allclose(arm[1, 3:5], motion.hands[0, side])
        assert (arm[2:, 4] > motion.hands[0, side, 1]).all()  # palm and fingers go on downwards
    assert (arms[:, :, [2, 5]] > 0).all()


def test_fingers_spread_evenly_and_a_forearm_at_the_camera_still_has_a_hand() -> None:
    person = draw(1)
    fingers = limbs(person, still(person, (0.0, 25.0), (0.0, 45.0)))[0, 3:6]
    across = fingers[:, 3] - fingers[1, 3]
    assert across[1] == 0
    assert across[0] == pytest.approx(-across[2])
    assert abs(across[0]) > 0
    short = limbs(person, still(person, (0.0, 25.0), (0.0, 25.0)))
    assert np.isfinite(short).all()
    away = limbs(person, still(person, (0.0, 25.0), (0.0, 27.0)))[0, 2]
    assert away[4] - away[1] == pytest.approx(0.7 * 0.22 * person.unit)
