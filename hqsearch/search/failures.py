"""Evaluations that all fail: when a run stops early, and what is said of it.

A cause that has nothing to do with the candidate (data that moved, a network that does not fit)
fails every evaluation for the same reason. Where nothing has completed, that is seen from
:data:`ENOUGH` of them; the rest would cost hours and tell no more.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from hqsearch.errors import RunFailed
from hqsearch.store.records import Outcome, TrialRecord

#: Failures alike, with nothing completed, after which nothing more is started.
ENOUGH = 8


#: What differs between reasons of one cause: numbers, and what is quoted of a candidate's output.
_OWN = re.compile(r"(?<![a-z])'[^'\n]*'|\"[^\"\n]*\"|[0-9]+")


def _kind(outcome: Outcome) -> str:
    """What failures of one cause have in common."""
    return f"{outcome.failure}: {_OWN.sub('…', outcome.reason)}"


def works(trial: TrialRecord) -> bool:
    """Whether a trial came to an end, or part-way: the cause of failures lies elsewhere then."""
    return trial.state in ("COMPLETE", "PRUNED") or bool(trial.rungs)


class Failures:
    """Failures since a driver began; those of earlier ones may have been mended meanwhile."""

    def __init__(self, trials: Iterable[TrialRecord]) -> None:
        self._works = any(works(t) for t in trials)
        self._reasons: Counter[str] = Counter()

    def add(self, trial: TrialRecord) -> None:
        """Take note of a trial that ended, or came to a rung."""
        self._works = self._works or works(trial)
        if trial.state == "FAIL" and trial.outcome is not None:
            self._reasons[_kind(trial.outcome)] += 1

    @property
    def hopeless(self) -> bool:
        """Whether enough failed alike, and nothing else came of anything."""
        return not self._works and max(self._reasons.values(), default=0) >= ENOUGH


def require_some(trials: Sequence[TrialRecord], planned: int, what: str, again: str) -> None:
    """Tell a run of which nothing came but failures.

    Args:
        trials: of the run.
        planned: how many it was to have.
        what: they are: ``evaluations``.
        again: how a run is tried again of which nothing is left to do.

    Raises:
        RunFailed: with the first of the most frequent reasons, and how to go on.
    """
    failed = [t.outcome for t in trials if t.state == "FAIL" and t.outcome is not None]
    if not failed or any(works(t) for t in trials):
        return
    (common, count), *_ = Counter(map(_kind, failed)).most_common(1)
    alike = [o for o in failed if _kind(o) == common]
    told = f"all {len(failed)} {what} failed"
    if count < len(failed):
        told += f", {count} of them alike, the first" if count > 1 else ", the first"
    elif len({o.reason for o in alike}) > 1:
        told += " alike, the first"
    told += f": {alike[0].reason} ({alike[0].failure})"
    left = planned - len(failed)
    if left > 0:
        again = f"{left} of {planned} {what} remain; once that is mended, the same command goes on"
    raise RunFailed(f"{told}; {again}")
