"""Objectives: what a study optimizes, with units and directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Direction = Literal["max", "min"]


@dataclass(frozen=True, slots=True)
class Objective:
    """One thing to optimize.

    ``cheap`` objectives are computed from the cost model for many candidates at once;
    the others need a training run. ``resolution`` is the relative difference below which a front
    does not tell two values apart (:mod:`hqsearch.problem.resolution`); 0: every one. ``modelled``:
    where it is noisy, a front is chosen by what a model makes of all measurements
    (:mod:`hqsearch.store.modelled`).
    """

    name: str
    unit: str
    direction: Direction
    cheap: bool = False
    resolution: float = 0.0
    modelled: bool = False


ACCURACY = Objective("accuracy", "fraction", "max", modelled=True)
# Energies by measured and by estimated firing rates differ by 0.4 %.
ENERGY = Objective("energy", "µJ", "min", cheap=True, resolution=0.005)
STORAGE = Objective("storage", "KiB", "min", cheap=True, resolution=0.005)


def measured_objective(objectives: Sequence[Objective]) -> Objective | None:
    """The measured objective that verdicts are about: accuracy where there is one, else the first
    that needs training and is no cost; None where there is none."""
    costs = (ENERGY.name, STORAGE.name)
    named = [o for o in objectives if o.name == ACCURACY.name]
    measured = [o for o in objectives if not o.cheap and o.name not in costs]
    return next(iter([*named, *measured]), None)


def first_cost(objectives: Sequence[Objective]) -> Objective | None:
    """The first objective that is to be small and is not the measured one."""
    quality = next((o for o in objectives if not o.cheap), None)
    return next((o for o in objectives if o.direction == "min" and o is not quality), None)


def difference_text(objective: Objective, value: float, sign: str = "") -> str:
    """A difference or a standard error, without its unit; of fractions in percent points.

    >>> difference_text(ACCURACY, 0.0123, "+"), difference_text(Objective("mae", "px", "min"), -0.5)
    ('+1.2', '-0.5')
    """
    return f"{100 * value:{sign}.1f}" if objective.unit == "fraction" else f"{value:{sign}.3g}"


def unit_text(objective: Objective) -> str:
    """The unit of a difference, with a space before it; nothing where there is none."""
    if objective.unit == "fraction":
        return " points"
    return f" {objective.unit}" if objective.unit else ""


def minimized(values: npt.ArrayLike, objectives: tuple[Objective, ...]) -> npt.NDArray[np.float64]:
    """Values ``[n, m]`` as costs: maximized columns negated."""
    signs = np.array([-1.0 if o.direction == "max" else 1.0 for o in objectives])
    costs: npt.NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    return np.asarray(costs.reshape(-1, len(objectives)) * signs, dtype=np.float64)


def number_text(value: float | None, digits: int = 4) -> str:
    """A number for people; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}g}"


def value_text(objective: Objective, value: float | None) -> str:
    """A value of an objective, without its unit; fractions in percent."""
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if objective.unit == "fraction" else number_text(value)
