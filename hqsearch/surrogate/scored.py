"""A model that takes scores without training for the shape of the loss, and learns their errors.

An objective is ``a ± exp(b) · Σ_i s_i(x_i) · exp(e_i + e_i(x_i))``: every score ``s`` is off by a
factor that a layer's choices share and by one of its own, both log-normal, so that a loss never
turns into a gain by noise alone. The most probable factors are found by damped Gauss-Newton steps
in the dual form (n × n, Rasmussen and Williams 2006, chapter 2.7; Bell and Cathey 1993), and
deviations by the linear model around them (Laplace). What no score knows of has a small variance
of its own: a sum over layers of their nominal errors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from hqsearch.problem.space import Space
from hqsearch.surrogate.design import Scores, nominal_error

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: Prior deviations of the logarithmic errors of a layer and of one choice of it.
LAYER, CHOICE = 0.5, 0.5
#: Of the logarithm of the slope; and variance of what no score knows, in variances of the data.
SLOPE, UNKNOWN = 1.5, 0.01
#: Of the level ``a``, in deviations of the data.
LEVEL = 100.0
STEPS, HALVINGS = 25, 8
_FLOOR = 1e-12


@dataclass(frozen=True)
class ScoredPosterior:
    """See the module's docstring; predictions in the objective's own unit.

    Attributes:
        scores: per dimension ``[n_values]``, 0 or more.
        nominal: relative error of every value by its bits alone, likewise.
        sign: −1 where a loss lowers the objective, 1 where it raises it.
        codes: what was measured ``[n, n_dimensions]``, with ``targets`` and noise variances
            ``noise [n]``; what is believed comes after, without a target.
        level: ``a``; ``slope``: ``b``, and ``centre``, its prior mean.
        layer: ``e_i [n_dimensions]``; ``choice``: ``e_i(v)``, per dimension ``[n_values]``.
        other: what was found that no score knows ``[n_dimensions]``.
        spread: standard deviation of the data.
    """

    scores: tuple[Floats, ...]
    nominal: tuple[Floats, ...]
    sign: float
    codes: Codes
    targets: Floats
    noise: Floats
    level: float
    slope: float
    centre: float
    layer: Floats
    choice: tuple[Floats, ...]
    other: Floats
    spread: float

    @classmethod
    def fit(
        cls,
        space: Space,
        scores: Scores,
        codes: Codes,
        values: Floats,
        errors: Floats,
        sign: float,
    ) -> ScoredPosterior:
        """The most probable model.

        Args:
            space: without structural dimensions.
            scores: of its values.
            codes: value indices ``[n, n_dimensions]``.
            values: measured objective ``[n]``.
            errors: their standard errors ``[n]``, same unit; 0 or NaN where unknown.
            sign: of a loss's effect on it.
        """
        largest = max(max(float(own.max()) for own in scores.increase), 1e-300)
        own = tuple(increase / largest for increase in scores.increase)
        nominal = tuple(np.array([nominal_error(v) for v in d.values]) for d in space.dimensions)
        spread = max(float(values.std()), 1e-9)
        known = np.nan_to_num(errors)
        fallback = known[known > 0].mean() if (known > 0).any() else 0.1 * spread
        noise = np.where(known > 0, known, fallback) ** 2 + _FLOOR
        sums = np.sum([s[c] for s, c in zip(own, codes.T, strict=True)], axis=0)
        width = max(float(np.ptp(sums)), 1e-9)
        centre = float(np.log(max(float(np.ptp(values)), 1e-9) / width))
        level = float(values.max() if sign < 0 else values.min())
        zeros = tuple(np.zeros(len(s)) for s in own)
        empty = np.zeros(len(own))
        model = cls(
            own,
            nominal,
            sign,
            codes,
            values,
            noise,
            level,
            centre,
            centre,
            empty,
            zeros,
            empty,
            spread,
        )
        return model._climbed(level)

    def mean(self, codes: Codes) -> Floats:
        """The most probable objective ``[n]``."""
        total = np.full(len(codes), self.level)
        for own, place in zip(self._tables, codes.T, strict=True):
            total += own[place]
        return total

    def predict(self, codes: Codes) -> tuple[Floats, Floats]:
        """Mean and standard deviation ``[n]``."""
        features = self._features(codes)
        cross = features @ self._known.T
        explained = np.einsum("pn,np->p", cross, cho_solve(self._factor, cross.T))
        own = (features**2).sum(axis=1) - explained
        return self.mean(codes), np.sqrt(np.maximum(own, 0.0))

    def draw(
        self, codes: Codes, count: int, generator: np.random.Generator
    ) -> tuple[Floats, Floats]:
        """The mean ``[n]``, and ``count`` joint draws ``[count, n]``."""
        features = self._features(codes)
        cross = features @ self._known.T
        joint = features @ features.T - cross @ cho_solve(self._factor, cross.T)
        values, vectors = np.linalg.eigh((joint + joint.T) / 2)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        mean = self.mean(codes)
        return mean, mean + generator.standard_normal((count, len(codes))) @ (root @ vectors.T)

    def believing(self, codes: Codes) -> ScoredPosterior:
        """The posterior if ``codes`` turned out exactly as predicted: only deviations shrink."""
        noise = np.full(len(codes), float(np.median(self.noise)))
        return replace(
            self,
            codes=np.vstack([self.codes, codes]),
            noise=np.concatenate([self.noise, noise]),
        )

    def skill(self) -> float:
        """1 − squared leave-one-out error / that of the others' mean; 0 or less: knows nothing."""
        count = len(self.targets)
        if count < 3 or len(self.codes) > count:
            return 0.0
        inverse = cho_solve(self._factor, np.eye(count))
        wrong = (inverse @ self._linear_residual()) / np.diag(inverse)
        plain = (self.targets - self.targets.mean()) * count / (count - 1)
        return float(1.0 - np.sum(wrong**2) / max(np.sum(plain**2), 1e-300))

    @cached_property
    def _weights(self) -> tuple[Floats, ...]:
        """What every value adds by its score, per dimension ``[n_values]``."""
        scale = self.sign * np.exp(self.slope)
        return tuple(
            scale * own * np.exp(layer + choice)
            for own, layer, choice in zip(self.scores, self.layer, self.choice, strict=True)
        )

    @cached_property
    def _tables(self) -> tuple[Floats, ...]:
        return tuple(
            own + other * nominal
            for own, other, nominal in zip(self._weights, self.other, self.nominal, strict=True)
        )

    def _features(self, codes: Codes) -> Floats:
        """Slopes of the mean in whitened parameters ``[n, n_parameters]``: level, slope, layers,
        choices, others."""
        rows = np.arange(len(codes))
        by_layer = np.column_stack([own[c] for own, c in zip(self._weights, codes.T, strict=True)])
        sizes = [len(own) for own in self._weights]
        choices = np.zeros((len(codes), sum(sizes)))
        for start, column, own in zip(np.cumsum(sizes) - sizes, codes.T, by_layer.T, strict=True):
            choices[rows, start + column] = CHOICE * own
        other = np.column_stack([n[c] for n, c in zip(self.nominal, codes.T, strict=True)])
        return np.column_stack(
            [
                np.full(len(codes), LEVEL * self.spread),
                SLOPE * by_layer.sum(axis=1),
                LAYER * by_layer,
                choices,
                np.sqrt(UNKNOWN / len(sizes)) * self.spread * other,
            ]
        )

    @cached_property
    def _known(self) -> Floats:
        return self._features(self.codes)

    @cached_property
    def _factor(self) -> tuple[Floats, bool]:
        matrix = self._known @ self._known.T + np.diag(self.noise)
        found: tuple[Floats, bool] = cho_factor(matrix, lower=True)
        return found

    def _whitened(self, level: float) -> Floats:
        """The parameters in prior deviations from their prior means ``[n_parameters]``."""
        scale = np.sqrt(UNKNOWN / len(self.scores)) * self.spread
        return np.concatenate(
            [
                [(self.level - level) / (LEVEL * self.spread)],
                [(self.slope - self.centre) / SLOPE],
                self.layer / LAYER,
                np.concatenate(self.choice) / CHOICE,
                self.other / scale,
            ]
        )

    def _linear_residual(self) -> Floats:
        """Targets less what the linear model around here predicts from the prior's mean."""
        start = self._prior_level
        given = self.codes[: len(self.targets)]
        known = self._known[: len(self.targets)]
        return self.targets - self.mean(given) + known @ self._whitened(start)

    @property
    def _prior_level(self) -> float:
        best = self.targets.max() if self.sign < 0 else self.targets.min()
        return float(best)

    def _moved(self, level: float, to: Floats) -> ScoredPosterior:
        count = len(self.scores)
        sizes = np.cumsum([len(own) for own in self.scores])
        scale = np.sqrt(UNKNOWN / count) * self.spread
        choices = CHOICE * to[2 + count : 2 + count + sizes[-1]]
        return replace(
            self,
            level=level + LEVEL * self.spread * float(to[0]),
            slope=self.centre + SLOPE * float(to[1]),
            layer=LAYER * to[2 : 2 + count],
            choice=tuple(np.split(choices, sizes[:-1])),
            other=scale * to[2 + count + sizes[-1] :],
        )

    def _misfit(self, level: float) -> float:
        gap = self.targets - self.mean(self.codes)
        prior = self._whitened(level)
        return float(np.sum(gap**2 / self.noise) + prior @ prior)

    def _climbed(self, level: float) -> ScoredPosterior:
        """The most probable parameters, by Gauss-Newton steps that are halved until they help."""
        model, misfit = self, self._misfit(level)
        for _ in range(STEPS):
            here = model._whitened(level)
            goal = model._known.T @ cho_solve(model._factor, model._linear_residual())
            for halving in range(HALVINGS):
                trial = model._moved(level, here + 0.5**halving * (goal - here))
                found = trial._misfit(level)
                if found < misfit:
                    break
            else:
                return model
            gain, model, misfit = misfit - found, trial, found
            if gain < 1e-6 * max(misfit, 1.0):
                break
        return model
