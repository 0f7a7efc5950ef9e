"""A mirror of a run in memory, on which an Optuna sampler works as a strategy.

Samplers write attributes while they sample, and the log gets one atomic write per trial: so
they never see the log, but an in-memory Optuna study that holds what this run has proposed
and observed. Baselines and proposals enter it as RUNNING trials and become COMPLETE (FAIL
where the evaluation failed) when their result is observed, so a sampler knows what is in
flight; the violation of the budgets is told as a constraint. A candidate that was stopped early
is told as COMPLETE with what it was worth at its last rung and a violated constraint, the part
of its training that was spared: samplers for several objectives refuse PRUNED trials or leave
them out, and rank an infeasible one below every feasible one but learn from it.

What resuming promises: each proposal comes from a fresh sampler seeded by (seed, number of
the proposal), so the mirror is a function of the sequence of calls, and repeating the calls
from the log rebuilds it. A sequential run that was cut and resumed therefore equals the
uninterrupted one. With several workers the log is continued just as exactly, but which
results a proposal could see depends on the order in which evaluations finished, so two runs
with the same seed may differ. The cost of a proposal grows with the number of trials; resuming
pays it again for every proposal of a sampler that keeps something in the study as it samples
(populations, the place in a sequence).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from hqsearch.problem.candidate import Candidate
from hqsearch.strategies.base import Problem, Result, Signal, Strategy

#: Random neighbours tried for one proposal before the space counts as exhausted.
NEIGHBOURS = 1000
#: Neighbours tried at one distance before another gene is changed too.
PER_DISTANCE = 20

Space = dict[str, BaseDistribution]
Choose = Callable[[optuna.Study, FrozenTrial], dict[str, str]]


class Exhausted(Exception):
    """No unseen candidate was found."""


class MirrorSampler(BaseSampler):
    """The mirror's sampler: gives all values of a trial at once, as ``choose`` decides."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.choose: Choose = lambda study, trial: {}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> Space:
        return self.space

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: Space
    ) -> dict[str, Any]:
        return self.choose(study, trial)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        raise AssertionError(f"{param_name} was not chosen")


def _mirror(n_objectives: int, sampler: BaseSampler) -> optuna.Study:
    """An in-memory study that minimizes; made without a word on standard error."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(directions=["minimize"] * n_objectives, sampler=sampler)
    finally:
        optuna.logging.set_verbosity(verbosity)


class OptunaStrategy(Strategy):
    """Proposes what an Optuna sampler draws; subclasses say which sampler.

    A candidate is never proposed twice in a run, nor a baseline again: where a sampler repeats
    itself, a bounded number of further draws is tried, then a random unseen neighbour of the
    last one. A candidate that only earlier runs hold is proposed, and answered from the log
    without training.
    """

    draws: ClassVar[int] = 10
    """Draws for one proposal before a neighbour is taken."""
    generational: ClassVar[bool] = False
    """Whether sampling a trial is what puts it into the sampler's population."""
    forgets: ClassVar[bool] = False
    """Whether sampling leaves nothing behind that later samples depend on: replay then takes
    proposals from the log."""

    def __init__(self, problem: Problem, options: Any, seed: int) -> None:
        super().__init__(problem, options, seed)
        self.space: Space = {
            d.name: CategoricalDistribution(d.values) for d in problem.space.dimensions
        }
        self._proposer = MirrorSampler(self.space)
        self._mirror = _mirror(len(problem.objectives), self._proposer)
        self._seen = set(problem.baselines)
        self._proposals = 0
        self._exhausted = False
        if getattr(options, "history", False):
            self._learn_history()
        # By slot: the engine gives the first ones to the baselines.
        self._running = {
            slot: (candidate, self._enter(candidate))
            for slot, candidate in enumerate(problem.baselines)
        }

    @abstractmethod
    def sampler(self, seed: int) -> BaseSampler:
        """A fresh sampler whose random numbers follow from ``seed``."""

    def next_recorded(self, candidate: Candidate, origin: str) -> Candidate | Signal:
        if self._exhausted or not self.forgets:
            return self.next()
        return self._proposed(candidate, self._enter(candidate))

    def next(self) -> Candidate | Signal:
        if self._exhausted:
            return Signal.DONE
        generator = self.generator(self._proposals)
        self._proposer.choose = lambda study, trial: self._draw(study, trial, generator).choices
        try:
            trial = self._mirror.ask(self.space)
        except Exhausted:
            self._exhausted = True
            return Signal.DONE
        return self._proposed(self.problem.space.candidate(trial.params), trial)

    def _proposed(self, candidate: Candidate, trial: Trial) -> Candidate:
        self._seen.add(candidate)
        self._running[len(self.problem.baselines) + self._proposals] = candidate, trial
        self._proposals += 1
        return candidate

    def observe(self, result: Result) -> None:
        self._seen.add(result.candidate)
        candidate, trial = self._running.pop(result.slot, (None, None))
        if trial is None or candidate != result.candidate:
            # The log holds another proposal than this version of the sampler makes; it wins.
            if trial is not None:
                self._mirror.tell(trial, state=TrialState.FAIL)
            trial = self._enter(result.candidate)
        if result.values is None and result.stopped_at is None:
            self._mirror.tell(trial, state=TrialState.FAIL)
            return
        if self.problem.early_stopping:
            trial.set_constraint("stopped", self.problem.untrained(result))
        if result.values is None:
            result = replace(result, values=result.rungs[-1][1])
        if self.problem.budgets.budgets:
            trial.set_constraint("budgets", result.violation)
        self._mirror.tell(trial, self.problem.costs([result])[0].tolist())

    def relative_space(
        self, sampler: BaseSampler, study: optuna.Study, trial: FrozenTrial
    ) -> Space:
        """The dimensions that the sampler draws together."""
        return sampler.infer_relative_search_space(study, trial)

    def _fresh(self) -> BaseSampler:
        sequence = np.random.SeedSequence([self.seed, self._proposals])
        return self.sampler(int(sequence.generate_state(1)[0]))

    def _draw(
        self, study: optuna.Study, trial: FrozenTrial, generator: np.random.Generator
    ) -> Candidate:
        """An unseen candidate within the budgets.

        Raises:
            Exhausted: none was found.
        """
        sampler = self._fresh()
        sampler.before_trial(study, trial)
        for _ in range(self.draws):
            space = self.relative_space(sampler, study, trial)
            values = sampler.sample_relative(study, trial, space)
            for name, distribution in self.space.items():
                if name not in values:
                    values[name] = sampler.sample_independent(study, trial, name, distribution)
            candidate = self.problem.budgets.repair(self.problem.space.candidate(values), generator)
            if candidate not in self._seen:
                return candidate
        return self._neighbour(candidate, generator)

    def _neighbour(self, candidate: Candidate, generator: np.random.Generator) -> Candidate:
        """An unseen candidate close to ``candidate``: one gene away, then two, and so on."""
        space = self.problem.space
        code = space.encode([candidate])[0]
        for attempt in range(NEIGHBOURS):
            distance = min(1 + attempt // PER_DISTANCE, len(code))
            genes = generator.choice(len(code), size=distance, replace=False)
            near = code.copy()
            near[genes] = generator.integers(0, space.cardinalities[genes])
            found = self.problem.budgets.repair(space.decode(near)[0], generator)
            if found not in self._seen:
                return found
        raise Exhausted

    def _enter(self, candidate: Candidate) -> Trial:
        """A RUNNING trial of the mirror for a candidate that the sampler did not choose."""

        def given(study: optuna.Study, trial: FrozenTrial) -> dict[str, str]:
            if self.generational:
                sampler = self._fresh()
                sampler.sample_relative(study, trial, self.space)
            return candidate.choices

        self._proposer.choose = given
        return self._mirror.ask(self.space)

    def _learn_history(self) -> None:
        names = [o.name for o in self.problem.objectives]
        # The baselines are evaluated, or copied from the log, in this run too.
        learned, unmeasured = set(self.problem.baselines), set[Candidate]()
        for result in self.problem.history:
            candidate, values = result.candidate, result.values
            known = candidate in learned or result.kind not in ("baseline", "search", "imported")
            if values is None or known:
                continue
            learned.add(candidate)
            if result.kind == "imported":
                unmeasured.add(candidate)
            # The budgets of an earlier run may have been others: judge by this run's.
            estimates = dict(
                zip(self.problem.metrics, self.problem.cheap([candidate])[0], strict=True)
            )
            measured = {**estimates, **dict(zip(names, values, strict=True))}
            violation = self.problem.budgets.measured_violation(measured)
            self._mirror.add_trial(
                optuna.trial.create_trial(
                    values=self.problem.costs([result])[0].tolist(),
                    params=candidate.choices,
                    distributions=self.space,
                    constraints={"budgets": violation} if self.problem.budgets.budgets else None,
                )
            )
        # What was measured elsewhere may still be worth an evaluation here.
        self._seen |= learned - unmeasured
