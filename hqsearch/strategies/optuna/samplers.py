"""Optuna's samplers as strategies: ``optuna-tpe``, ``optuna-nsga2`` and so on.

What they share (in-flight trials, budgets, repeated candidates, exact resume) is told in
:mod:`hqsearch.strategies.optuna.mirror`; here is only how each sampler is made.

``history = true`` (``optuna-tpe``, ``optuna-gp``) lets the model learn from the results of the
study's earlier runs and proposes none of those candidates again. It is off by default, so that
runs are comparable. Exact resume then asks that the earlier runs gain no results meanwhile:
finish them first. Evolutionary, random and quasi-random samplers have no use for history.

Sources: TPE: Bergstra et al. 2011, for several objectives Ozaki et al. 2022; NSGA-II: Deb et
al. 2002; NSGA-III: Deb and Jain 2014; constrained multi-objective Gaussian processes and
scrambled Sobol sequences: Optuna's ``GPSampler`` and ``QMCSampler``.
"""

from __future__ import annotations

import warnings
from typing import Annotated, ClassVar

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial
from pydantic import Field

from hqsearch.strategies.base import StrategyOptions
from hqsearch.strategies.notes import many_objectives
from hqsearch.strategies.optuna.mirror import OptunaStrategy, Space


class ModelOptions(StrategyOptions):
    """Of the samplers that fit a model."""

    startup: Annotated[int, Field(ge=1)] = 10
    """Completed trials, baselines included, before the model is used; random until then."""
    history: bool = False
    """Learn from the results of the study's earlier runs."""


class TpeOptions(ModelOptions):
    """``[strategy.optuna-tpe]``."""

    candidates: Annotated[int, Field(ge=1)] = 24
    """Draws from the good trials' density, of which the most promising is proposed."""
    multivariate: bool = True
    """Model the dimensions jointly; one by one costs four times as much on 8 dimensions."""


class OptunaTpe(OptunaStrategy):
    """Tree-structured Parzen estimator; what is in flight counts as bad (constant liar)."""

    name: ClassVar[str] = "optuna-tpe"
    Options: ClassVar[type[StrategyOptions]] = TpeOptions
    forgets: ClassVar[bool] = True

    def sampler(self, seed: int) -> BaseSampler:
        return optuna.samplers.TPESampler(
            n_startup_trials=self.options.startup,
            n_ei_candidates=self.options.candidates,
            multivariate=self.options.multivariate,
            seed=seed,
        )


class GpOptions(ModelOptions):
    """``[strategy.optuna-gp]``."""


class OptunaGp(OptunaStrategy):
    """Gaussian processes and expected hypervolume improvement; a proposal takes seconds."""

    name: ClassVar[str] = "optuna-gp"
    Options: ClassVar[type[StrategyOptions]] = GpOptions
    forgets: ClassVar[bool] = True
    draws: ClassVar[int] = 1

    def notes(self) -> list[str]:
        return ["optuna-gp takes seconds for a proposal"]

    def sampler(self, seed: int) -> BaseSampler:
        return optuna.samplers.GPSampler(
            seed=seed, n_startup_trials=self.options.startup, warn_independent_sampling=False
        )


class GeneticOptions(StrategyOptions):
    """``[strategy.optuna-nsga2]``."""

    population: Annotated[int, Field(ge=2, le=10_000)] = 12
    crossover: Annotated[float, Field(ge=0.0, le=1.0)] = 0.9
    """Probability that two parents are recombined."""
    mutation: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    """Probability that a gene is drawn anew; 1 / number of dimensions by default."""


class OptunaNsga2(OptunaStrategy):
    """Optuna's NSGA-II.

    A generation ends when ``population`` results of it are in; nobody waits for it, so with
    several workers it grows by what was in flight.
    """

    name: ClassVar[str] = "optuna-nsga2"
    Options: ClassVar[type[StrategyOptions]] = GeneticOptions
    generational: ClassVar[bool] = True

    @property
    def cohort(self) -> int | None:
        return int(self.options.population)

    def notes(self) -> list[str]:
        return many_objectives(self.problem)

    def sampler(self, seed: int) -> BaseSampler:
        return optuna.samplers.NSGAIISampler(
            population_size=self.options.population,
            crossover_prob=self.options.crossover,
            mutation_prob=self.options.mutation,
            seed=seed,
        )


class Nsga3Options(GeneticOptions):
    """``[strategy.optuna-nsga3]``."""

    divisions: Annotated[int, Field(ge=1, le=100)] = 3
    """Of each axis between the reference points."""


class OptunaNsga3(OptunaStrategy):
    """Optuna's NSGA-III: reference points keep many objectives apart."""

    name: ClassVar[str] = "optuna-nsga3"
    Options: ClassVar[type[StrategyOptions]] = Nsga3Options
    generational: ClassVar[bool] = True

    @property
    def cohort(self) -> int | None:
        return int(self.options.population)

    def sampler(self, seed: int) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return optuna.samplers.NSGAIIISampler(
                population_size=self.options.population,
                crossover_prob=self.options.crossover,
                mutation_prob=self.options.mutation,
                dividing_parameter=self.options.divisions,
                seed=seed,
            )


class OptunaQmc(OptunaStrategy):
    """A scrambled Sobol sequence: fills the space more evenly than random draws do."""

    name: ClassVar[str] = "optuna-qmc"

    def sampler(self, seed: int) -> BaseSampler:
        # One sequence for the whole run: the mirror counts how far it has been used.
        whole = int(np.random.SeedSequence([self.seed]).generate_state(1)[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return optuna.samplers.QMCSampler(scramble=True, seed=whole)

    def relative_space(
        self, sampler: BaseSampler, study: optuna.Study, trial: FrozenTrial
    ) -> Space:
        return {name: d for name, d in self.space.items() if not d.single()}


class OptunaRandom(OptunaStrategy):
    """Optuna's uniform random sampler."""

    name: ClassVar[str] = "optuna-random"
    forgets: ClassVar[bool] = True

    def sampler(self, seed: int) -> BaseSampler:
        return optuna.samplers.RandomSampler(seed=seed)
