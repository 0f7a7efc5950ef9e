"""From a request on the command line to a search: validate, open, run.

Bad input is found before anything is created: the definition and the strategy's options are
checked first, then what :mod:`hqsearch.study.opening` checks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hqsearch.analysis.energy_meaning import one_in_effect
from hqsearch.analysis.overview import require_whole
from hqsearch.atomic import full_disk_told
from hqsearch.definition import (
    SearchOptions,
    StudyDefinition,
    study_name,
    validate,
)
from hqsearch.errors import InputError, RunFailed, StorageError
from hqsearch.evaluator import Evaluator
from hqsearch.evaluator.registry import evaluator_class, evaluator_names
from hqsearch.problem.budgets import Budgets, parse_budgets
from hqsearch.problem.objective import Objective
from hqsearch.search.early_stopping.cohorts import Cohorts
from hqsearch.search.early_stopping.halving import rungs_of
from hqsearch.search.events import Listener, guarded
from hqsearch.search.failures import require_some
from hqsearch.search.loop import Search
from hqsearch.search.plan import SearchPlan
from hqsearch.search.replay import result_of
from hqsearch.search.stalling import Stalling, patience_of
from hqsearch.store.log import LogReader, StudyLog, storage_url
from hqsearch.store.log_reader import damaged
from hqsearch.store.records import RunRecord, TrialRecord
from hqsearch.store.soundness import log_faults
from hqsearch.strategies import Problem, Strategy, StrategyOptions, strategy_class
from hqsearch.study.aiming import aimed, check_interest, interest_of
from hqsearch.study.asked import asked_definition, recorded_definition
from hqsearch.study.expecting import expected
from hqsearch.study.identity import of_its_time, run_identity, same_run, to_go_on
from hqsearch.study.limits import check_limits
from hqsearch.study.objectives import objectives_of
from hqsearch.study.opening import (
    Request,
    make_evaluator_for,
    open_study,
    require_recorded_recipe,
    study_folder,
    versions,
)
from hqsearch.study.publishing import GENERATION, Publishing
from hqsearch.wording import option

__all__ = [
    "Finished",
    "Request",
    "device_of",
    "read_study",
    "require_tasks",
    "resume",
    "start",
]


@dataclass(frozen=True)
class Finished:
    """What a run came to."""

    study: str
    run: RunRecord
    finished: int
    exhausted: bool
    mismatches: int
    recovered: int
    out_of_time: bool = False


@full_disk_told()
def start(request: Request, listener: Listener | None = None) -> Finished:
    """Run a strategy on a study, or continue the run that is the same; a listener is told.

    Raises:
        InputError: bad usage or bad input; nothing was created.
        RunFailed: every evaluation failed.
        DiskFull: no space left; everything finished is saved.
    """
    asked, told = asked_definition(request), guarded(listener)
    for note in asked.notes:
        told.note(f"note: {note}")
    return _launch(asked.definition, request, told)


@full_disk_told()
def resume(request: Request, listener: Listener | None = None) -> Finished:
    """Finish the last unfinished run of a study with its stored options.

    Raises:
        StorageError: there is no study, or every run of it is finished.
        DiskFull: no space left; everything finished is saved.
    """
    attributes, runs, trials = read_study(request)
    name = attributes["study"]["name"]
    done = {r.ordinal: sum(t.finished for t in trials if t.proposal.run == r.ordinal) for r in runs}
    unfinished = [
        r for r in runs if r.searches and done[r.ordinal] < r.evaluations and not r.exhausted
    ]
    open_runs = [r for r in unfinished if not r.stalled]
    if not open_runs:
        stalled = "".join(
            f"; run {r.ordinal} has stalled after {done[r.ordinal]} of {r.evaluations} evaluations "
            f"({r.stalled}), and {to_go_on(r)} goes on with it"
            for r in unfinished
        )
        raise StorageError(
            f"every run of study {name!r} is finished; there is nothing to resume{stalled}"
        )
    run = open_runs[-1]
    recorded = recorded_definition(attributes, request)
    require_recorded_recipe(recorded, attributes)
    definition = recorded.model_copy(
        update={
            "evaluations": run.evaluations,
            "seed": run.seed,
            "constraints": run.options["constraints"],
            "search": validate(SearchOptions, run.options.get("search", {}), "the run's [search]"),
            "strategy": {run.strategy: of_its_time(run)["strategy"]},
        }
    )
    request = replace(
        request,
        strategy=run.strategy,
        device=device_of(request, attributes),
        history=tuple(run.options["history"]) if "history" in run.options else None,
        first=run.options.get("first"),
        between=run.options.get("between", {}),
        until=run.until or None,
        workers=_workers_of(request, attributes),
    )
    return _launch(definition, request, guarded(listener))


def _workers_of(request: Request, attributes: Mapping[str, Any]) -> int | None:
    """As asked, else as it was last asked for; None where nobody did."""
    kept = attributes.get("free", {}).get("workers")
    if request.workers is not None or request.executor == "in-process":
        return request.workers
    return kept if type(kept) is int and kept > 0 else None


def _keep_free(
    log: StudyLog, definition: StudyDefinition, evaluator: Evaluator, workers: int | None
) -> None:
    """Record what a run may change about its study: ``resume`` takes what was given last."""
    path = definition.data.path if definition.data is not None else None
    given = {k: v for k, v in definition.evaluation.items() if k in evaluator.options.FREE}
    free: dict[str, Any] = {
        "data_path": str(path) if path is not None else None,
        "evaluation": given,
    }
    if workers is not None:
        free["workers"] = workers
    if log.attributes().get("free") != free:
        log.set_attribute("free", free)


def read_study(request: Request) -> tuple[dict[str, Any], list[RunRecord], list[TrialRecord]]:
    """Attributes, runs and trials of the study that a request names, to go on with it.

    Raises:
        StudyMissing: there is no such study, or it was cut off while it was made.
        StudyDamaged: its log cannot be read, or does not fit together.
    """
    name = study_name(request.study)
    reader = LogReader(storage_url(request.storage, study_folder(name, request.studies_dir)), name)
    try:
        for fault in log_faults(reader):
            raise damaged(reader.url, name, fault)
        attributes = reader.attributes()
        require_whole(attributes, name)
        runs, trials = reader.runs(), reader.trials()
    finally:
        reader.close()
    return attributes, runs, trials


def _logged(
    definition: StudyDefinition, request: Request
) -> tuple[list[RunRecord], list[TrialRecord]]:
    """Runs and trials of a study that has a log."""
    folder = study_folder(definition.name, request.studies_dir)
    reader = LogReader(storage_url(request.storage, folder), definition.name)
    runs, trials = reader.runs(), reader.trials()
    reader.close()
    return runs, trials


def device_of(request: Request, attributes: Mapping[str, Any]) -> Literal["auto", "cpu", "cuda"]:
    """As asked, else the one that the study was recorded with."""
    recorded: Literal["cpu", "cuda"] = attributes["fingerprint"]["device"]
    return recorded if request.device == "auto" else request.device


def _launch(definition: StudyDefinition, request: Request, listener: Listener) -> Finished:
    began = time.monotonic()
    kind = strategy_class(request.strategy)
    where = f"study {definition.name!r} [strategy.{request.strategy}]"
    options = validate(kind.Options, definition.strategy.get(request.strategy, {}), where)
    for other, table in definition.strategy.items():
        # What is not used in this run may be used in the next: a misspelling is told now.
        place = f"study {definition.name!r} [strategy.{other}]"
        validate(strategy_class(other).Options, table, place)
    folder = study_folder(definition.name, request.studies_dir)
    evaluator = make_evaluator_for(definition, folder, request)
    require_tasks(kind, evaluator, definition)
    kind.check(options, evaluator.metrics, evaluator.strategy_tasks)
    if definition.search.early_stopping != "none" and not kind.stoppable:
        raise InputError(
            f"{option('strategy', kind.name)} cannot be used with search.early_stopping: its few "
            "candidates answer different questions and are no rivals of each other"
        )
    if request.between:
        check_interest(request.between, kind, options, objectives_of(definition, evaluator))
    patience = None if request.until is None else patience_of(request.until)
    if patience is not None and definition.search.early_stopping != "none":
        raise InputError(
            f"{option('until', 'stalled')} cannot be used with search.early_stopping: what is "
            "stopped early is not measured, so nobody can tell what a batch has added"
        )
    rungs = rungs_of(definition.search, evaluator.full_budget, definition.evaluator)
    check_limits(
        definition,
        evaluator,
        lambda: make_evaluator_for(definition, folder, request),
        kind.least_wanted(options),
    )
    with ExitStack() as stack:
        identity = run_identity(
            definition, options, request.history, request.first, request.between
        )

        def tell(workers: int, logged: bool) -> None:
            runs, records = _logged(definition, request) if logged else ([], [])
            run = same_run(runs, definition, request.strategy, identity)
            ended = [r for r in records if run is not None and r.proposal.run == run.ordinal]
            own = sum(r.finished for r in ended)
            told = expected(kind, definition, evaluator, workers, records, own, folder)
            for note in told.notes():
                listener.note(note)

        opened = stack.enter_context(open_study(definition, request, evaluator, listener, tell))
        objectives = opened.objectives
        budgets = Budgets(
            parse_budgets(definition.constraints, evaluator.metrics, evaluator.reference()),
            evaluator.space,
            evaluator.metrics,
            evaluator.cheap,
            evaluator.overflows(),
        )
        notes = budgets.check()
        interest = interest_of(request.between, evaluator, objectives, budgets)
        runs, held = opened.held()
        # Replicates are measured on the test split, which no search may see.
        records = [r for r in held if r.proposal.kind != "replicate"]
        run = same_run(runs, definition, request.strategy, identity)
        if run is not None:
            options = kind.Options.model_validate(of_its_time(run)["strategy"])
        run = run or RunRecord(
            ordinal=len(runs),
            strategy=request.strategy,
            seed=definition.seed,
            options=identity,
            evaluations=definition.evaluations,
            start=max((r.number for r in records), default=-1) + 1,
            unfinished=tuple(r.number for r in records if not r.finished),
            budgets=budgets.budgets,
            versions=versions(),
            notes=tuple(notes),
        )
        problem = replace(_problem(evaluator, objectives, budgets, run, records), interest=interest)
        strategy = kind(problem, options, run.seed)
        run = replace(run, until=request.until or "", stalled="")
        log = opened.open_log()  # now that nothing refuses it
        stack.callback(log.close)
        _keep_free(log, definition, evaluator, request.workers)
        log.add_run(run)
        one = one_in_effect(evaluator, [o.name for o in objectives])
        told = (
            *notes,
            *([one] if one else []),
            *aimed(interest),
            *strategy.notes(),
            *strategy.notes_for(opened.executor.capacity),
        )
        for note in told:
            listener.note(f"note: {note}")
        plan = SearchPlan(
            run=run,
            evaluations=definition.evaluations,
            baselines=evaluator.space.baselines(),
            objectives=objectives,
            budgets=budgets,
            seed=int(evaluator.options.seed),
            results_folder=folder / "results",
            token=log.attributes()["study"]["token"],
            trials=records,
            tasks=log.tasks(),
            facts=opened.facts,
            cohorts=_cohorts(definition, rungs, run, strategy, objectives, log),
            alike=_alike(run, log.runs()),
            over=_clock(began, request.time_limit),
            stalling=Stalling(objectives, strategy.batch, patience) if patience else None,
        )
        shown = _publishing(request, log, folder, options, listener)
        search = Search(plan, log, evaluator, strategy, opened.executor, shown or listener)
        search.search()
        if shown is not None:
            shown.finish()
        _tell_failed_tasks(search, run, listener)
        ended = replace(run, exhausted=search.exhausted, stalled=search.stalled)
        if ended != run:
            log.add_run(ended)
        again = f"a run with another {option('seed')} tries again"
        if not request.storage:
            again = (
                f"a run with {option('fresh', True)} tries again, or with another "
                f"{option('seed')} where none of the study's files has changed"
            )
        require_some(search.trials, definition.evaluations, "evaluations", again)
        return Finished(
            definition.name,
            ended,
            search.finished,
            search.exhausted,
            search.mismatches,
            search.recovered,
            search.out_of_time,
        )


def _clock(began: float, limit: float | None) -> Callable[[], bool]:
    """Whether so many seconds have passed since then; never without a limit."""
    if limit is None:
        return lambda: False
    return lambda: time.monotonic() - began >= limit


def _publishing(
    request: Request, log: StudyLog, folder: Path, options: StrategyOptions, listener: Listener
) -> Publishing | None:
    """What keeps the dashboard's note and figures up to date; None where nobody makes them."""
    if request.publisher is None:
        return None
    generation = int(getattr(options, "population", GENERATION))
    return Publishing(listener, log, folder, request.publisher, generation)


def _tell_failed_tasks(search: Search, run: RunRecord, listener: Listener) -> None:
    """Failed tasks of the strategy's own, with their reasons.

    Raises:
        RunFailed: all of them failed, and nothing came of the run.
    """
    failed = [t for t in search.tasks if t.state == "FAIL"]
    for task in failed:
        listener.note(f"note: {task.kind} {task.label}".rstrip() + f" failed: {task.reason}")
    searched = any(t.proposal.kind == "search" for t in search.trials)
    if failed and len(failed) == len(search.tasks) and not searched:
        raise RunFailed(
            f"every task of {run.strategy} failed; other options or another {option('seed')} "
            "start a new run"
        )


def require_tasks(kind: type[Strategy], evaluator: Evaluator, definition: StudyDefinition) -> None:
    """Refuse a strategy whose own tasks the evaluator cannot do."""
    missing = sorted(kind.tasks_needed - evaluator.strategy_tasks)
    if not missing:
        return
    able = [
        name
        for name in evaluator_names()
        if kind.tasks_needed <= evaluator_class(name, definition.folder).strategy_tasks
    ]
    raise InputError(
        f"{option('strategy', kind.name)} needs an evaluator that can do {', '.join(missing)}, and "
        f"{definition.evaluator!r} cannot; evaluators that can: {', '.join(able) or 'none'}"
    )


def _problem(
    evaluator: Evaluator,
    objectives: tuple[Objective, ...],
    budgets: Budgets,
    run: RunRecord,
    records: list[TrialRecord],
) -> Problem:
    """What a strategy works on, with what earlier runs came to where it may know."""
    # Budgets may differ from run to run: each judges by its own.
    history = tuple(
        replace(result_of(r), violation=_violation(r, budgets))
        for r in records
        if r.number < run.start and r.finished and r.number not in run.unfinished
        if "history" not in run.options or r.proposal.run in run.options["history"]
        if "first" not in run.options or r.proposal.slot < run.options["first"]
    )
    return Problem(
        space=evaluator.space,
        objectives=objectives,
        cheap=evaluator.cheap,
        metrics=evaluator.metrics,
        budgets=budgets,
        baselines=tuple(evaluator.space.baselines().values()),
        history=history,
        reference=evaluator.reference(),
        full_budget=evaluator.full_budget,
        early_stopping="search" in run.options,
        tasks=evaluator.strategy_tasks,
        overflows=evaluator.overflows(),
    )


def _cohorts(
    definition: StudyDefinition,
    rungs: tuple[int, ...],
    run: RunRecord,
    strategy: Strategy,
    objectives: tuple[Objective, ...],
    log: StudyLog,
) -> Cohorts | None:
    """What stops candidates early; None where every one is trained to the end."""
    if not rungs:
        return None
    return Cohorts(
        run.ordinal,
        rungs,
        definition.search.keep,
        definition.search.cohort or strategy.cohort,
        objectives,
        log.decisions(run.ordinal),
    )


def _alike(run: RunRecord, runs: list[RunRecord]) -> frozenset[int]:
    """The runs that stop candidates early in the same way; none where this one does not."""
    search = run.options.get("search")
    budgets = run.options["constraints"]
    return frozenset(
        r.ordinal
        for r in runs
        # A budget decides, too, who is stopped.
        if search and r.options.get("search") == search and r.options["constraints"] == budgets
    )


def _violation(trial: TrialRecord, budgets: Budgets) -> float:
    """By these budgets, where the log holds what was measured."""
    if trial.outcome is None:
        return 0.0
    measured = trial.outcome.details.measured
    return trial.outcome.violation if measured is None else budgets.measured_violation(measured)
