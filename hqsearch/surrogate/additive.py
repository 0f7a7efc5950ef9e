"""Bayesian linear regression on grouped features, with interactions where the data pay.

The posterior of a linear model with one prior variance per group of features, written with
Gram matrices (Rasmussen and Williams 2006, chapter 2): covariance Σ_g v_g F_g F_gᵀ, plus the
products of sensitivities over neighbouring dimensions and over all pairs. Variances and the
scale of the noise are chosen by marginal likelihood (with a weak prior), climbing on a grid,
coordinate by coordinate: no random start, no gradient, always the same result for the same data.
Leave-one-out errors are the closed form of Sundararajan and Keerthi (2001). The objective is
transformed by whichever of the admissible monotone maps has the largest evidence, Jacobian
included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from hqsearch.surrogate.design import Design

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: Prior variances tried per group, relative to the variance of the data; 0 switches a group off.
GRID = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
#: Noise variances tried, relative to the known ones, or to that of the data where none is known.
NOISE_GRID = (0.03, 0.1, 0.3, 1.0, 3.0)
UNKNOWN_NOISE_GRID = (1e-6, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3)
#: Where the grids are entered, and the standard deviation (in log10) of the prior around it.
START = {
    "choice": 1.0,
    "sensitivity": 1.0,
    "scheme": 0.1,
    "layer": 0.03,
    "score": 1.0,
    "score-layer": 1.0,
    "structure": 1.0,
}
PRIOR_DECADES = 1.5
#: Variances are fitted to this many measurements at most, spread evenly over all.
FIT_AT_MOST = 250
SWEEPS = 4
#: Of the mean, relative to the variance of the data.
MEAN_VARIANCE = 100.0
_FLOOR = 1e-9


class Transform(NamedTuple):
    """A monotone map of an objective, its inverse, its derivative, and where it is defined."""

    name: str
    holds: Callable[[Floats], bool]
    to: Callable[[Floats], Floats]
    back: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]


IDENTITY = Transform("identity", lambda y: True, lambda y: y, lambda z: z, np.ones_like)
LOG = Transform("log", lambda y: bool((y > 0).all()), np.log, np.exp, lambda y: 1.0 / y)
LOGIT = Transform(
    "logit",
    lambda y: bool(((y > 0) & (y < 1)).all()),
    lambda y: np.log(y) - np.log1p(-y),
    lambda z: np.asarray(1.0 / (1.0 + np.exp(-z))),
    lambda y: 1.0 / (y * (1.0 - y)),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What marginal likelihood chose: relative to the data, so that it fits later data too.

    Attributes:
        transform: of the objective.
        scales: prior variance per group, interactions last, in variances of the data.
        noise: noise variance in known ones, or in variances of the data where none is known.
        evidence: log marginal likelihood of the objective's values, with the prior's weight.
    """

    transform: Transform
    scales: Floats
    noise: float
    evidence: float = 0.0


class Posterior:
    """A fitted model: predictions in the objective's own unit.

    Args:
        design: features of candidates.
        settings: the prior.
        codes: what was measured ``[n, n_dimensions]``.
        targets: transformed values ``[n]``, with noise variances ``noise [n]``.
        spread: variance of the data, which the settings are relative to.
    """

    def __init__(
        self,
        design: Design,
        settings: Settings,
        codes: Codes,
        targets: Floats,
        noise: Floats,
        spread: float,
    ) -> None:
        self.design, self.settings, self.spread = design, settings, spread
        self.codes, self.targets, self.noise = codes, targets, noise
        self._features = design.features(codes)
        self._centre = float(targets.mean())
        matrix = self._covariance(self._features, self._features) + np.diag(noise)
        self._factor = cho_factor(matrix, lower=True)
        self._weights = cho_solve(self._factor, targets - self._centre)

    @property
    def transform(self) -> Transform:
        return self.settings.transform

    def _covariance(self, left: list[Floats], right: list[Floats]) -> Floats:
        scales = self.settings.scales
        total = np.full((len(left[0]), len(right[0])), MEAN_VARIANCE)
        for scale, gram in zip(scales, _grams(left, right, scales), strict=True):
            if scale > 0:
                total += scale * gram
        return self.spread * total

    def predict(self, codes: Codes) -> tuple[Floats, Floats]:
        """Mean and standard deviation ``[n]`` of the noiseless objective, in its own unit.

        The deviation is that of the transformed objective times the slope at the mean.
        """
        features = self.design.features(codes)
        cross = self._covariance(features, self._features)
        mean = self._centre + cross @ self._weights
        own = np.full(len(codes), MEAN_VARIANCE * self.spread)
        for scale, gram in zip(self.settings.scales, _diagonals(features), strict=True):
            own += self.spread * scale * gram
        explained = np.einsum("pn,np->p", cross, cho_solve(self._factor, cross.T))
        values = self.transform.back(mean)
        deviation = np.sqrt(np.maximum(own - explained, 0.0)) / self.transform.slope(values)
        return values, deviation

    def mean(self, codes: Codes) -> Floats:
        """The mean alone ``[n]``."""
        features = self.design.features(codes)
        cross = self._covariance(features, self._features)
        return self.transform.back(self._centre + cross @ self._weights)

    def draw(
        self, codes: Codes, count: int, generator: np.random.Generator
    ) -> tuple[Floats, Floats]:
        """The mean ``[n]``, and ``count`` joint draws ``[count, n]`` of the objective."""
        features = self.design.features(codes)
        cross = self._covariance(features, self._features)
        mean = self._centre + cross @ self._weights
        joint = self._covariance(features, features) - cross @ cho_solve(self._factor, cross.T)
        # Symmetric square root: draws depend continuously on the data, unlike a pivoted one's.
        values, vectors = np.linalg.eigh((joint + joint.T) / 2)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        drawn = mean + generator.standard_normal((count, len(codes))) @ (root @ vectors.T)
        return self.transform.back(mean), self.transform.back(drawn)

    def believing(self, codes: Codes) -> Posterior:
        """The posterior if ``codes`` turned out exactly as predicted (Kriging believer)."""
        believed = self.transform.to(self.mean(codes))
        noise = np.full(len(codes), float(np.median(self.noise)))
        return Posterior(
            self.design,
            self.settings,
            np.vstack([self.codes, codes]),
            np.concatenate([self.targets, believed]),
            np.concatenate([self.noise, noise]),
            self.spread,
        )

    def leave_one_out(self) -> Floats:
        """Error ``[n]`` of predicting each target from all others, transformed."""
        inverse = cho_solve(self._factor, np.eye(len(self.targets)))
        return np.asarray(self._weights / np.diag(inverse))

    def skill(self) -> float:
        """1 − squared leave-one-out error / that of the others' mean; 0 or less: knows nothing."""
        count = len(self.targets)
        if count < 3:
            return 0.0
        plain = (self.targets - self.targets.mean()) * count / (count - 1)
        return float(1.0 - np.sum(self.leave_one_out() ** 2) / max(np.sum(plain**2), 1e-300))


def fit(
    design: Design,
    codes: Codes,
    values: Floats,
    errors: Floats | None = None,
    settings: Settings | None = None,
) -> Posterior:
    """Fit a model to measurements.

    Args:
        design: features of candidates.
        codes: value indices ``[n, n_dimensions]``, n ≥ 2.
        values: measured objective ``[n]``.
        errors: their standard errors ``[n]``, in the same unit; 0 or NaN where unknown.
        settings: the prior; chosen by marginal likelihood where it is not given.
    """
    known = np.zeros(len(values)) if errors is None else np.nan_to_num(errors)
    admissible = [t for t in (IDENTITY, LOG, LOGIT) if t.holds(values)]
    if settings is None or settings.transform not in admissible:
        chosen = [_choose(_Data.of(design, codes, values, known, t)) for t in admissible]
        settings = max(chosen, key=lambda s: s.evidence)
    data = _Data.of(design, codes, values, known, settings.transform)
    noise = settings.noise * data.noise + _FLOOR * data.spread
    return Posterior(design, settings, codes, data.targets, noise, data.spread)


class _Data(NamedTuple):
    """Transformed measurements."""

    design: Design
    transform: Transform
    codes: Codes
    targets: Floats
    noise: Floats
    """Noise variances at scale 1 ``[n]``."""
    known: bool
    spread: float
    log_slopes: Floats

    @classmethod
    def of(
        cls, design: Design, codes: Codes, values: Floats, errors: Floats, transform: Transform
    ) -> _Data:
        targets, slopes = transform.to(values), transform.slope(values)
        spread = max(float(np.var(targets)), 1e-12)
        noise = (errors * slopes) ** 2
        known = bool(noise.mean() > _FLOOR * spread)
        filled = np.where(noise > 0, noise, noise[noise > 0].mean()) if known else spread
        noise = np.broadcast_to(filled, len(values))
        return cls(design, transform, codes, targets, noise, known, spread, np.log(slopes))


def _choose(data: _Data) -> Settings:
    """The settings of largest evidence, by climbing on the grids."""
    rows = np.unique(np.linspace(0, len(data.targets) - 1, FIT_AT_MOST).round().astype(int))
    features = data.design.features(data.codes[rows])
    grams = [np.asarray(g) for g in _grams(features, features)]
    residual = data.targets[rows] - data.targets[rows].mean()
    grids = [GRID] * len(grams) + [NOISE_GRID if data.known else UNKNOWN_NOISE_GRID]
    start = [*(START[g] for g in data.design.groups), 0.0, 0.0, 1.0 if data.known else 1e-2]
    place = [grid.index(value) for grid, value in zip(grids, start, strict=True)]

    def score(place: list[int]) -> float:
        *scales, noise = (grid[i] for grid, i in zip(grids, place, strict=True))
        matrix = np.full((len(rows), len(rows)), MEAN_VARIANCE * data.spread)
        for scale, gram in zip(scales, grams, strict=True):
            if scale > 0:
                matrix += scale * data.spread * gram
        matrix[np.diag_indices(len(rows))] += noise * data.noise[rows] + _FLOOR * data.spread
        penalty = _penalty(scales, noise, data)
        return _log_likelihood(matrix, residual) - penalty

    best = score(place)
    for _ in range(SWEEPS):
        before = best
        for coordinate, grid in enumerate(grids):
            for step in (1, -1):
                while 0 <= place[coordinate] + step < len(grid):
                    trial = place.copy()
                    trial[coordinate] += step
                    found = score(trial)
                    if found <= best:
                        break
                    best, place = found, trial
        if best <= before:
            break
    *scales, noise = (grid[i] for grid, i in zip(grids, place, strict=True))
    evidence = best + float(data.log_slopes[rows].sum())
    return Settings(data.transform, np.array(scales), noise, evidence)


def _log_likelihood(matrix: Floats, residual: Floats) -> float:
    factor = cho_factor(matrix, lower=True, check_finite=False)
    weights = cho_solve(factor, residual, check_finite=False)
    half_log = float(np.log(np.diag(factor[0])).sum())
    return float(-0.5 * residual @ weights - half_log - 0.5 * len(residual) * np.log(2 * np.pi))


def _penalty(scales: Sequence[float], noise: float, data: _Data) -> float:
    """Minus the log of a weak prior: few measurements must not switch a group off or on."""
    groups = data.design.groups
    total = 0.5 * np.log10(noise) ** 2 if data.known else 0.0
    for place, scale in enumerate(scales):
        if place < len(groups):
            decades = np.log10(max(scale, 1e-3) / START[groups[place]])
            total += 0.5 * float(decades / PRIOR_DECADES) ** 2
        elif scale > 0:
            # An interaction has to pay for itself.
            total += 1.0
    return float(total)


def _grams(
    left: list[Floats], right: list[Floats], needed: Floats | None = None
) -> list[Floats | float]:
    """Gram matrices of the groups, then of neighbouring and of all pairs of sensitivities."""
    wanted = np.ones(len(left) + 2) if needed is None else needed
    grams: list[Floats | float] = [
        a @ b.T if use > 0 else 0.0 for a, b, use in zip(left, right, wanted[:-2], strict=True)
    ]
    a, b = left[1] * np.sqrt(left[1].shape[1]), right[1] * np.sqrt(right[1].shape[1])
    width = a.shape[1]
    neighbours: Floats | float = 0.0
    if wanted[-2] > 0 and width > 1:
        neighbours = (a[:, :-1] * a[:, 1:]) @ (b[:, :-1] * b[:, 1:]).T / (width - 1)
    pairs: Floats | float = 0.0
    if wanted[-1] > 0 and width > 1:
        pairs = ((a @ b.T) ** 2 - (a**2) @ (b**2).T) / (width * (width - 1))
    return [*grams, neighbours, pairs]


def _diagonals(features: list[Floats]) -> list[Floats]:
    """The diagonals of :func:`_grams` of features with themselves."""
    own = [np.asarray((f**2).sum(axis=1)) for f in features]
    a = features[1] * np.sqrt(features[1].shape[1])
    width = max(a.shape[1] - 1, 1)
    neighbours = ((a[:, :-1] * a[:, 1:]) ** 2).sum(axis=1) / width
    pairs = ((a**2).sum(axis=1) ** 2 - (a**4).sum(axis=1)) / (width * max(a.shape[1], 1))
    return [*own, neighbours, pairs]
