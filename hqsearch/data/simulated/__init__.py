"""Simulated gestures: the 11 classes of DVS128 Gesture, without any recording.

A person (torso, head, two arms with hands) makes a gesture for 1.45 s in front of a simulated
event camera of 128 x 128 pixels. Classes, their order and their orientation follow Amir et al.,
"A Low Power, Fully Event-Based Gesture Recognition System", CVPR 2017; the camera model follows
Hu, Liu and Delbruck, "v2e: From Video Frames to Realistic DVS Events", CVPRW 2021. The person and
the motions are this project's own. It is training material with the statistics of recordings,
and says nothing about accuracy on them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hqsearch.data.samples import Sample, SampleList
from hqsearch.errors import DefinitionError

if TYPE_CHECKING:
    from hqsearch.data.framing import Events
    from hqsearch.data.spec import DataSpec

#: Raised whenever the events of some (seed, index) change.
SIMULATOR_VERSION = 4
#: (width, height) in pixels.
SENSOR = (128, 128)
CLASSES = (
    "hand_clapping",
    "right_hand_wave",
    "left_hand_wave",
    "right_arm_clockwise",
    "right_arm_counter_clockwise",
    "left_arm_clockwise",
    "left_arm_counter_clockwise",
    "arm_roll",
    "air_drums",
    "air_guitar",
    "other",
)
#: What every run on them says first.
SIMULATED_NOTE = (
    "Simulated gestures: rendered, not recorded. Accuracies say nothing about a real sensor; "
    "for the recorded set use the study dvs-gesture."
)
_DEFAULT_COUNTS = {"train": 1100, "validation": 1000, "test": 1000}
#: Splits take indices from ranges that cannot meet, so that the size of one changes no other.
_FIRST_INDEX = {"train": 0, "validation": 1_000_000, "test": 2_000_000}


def simulate_gesture(seed: int, index: int) -> tuple[Events, int]:
    """One gesture.

    Bit-identical for the same arguments and SIMULATOR_VERSION.

    Args:
        seed: Of the data set, >= 0.
        index: Of the sample, >= 0; its class is ``index % 11``.

    Returns:
        Events in order of time, a structured array ``[n]`` with the fields x, y (pixels), t
        (microseconds) and p (True for ON) as tonic names them; and the label.
    """
    import numpy as np

    from hqsearch.data.simulated.camera import watch
    from hqsearch.data.simulated.motion import gesture_motion
    from hqsearch.data.simulated.person import draw_person, limbs

    label = index % len(CLASSES)
    rng = np.random.default_rng([SIMULATOR_VERSION, seed, index])
    person = draw_person(rng)
    motion = gesture_motion(CLASSES[label], person, rng)
    return watch(limbs(person, motion), person, motion, rng), label


def simulated_samples(spec: DataSpec) -> SampleList:
    """The samples that ``spec`` asks for, balanced over the classes."""
    splits = {}
    for name, first in _FIRST_INDEX.items():
        count = getattr(spec, name) or _DEFAULT_COUNTS[name]
        if count < len(CLASSES):
            raise DefinitionError(
                f"[data] {name} must be at least {len(CLASSES)} simulated samples, one of each "
                f"class; {count} was given."
            )
        splits[name] = [
            Sample(
                f"simulated gesture {index}",
                index % len(CLASSES),
                partial(_events, spec.seed, index),
            )
            for index in range(first, first + count)
        ]
    return SampleList(
        activity="simulating gestures",
        splits=splits,
        classes=CLASSES,
        sensor=SENSOR,
        identity=f"simulator {SIMULATOR_VERSION}",
        simulated=True,
    )


def _events(seed: int, index: int) -> Events:
    return simulate_gesture(seed, index)[0]
