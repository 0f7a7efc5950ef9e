"""Definitions in files: found by name, read, overridden by ``--set key.path=value``, checked."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from hqsearch.definition.space import SpaceDefinition
from hqsearch.definition.study import StudyDefinition
from hqsearch.definition.tables import NO_KEYS, validate
from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.schemes.registry import load_scheme
from hqsearch.toml import check_values, parse_value, read_toml


def embedded(kind: Literal["studies", "spaces"]) -> dict[str, Path]:
    """The definitions that come with hqsearch, by name."""
    folder = Path(str(resources.files(f"hqsearch.{kind}")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_definition(study: str, studies_dir: Path) -> Path:
    """The TOML file of a study given as a name or as a file.

    A name is looked for in ``studies_dir`` first, then among the embedded ones.
    """
    if study.endswith(".toml") or "/" in study:
        return Path(study).expanduser().resolve()
    known = embedded("studies")
    known.update({path.stem: path.resolve() for path in sorted(studies_dir.glob("*.toml"))})
    if study not in known:
        raise UnknownName("study", study, known)
    return known[study]


def load_study(path: Path, overrides: Mapping[str, Any] | None = None) -> StudyDefinition:
    """Read a study's definition and apply ``overrides`` (``key.path`` → value)."""
    tables = read_toml(path)
    for key, value in (overrides or {}).items():
        _set(tables, key, value)
    check_values(tables, str(path))
    for reserved in sorted(NO_KEYS):
        if reserved in tables:
            known = [k for k in StudyDefinition.model_fields if k not in NO_KEYS]
            raise UnknownName("key", reserved, known, str(path))
    where = f"{path} with {', '.join(overrides)} given" if overrides else str(path)
    return validate(StudyDefinition, {**tables, "name": path.stem, "folder": path.parent}, where)


def load_space(reference: str, study: StudyDefinition) -> SpaceDefinition:
    """The space that a study names: an embedded one, or a TOML file.

    Schemes that the space brings along are known to this process from then on.
    """
    known = embedded("spaces")
    if reference.endswith(".toml"):
        path = study.located(reference)
    elif reference in known:
        path = known[reference]
    else:
        raise UnknownName("space", reference, known, f"study {study.name!r}")
    space = validate(SpaceDefinition, read_toml(path), str(path))
    for scheme in study.scheme_files or space.schemes:
        load_scheme(scheme, study.folder)
    return space


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
            raise DefinitionError(f"--set {key}: {parent!r} is not a table")
    table[last] = value
