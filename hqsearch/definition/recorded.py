"""A study's definition as its log holds it, with its files found where they are now.

Relative paths of a definition start at the folder of its TOML file, which the log remembers as
it was. A project may have moved since. So the folder is, of those below, the first in which all
files that the definition names are, with the contents that the study was made with; where no
contents agree, the first in which they all are, and the fingerprint says what has changed:

1. that of the TOML file that is named now (``--study own.toml``),
2. the one that the log remembers,
3. the studies folder, and the one that it lies in,
4. the folder that is asked from.

Absolute paths to recordings in the folder that the log remembers move with it. A space that came
along with hqsearch under a name is the one of then, whatever comes along under it now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hqsearch.definition.differences import flatten
from hqsearch.definition.files import embedded, space_tables
from hqsearch.definition.space import SpaceDefinition
from hqsearch.definition.study import StudyDefinition
from hqsearch.definition.tables import validate
from hqsearch.plugins import file_identity

#: Spaces that logs name and do not hold (until 0.2) → where they are now.
_RENAMED = {"spikformer": "spikehq"}
#: What tells one study from another; the rest may differ from run to run.
_FIXED = {"evaluator", "max_structures", "data", "model", "evaluation", "hardware", "objective"}


def fixed_part(definition: StudyDefinition) -> dict[str, Any]:
    """What may not differ between the runs of one study, as JSON values, its space in full."""
    tables = definition.model_dump(mode="json", include=_FIXED, exclude_none=True)
    return {**tables, "space": space_tables(definition)}


def located_definition(
    attributes: Mapping[str, Any], study: str, studies_dir: Path
) -> StudyDefinition:
    """The definition in a study's attributes.

    Args:
        attributes: of the study, as logged.
        study: its name or TOML file, as it is asked for now.
        studies_dir: where its state lies now.

    Raises:
        DefinitionError: it is not one that this version reads.
    """
    tables = attributes["definition"]
    definition = validate(StudyDefinition, tables, "the study's recorded definition")
    definition = _with_space_of_its_time(definition, attributes.get("space"))
    recorded = definition.folder
    folder = _folder(definition, attributes.get("fingerprint", {}), study, studies_dir)
    if folder == recorded:
        return definition
    update: dict[str, Any] = {"folder": folder}
    if definition.data is not None and definition.data.path is not None:
        path = moved(definition.data.path, recorded, folder)
        update["data"] = definition.data.model_copy(update={"path": path})
    return definition.model_copy(update=update)


def _with_space_of_its_time(
    definition: StudyDefinition, recorded: Mapping[str, Any] | None
) -> StudyDefinition:
    name = definition.space
    if not isinstance(name, str) or name not in embedded("spaces"):
        return definition
    if recorded is None:
        return definition.model_copy(update={"space": _RENAMED.get(name, name)})
    if recorded == space_tables(definition):
        return definition
    where = "the study's recorded space"
    return definition.model_copy(update={"space": validate(SpaceDefinition, recorded, where)})


def moved(path: Path, recorded: Path, folder: Path) -> Path:
    """An absolute path below the recorded folder, below the folder as it is now; else as it is.

    >>> moved(Path("/old/rec"), Path("/old"), Path("/new")).as_posix()
    '/new/rec'
    """
    if path.is_absolute() and path.is_relative_to(recorded) and not path.exists():
        return folder / path.relative_to(recorded)
    return path


def _folder(
    definition: StudyDefinition, fingerprint: Mapping[str, Any], study: str, studies_dir: Path
) -> Path:
    named = set(_files(definition))
    schemes = fingerprint.get("schemes", ())
    # file.py:Class sha256 digest
    contents = {v for v in [*flatten(fingerprint).values(), *schemes] if _is_content(v)}
    places: list[Path] = []
    if study.endswith(".toml") and Path(study).expanduser().is_file():
        places.append(Path(study).expanduser().resolve().parent)
    state = studies_dir.resolve()
    places += [definition.folder, state, state.parent, Path.cwd()]
    whole = [p for p in places if all((p / file.partition(":")[0]).is_file() for file in named)]
    plugins = [file for file in named if ".py:" in file]
    for place in whole:
        if contents.issuperset(file_identity(file, place) for file in plugins):
            return place
    return whole[0] if whole else definition.folder


def _is_content(value: Any) -> bool:
    return isinstance(value, str) and " sha256 " in value


def _files(definition: StudyDefinition) -> Iterator[str]:
    """What the definition names in relative paths: ``file.py:Class`` or a TOML file."""
    named = [definition.evaluator, definition.hardware.profile, definition.space]
    if definition.model is not None:
        named.append(definition.model.path or "")
    for reference in named:
        if not isinstance(reference, str):
            continue  # a space that is written out in the definition
        path = Path(reference.partition(":")[0]).expanduser()
        if path.suffix in (".py", ".toml") and not path.is_absolute():
            yield reference
