"""Features of candidates: what an objective may depend on, from the coarse to the fine.

A measured objective is modelled as a sum over dimensions, with hierarchical shrinkage: what a
choice does on average (``choice``), how sensitive a layer is to coarse codes (``sensitivity``),
what is left of every layer and choice of its own (``layer``), what a structural setting does
(``structure``), and how neighbours and all pairs of sensitive layers act together. Each group has
one variance, so that few measurements suffice to fit them. Scores from a pass without training
(``hqsearch run --strategy sensitivity``) come as two groups more: their sum, whose coefficient is
fitted, and their share in each layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hqsearch.errors import DefinitionError
from hqsearch.problem.space import Space
from hqsearch.schemes.choice import parse_choice

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
#: Dimension → value → number.
ByValue = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Scores:
    """Loss that every value of every dimension alone adds, measured without training.

    Attributes:
        increase: per dimension ``[n_values]``, any unit, 0 or more.
        error: its standard error, likewise.
    """

    increase: tuple[Floats, ...]
    error: tuple[Floats, ...]

    @classmethod
    def of(cls, scores: ByValue, standard_errors: ByValue, space: Space) -> Scores:
        """From a scoring pass; a value that was not scored costs nothing."""
        increase, error = [], []
        for dimension in space.dimensions:
            own = scores.get(dimension.name, {})
            errors = standard_errors.get(dimension.name, {})
            increase.append(np.array([max(float(own.get(v, 0.0)), 0.0) for v in dimension.values]))
            error.append(np.array([float(errors.get(v, 0.0)) for v in dimension.values]))
        return cls(tuple(increase), tuple(error))

    @cached_property
    def shrunk(self) -> tuple[Floats, ...]:
        """Increases times their reliability, 1 − error² / (increase² + error²)."""
        shrunk = []
        for own, error in zip(self.increase, self.error, strict=True):
            power = own**2 + error**2
            shrunk.append(np.where(power > 0, own**3 / np.where(power > 0, power, 1.0), 0.0))
        return tuple(shrunk)


class Design:
    """Value indices ``[n, n_dimensions]`` → groups of features ``[n, width]``.

    Args:
        space: whose candidates they are.
        scores: from passes without training, by structural part.
    """

    def __init__(self, space: Space, scores: Mapping[str, Scores] | None = None) -> None:
        self.space = space
        dimensions = [space.dimensions[place] for place in space.weighted]
        self._scale = 1.0 / np.sqrt(max(len(dimensions), 1))
        values = sorted({v for d in dimensions for v in d.values})
        self._choice = [
            np.array([[float(v == name) for name in values] for v in d.values])
            / np.sqrt(len(dimensions))
            for d in dimensions
        ]
        self._nominal = [np.array([nominal_error(v) for v in d.values]) for d in dimensions]
        self._scheme = [
            own * np.array([_sign(v) for v in d.values])
            for d, own in zip(dimensions, self._nominal, strict=True)
        ]
        self._choices = len(values)
        self._scores = _scaled(space, scores or {})

    @property
    def groups(self) -> tuple[str, ...]:
        """The linear groups, in the order of :meth:`features`."""
        scored = ("score", "score-layer") if self._scores is not None else ()
        structure = ("structure",) if self.space.structural else ()
        return ("choice", "sensitivity", "scheme", "layer", *scored, *structure)

    def features(self, codes: Codes) -> list[Floats]:
        """One matrix ``[n, width]`` per group; rows of a group have squares of about 1 in sum."""
        places, scale = list(self.space.weighted), self._scale
        choice = np.zeros((len(codes), self._choices))
        sensitivity = np.empty((len(codes), len(places)))
        scheme = np.empty((len(codes), len(places)))
        for column, place in enumerate(places):
            own = codes[:, place]
            choice += self._choice[column][own]
            sensitivity[:, column] = self._nominal[column][own] * scale
            scheme[:, column] = self._scheme[column][own] * scale
        groups = [choice, sensitivity, scheme, self._one_hot(codes, places)]
        if self._scores is not None:
            part = self.space.part_indices(codes)
            table = [
                scores[part, codes[:, place]]
                for scores, place in zip(self._scores, places, strict=True)
            ]
            scored = np.column_stack(table)
            groups += [scored.sum(axis=1, keepdims=True) * scale, scored * scale]
        if self.space.structural:
            groups.append(self._one_hot(codes, list(self.space.structural)))
        return groups

    def _one_hot(self, codes: Codes, places: list[int]) -> Floats:
        """One column per value of some dimensions, so that the squares of a row sum to 1."""
        sizes = self.space.cardinalities[places]
        columns = np.zeros((len(codes), int(sizes.sum())))
        for start, place in zip(np.cumsum(sizes) - sizes, places, strict=True):
            columns[np.arange(len(codes)), start + codes[:, place]] = 1.0 / np.sqrt(len(places))
        return columns


def _scaled(space: Space, scores: Mapping[str, Scores]) -> tuple[Floats, ...] | None:
    """Per weight dimension, scores ``[n_parts, n_values]`` in shares of the largest one.

    Those of a part that was not scored are 0; None where nothing was scored.
    """
    shrunk = {key: own.shrunk for key, own in scores.items()}
    largest = max((float(s.max()) for own in shrunk.values() for s in own), default=0.0)
    if largest <= 0:
        return None
    return tuple(
        np.array(
            [
                shrunk[key][place] / largest
                if key in shrunk
                else np.zeros(len(space.dimensions[place].values))
                for key in space.parts
            ]
        )
        for place in space.weighted
    )


def nominal_error(choice: str) -> float:
    """Relative error of a choice's codes by its bits alone: 1 at 2 bits, 0 in fp32."""
    try:
        parsed = parse_choice(choice)
    except DefinitionError:
        return 0.0
    return parsed.scheme.nominal_error(parsed.bits)


def _sign(choice: str) -> float:
    try:
        return parse_choice(choice).scheme.feature
    except DefinitionError:
        return 0.0
