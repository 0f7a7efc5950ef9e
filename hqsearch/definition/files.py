"""Definitions in files: found by name, read, overridden by ``--set key.path=value``, checked."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from hqsearch.definition.names import checked_name, study_name
from hqsearch.definition.space import SpaceDefinition
from hqsearch.definition.study import StudyDefinition
from hqsearch.definition.tables import NO_KEYS, validate
from hqsearch.errors import DefinitionError, InputError, UnknownName
from hqsearch.schemes.registry import load_scheme
from hqsearch.toml import check_values, parse_value, read_toml
from hqsearch.wording import setting


def embedded(kind: Literal["studies", "spaces"]) -> dict[str, Path]:
    """The definitions that come with hqsearch, by name."""
    folder = Path(str(resources.files(f"hqsearch.{kind}")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_definition(study: str, studies_dir: Path) -> Path:
    """The TOML file of a study given as a name or as a file.

    A name is looked for in ``studies_dir`` first, then among the embedded ones.
    """
    if study.endswith(".toml") or "/" in study:
        study_name(study)  # before it is looked for
        return Path(study).expanduser().resolve()
    known = embedded("studies")
    known.update({path.stem: path.resolve() for path in sorted(studies_dir.glob("*.toml"))})
    if checked_name(study) not in known:
        raise UnknownName("study", study, known)
    return known[study]


def load_study(path: Path, overrides: Mapping[str, Any] | None = None) -> StudyDefinition:
    """Read a study's definition and apply ``overrides`` (``key.path`` → value)."""
    return study_of_tables(read_toml(path), path.stem, path.parent, overrides, str(path))


def study_of_tables(
    tables: dict[str, Any],
    name: str,
    folder: Path,
    overrides: Mapping[str, Any] | None = None,
    where: str = "",
) -> StudyDefinition:
    """A study from the tables of its TOML, which ``overrides`` (``key.path`` → value) change.

    Args:
        tables: as a TOML file has them.
        name: of the study.
        folder: where relative paths in it start.
        overrides: of single keys.
        where: what errors name; the study by default.

    Raises:
        UnknownName: a key that does not exist.
        DefinitionError: a value that cannot be.
    """
    where = where or f"study {name!r}"
    for key, value in (overrides or {}).items():
        _set(tables, key, value)
    check_values(tables, where)
    for reserved in sorted(NO_KEYS):
        if reserved in tables:
            known = [k for k in StudyDefinition.model_fields if k not in NO_KEYS]
            raise UnknownName("key", reserved, known, where)
    place = f"{where} with {', '.join(overrides)} given" if overrides else where
    return validate(StudyDefinition, {**tables, "name": name, "folder": folder}, place)


def changed_study(study: StudyDefinition, overrides: Mapping[str, Any]) -> StudyDefinition:
    """A study with single keys changed (``key.path`` → value); see :func:`study_of_tables`."""
    if not overrides:
        return study
    scheme_files = {"scheme_files": study.scheme_files}
    tables = study.model_dump(exclude=set(NO_KEYS))
    changed = study_of_tables(tables, study.name, study.folder, overrides)
    return changed.model_copy(update=scheme_files)


def load_space(reference: str | SpaceDefinition, study: StudyDefinition) -> SpaceDefinition:
    """The space of a study: an embedded one, a TOML file, or the one that it holds.

    Schemes that the space brings along are known to this process from then on.
    """
    space = reference if isinstance(reference, SpaceDefinition) else _read_space(reference, study)
    for scheme in study.scheme_files or space.schemes:
        load_scheme(scheme, study.folder)
    return space


def _read_space(reference: str, study: StudyDefinition) -> SpaceDefinition:
    known = embedded("spaces")
    if reference.endswith(".toml"):
        path = study.located(reference)
    elif reference in known:
        path = known[reference]
    else:
        raise UnknownName("space", reference, known, f"study {study.name!r}")
    return validate(SpaceDefinition, read_toml(path), str(path))


def space_tables(study: StudyDefinition) -> dict[str, Any]:
    """The space of a study in full, as JSON values; its name alone where it cannot be read."""
    space = study.space
    if isinstance(space, str):
        try:
            space = _read_space(space, study)
        except InputError:
            return {"name": space}
    return space.model_dump(mode="json")


def parse_override(text: str) -> tuple[str, Any]:
    """``key.path=value`` as key and value; the value is TOML, or a bare string."""
    key, separator, value = text.partition("=")
    if not separator or not all(key.strip().split(".")):
        raise DefinitionError(f"--set {text}: expected key.path=value")
    where = f"--set {text}" if len(text) < 200 else f"--set {text[:50]}…"
    return key.strip(), parse_value(value, where)


def _set(tables: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    table = tables
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise DefinitionError(f"{setting(key, value)}: {parent!r} is not a table")
    table[last] = value
