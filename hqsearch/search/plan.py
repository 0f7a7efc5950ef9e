"""What a search is told before it begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hqsearch.problem.budgets import Budgets
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import Objective
from hqsearch.search.early_stopping.cohorts import Cohorts
from hqsearch.search.stalling import Stalling
from hqsearch.store.records import RunRecord, TaskRecord, TrialRecord


@dataclass(frozen=True)
class SearchPlan:
    """One run of a study: how far it goes, by what it judges, and what the log holds already."""

    run: RunRecord
    evaluations: int
    baselines: Mapping[str, Candidate]
    objectives: tuple[Objective, ...]
    budgets: Budgets
    seed: int
    """Of every evaluation (common random numbers)."""
    results_folder: Path
    token: str
    """Of the study; a result file of another one is not taken over."""
    trials: Sequence[TrialRecord]
    """What the log holds of every run of the study, replicates left out."""
    tasks: Sequence[TaskRecord] = ()
    """The strategies' own tasks, of every run."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Recorded with every trial: library versions, fingerprints of data and parent."""
    cohorts: Cohorts | None = None
    """Stops candidates early; without it every one is trained to the end."""
    alike: frozenset[int] = frozenset()
    """Runs with the same early stopping: who was stopped there is not tried again."""
    over: Callable[[], bool] = lambda: False
    """Whether the time of this driver is over: then nothing is begun any more."""
    stalling: Stalling | None = None
    """What ends the search where little is to be gained; without it only the number does."""
