"""Definitions in files: found by name, read, overridden by ``--set key.path=value``, checked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from hqsearch.definition.space import SpaceDefinition
from hqsearch.definition.study import StudyDefinition
from hqsearch.definition.tables import NO_KEYS, validate
from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.schemes.registry import load_scheme


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; a mistake in it is told with file and line."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise DefinitionError(f"{path}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{path}: not valid TOML: {error}") from None
    except OSError as error:
        raise DefinitionError(f"{path}: cannot be read: {error.strerror}") from None


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
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def _set(tables: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    table = tables
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise DefinitionError(f"--set {key}: {parent!r} is not a table")
    table[last] = value
