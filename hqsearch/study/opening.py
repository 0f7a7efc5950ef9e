"""Opening a study to drive it: checked, locked, compared with the log, prepared.

Bad input is found before anything is created: the evaluator's data, the device and the
executor are checked first, then the study on disk is compared.
"""

from __future__ import annotations

import importlib.metadata
import math
import platform
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from hqsearch.analysis.rules import RULES
from hqsearch.definition import StudyDefinition, embedded, load_study
from hqsearch.definition.files import space_tables
from hqsearch.definition.recorded import fixed_part
from hqsearch.definition.study import MARGIN
from hqsearch.errors import (
    DeviceError,
    HqsearchError,
    InputError,
    PluginError,
    RunFailed,
    StudyMissing,
)
from hqsearch.evaluator import Evaluator, GivenObjects, PrepareContext, Resources, Setup
from hqsearch.evaluator.json_record import WrongType, plain
from hqsearch.evaluator.registry import evaluator_class
from hqsearch.executors.base import Executor
from hqsearch.executors.in_process import InProcessExecutor
from hqsearch.executors.task import Prepare, Task
from hqsearch.machine import cores
from hqsearch.problem.objective import Objective
from hqsearch.problem.space import refuse_needless
from hqsearch.search.events import Listener
from hqsearch.store.leftovers import remove_leftovers
from hqsearch.store.lock import DriverLock
from hqsearch.store.log import LogReader, StudyLog, check_database, storage_url
from hqsearch.store.records import RunRecord, TrialRecord
from hqsearch.store.soundness import require_own_file, require_sound
from hqsearch.study.fingerprint import (
    fingerprint_of,
    require_recipe,
    require_same,
    require_same_data,
)
from hqsearch.study.given import require_objects
from hqsearch.study.objectives import objectives_of, recorded_objectives
from hqsearch.study.publishing import Publisher
from hqsearch.study.traces import Traces, without_trace
from hqsearch.wording import option

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
    history: tuple[int, ...] | None = None
    """Earlier runs that the strategy may learn from, by ordinal; None: every one."""
    first: int | None = None
    """How many trials of each of them; None: all."""
    definition: StudyDefinition | None = None
    """What the study is, where no file says it."""
    objects: GivenObjects = field(default_factory=GivenObjects)
    """What it was made from in Python."""
    time_limit: float | None = None
    """Seconds from the start after which nothing is begun any more; None: as many as it takes."""
    between: Mapping[str, str] = field(default_factory=dict)
    """Ranges of costs in which the front is to be refined: cost → ``15 uJ .. 30 uJ``."""
    until: str | None = None
    """What ends the run before its number of evaluations: ``stalled``, ``stalled:5``."""
    publisher: Publisher | None = None
    """What makes the dashboard's note and figures; None: they are not written."""


@dataclass(frozen=True)
class OpenStudy:
    """A study that this process drives: locked, checked, prepared."""

    definition: StudyDefinition
    folder: Path
    url: str
    evaluator: Evaluator
    objectives: tuple[Objective, ...]
    executor: Executor
    prepared: dict[str, str]
    _asked: dict[str, Any]
    _recorded: dict[str, Any]
    _guard: Callable[[], None]
    _traces: Traces

    def held(self) -> tuple[list[RunRecord], list[TrialRecord]]:
        """Runs and trials of the log as it is; nothing is made where there is none."""
        if not self._recorded:
            return [], []
        reader = LogReader(self.url, self.definition.name)
        try:
            return reader.runs(), reader.trials()
        finally:
            reader.close()

    def open_log(self) -> StudyLog:
        """The log, made with the study's facts in it where there was none; close it.

        Nothing may be refused from here on.
        """
        self._traces.keep()
        log = StudyLog(
            self.url, self.definition.name, self.evaluator.space, self.objectives, self._guard
        )
        if not self._recorded:
            log.set_attribute("study", _facts(self.definition, self.evaluator, self.objectives))
            log.set_attribute("definition", self.definition.model_dump(mode="json"))
            # Spaces and studies that come along may come along changed in a later version.
            log.set_attribute("space", space_tables(self.definition))
            if self.definition.name in embedded("studies"):
                shipped = load_study(embedded("studies")[self.definition.name])
                log.set_attribute("shipped", fixed_part(shipped))
            log.set_attribute("prepared", self.prepared)
            log.set_attribute("fingerprint", self._asked)
        return log

    @property
    def facts(self) -> dict[str, Any]:
        """What is recorded with every trial."""
        return {"versions": versions(), **self.prepared}


def study_folder(name: str, studies_dir: Path) -> Path:
    return studies_dir.resolve() / name


@contextmanager
def open_study(
    definition: StudyDefinition,
    request: Request,
    evaluator: Evaluator,
    listener: Listener,
    before: Callable[[int, bool], None] | None = None,
) -> Iterator[OpenStudy]:
    """Check everything that can be checked, lock the study, and prepare it.

    Args:
        before: called when nothing refuses the study and nothing was prepared yet, with the
            evaluations that run at a time and whether there is a log.

    Raises:
        InputError: bad usage or bad input; nothing was created.
    """
    evaluator.check()
    _ = evaluator.space  # what it does not honour is refused now
    objectives = objectives_of(definition, evaluator)
    workers = worker_count(request, evaluator)
    kind = executor_kind(request, evaluator, workers)
    folder = evaluator.setup.folder
    url = storage_url(request.storage, folder)
    if request.fresh and request.storage is not None:
        raise InputError(
            f"{option('fresh', True)} works on studies in {option('studies_dir')}, not on a "
            f"{option('storage')} server"
        )
    if not request.fresh:
        check_database(url)
        require_writable(url, definition.name, folder)
    notes: list[str] = []
    if request.fresh or not recorded_study(url, definition.name, folder):
        refuse_needless(evaluator.space)
        inspected = evaluator.inspect(deep=False)
        if inspected.problems:
            several = len(inspected.problems) > 1
            heading = [f"{len(inspected.problems)} problems:"] if several else []
            raise InputError("\n  ".join([*heading, *inspected.problems]))
        notes = [f"note: {note}" for note in inspected.notes]
    for note in (*evaluator.notes(), *notes):
        listener.note(note)
    with ExitStack() as stack:
        traces = stack.enter_context(without_trace(folder, listener.note))
        if request.fresh:
            traces.move_aside()
        folder.mkdir(parents=True, exist_ok=True)
        lock = stack.enter_context(DriverLock(folder, url, definition.name))
        remove_leftovers(folder)
        asked = fingerprint_of(evaluator, definition)
        recorded = recorded_study(url, definition.name, folder)
        if recorded:
            require_same(recorded["fingerprint"], asked, definition.name)
            objectives = recorded_objectives(definition, objectives, recorded["study"])
        executor = stack.enter_context(_executor(kind, request, evaluator, workers))
        if before is not None:
            before(executor.capacity, bool(recorded))
        of_then = recorded["prepared"] if recorded else {}
        prepared = _prepare(evaluator, executor, listener, traces, of_then)
        if recorded:
            require_same(
                {"prepared": recorded["prepared"]}, {"prepared": prepared}, definition.name
            )
        yield OpenStudy(
            definition,
            folder,
            url,
            evaluator,
            objectives,
            executor,
            prepared,
            asked,
            recorded,
            lock.check,
            traces,
        )


def make_evaluator_for(definition: StudyDefinition, folder: Path, request: Request) -> Evaluator:
    """The evaluator of a definition, on the device asked for."""
    evaluator = evaluator_class(definition.evaluator, definition.folder)
    device = request.device
    if device != "cpu" and evaluator.costly:
        import torch

        here = torch.cuda.is_available()
        # On a cluster the GPUs may be on other machines; its executor looks for them.
        if device == "cuda" and not here and request.ray_address is None:
            raise DeviceError(
                f"{option('device', 'cuda')}: torch finds no CUDA device here; use "
                f"{option('device', 'cpu')}"
            )
        device = "cuda" if here or device == "cuda" else "cpu"
    elif device == "cuda":
        raise DeviceError(
            f"{option('device', 'cuda')}: evaluator {definition.evaluator!r} runs on the CPU only"
        )
    require_objects(definition, request.definition, request.objects)
    setup = Setup(definition, folder, "cuda" if device == "cuda" else "cpu", request.objects)
    return evaluator(setup)


def worker_count(request: Request, evaluator: Evaluator) -> int | None:
    """As asked, else as many evaluations as fit on this machine (one for a cheap evaluator).

    None: as many as fit on the cluster that is joined.
    """
    if request.workers is not None:
        if request.workers < 1:
            raise InputError(f"{option('workers', request.workers)}: at least 1 is needed")
        return request.workers
    if request.ray_address is not None:
        return None
    if not evaluator.costly:
        return 1
    need = evaluator.resources()
    fit = cores() / need.cpus
    if need.gpus:
        import torch

        fit = min(fit, torch.cuda.device_count() / need.gpus)
    return max(1, math.floor(fit))


def executor_kind(request: Request, evaluator: Evaluator, workers: int | None) -> str:
    """``"ray"`` or ``"in-process"``.

    Raises:
        InputError: the executor asked for cannot do what else is asked for.
    """
    kind = request.executor
    if kind == "auto":
        useful = evaluator.costly and workers is not None and workers > 1
        options = evaluator.options
        wanted = bool(
            request.ray_address or options.time_limit or options.memory_gib or options.gpus
        )
        kind = "ray" if useful or wanted else "in-process"
    if kind == "in-process":
        for name, given in (
            (option("ray_address"), request.ray_address),
            ("evaluation.time_limit", evaluator.options.time_limit),
            ("evaluation.memory_gib", evaluator.options.memory_gib),
            ("evaluation.gpus", evaluator.options.gpus or None),
            (option("workers"), request.workers if (request.workers or 1) > 1 else None),
        ):
            if given is not None:
                raise InputError(
                    f"the in-process executor cannot keep {name} {given}; use "
                    f"{option('executor', 'ray')}"
                )
    return kind


def _executor(kind: str, request: Request, evaluator: Evaluator, workers: int | None) -> Executor:
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


def _prepare(
    evaluator: Evaluator,
    executor: Executor,
    listener: Listener,
    traces: Traces,
    recorded: Mapping[str, str],
) -> dict[str, str]:
    def accept(known: dict[str, str]) -> None:
        require_same_data(recorded, known, evaluator.setup.definition.name)

    def run_task(
        payload: dict[str, Any], resources: Resources, poll: Callable[[], None]
    ) -> dict[str, Any]:
        return run_at_once([payload], resources, poll)[0]

    def run_at_once(
        payloads: Sequence[dict[str, Any]], resources: Resources, poll: Callable[[], None]
    ) -> list[dict[str, Any]]:
        tasks = [Task(-1 - i, Prepare(p), 0, resources) for i, p in enumerate(payloads)]
        done = threading.Event()

        def watch() -> None:
            while not done.wait(1.0):
                poll()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        traces.keep()  # hours of work
        try:
            return [outcome.answer for outcome in executor.run_all(tasks)]
        except (HqsearchError, OSError):
            raise
        except Exception as error:
            raise RunFailed(f"preparation failed: {type(error).__name__}: {error}") from error
        finally:
            done.set()
            watcher.join()

    context = PrepareContext(
        listener.prepared, listener.note, cores(), run_task, run_at_once, accept
    )
    try:
        return plain(evaluator.prepare(context))
    except WrongType as error:
        raise PluginError(f"what {type(evaluator).__name__}.prepare returns: {error}") from None


def require_recorded_recipe(definition: StudyDefinition, attributes: Mapping[str, Any]) -> None:
    """Refuse to add to a study of another recipe, before its settings are read by this version's.

    Args:
        definition: as recorded.
        attributes: of the study.

    Raises:
        StudyMismatch: the evaluator has another recipe now.
    """
    recipe = evaluator_class(definition.evaluator, definition.folder).recipe
    require_recipe(attributes["fingerprint"], recipe, definition.name)


def recorded_study(url: str, name: str, folder: Path) -> dict[str, Any]:
    """The study's attributes, if it exists; a study that was cut off while made counts as new."""
    if url.startswith("sqlite") and not (folder / "study.db").exists():
        return {}
    try:
        reader = LogReader(url, name)
    except StudyMissing:
        return {}
    try:
        attributes = reader.attributes()
    finally:
        reader.close()
    return attributes if "fingerprint" in attributes else {}


def require_writable(url: str, name: str, folder: Path) -> None:
    """Refuse a log that is damaged or not hqsearch's, before anything is made or written.

    Raises:
        StudyDamaged: saying what is wrong with it.
    """
    if url.startswith("sqlite") and not (folder / "study.db").exists():
        return
    try:
        require_sound(url, name)
    except StudyMissing:
        require_own_file(url, name)


def _facts(
    definition: StudyDefinition, evaluator: Evaluator, objectives: tuple[Objective, ...]
) -> dict[str, Any]:
    margin, parent = definition.verdict.margin, evaluator.parent_quality()
    return {
        "name": definition.name,
        "token": uuid.uuid4().hex,
        "title": definition.title,
        "objectives": [asdict(o) for o in objectives],
        "margin": MARGIN if margin is None else margin,
        "rules": RULES,
        **({"parent": parent.to_json()} if parent is not None else {}),
        "dimensions": list(evaluator.space.names),
        "notes": evaluator.notes(),
        "created": datetime.now().isoformat(timespec="seconds"),
        "platform": platform.platform(),
    }


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
