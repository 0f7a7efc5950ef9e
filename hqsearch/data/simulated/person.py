"""The person: proportions, brightness, and the capsules that draw arms and hands.

Lengths are in pixels of the 128 x 128 sensor; brightness is log intensity relative to the
background. The person faces the camera, so the right arm is at image-left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Capsules per arm: upper arm, forearm, palm, three fingers.
ARM_CAPSULES = 6
_FINGERS = 3


@dataclass(frozen=True)
class Person:
    """One person in front of the camera.

    Attributes:
        unit: Half the shoulder width, the unit of all proportions.
        shoulders: ``[2, 2]``: (right, left) x (x, y) at rest.
        upper_arm, forearm: Lengths without the hand.
        thickness: Factor on the width of arms and hands.
        body: Capsules of torso, neck and head, ``[n, 6]``: x, y, radius of both ends.
        body_brightness: ``[n]``.
        arm_brightness: ``[ARM_CAPSULES]``.
        texture: Amplitude of the pattern on clothes.
        spread: Half the angle between the outer fingers, radians.
    """

    unit: float
    shoulders: Floats
    upper_arm: float
    forearm: float
    thickness: float
    body: Floats
    body_brightness: Floats
    arm_brightness: Floats
    texture: float
    spread: float


@dataclass(frozen=True)
class Motion:
    """Where the joints are in each of ``F`` frames, in pixels.

    Attributes:
        elbows, hands: ``[F, 2, 2]``: frame, (right, left), (x, y); a hand is its wrist.
        shoulders: The same.
        sway: ``[F, 2]``: how far the body has moved from its place at rest.
    """

    elbows: Floats
    hands: Floats
    shoulders: Floats
    sway: Floats


def draw_person(rng: np.random.Generator) -> Person:
    """A random person at a random place."""
    unit = float(np.clip(rng.normal(18.2, 2.3), 13.5, 23.5))
    x, y = 65 + rng.uniform(-15, 15), 66 + rng.uniform(-14, 16)
    tilt = rng.normal(0, 0.05)
    across = np.array([np.cos(tilt), np.sin(tilt)])
    down = np.array([-np.sin(tilt), np.cos(tilt)])
    centre = np.array([x, y])
    shoulders = np.stack([centre - 0.92 * unit * across, centre + 0.92 * unit * across])
    head = centre - 1.35 * unit * down + rng.normal(0, 0.06) * unit * across
    hips = centre + 3.2 * unit * down
    edge = 0.62 * unit * across
    body = np.array(
        [
            [*(centre - edge + 0.25 * unit * down), 0.42 * unit, *(hips - edge), 0.36 * unit],
            [*(centre + edge + 0.25 * unit * down), 0.42 * unit, *(hips + edge), 0.36 * unit],
            [*(centre + 0.3 * unit * down), 0.55 * unit, *hips, 0.7 * unit],
            [*centre, 0.3 * unit, *head, 0.28 * unit],
            [
                *(head + 0.14 * unit * down),
                rng.uniform(0.36, 0.44) * unit,
                *(head - 0.18 * unit * down),
                rng.uniform(0.42, 0.5) * unit,
            ],
        ]
    )
    # Recorded arms are mostly darker than what is behind them: OFF events lead the motion.
    sign = np.where(rng.random(2) < (0.6, 0.75), -1.0, 1.0)
    cloth = sign[0] * rng.uniform(0.3, 1.2)
    skin = sign[1] * rng.uniform(0.7, 1.3)
    if abs(skin - cloth) < 0.6:
        # Arms that cannot be told from clothes would leave a gesture before the chest unseen.
        cloth = skin - np.sign(skin) * rng.uniform(0.6, 1.1)
    # A sleeve has the cloth's brightness but is told from the torso by its shading.
    sleeve = np.clip(cloth + rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 0.6), -1.3, 1.3)
    lower = skin if rng.random() < 0.75 or abs(sleeve) < 0.5 else sleeve
    fingers = skin * rng.uniform(0.8, 1.2, size=_FINGERS)
    return Person(
        unit=unit,
        shoulders=shoulders,
        upper_arm=1.55 * unit * rng.uniform(0.93, 1.07),
        forearm=1.2 * unit * rng.uniform(0.93, 1.07),
        thickness=rng.uniform(0.7, 1.0),
        body=body,
        body_brightness=np.array([cloth, cloth, cloth, skin, skin]),
        arm_brightness=np.array([sleeve, lower, skin, *fingers]),
        texture=rng.uniform(0.0, 0.25),
        spread=rng.uniform(0.12, 0.5),
    )


def limbs(person: Person, motion: Motion) -> Floats:
    """The capsules of both arms in every frame, back to front.

    Returns:
        ``[F, 2 * ARM_CAPSULES, 6]``: x, y, radius of both ends.
    """
    frames = len(motion.hands)
    unit = person.unit * person.thickness
    out = np.empty((frames, 2, ARM_CAPSULES, 6))
    elbow, hand, shoulder = motion.elbows, motion.hands, motion.shoulders
    along = hand - elbow
    length = np.linalg.norm(along, axis=-1, keepdims=True)
    along = along / np.maximum(length, 1e-6)
    # A forearm that points at the camera shows a shorter hand, though never none.
    hand_length = person.unit * np.clip(0.18 + 0.22 * length / person.forearm, 0.22, 0.42)
    palm = hand + 0.7 * hand_length * along
    _capsule(out[:, :, 0], shoulder, 0.25 * unit, elbow, 0.2 * unit)
    _capsule(out[:, :, 1], elbow, 0.2 * unit, hand, 0.14 * unit)
    _capsule(out[:, :, 2], hand, 0.17 * unit, palm, 0.2 * unit)
    for number, angle in enumerate(np.linspace(-person.spread, person.spread, _FINGERS)):
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        direction = along @ turn
        base = palm + 0.1 * person.unit * direction
        tip = palm + 1.15 * hand_length * direction
        _capsule(out[:, :, 3 + number], base, 0.075 * unit, tip, 0.055 * unit)
    return out.reshape(frames, 2 * ARM_CAPSULES, 6)


def _capsule(
    out: Floats, start: Floats, start_radius: float, end: Floats, end_radius: float
) -> None:
    """Fill ``out`` ``[F, 2, 6]``."""
    out[..., 0:2], out[..., 2] = start, start_radius
    out[..., 3:5], out[..., 5] = end, end_radius
