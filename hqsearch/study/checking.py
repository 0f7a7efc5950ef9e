"""``hqsearch check``: what a run would find before it starts, all of it at once.

Nothing is created and nothing is trained: the definition is read, the evaluator looks at data,
network, space, hardware and device, and the study's log, if there is one, is compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hqsearch.analysis.energy_meaning import EnergyMeaning, energy_meaning
from hqsearch.definition import StudyDefinition, collecting, validate
from hqsearch.errors import HqsearchError
from hqsearch.evaluator import Evaluator
from hqsearch.search.early_stopping.halving import rungs_of
from hqsearch.store.database import check_database
from hqsearch.store.log import storage_url
from hqsearch.strategies import strategy_class
from hqsearch.study.asked import asked_definition
from hqsearch.study.fingerprint import fingerprint_of, require_same
from hqsearch.study.limits import check_limits
from hqsearch.study.objectives import objectives_of
from hqsearch.study.opening import (
    Request,
    executor_kind,
    make_evaluator_for,
    recorded_study,
    require_writable,
    study_folder,
    worker_count,
)


@dataclass(frozen=True)
class LayerCheck:
    """A weight layer: its number of weights, the choices it may take, and its dimension.

    A pinned layer has one choice and no dimension; tied ones share a dimension.
    """

    path: str
    weights: int
    choices: tuple[str, ...]
    dimension: str | None


@dataclass
class Findings:
    """What a dry run found; what could not be found out is empty.

    Attributes:
        candidates: how many assignments the space holds.
        structure: dimensions that are no layers, with their values.
        data: the ``[data]`` that results depend on, and the timesteps.
        evaluations: of a run, unless it says otherwise.
        device: ``"cpu"`` or ``"cuda"``.
        workers: evaluations at a time; None: as many as fit on the cluster.
        recorded: whether the study has a log already, which a run would add to.
        energy: what the energies of the study mean, under its profile and the others.
        facts: what the evaluator found in a dry run: network, neurons, operations, costs, ….
        notes: what a run would say first, and what is worth knowing.
        problems: why a run would be refused; every one that could be found.
    """

    study: str
    title: str = ""
    evaluator: str = ""
    layers: list[LayerCheck] = field(default_factory=list)
    structure: dict[str, list[str]] = field(default_factory=dict)
    candidates: int | None = None
    data: dict[str, Any] = field(default_factory=dict)
    objectives: list[str] = field(default_factory=list)
    constraints: dict[str, str] = field(default_factory=dict)
    evaluations: int | None = None
    seed: int | None = None
    device: str = ""
    executor: str = ""
    workers: int | None = None
    recorded: bool = False
    energy: EnergyMeaning | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """What goes wrong inside is a problem, and the next thing is looked at."""
        try:
            yield
        except HqsearchError as error:
            if str(error) not in self.problems:
                self.problems.append(str(error))

    def as_json(self) -> dict[str, Any]:
        told = asdict(replace(self, energy=None))
        for layer in told["layers"]:
            layer["choices"] = list(layer["choices"])
        del told["energy"]
        return {**told, **(_energy_json(self.energy) if self.energy else {})}


def check_study(request: Request) -> Findings:
    """Look at everything that a run of ``request`` would look at; its strategy means nothing."""
    findings = Findings(request.study)
    with collecting(findings.problems):
        _check(findings, request)
    return findings


def _check(findings: Findings, request: Request) -> None:
    definition = None
    with findings.looking():
        asked = asked_definition(request)
        definition = asked.definition
        findings.notes += [f"note: {note}" for note in asked.notes]
    if definition is None:
        return
    findings.study, findings.title = definition.name, definition.title
    findings.evaluator = definition.evaluator
    findings.evaluations, findings.seed = definition.evaluations, definition.seed
    findings.constraints = dict(definition.constraints)
    findings.data = _data_of(definition)
    for name, table in definition.strategy.items():
        with findings.looking():
            place = f"study {definition.name!r} [strategy.{name}]"
            validate(strategy_class(name).Options, table, place)
    evaluator = None
    with findings.looking():
        folder = study_folder(definition.name, request.studies_dir)
        evaluator = make_evaluator_for(definition, folder, request)
    if evaluator is not None:
        _check_evaluator(findings, definition, request, evaluator)


def _data_of(definition: StudyDefinition) -> dict[str, Any]:
    if definition.data is None:
        return {}
    told = definition.data.model_dump(mode="json", exclude_none=True, exclude={"download"})
    timesteps = definition.model.timesteps if definition.model is not None else None
    return {**told, "timesteps": timesteps}


def _check_evaluator(
    findings: Findings, definition: StudyDefinition, request: Request, evaluator: Evaluator
) -> None:
    findings.device = evaluator.setup.device
    for look in (_check_layers, _check_objectives, _check_place):
        with findings.looking():
            look(findings, definition, request, evaluator)
    with findings.looking():
        findings.notes += evaluator.assumptions()
    with findings.looking():
        findings.notes += evaluator.notes()
        evaluator.check()
    with findings.looking():
        inspected = evaluator.inspect(deep=True)
        findings.facts = inspected.facts
        findings.notes += inspected.notes
        findings.problems += [p for p in inspected.problems if p not in findings.problems]
    with findings.looking():
        _check_limits(findings, definition, request)
    with findings.looking():
        _check_energy(findings, evaluator)
    with findings.looking():
        rungs_of(definition.search, evaluator.full_budget, definition.evaluator)
    with findings.looking():
        _check_recorded(findings, definition, request, evaluator)


def _check_layers(
    findings: Findings, definition: StudyDefinition, request: Request, evaluator: Evaluator
) -> None:
    layers, space = evaluator.layers(), evaluator.space
    allowed: dict[str, tuple[str | None, tuple[str, ...]]] = {
        path: (None, (choice,)) for path, choice in space.pinned
    }
    for dimension in space.dimensions:
        if dimension.kind == "structure":
            findings.structure[dimension.name] = list(dimension.values)
        allowed.update(dict.fromkeys(dimension.layers, (dimension.name, dimension.values)))
    for layer in layers:
        name, choices = allowed[layer.path]
        findings.layers.append(LayerCheck(layer.path, layer.weights, choices, name))
    findings.candidates = space.size


def _check_objectives(
    findings: Findings, definition: StudyDefinition, request: Request, evaluator: Evaluator
) -> None:
    findings.objectives = [o.name for o in objectives_of(definition, evaluator)]


def _check_limits(findings: Findings, definition: StudyDefinition, request: Request) -> None:
    def evaluator() -> Evaluator:
        folder = study_folder(definition.name, request.studies_dir)
        return make_evaluator_for(definition, folder, request)

    told = check_limits(definition, evaluator(), evaluator)
    findings.notes += [f"note: {note}" for note in told]


def _check_energy(findings: Findings, evaluator: Evaluator) -> None:
    findings.energy = energy_meaning(evaluator)
    note = findings.energy.note() if findings.energy else None
    if note and {"energy", "storage"} <= set(findings.objectives):
        findings.notes.append(f"note: {note}")


def _energy_json(energy: EnergyMeaning) -> dict[str, Any]:
    """What is asked of the study's own profile, then the same of every one."""
    own = energy.own
    return {
        "energy_storage_correlation": own.storage.as_json(),
        "energy_bits_correlation": own.bits.as_json(),
        "energy_rates": energy.rates,
        "energy_by_profile": [p.as_json() for p in energy.profiles],
    }


def _check_place(
    findings: Findings, definition: StudyDefinition, request: Request, evaluator: Evaluator
) -> None:
    findings.workers = worker_count(request, evaluator)
    findings.executor = executor_kind(request, evaluator, findings.workers)


def _check_recorded(
    findings: Findings, definition: StudyDefinition, request: Request, evaluator: Evaluator
) -> None:
    folder = evaluator.setup.folder
    url = storage_url(request.storage, folder)
    check_database(url)
    require_writable(url, definition.name, folder)
    recorded = recorded_study(url, definition.name, folder)
    findings.recorded = bool(recorded)
    if recorded:
        asked = fingerprint_of(evaluator, definition)
        require_same(recorded["fingerprint"], asked, definition.name)
