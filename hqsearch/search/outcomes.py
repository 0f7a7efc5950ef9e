"""What is logged of an evaluation's outcome: objective values, budgets, facts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hqsearch.evaluator import Details, Evaluator
from hqsearch.executors.task import TaskOutcome
from hqsearch.problem.budgets import Budgets
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import Objective
from hqsearch.store.records import Outcome, Rung, TrialRecord


@dataclass(frozen=True)
class Outcomes:
    """Turns what workers measured into what a run's trials are logged with.

    Attributes:
        evaluator: estimates what was not measured.
        budgets: of the run; violations are on measured values.
        objectives: of the study, in its order.
        facts: recorded with every trial.
    """

    evaluator: Evaluator
    budgets: Budgets
    objectives: tuple[Objective, ...]
    facts: dict[str, Any]

    def values(self, outcome: TaskOutcome) -> tuple[float, ...]:
        """The objectives of an evaluation that did not fail."""
        return tuple(outcome.values[o.name] for o in self.objectives)

    def ended(self, trial: TrialRecord, outcome: TaskOutcome, order: int) -> Outcome:
        """Of a trial that came to its end, or failed on the way."""
        violation = 0.0
        details = outcome.details.with_facts(self.facts)
        if not outcome.failure:
            measured = self._measured(trial.proposal.candidate, outcome)
            violation = self.budgets.measured_violation(measured)
            bits = measured.get("average_bits", details.average_bits)
            details = replace(details, measured=measured, average_bits=bits)
        return Outcome(
            order=order,
            seconds=round(outcome.seconds + sum(r.seconds for r in trial.rungs), 3),
            violation=violation,
            failure=outcome.failure,
            reason=outcome.reason,
            attempts=outcome.attempts + sum(r.attempts - 1 for r in trial.rungs),
            details=details,
        )

    def rung(self, trial: TrialRecord, outcome: TaskOutcome, epoch: int) -> Rung:
        """Of a trial that came to the rung at ``epoch``."""
        measured = self._measured(trial.proposal.candidate, outcome)
        told = outcome.details.to_json()
        numbers = {k: v for k, v in told.items() if isinstance(v, int | float)}
        return Rung(
            epoch,
            self.values(outcome),
            self.budgets.measured_violation(measured),
            round(outcome.seconds, 3),
            outcome.attempts,
            replace(Details.from_json(numbers), measured=measured),
        )

    def stopped(self, trial: TrialRecord, order: int) -> Outcome:
        """Of a trial that does not go on from the rung it is at."""
        last = trial.rungs[-1]
        return Outcome(
            order=order,
            seconds=round(sum(r.seconds for r in trial.rungs), 3),
            violation=last.violation,
            attempts=1 + sum(r.attempts - 1 for r in trial.rungs),
            details=last.details.with_facts(self.facts),
            stopped_at=last.epoch,
        )

    def copied(self, held: Outcome, order: int) -> Outcome:
        """Of a candidate that the study's log answers; budgets differ from run to run."""
        return Outcome(
            order=order,
            violation=self.budgets.measured_violation(held.details.measured or {}),
            details=held.details,
            stopped_at=held.stopped_at,
        )

    def _measured(self, candidate: Candidate, outcome: TaskOutcome) -> dict[str, float]:
        """Everything that a budget may be about: recorded values, else the estimate."""
        estimate = self.evaluator.cheap([candidate])[0].tolist()
        measured = dict(zip(self.evaluator.metrics, estimate, strict=True)) | outcome.values
        if outcome.details.average_bits is not None:
            measured["average_bits"] = float(outcome.details.average_bits)
        return measured
