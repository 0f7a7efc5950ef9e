"""A run's records in the order in which a strategy made and saw them, for replay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hqsearch.search.early_stopping.cohorts import Cohorts
from hqsearch.store.records import Record, TaskRecord, TrialRecord
from hqsearch.strategies import Result


def in_order(records: Iterable[Record]) -> list[Record]:
    """By proposal: a task came before the trial whose slot it names."""

    def place(record: Record) -> tuple[int, int, int]:
        if isinstance(record, TaskRecord):
            return record.slot, 0, record.index
        return record.proposal.slot, 1, 0

    return sorted(records, key=place)


def told(recorded: Sequence[Record], cohorts: Cohorts | None) -> list[Record]:
    """What the strategy was told, in that order.

    As results came in; with cohorts, tasks as they came in and trials cohort by cohort.
    """
    tasks = {r.order: r for r in recorded if isinstance(r, TaskRecord) and r.finished}
    trials = [r for r in recorded if isinstance(r, TrialRecord)]
    if cohorts is None:
        results: dict[int, Record] = {**tasks}
        results |= {t.outcome.order: t for t in trials if t.finished and t.outcome is not None}
        return [results[order] for order in sorted(results)]
    waiting = iter(cohorts.told(trials))
    result: list[Record] = []
    while record := tasks.pop(len(result), None) or next(waiting, None):
        result.append(record)
    return [*result, *(tasks[order] for order in sorted(tasks))]


def seen(record: Record) -> int:
    """How many results the strategy had been told when it made this."""
    return record.seen if isinstance(record, TaskRecord) else record.proposal.seen


def result_of(trial: TrialRecord) -> Result:
    """A finished trial as a strategy is told of it."""
    outcome = trial.outcome
    return Result(
        trial.proposal.slot,
        trial.proposal.candidate,
        trial.proposal.kind,
        trial.values if trial.state == "COMPLETE" else None,
        outcome.violation if outcome else 0.0,
        trial.proposal.strategy,
        outcome.stopped_at if outcome else None,
        tuple((r.epoch, r.values) for r in trial.rungs),
        outcome.details.error if outcome else None,
    )
