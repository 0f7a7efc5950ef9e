"""What a model of accuracy makes of measurements that are noisy: the means of its posterior.

A front of raw accuracies holds those that were lucky. Where the model of :mod:`hqsearch.surrogate`
predicts what it has not seen better than chance, the front is chosen by its posterior means, each
of which rests on all trainings. What that is worth is on the page *does it beat uniform?*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hqsearch.errors import DefinitionError
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.space import Dimension, Space
from hqsearch.schemes.choice import parse_choice
from hqsearch.surrogate import Design, fit

#: Candidates from which, and up to which, a model is asked: few say nothing, and with many a front
#: would take longer to choose than to read.
FEWEST, MOST = 12, 600
#: A model knows something when its skill exceeds this over the root of the number of candidates.
CHANCE = 1.5

#: A candidate's choices, its value and the standard error of that.
Measurement = tuple[tuple[tuple[str, str], ...], float, float]


@dataclass(frozen=True, slots=True)
class Modelled:
    """A value as the model has it: mean and standard deviation of its posterior."""

    mean: float
    deviation: float


def modelled(measurements: Sequence[Measurement]) -> Mapping[int, Modelled]:
    """Posterior means by place in ``measurements``; empty where the model has no skill.

    Values that were measured without an error need no model.
    """
    count = len(measurements)
    if not FEWEST <= count <= MOST or not all(error > 0 for _, _, error in measurements):
        return {}
    return _posterior(tuple(measurements))


@lru_cache(maxsize=4)
def _posterior(measurements: tuple[Measurement, ...]) -> Mapping[int, Modelled]:
    space = _space_of(measurements)
    codes = space.encode([Candidate(choices) for choices, _, _ in measurements])
    values = np.array([value for _, value, _ in measurements])
    errors = np.array([error for _, _, error in measurements])
    if np.ptp(values) == 0:
        return {}
    model = fit(Design(space), codes, values, errors)
    if model.skill() <= CHANCE / np.sqrt(len(values)):
        return {}
    means, deviations = model.predict(codes)
    pairs = zip(means.tolist(), deviations.tolist(), strict=True)
    return {place: Modelled(*pair) for place, pair in enumerate(pairs)}


def _space_of(measurements: Sequence[Measurement]) -> Space:
    """The space of what was measured: its dimensions, with the values that occur."""
    dimensions = []
    for place, (name, _) in enumerate(measurements[0][0]):
        values = tuple(sorted({choices[place][1] for choices, _, _ in measurements}))
        if all(map(_is_choice, values)):
            dimensions.append(Dimension(name, "weights", values, (name,)))
        else:
            dimensions.append(Dimension(name, "structure", values, (), values))
    return Space(tuple(dimensions))


def _is_choice(value: str) -> bool:
    try:
        parse_choice(value)
    except DefinitionError:
        return False
    return True
