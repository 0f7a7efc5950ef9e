"""The definition that a request is about: of a file, of Python, or of the study's log.

The log is what a study is. A study that comes along with hqsearch may come along changed in a later
version; its log goes on with the definition that it holds. A definition that names no hardware
profile keeps the one that was the default when its log began.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqsearch.definition import (
    EvaluationOptions,
    StudyDefinition,
    changed_study,
    find_definition,
    load_study,
    located_definition,
    moved,
    study_name,
)
from hqsearch.definition.differences import flatten
from hqsearch.definition.files import embedded
from hqsearch.definition.recorded import fixed_part
from hqsearch.errors import UnknownName
from hqsearch.store.log import storage_url
from hqsearch.study.opening import Request, recorded_study, study_folder
from hqsearch.wording import option

#: Of what is fixed, what may differ all the same.
_FREE = {f"evaluation.{key}" for key in EvaluationOptions.FREE} | {"data.path", "data.download"}


@dataclass(frozen=True)
class Asked:
    """A definition, and what must be said about where it comes from."""

    definition: StudyDefinition
    notes: tuple[str, ...] = ()


def definition_of(request: Request) -> StudyDefinition:
    """The definition that a request is about; see :func:`asked_definition`."""
    return asked_definition(request).definition


def asked_definition(request: Request) -> Asked:
    """The definition that a request is about, with what it overrides.

    A study that no file defines, and that the request does not bring, is what its log says. So is
    one that came along with hqsearch and has changed since its log began.
    """
    overrides = dict(request.overrides)
    if request.data is not None:
        overrides["data.path"] = str(request.data.expanduser().resolve())
    if request.seed is not None:
        overrides["seed"] = request.seed
    if request.evaluations is not None:
        overrides["evaluations"] = request.evaluations
    if request.definition is not None:
        own = _with_profile_of_its_time(request.definition, request)
        return Asked(changed_study(own, overrides))
    try:
        path = find_definition(request.study, request.studies_dir)
    except UnknownName:
        folder = study_folder(request.study, request.studies_dir)
        attributes = recorded_study(storage_url(request.storage, folder), request.study, folder)
        if not attributes:
            raise
        return Asked(changed_study(recorded_definition(attributes, request), overrides))
    definition = load_study(path, overrides)
    if path not in embedded("studies").values():
        return Asked(_with_profile_of_its_time(definition, request))
    attributes = _attributes(request)
    if not attributes:
        return Asked(definition)
    recorded = recorded_definition(attributes, request)
    shipped = attributes.get("shipped")
    then = shipped if isinstance(shipped, Mapping) and shipped else fixed_part(recorded)
    told = _changed(then, fixed_part(load_study(path)))
    if not told:
        return Asked(definition)
    note = (
        f"study {definition.name!r} goes on with the definition in its log; the one that comes "
        f"along with hqsearch has changed since ({', '.join(told)}): {option('fresh', True)} or "
        f"another {option('studies_dir')} starts with that"
    )
    return Asked(changed_study(recorded, overrides), (note,))


def recorded_definition(attributes: Mapping[str, Any], request: Request) -> StudyDefinition:
    """What a study's log says it is, with the free settings that were given last.

    Its files are looked for where they are now (:mod:`hqsearch.definition.recorded`).
    """
    recorded = located_definition(attributes, request.study, request.studies_dir)
    free = dict(attributes.get("free", {}))
    if free.get("data_path") is not None:
        before = Path(attributes["definition"].get("folder", ""))
        free["data_path"] = str(moved(Path(free["data_path"]), before, recorded.folder))
    return _with_free(recorded, free)


def _with_free(definition: StudyDefinition, free: Mapping[str, Any]) -> StudyDefinition:
    """A recorded definition with the free settings that were given last."""
    if not free:
        return definition
    update: dict[str, Any] = {"evaluation": {**definition.evaluation, **free["evaluation"]}}
    if definition.data is not None and free["data_path"] is not None:
        update["data"] = definition.data.model_copy(update={"path": Path(free["data_path"])})
    return definition.model_copy(update=update)


def _changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Keys that differ."""
    old, new = flatten(then), flatten(now)
    keys = sorted((old.keys() | new.keys()) - _FREE)
    return [key for key in keys if old.get(key) != new.get(key)]


def _attributes(request: Request) -> dict[str, Any]:
    """Of the study's log; nothing where there is none that can be read, or it is moved aside."""
    if request.fresh:
        return {}
    name = study_name(request.study)
    folder = study_folder(name, request.studies_dir)
    try:
        return recorded_study(storage_url(request.storage, folder), name, folder)
    except Exception:  # whatever is wrong with a log is told when it is opened
        return {}


def _with_profile_of_its_time(definition: StudyDefinition, request: Request) -> StudyDefinition:
    """A definition that names no profile, with the one that its log has."""
    named = "hardware" in definition.model_fields_set and definition.hardware.model_fields_set
    if named or "hardware.profile" in request.overrides:
        return definition
    recorded = _attributes(request).get("definition", {}).get("hardware")
    if not recorded:
        return definition
    hardware = definition.hardware.model_copy(update={"profile": recorded["profile"]})
    return definition.model_copy(update={"hardware": hardware})
