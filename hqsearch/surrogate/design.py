"""Features of candidates: what an objective may depend on, from the coarse to the fine.

A measured objective is modelled as a sum over dimensions, with hierarchical shrinkage: what a
choice does on average (``choice``), how sensitive a layer is to coarse codes (``sensitivity``),
what is left of every layer and choice of its own (``layer``), and how neighbours and all pairs
of sensitive layers act together. Each group has one variance, so that few measurements suffice
to fit them. Scores from a pass without training (``hqsearch run --strategy sensitivity``) come
as two groups more: their sum, whose coefficient is fitted, and their share in each layer.
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
    """Value indices ``[n, n_dimensions]`` → groups of features ``[n, width]``."""

    def __init__(self, space: Space, scores: Scores | None = None) -> None:
        self.space = space
        values = sorted({v for d in space.dimensions for v in d.values if d.kind == "weights"})
        self._choice = [
            np.array([[float(v == name) for name in values] for v in d.values])
            / np.sqrt(len(space.dimensions))
            for d in space.dimensions
        ]
        self._nominal = [
            np.array([nominal_error(v) if d.kind == "weights" else 0.0 for v in d.values])
            for d in space.dimensions
        ]
        self._scheme = [
            own * np.array([_sign(v) if d.kind == "weights" else 0.0 for v in d.values])
            for d, own in zip(space.dimensions, self._nominal, strict=True)
        ]
        self._scores: tuple[Floats, ...] | None = None
        if scores is not None:
            largest = max((float(s.max()) for s in scores.shrunk), default=0.0)
            if largest > 0:
                self._scores = tuple(s / largest for s in scores.shrunk)

    @property
    def groups(self) -> tuple[str, ...]:
        """The linear groups, in the order of :meth:`features`."""
        scored = ("score", "score-layer") if self._scores is not None else ()
        return ("choice", "sensitivity", "scheme", "layer", *scored)

    def features(self, codes: Codes) -> list[Floats]:
        """One matrix ``[n, width]`` per group; rows of a group have squares of about 1 in sum."""
        count = codes.shape[1]
        scale = 1.0 / np.sqrt(count)
        choice = np.zeros((len(codes), self._choice[0].shape[1]))
        sensitivity = np.empty((len(codes), count))
        scheme = np.empty((len(codes), count))
        layer = np.zeros((len(codes), int(self.space.cardinalities.sum())))
        start = 0
        for column, own in enumerate(codes.T):
            choice += self._choice[column][own]
            sensitivity[:, column] = self._nominal[column][own] * scale
            scheme[:, column] = self._scheme[column][own] * scale
            layer[np.arange(len(codes)), start + own] = scale
            start += int(self.space.cardinalities[column])
        groups = [choice, sensitivity, scheme, layer]
        if self._scores is not None:
            table = [s[own] for s, own in zip(self._scores, codes.T, strict=True)]
            scored = np.column_stack(table)
            groups += [scored.sum(axis=1, keepdims=True) * scale, scored * scale]
        return groups


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
