"""From a request on the command line to a search: validate, open, prepare, run.

Bad input is found before anything is created: the definition, the strategy's options, the
evaluator's data and the device are checked first, then the study on disk is compared.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from hqsearch.budgets import Budget, Budgets, parse_budgets
from hqsearch.definition import StudyDefinition, find_definition, load_study, validate
from hqsearch.engine import Plan, Search
from hqsearch.errors import (
    DeviceError,
    HqsearchError,
    InputError,
    RunFailed,
    StorageError,
    UnknownName,
)
from hqsearch.evaluator import Evaluator, PrepareContext, Resources, Setup
from hqsearch.executors.base import Executor
from hqsearch.executors.in_process import InProcessExecutor
from hqsearch.executors.task import Task
from hqsearch.fingerprint import require_same
from hqsearch.objective import Objective
from hqsearch.registry import evaluator_class, evaluator_names
from hqsearch.report.live import LiveProgress
from hqsearch.store.lock import DriverLock
from hqsearch.store.log import LogReader, StudyLog, check_database, storage_url
from hqsearch.store.records import RunRecord, TrialRecord
from hqsearch.strategies import Problem, Result, Strategy, StrategyOptions, strategy_class

LIBRARIES = ("hqsearch", "numpy", "optuna", "pymoo", "ray", "torch")


@dataclass(frozen=True)
class Request:
    """What a person asked ``hqsearch run`` for."""

    study: str
    strategy: str
    evaluations: int | None = None
    seed: int | None = None
    data: Path | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int | None = None
    executor: Literal["auto", "in-process", "ray"] = "auto"
    ray_address: str | None = None
    storage: str | None = None
    studies_dir: Path = Path("studies")
    overrides: Mapping[str, Any] = field(default_factory=dict)
    fresh: bool = False


@dataclass(frozen=True)
class Finished:
    """What a run came to."""

    study: str
    run: RunRecord
    finished: int
    exhausted: bool
    mismatches: int
    recovered: int


def study_folder(name: str, studies_dir: Path) -> Path:
    return studies_dir.resolve() / name


def start(request: Request, progress: LiveProgress) -> Finished:
    """Run a strategy on a study, or continue the run that is the same.

    Raises:
        InputError: bad usage or bad input; nothing was created.
    """
    overrides = dict(request.overrides)
    if request.data is not None:
        overrides["data.path"] = str(request.data.expanduser().resolve())
    if request.seed is not None:
        overrides["seed"] = request.seed
    if request.evaluations is not None:
        overrides["evaluations"] = request.evaluations
    path = find_definition(request.study, request.studies_dir)
    return _launch(load_study(path, overrides), request, progress)


def resume(request: Request, progress: LiveProgress) -> Finished:
    """Finish the last unfinished run of a study with its stored options.

    Raises:
        StorageError: there is no study, or every run of it is finished.
    """
    name = Path(request.study).stem if request.study.endswith(".toml") else request.study
    folder = study_folder(name, request.studies_dir)
    reader = LogReader(storage_url(request.storage, folder), name)
    attributes, runs, trials = reader.attributes(), reader.runs(), reader.trials()
    reader.close()
    done = {r.ordinal: sum(t.finished for t in trials if t.proposal.run == r.ordinal) for r in runs}
    open_runs = [r for r in runs if done[r.ordinal] < r.evaluations and not r.exhausted]
    if not open_runs:
        raise StorageError(f"every run of study {name!r} is finished; there is nothing to resume")
    run = open_runs[-1]
    definition = StudyDefinition.model_validate(attributes["definition"]).model_copy(
        update={
            "evaluations": run.evaluations,
            "seed": run.seed,
            "constraints": run.options["constraints"],
            "strategy": {run.strategy: run.options["strategy"]},
        }
    )
    device = request.device
    if device == "auto":
        device = attributes["fingerprint"]["device"]
    request = replace(request, strategy=run.strategy, device=device)
    return _launch(definition, request, progress)


def _launch(definition: StudyDefinition, request: Request, progress: LiveProgress) -> Finished:
    kind = strategy_class(request.strategy)
    where = f"study {definition.name!r} [strategy.{request.strategy}]"
    options = validate(kind.Options, definition.strategy.get(request.strategy, {}), where)
    folder = study_folder(definition.name, request.studies_dir)
    evaluator = _make_evaluator(definition, folder, request)
    _require_tasks(kind, evaluator, definition)
    evaluator.check()
    objectives = _objectives(definition, evaluator)
    ones = dict.fromkeys(evaluator.metrics, 1.0)
    parse_budgets(definition.constraints, evaluator.metrics, ones)  # grammar, before any work
    workers = _workers(request, evaluator)
    executor_kind = _executor_kind(request, evaluator, workers)

    url = storage_url(request.storage, folder)
    if request.fresh:
        aside = _move_aside(folder, request)
        if aside is not None:
            progress.console.print(f"note: the old study is kept as {aside}", soft_wrap=True)
    check_database(url)
    for note in evaluator.notes():
        progress.console.print(note, highlight=False, soft_wrap=True)
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        lock = stack.enter_context(DriverLock(folder, url, definition.name))
        asked = {**evaluator.fingerprint(), "objectives": [o.name for o in objectives]}
        recorded = _recorded(url, definition.name, folder)
        if recorded:
            require_same(recorded["fingerprint"], asked, definition.name)
        executor = stack.enter_context(_executor(executor_kind, request, evaluator, workers))
        prepared = _prepare(evaluator, executor, progress)
        if recorded:
            require_same(
                {"prepared": recorded["prepared"]}, {"prepared": prepared}, definition.name
            )
        budgets = Budgets(
            parse_budgets(definition.constraints, evaluator.metrics, evaluator.reference()),
            evaluator.space,
            evaluator.metrics,
            evaluator.cheap,
        )
        notes = budgets.check()
        log = StudyLog(url, definition.name, evaluator.space, objectives, lock.check)
        stack.callback(log.close)
        if not recorded:
            log.set_attribute("study", _facts(definition, evaluator, objectives))
            log.set_attribute("definition", definition.model_dump(mode="json"))
            log.set_attribute("prepared", prepared)
            log.set_attribute("fingerprint", asked)
        records = log.trials()
        run = _run_record(log, definition, request, options, budgets.budgets, notes, records)
        strategy = _strategy(kind, options, run, evaluator, objectives, budgets, records)
        for note in (*notes, *strategy.notes()):
            progress.console.print(f"note: {note}", highlight=False, soft_wrap=True)
        plan = Plan(
            run=run,
            evaluations=definition.evaluations,
            baselines=evaluator.space.baselines(),
            objectives=objectives,
            seed=int(evaluator.options.seed),
            results_folder=folder / "results",
            token=log.attributes()["study"]["token"],
            facts={"versions": _versions(), **prepared},
        )
        search = Search(
            plan, log, records, log.tasks(), evaluator, strategy, budgets, executor, progress
        )
        search.search()
        if search.exhausted != run.exhausted:
            log.add_run(replace(run, exhausted=search.exhausted))
        return Finished(
            definition.name,
            run,
            search.finished,
            search.exhausted,
            search.mismatches,
            search.recovered,
        )


def _make_evaluator(definition: StudyDefinition, folder: Path, request: Request) -> Evaluator:
    evaluator = evaluator_class(definition.evaluator, definition.folder)
    device = request.device
    if device != "cpu" and evaluator.costly:
        import torch

        if device == "cuda" and not torch.cuda.is_available():
            raise DeviceError("--device cuda: torch finds no CUDA device here; use --device cpu")
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device == "cuda":
        raise DeviceError(f"--device cuda: evaluator {definition.evaluator!r} runs on the CPU only")
    return evaluator(Setup(definition, folder, "cuda" if device == "cuda" else "cpu"))


def _require_tasks(kind: type[Strategy], evaluator: Evaluator, definition: StudyDefinition) -> None:
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
        f"--strategy {kind.name} needs an evaluator that can do {', '.join(missing)}, and "
        f"{definition.evaluator!r} cannot; evaluators that can: {', '.join(able) or 'none'}"
    )


def _objectives(definition: StudyDefinition, evaluator: Evaluator) -> tuple[Objective, ...]:
    offered = {o.name: o for o in evaluator.objectives}
    for objective in definition.objective:
        if objective.name not in offered:
            raise UnknownName("objective", objective.name, offered, f"study {definition.name!r}")
    return tuple(offered[o.name] for o in definition.objective)


def _workers(request: Request, evaluator: Evaluator) -> int:
    """As asked, else as many evaluations as fit on this machine (one for a cheap evaluator)."""
    if request.workers is not None:
        if request.workers < 1:
            raise InputError(f"--workers {request.workers}: at least 1 is needed")
        return request.workers
    if not evaluator.costly:
        return 1
    need = evaluator.resources()
    fit = (os.cpu_count() or 1) / need.cpus
    if need.gpus:
        import torch

        fit = min(fit, torch.cuda.device_count() / need.gpus)
    return max(1, math.floor(fit))


def _executor_kind(request: Request, evaluator: Evaluator, workers: int) -> str:
    kind = request.executor
    if kind == "auto":
        useful = evaluator.costly and workers > 1
        options = evaluator.options
        wanted = bool(
            request.ray_address or options.time_limit or options.memory_gib or options.gpus
        )
        kind = "ray" if useful or wanted else "in-process"
    if kind == "in-process":
        for option, given in (
            ("--ray-address", request.ray_address),
            ("evaluation.time_limit", evaluator.options.time_limit),
            ("evaluation.memory_gib", evaluator.options.memory_gib),
            ("evaluation.gpus", evaluator.options.gpus or None),
            ("--workers", workers if workers > 1 and request.workers else None),
        ):
            if given is not None:
                raise InputError(
                    f"the in-process executor cannot keep {option} {given}; use --executor ray"
                )
    return kind


def _executor(kind: str, request: Request, evaluator: Evaluator, workers: int) -> Executor:
    if kind == "in-process":
        return InProcessExecutor(evaluator)
    from hqsearch.executors.ray import RayExecutor

    return RayExecutor(
        evaluator.setup,
        workers,
        [evaluator.resources(), *evaluator.preparation_resources()],
        evaluator.options.retries,
        evaluator.options.time_limit,
        request.ray_address,
    )


def _prepare(evaluator: Evaluator, executor: Executor, progress: LiveProgress) -> dict[str, str]:
    def run_task(
        payload: dict[str, Any], resources: Resources, poll: Callable[[], None]
    ) -> dict[str, Any]:
        done = threading.Event()

        def watch() -> None:
            while not done.wait(1.0):
                poll()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            return executor.run(Task(-1, "prepare", payload, 0, resources)).details
        except (HqsearchError, OSError):
            raise
        except Exception as error:
            raise RunFailed(f"preparation failed: {type(error).__name__}: {error}") from error
        finally:
            done.set()
            watcher.join()

    def tell(line: str) -> None:
        progress.console.print(line, highlight=False, soft_wrap=True)

    return evaluator.prepare(PrepareContext(progress.prepared, tell, os.cpu_count() or 1, run_task))


def _recorded(url: str, name: str, folder: Path) -> dict[str, Any]:
    """The study's attributes, if it exists; a study that was cut off while made counts as new."""
    if url.startswith("sqlite") and not (folder / "study.db").exists():
        return {}
    try:
        reader = LogReader(url, name)
    except StorageError as error:
        if "there is no study" in str(error) or "no such table" in str(error):
            return {}
        raise
    attributes = reader.attributes()
    reader.close()
    return attributes if "fingerprint" in attributes else {}


def _run_record(
    log: StudyLog,
    definition: StudyDefinition,
    request: Request,
    options: StrategyOptions,
    budgets: tuple[Budget, ...],
    notes: list[str],
    records: list[TrialRecord],
) -> RunRecord:
    """The run that is the same (strategy, options, seed), else a new one, logged."""
    identity = {
        "strategy": options.model_dump(mode="json"),
        "constraints": dict(definition.constraints),
    }
    runs = log.runs()
    for run in reversed(runs):
        same = (run.strategy, run.seed, run.options) == (
            request.strategy,
            definition.seed,
            identity,
        )
        if same:
            if run.evaluations != definition.evaluations:
                run = replace(run, evaluations=definition.evaluations)
                log.add_run(run)
            return run
    run = RunRecord(
        ordinal=len(runs),
        strategy=request.strategy,
        seed=definition.seed,
        options=identity,
        evaluations=definition.evaluations,
        start=max((r.number for r in records), default=-1) + 1,
        unfinished=tuple(r.number for r in records if not r.finished),
        budgets=budgets,
        versions=_versions(),
        notes=tuple(notes),
    )
    log.add_run(run)
    return run


def _strategy(
    kind: type[Strategy],
    options: StrategyOptions,
    run: RunRecord,
    evaluator: Evaluator,
    objectives: tuple[Objective, ...],
    budgets: Budgets,
    records: list[TrialRecord],
) -> Strategy:
    history = tuple(
        Result(
            r.proposal.slot,
            r.proposal.candidate,
            r.proposal.kind,
            r.values if r.state == "COMPLETE" else None,
            r.outcome.violation if r.outcome else 0.0,
            r.proposal.strategy,
        )
        for r in records
        if r.number < run.start and r.finished and r.number not in run.unfinished
    )
    problem = Problem(
        evaluator.space,
        objectives,
        evaluator.cheap,
        evaluator.metrics,
        budgets,
        tuple(evaluator.space.baselines().values()),
        history,
        evaluator.reference(),
    )
    return kind(problem, options, run.seed)


def _facts(
    definition: StudyDefinition, evaluator: Evaluator, objectives: tuple[Objective, ...]
) -> dict[str, Any]:
    return {
        "name": definition.name,
        "token": uuid.uuid4().hex,
        "title": definition.title,
        "objectives": [
            {"name": o.name, "unit": o.unit, "direction": o.direction, "cheap": o.cheap}
            for o in objectives
        ],
        "dimensions": list(evaluator.space.names),
        "notes": evaluator.notes(),
        "created": datetime.now().isoformat(timespec="seconds"),
        "platform": platform.platform(),
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _move_aside(folder: Path, request: Request) -> Path | None:
    """``--fresh``: the old state gets another name; nothing is deleted."""
    if request.storage is not None:
        raise InputError("--fresh works on studies in --studies-dir, not on a --storage server")
    if not folder.exists():
        return None
    with DriverLock(folder):
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        return folder.rename(folder.with_name(f"{folder.name}.before-{stamp}"))
