"""How each gesture moves: elbows and wrists over time, with everything varied per sample.

Positions are worked out in units of the shoulder half-width relative to each shoulder, with x
pointing outward and y down, so that both arms share one description; circles are described in
the image instead, because their direction is seen there: what the subject calls clockwise is
counter-clockwise in the image, for both arms.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hqsearch.data.simulated.camera import FRAME_RATE, FRAMES
from hqsearch.data.simulated.person import Floats, Motion, Person

_TIME = np.arange(FRAMES) / FRAME_RATE
#: Outward direction of the right arm (image-left) and of the left arm.
_SIDES = np.array([-1.0, 1.0])
RIGHT, LEFT = 0, 1


class Pose:
    """Elbows and wrists of both arms, ``[FRAMES, 2, 2]``, in shoulder units; arms start idle."""

    def __init__(self, person: Person, rng: np.random.Generator) -> None:
        self.person = person
        self.rng = rng
        self.elbows = np.zeros((FRAMES, 2, 2))
        self.hands = np.zeros((FRAMES, 2, 2))
        self.sway = self._body_sway()
        for side in (RIGHT, LEFT):
            self._idle(side)

    def _body_sway(self) -> Floats:
        """Pixels, ``[FRAMES, 2]``: nobody stands perfectly still."""
        size = self.rng.uniform(0.1, 1.3) * np.array([1.0, 0.5])
        waves = [np.sin(self.phase((0.3, 1.2))) for _ in range(2)]
        sway: Floats = size * np.stack(waves, axis=1)
        return sway

    def phase(self, rate: tuple[float, float]) -> Floats:
        """A phase in radians that advances at ``rate`` Hz, uneven as people are, ``[FRAMES]``."""
        rng = self.rng
        turns = rng.uniform(*rate) * _TIME
        wobble = rng.uniform(0, 0.35) * np.sin(
            2 * np.pi * rng.uniform(0.3, 0.9) * _TIME + rng.uniform(0, 2 * np.pi)
        )
        return 2 * np.pi * turns + wobble + rng.uniform(0, 2 * np.pi)

    def swing(self, phase: Floats) -> Floats:
        """A back-and-forth between -1 and 1, not quite a sine."""
        skew = self.rng.uniform(-0.35, 0.35)
        return np.sin(phase + skew * np.sin(phase + self.rng.uniform(0, 2 * np.pi)))

    def size(self, low: float, high: float) -> Floats:
        """An amplitude that drifts during the gesture, ``[FRAMES]``."""
        drift = 1 + self.rng.uniform(0, 0.2) * np.sin(self.phase((0.3, 0.8)))
        return self.rng.uniform(low, high) * drift

    def point(self, x: tuple[float, float], y: tuple[float, float]) -> Floats:
        """A fixed place, drawn from a rectangle."""
        return np.array([self.rng.uniform(*x), self.rng.uniform(*y)])

    def place(self, side: int, elbow: Floats, hand: Floats) -> None:
        """Set one arm; ``elbow`` and ``hand`` are ``[FRAMES, 2]`` or one fixed place."""
        self.elbows[:, side] = elbow
        self.hands[:, side] = hand

    def forearm(self, side: int, elbow: Floats, angle: Floats, length: float) -> None:
        """Set one arm by its forearm's angle from straight up, outward positive."""
        reach = length * np.stack([np.sin(angle), -np.cos(angle)], axis=1)
        self.place(side, elbow, elbow + reach)

    def circle(self, side: int, centre: Floats, radii: Floats, angle: Floats) -> None:
        """Set one arm to a circle in the image; the arm is nearly straight, bent a little."""
        around = np.stack([np.cos(angle), -np.sin(angle)], axis=1) * radii
        around[:, 0] *= _SIDES[side]
        hand = centre + around
        bend = self.rng.uniform(0.02, 0.16) * np.stack([-hand[:, 1], hand[:, 0]], axis=1)
        self.place(side, 0.52 * hand + bend, hand)

    def _idle(self, side: int) -> None:
        breathe = self.rng.uniform(0, 0.06) * np.sin(self.phase((0.3, 1.2)))
        if self.rng.random() < 0.8:
            elbow = self.point((0.0, 0.4), (1.3, 1.55))
            hand = elbow + self.point((-0.3, 0.15), (1.0, 1.25))
        else:
            elbow = self.point((0.2, 0.5), (1.2, 1.45))
            hand = elbow + self.point((-1.1, -0.4), (-0.1, 0.5))
        drift = np.stack([breathe, 0.4 * breathe], axis=1)
        self.place(side, elbow + 0.5 * drift, hand + drift)

    def motion(self) -> Motion:
        """In pixels of the image."""
        person = self.person
        shoulders = person.shoulders[None] + self.sway[:, None, :]
        scale = person.unit * np.stack([_SIDES, np.ones(2)], axis=1)
        return Motion(
            elbows=shoulders + self.elbows * scale,
            hands=shoulders + self.hands * scale,
            shoulders=shoulders,
            sway=self.sway,
        )


def gesture_motion(name: str, person: Person, rng: np.random.Generator) -> Motion:
    """The motion of gesture ``name``, one of ``hqsearch.data.simulated.CLASSES``."""
    pose = Pose(person, rng)
    _GESTURES[name](pose)
    return pose.motion()


def _clap(pose: Pose) -> None:
    rng = pose.rng
    beat = pose.swing(pose.phase((1.6, 3.2)))
    tilt = rng.uniform(-0.3, 1.2)
    meeting = pose.point((-0.95, -0.75), (0.7, 1.5))
    # Some clap with both hands, some beat one hand on the other.
    shares = np.array([1.0, 1.0]) if rng.random() < 0.5 else rng.permutation([1.4, 0.15])
    reach = pose.size(0.6, 1.05)
    for side in (RIGHT, LEFT):
        away = shares[side] * reach * (0.5 + 0.5 * beat)
        direction = np.array([np.cos(tilt), (-1 if side == RIGHT else 1) * np.sin(tilt)])
        hand = meeting + np.array([0.12, 0.0]) + away[:, None] * direction
        elbow = pose.point((0.1, 0.5), (1.2, 1.5)) + 0.3 * away[:, None] * direction
        pose.place(side, elbow, hand)


def _wave(pose: Pose, side: int) -> None:
    rng = pose.rng
    elbow = pose.point((0.0, 0.9), (0.45, 1.25))
    swing = pose.swing(pose.phase((1.0, 2.6)))
    angle = rng.uniform(-0.25, 0.5) + pose.size(0.35, 0.85) * swing
    nod = 0.12 * np.stack([swing, np.zeros(FRAMES)], axis=1) * rng.uniform(0, 1)
    pose.forearm(side, elbow + nod, angle, rng.uniform(1.05, 1.4))


def _turn(pose: Pose, side: int, clockwise: bool) -> None:
    centre = pose.point((0.1, 0.9), (-0.35, 0.3))
    radii = np.array([pose.rng.uniform(1.1, 2.0), pose.rng.uniform(1.75, 2.5)])
    angle = pose.phase((0.65, 1.3)) * (1 if clockwise else -1)
    pose.circle(side, centre, radii, angle)


def _roll(pose: Pose) -> None:
    rng = pose.rng
    angle = pose.phase((1.0, 2.4)) * rng.choice([-1, 1])
    height = rng.uniform(0.95, 1.6)
    tall, wide = pose.size(0.28, 0.48), pose.size(0.1, 0.25)
    for side in (RIGHT, LEFT):
        turned = angle + np.pi * side
        offset = np.stack([_SIDES[side] * wide * np.cos(turned), tall * np.sin(turned)], axis=1)
        hand = np.array([rng.uniform(-1.5, -0.9), height]) + offset
        elbow = np.array([rng.uniform(0.1, 0.4), height + 0.1]) + 0.5 * offset
        pose.place(side, elbow, hand)


def _drums(pose: Pose) -> None:
    rng = pose.rng
    phase = pose.phase((1.3, 3.2))
    between = np.pi if rng.random() < 0.75 else rng.uniform(0, 2 * np.pi)
    height = rng.uniform(1.3, 1.9)
    for side in (RIGHT, LEFT):
        beat = pose.swing(phase + between * side) * pose.size(0.45, 0.95)
        elbow = pose.point((0.1, 0.5), (0.9, 1.4))
        hand = pose.point((-0.5, 0.3), (height - 0.1, height + 0.1))
        away = np.stack([rng.uniform(-0.25, 0.25) * beat, beat], axis=1)
        pose.place(side, elbow + 0.12 * away, hand + away)


def _guitar(pose: Pose) -> None:
    rng = pose.rng
    strum = pose.swing(pose.phase((1.8, 4.0))) * pose.size(0.4, 0.8)
    tilt = rng.uniform(-0.5, 0.2)
    away = strum[:, None] * np.array([np.sin(tilt), np.cos(tilt)])
    elbow = pose.point((-0.1, 0.6), (0.85, 1.35))
    pose.place(RIGHT, elbow + 0.15 * away, pose.point((-0.7, 0.15), (1.5, 2.2)) + away)
    slide = pose.size(0.03, 0.25) * pose.swing(pose.phase((0.6, 2.5)))
    neck = rng.uniform(-0.5, 0.5)
    along = slide[:, None] * np.array([np.cos(neck), np.sin(neck)])
    elbow = pose.point((0.4, 0.9), (0.9, 1.4))
    pose.place(LEFT, elbow + 0.3 * along, pose.point((0.9, 1.95), (0.4, 1.5)) + along)
    pose.sway += np.array([0.3, 1.0]) * (rng.uniform(0, 1.2) * strum)[:, None]


def _flap(pose: Pose) -> None:
    """Both arms up and down at the sides."""
    angle = pose.rng.uniform(1.2, 1.9) + pose.size(0.35, 0.8) * pose.swing(pose.phase((0.6, 1.4)))
    reach = np.stack([np.sin(angle), -np.cos(angle)], axis=1)
    length = pose.rng.uniform(1.7, 2.5)
    for side in (RIGHT, LEFT):
        pose.place(side, 0.52 * length * reach, length * reach)


def _box_punches(pose: Pose) -> None:
    """Fists that go out and back by turns."""
    phase = pose.phase((0.9, 2.4))
    for side in (RIGHT, LEFT):
        out = 0.5 + 0.5 * pose.swing(phase + np.pi * side)
        target = pose.point((0.4, 1.8), (-1.0, 0.3))
        rest = pose.point((-0.4, 0.1), (0.2, 0.6))
        hand = rest + out[:, None] * (target - rest)
        pose.place(side, 0.5 * hand + np.array([0.2, 0.45]), hand)


def _overhead(pose: Pose) -> None:
    """Both hands wave above the head."""
    swing = pose.swing(pose.phase((0.8, 2.2))) * pose.size(0.3, 0.7)
    mirrored = pose.rng.choice([-1.0, 1.0])
    for side in (RIGHT, LEFT):
        elbow = pose.point((0.3, 0.8), (-0.7, -0.2))
        angle = (1.0 if side == RIGHT else mirrored) * swing + pose.rng.uniform(-0.3, 0.3)
        pose.forearm(side, elbow, angle, pose.rng.uniform(1.0, 1.3))


def _swipe(pose: Pose) -> None:
    """One arm sweeps sideways at the height of the chest."""
    side = int(pose.rng.integers(2))
    sweep = pose.size(0.8, 1.4) * pose.swing(pose.phase((0.6, 1.6)))
    hand = pose.point((-0.2, 0.5), (0.3, 1.0)) + np.stack([sweep, 0.1 * sweep], axis=1)
    pose.place(side, np.array([0.25, 0.9]) + 0.35 * (hand - np.array([0.1, 0.7])), hand)


def _windmill(pose: Pose) -> None:
    """Both arms turn at once."""
    angle = pose.phase((0.6, 1.4))
    radii = np.array([pose.rng.uniform(0.7, 1.3), pose.rng.uniform(1.0, 1.8)])
    together = pose.rng.choice([-1, 1])
    for side in (RIGHT, LEFT):
        turned = angle if side == RIGHT else together * angle
        pose.circle(side, pose.point((0.1, 0.6), (-0.2, 0.4)), radii, turned)


def _wander(pose: Pose) -> None:
    """Both hands go along figures of their own."""
    for side in (RIGHT, LEFT):
        centre = pose.point((-0.3, 0.9), (0.2, 1.4))
        x = pose.size(0.4, 1.0) * np.sin(pose.phase((0.5, 1.8)))
        y = pose.size(0.4, 1.0) * np.sin(pose.phase((0.5, 1.8)))
        hand = centre + np.stack([x, y], axis=1)
        pose.place(side, 0.5 * hand + np.array([0.25, 0.35]), hand)


_OTHERS: tuple[Callable[[Pose], None], ...] = (
    _flap,
    _box_punches,
    _overhead,
    _swipe,
    _windmill,
    _wander,
)


def _other(pose: Pose) -> None:
    _OTHERS[int(pose.rng.integers(len(_OTHERS)))](pose)


_GESTURES: dict[str, Callable[[Pose], None]] = {
    "hand_clapping": _clap,
    "right_hand_wave": lambda pose: _wave(pose, RIGHT),
    "left_hand_wave": lambda pose: _wave(pose, LEFT),
    "right_arm_clockwise": lambda pose: _turn(pose, RIGHT, True),
    "right_arm_counter_clockwise": lambda pose: _turn(pose, RIGHT, False),
    "left_arm_clockwise": lambda pose: _turn(pose, LEFT, True),
    "left_arm_counter_clockwise": lambda pose: _turn(pose, LEFT, False),
    "arm_roll": _roll,
    "air_drums": _drums,
    "air_guitar": _guitar,
    "other": _other,
}
