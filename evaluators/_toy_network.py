"""The toy's network in closed form: its layers, what their quantization errs and costs.

Made-up numbers; see :mod:`hqsearch.evaluators.toy`, which adds them up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from hqsearch.problem.space import Space
from hqsearch.schemes.choice import parse_choice

Floats = npt.NDArray[np.float64]
Steps = TypeVar("Steps", float, Floats)


@dataclass(frozen=True, slots=True)
class ToyLayer:
    path: str
    weights: int
    macs: int
    """Synaptic operations per inference at the toy's fixed firing rate."""
    sensitivity: float
    real_input: bool = False


LAYERS = (
    ToyLayer("stem", 576, 9_400_000, 1.6, real_input=True),
    ToyLayer("conv", 73_728, 7_500_000, 0.9),
    ToyLayer("block.q", 65_536, 840_000, 0.35),
    ToyLayer("block.k", 65_536, 840_000, 0.30),
    ToyLayer("block.v", 65_536, 840_000, 0.55),
    ToyLayer("block.fc1", 262_144, 3_300_000, 0.80),
    ToyLayer("block.fc2", 262_144, 3_300_000, 1.10),
    ToyLayer("head", 2_816, 2_816, 1.9, real_input=True),
)
#: Quantization error at sensitivity 1, by scheme: halves about every 0.7 bit; power-of-two steps
#: are coarse at the top of the range, so the scheme matters more the wider the codes are.
_ERRORS: dict[str, dict[int, float]] = {
    "uniform": {b: 0.040 * 2.0 ** (-1.4 * (b - 2)) for b in range(2, 9)},
    "power-of-two": {2: 0.034, 3: 0.016, 4: 0.0095, 5: 0.0085},
}
#: Times the nominal error, for any other scheme.
_OTHER_ERROR = 0.040
#: How much the errors of two adjacent layers add on top of their sum.
INTERACTION = 0.9
#: Places in ``LAYERS`` of adjacent layers.
NEIGHBOURS = [(i, i + 1) for i in range(len(LAYERS) - 1)]
#: Timesteps that all numbers above are those of, and the most that a space may have.
STEPS = 4
#: Loss that halving the timesteps adds the first time, and how errors grow as they get fewer.
_COARSE, _BLUR = 0.02, 0.25


def error_of(layer: ToyLayer, choice: str) -> float:
    kind = parse_choice(choice)
    table = _ERRORS.get(kind.scheme.name)
    if table is None:
        return layer.sensitivity * _OTHER_ERROR * kind.scheme.nominal_error(kind.bits)
    return layer.sensitivity * table[kind.bits]


def costs_of(layer: ToyLayer, choice: str) -> Floats:
    """Energy (µJ), storage (KiB) and share of the average bits of one layer.

    A scheme that the toy knows nothing of costs what uniform codes of its width would.
    """
    kind = parse_choice(choice)
    if not kind.scheme.has_codes:
        picojoule = 4.6 if layer.real_input else 0.9
    elif kind.scheme.name == "power-of-two":
        picojoule = 0.023 * kind.bits + 0.01
    else:
        # An 8-bit multiply where inputs are real, an add of growing width where they spike.
        picojoule = 0.02 * kind.bits + (0.05 * kind.bits if layer.real_input else 0.0)
    energy = layer.macs * picojoule * 1e-6
    storage = layer.weights * kind.bits / 8 / 1024
    share = layer.weights * kind.bits / sum(member.weights for member in LAYERS)
    return np.array([energy, storage, share])


def steps_of(space: Space, part: str) -> float:
    """Timesteps of a structural part; 4 where the space leaves them alone."""
    inside = space.parts[part]
    (first,) = inside.decode(inside.cardinalities * 0)
    return float(inside.structure(first).get("timesteps", STEPS))


def energy_share(steps: Steps) -> Steps:
    """Of the energy at 4 timesteps, at ``steps``: a number or an array of them."""
    return steps / STEPS


def error_growth(steps: Steps) -> Steps:
    """How many times as large errors are as at 4 timesteps."""
    growth: Steps = (STEPS / steps) ** _BLUR
    return growth


def added_loss(steps: Steps) -> Steps:
    """What fewer timesteps lose whatever the choices are; 0 at 4."""
    return _COARSE * (STEPS / steps - 1.0)
