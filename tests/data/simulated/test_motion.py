"""How gestures move."""

from __future__ import annotations

import numpy as np
import pytest

from hqsearch.data.simulated import CLASSES
from hqsearch.data.simulated.camera import FRAMES
from hqsearch.data.simulated.motion import LEFT, RIGHT, Pose, gesture_motion
from hqsearch.data.simulated.person import Motion, draw_person


def move(name: str, seed: int) -> Motion:
    rng = np.random.default_rng(seed)
    return gesture_motion(name, draw_person(rng), rng)


def travel(motion: Motion, side: int) -> float:
    """Pixels that a hand goes, the body's sway apart."""
    path = motion.hands[:, side] - motion.shoulders[:, side]
    return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())


@pytest.mark.parametrize("name", CLASSES)
def test_every_gesture_moves_smoothly_and_comes_from_the_seed(name: str) -> None:
    motion = move(name, 3)
    assert motion.hands.shape == motion.elbows.shape == motion.shoulders.shape == (FRAMES, 2, 2)
    assert motion.sway.shape == (FRAMES, 2)
    assert np.isfinite(motion.hands).all()
    steps = np.linalg.norm(np.diff(motion.hands, axis=0), axis=-1)
    assert steps.max() < 4  # pixels in 2.5 ms
    assert max(travel(motion, RIGHT), travel(motion, LEFT)) > 30
    np.testing.assert_array_equal(motion.hands, move(name, 3).hands)
    assert not np.array_equal(motion.hands, move(name, 4).hands)


@pytest.mark.parametrize(
    ("name", "active"),
    [
        ("right_hand_wave", RIGHT),
        ("left_hand_wave", LEFT),
        ("right_arm_clockwise", RIGHT),
        ("left_arm_counter_clockwise", LEFT),
    ],
)
def test_one_armed_gestures_leave_the_other_arm_idle(name: str, active: int) -> None:
    for seed in range(5):
        motion = move(name, seed)
        assert travel(motion, active) > 5 * travel(motion, 1 - active)


@pytest.mark.parametrize(
    ("name", "side", "sign"),
    [
        ("right_arm_clockwise", RIGHT, 1),
        ("right_arm_counter_clockwise", RIGHT, -1),
        ("left_arm_clockwise", LEFT, 1),
        ("left_arm_counter_clockwise", LEFT, -1),
    ],
)
def test_what_the_subject_calls_clockwise_is_counter_clockwise_in_the_image(
    name: str, side: int, sign: int
) -> None:
    for seed in range(5):
        motion = move(name, seed)
        hand = motion.hands[:, side] - motion.shoulders[:, side]
        x, y = (hand - hand.mean(axis=0)).T
        y = -y  # rows of the image go down
        assert sign * float(np.sum(x[:-1] * y[1:] - y[:-1] * x[1:])) > 0


def test_clapping_hands_come_close_again_and_again() -> None:
    motion = move("hand_clapping", 0)
    gap = np.linalg.norm(motion.hands[:, RIGHT] - motion.hands[:, LEFT], axis=1)
    assert gap.min() < 0.5 * gap.max()
    meetings = np.flatnonzero((gap[1:-1] < gap[:-2]) & (gap[1:-1] <= gap[2:]))
    assert len(meetings) >= 2  # in 1.45 s at 1.6 Hz and more


def test_arms_share_one_description_with_x_outward() -> None:
    rng = np.random.default_rng(0)
    pose = Pose(draw_person(rng), rng)
    for side in (RIGHT, LEFT):
        pose.place(side, np.array([0.5, 1.0]), np.array([1.0, 2.0]))
    motion = pose.motion()
    away = motion.hands - motion.shoulders
    assert (away[:, RIGHT, 0] < 0).all()
    np.testing.assert_allclose(away[:, RIGHT, 0], -away[:, LEFT, 0])
    np.testing.assert_allclose(away[:, RIGHT, 1], 2 * pose.person.unit)
