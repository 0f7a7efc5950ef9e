"""``hqsearch import``: results that were measured elsewhere, in a study's log.

They make a run of their own, whose trials are of the kind ``imported``: history for strategies of
runs that begin later (which see the log as it was, as for all other history), marked wherever
they are shown, never an answer to a proposal, and nothing that a verdict, a baseline, a
confirmation or a choice rests on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hqsearch.atomic import full_disk_told
from hqsearch.definition import StudyDefinition
from hqsearch.errors import HqsearchError, ImportRefused, InputError, StudyMissing
from hqsearch.evaluator import Details, Evaluator
from hqsearch.problem.budgets import Budgets
from hqsearch.problem.objective import Objective
from hqsearch.search.events import Listener, guarded
from hqsearch.store.database import storage_url
from hqsearch.store.lock import DriverLock
from hqsearch.store.log import StudyLog
from hqsearch.store.records import IMPORT, IMPORTED, Outcome, Proposal, RunRecord, TrialRecord
from hqsearch.study.asked import asked_definition, recorded_definition
from hqsearch.study.import_file import ImportedFile, ImportedRow, read_results
from hqsearch.study.objectives import objectives_of
from hqsearch.study.opening import (
    Request,
    make_evaluator_for,
    open_study,
    require_recorded_recipe,
    study_folder,
    versions,
)
from hqsearch.study.running import device_of, read_study

#: Seed of a trial of which none is told.
UNTOLD = -1


@dataclass(frozen=True)
class Import:
    """What an import did.

    Attributes:
        study: its name.
        run: ordinal of the run.
        trials: numbers of the trials that were added, row by row.
        left_out: rows of the file that held no result of their own.
        computed: objectives that no row had and the study's cost model gave.
    """

    study: str
    run: int
    trials: tuple[int, ...]
    left_out: int
    computed: tuple[str, ...]


@full_disk_told()
def import_results(
    request: Request,
    given: Path | Sequence[Mapping[str, Any]],
    source: str | None = None,
    listener: Listener | None = None,
) -> Import:
    """Put results into a study's log; one that has none yet is prepared first.

    Args:
        request: its study and where it runs; strategy, seed and overrides mean nothing here.
        given: a ``.csv`` or ``.json`` file, or rows as a JSON file has them.
        source: where they were measured, for rows that do not say; the file's name by default.
        listener: is told how far a preparation is.

    Raises:
        ImportRefused: with everything that is wrong with the rows; nothing was changed.
        InputError: no such study, no such file, or somebody drives the study.
        DiskFull: no space left; the same import goes on.
    """
    if source is not None and not (source.strip() and source.isprintable()):
        raise InputError(f"source {source!r} is no line of text")
    try:
        attributes, runs, trials = read_study(request)
    except StudyMissing:
        attributes, runs, trials = {}, [], []
    if attributes:
        definition = recorded_definition(attributes, request)
        require_recorded_recipe(definition, attributes)
        request = replace(request, device=device_of(request, attributes))
    else:
        definition = asked_definition(request).definition
    evaluator = make_evaluator_for(
        definition, study_folder(definition.name, request.studies_dir), request
    )
    objectives = objectives_of(definition, evaluator)
    read = read_results(given, evaluator.space, objectives, evaluator.metrics, source)
    _require_new(read, runs, trials, objectives)
    with _opened(definition, request, evaluator, objectives, bool(attributes), listener) as log:
        # Somebody may have gone on since it was read.
        runs, trials = log.runs(), log.trials()
        _require_new(read, runs, trials, objectives)
        costs = _Costs(evaluator, objectives, read.rows)
        run = _run(read, runs, trials)
        log.add_run(run)
        numbers = [t.number for t in trials if t.proposal.run == run.ordinal]
        for slot, row in enumerate(read.rows):
            if slot < len(numbers):
                continue  # of an import that was cut off
            proposal = Proposal(
                run=run.ordinal,
                slot=slot,
                strategy=IMPORT,
                kind=IMPORTED,
                key=row.candidate.key,
                seed=UNTOLD if row.seed is None else row.seed,
                seen=slot,
                origin=row.source,
            )
            values, details = costs.of(slot)
            violation = costs.violation(run, details)
            outcome = Outcome(order=slot, violation=violation, details=details)
            numbers.append(log.create_copy(proposal, values, outcome).number)
    return Import(definition.name, run.ordinal, tuple(numbers), read.left_out, costs.computed)


@contextmanager
def _opened(
    definition: StudyDefinition,
    request: Request,
    evaluator: Evaluator,
    objectives: tuple[Objective, ...],
    recorded: bool,
    listener: Listener | None,
) -> Iterator[StudyLog]:
    """The log to write to. A study that has one needs no preparation, nor workers."""
    with ExitStack() as stack:
        if recorded:
            folder = study_folder(definition.name, request.studies_dir)
            url = storage_url(request.storage, folder)
            lock = stack.enter_context(DriverLock(folder, url, definition.name))
            log = StudyLog(url, definition.name, evaluator.space, objectives, lock.check)
        else:
            opened = open_study(definition, request, evaluator, guarded(listener))
            log = stack.enter_context(opened).open_log()
        stack.callback(log.close)
        yield log


def _require_new(
    read: ImportedFile,
    runs: Sequence[RunRecord],
    trials: Sequence[TrialRecord],
    objectives: Sequence[Objective],
) -> None:
    """Refuse what an earlier import has put into the log, also under another source's name.

    Raises:
        ImportRefused: naming the trials.
    """
    begun = _begun(read, runs)
    held: dict[tuple[str, int], list[TrialRecord]] = {}
    for trial in trials:
        proposal = trial.proposal
        if proposal.kind == IMPORTED and (begun is None or proposal.run != begun.ordinal):
            held.setdefault((proposal.key, proposal.seed), []).append(trial)
    done = sum(begun is not None and t.proposal.run == begun.ordinal for t in trials)
    if begun is not None and done >= begun.evaluations:
        raise ImportRefused(read.name, [f"it was imported already, as run {begun.ordinal}"])
    problems = []
    for row in read.rows:
        key = (row.candidate.key, UNTOLD if row.seed is None else row.seed)
        for trial in held.get(key, ()):
            known = dict(zip((o.name for o in objectives), trial.values or (), strict=False))
            same = all(known.get(name) == value for name, value in row.values.items())
            if same or trial.proposal.origin == row.source:
                source = f" from {trial.proposal.origin!r}"
                problems.append(
                    f"{row.place}: trial {trial.number} is this row, imported before{source}"
                )
                break
    if problems:
        raise ImportRefused(read.name, problems)


def _begun(read: ImportedFile, runs: Sequence[RunRecord]) -> RunRecord | None:
    """The run that imports this very file, if there is one."""
    options = _options(read)
    return next((r for r in runs if r.strategy == IMPORT and r.options == options), None)


def _options(read: ImportedFile) -> dict[str, Any]:
    return {"file": read.name, "sha256": read.sha256}


def _run(read: ImportedFile, runs: Sequence[RunRecord], trials: Sequence[TrialRecord]) -> RunRecord:
    """The run of an import; the front stays under the budgets of the last search."""
    searched = [r for r in runs if r.searches]
    return _begun(read, runs) or RunRecord(
        ordinal=len(runs),
        strategy=IMPORT,
        seed=0,
        options=_options(read),
        evaluations=len(read.rows),
        start=max((t.number for t in trials), default=-1) + 1,
        budgets=searched[-1].budgets if searched else (),
        versions=versions(),
    )


class _Costs:
    """Objectives and facts of rows; what the cost model gives where a row does not say."""

    def __init__(
        self, evaluator: Evaluator, objectives: tuple[Objective, ...], rows: Sequence[ImportedRow]
    ) -> None:
        self._evaluator, self._objectives, self._rows = evaluator, objectives, rows
        self.computed = tuple(
            o.name for o in objectives if any(o.name not in r.values for r in rows)
        )
        try:
            self._cheap = evaluator.cheap([row.candidate for row in rows])
        except (HqsearchError, OSError) as error:
            raise InputError(
                f"what a candidate costs cannot be computed here: {error}; hqsearch run prepares it"
            ) from None

    def of(self, slot: int) -> tuple[tuple[float, ...], Details]:
        """Values in the order of the objectives, and the facts of a row."""
        row = self._rows[slot]
        estimates = dict(zip(self._evaluator.metrics, map(float, self._cheap[slot]), strict=True))
        measured = estimates | row.values
        values = tuple(measured[o.name] for o in self._objectives)
        extra: dict[str, Any] = {"source": row.source}
        computed = [o.name for o in self._objectives if o.name not in row.values]
        if computed:
            extra["computed"] = computed
        details = Details(
            average_bits=measured.get("average_bits"),
            accuracy_se=row.errors.get("accuracy"),
            standard_errors={k: v for k, v in row.errors.items() if k != "accuracy"} or None,
            measured={k: v for k, v in measured.items() if math.isfinite(v)},
            extra=extra,
        )
        return values, details

    def violation(self, run: RunRecord, details: Details) -> float:
        """Of the budgets that the study's front is under."""
        evaluator = self._evaluator
        budgets = Budgets(run.budgets, evaluator.space, evaluator.metrics, evaluator.cheap)
        return budgets.measured_violation(details.measured or {})
