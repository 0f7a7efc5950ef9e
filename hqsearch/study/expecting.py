"""What a run is about to do, and what it will cost, told before it starts.

Times rest on what this study has measured, where it has measured anything; else on what its
evaluator can say beforehand. What is not known is said to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hqsearch.definition import StudyDefinition
from hqsearch.evaluator import Evaluator, Outlook
from hqsearch.store.disk import disk_use, size_text
from hqsearch.store.records import IMPORTED, TrialRecord
from hqsearch.strategies import Strategy


@dataclass(frozen=True)
class Expected:
    """What is known of a run before it starts.

    Attributes:
        strategy: its name.
        evaluations: how many trials the run is to have.
        left: how many of them have not ended.
        workers: evaluations at a time.
        outlook: of the evaluator.
        measured: seconds of every evaluation that this study has trained.
        per_trial: bytes of the log and its tables per trial; None where there is none yet.
        own_tasks: kinds of trainings of the strategy's own, which are not in the estimate.
        stops: whether early stopping is on.
        baselines: uniform assignments that come first; 0 where the study has begun.
    """

    strategy: str
    evaluations: int
    left: int
    workers: int
    outlook: Outlook
    measured: tuple[float, ...] = ()
    per_trial: float | None = None
    own_tasks: tuple[str, ...] = ()
    stops: bool = False
    baselines: int = 0

    def notes(self) -> list[str]:
        """What is about to be done, and what it will cost; a line each."""
        return [self._plan(), self._cost()]

    def _plan(self) -> str:
        steps = " and ".join(self.outlook.steps)
        first = f"first {steps}; then " if steps else ""
        left = f" ({self.left} left)" if 0 < self.left < self.evaluations else ""
        if self.baselines and self.left == self.evaluations:
            left = f" ({self.baselines} of them uniform baselines)"
            if self.baselines >= self.evaluations:
                left = " (all of them uniform baselines: none is left for the search)"
        ended = ", all of them done" if self.left <= 0 else f", {self.workers} at a time"
        number = f"{self.evaluations} evaluation{'' if self.evaluations == 1 else 's'}"
        return f"about to: {first}{number}{left} by {self.strategy}{ended}"

    def _cost(self) -> str:
        return f"expected: {self._time()}; {self._disk()}"

    def _time(self) -> str:
        left = max(self.left, 0)
        if not left and not self.outlook.steps:
            return "no training"
        if self.measured:
            each = sum(self.measured) / len(self.measured)
            basis = f"the mean of {len(self.measured)} of this study"
        elif self.outlook.evaluation_seconds is not None:
            each, basis = self.outlook.evaluation_seconds, self.outlook.basis
        else:
            return "a time that is not known before something of this study was measured"
        before = self.outlook.preparation_seconds if self.outlook.steps else 0.0
        total = each * left / max(min(self.workers, left), 1) + (before or 0.0)
        text = f"{duration(total)} ({duration(each)} an evaluation: {basis})"
        if before is None:
            text += ", and a preparation of unknown length"
        elif before:
            text += f", {duration(before)} of it to prepare"
        if self.stops:
            text += ", less what early stopping spares"
        if self.own_tasks:
            text += f"; {self.strategy}'s own tasks ({', '.join(self.own_tasks)}) come on top"
        return text

    def _disk(self) -> str:
        sizes = []
        if self.outlook.steps:
            size = self.outlook.disk_bytes
            known = "an unknown size" if size is None else size_text(size)
            sizes.append(f"{known} for what is prepared")
        if self.per_trial is None:
            sizes.append("a log of unknown size")
        else:
            sizes.append(f"{size_text(max(self.left, 0) * self.per_trial)} of log")
        return "on disk " + " and ".join(sizes)


def expected(
    strategy: type[Strategy],
    definition: StudyDefinition,
    evaluator: Evaluator,
    workers: int,
    trials: Sequence[TrialRecord],
    own: int,
    folder: Path,
) -> Expected:
    """What is known before a run; see :class:`Expected`.

    Args:
        trials: of the study.
        own: how many of the run's trials have ended.
        folder: of the study.
    """
    searched = [
        t
        for t in trials
        if t.proposal.kind not in ("replicate", IMPORTED) and t.outcome is not None
    ]
    measured = tuple(
        t.outcome.seconds
        for t in searched
        if t.outcome is not None and t.proposal.copy_of is None and t.state == "COMPLETE"
    )
    use = disk_use(folder)
    logged = use.get("log", 0) + use.get("tables", 0)
    return Expected(
        strategy=strategy.name,
        evaluations=definition.evaluations,
        left=definition.evaluations - own,
        workers=workers,
        outlook=evaluator.outlook(),
        measured=measured,
        per_trial=logged / len(trials) if trials else None,
        own_tasks=tuple(sorted(strategy.tasks_needed)),
        stops=definition.search.early_stopping != "none",
        baselines=0 if trials else len(evaluator.space.baselines()),
    )


def duration(seconds: float) -> str:
    """Seconds for a person.

    >>> [duration(s) for s in (0.004, 9.54, 90, 5400, 200_000)]
    ['less than 0.1 s', '9.5 s', '1.5 minutes', '1.5 hours', '2.3 days']
    """
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s" if seconds >= 0.1 else "less than 0.1 s"
