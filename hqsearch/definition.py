"""Study and space definitions: validated TOML.

A definition is read, its ``--set key.path=value`` overrides are applied, and every key is
checked; an unknown one is refused with the closest known key. What an evaluator, a
strategy or a network declares itself (their option models) is checked by them, through
:func:`validate`.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from hqsearch.errors import DefinitionError, UnknownName

M = TypeVar("M", bound=BaseModel)
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Strict(BaseModel):
    """A table of a definition: unknown keys refused, immutable once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataDefinition(Strict):
    """``[data]``: which recordings, how they become frames, how they are split."""

    dataset: str
    path: Path | None = None
    sensor: tuple[int, int] | None = None
    size: Annotated[int, Field(ge=8, le=1024)] = 32
    encoding: Literal["log2", "count", "log1p"] = "log2"
    train: Annotated[int, Field(ge=1)] | None = None
    validation: Annotated[int, Field(ge=1)] | None = None
    test: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    download: bool = False


class ModelDefinition(Strict):
    """``[model]``: a built-in network by ``name``, or a user's own by ``path``.

    Every other key is an option of the network and is checked by it.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str | None = None
    path: str | None = None
    timesteps: Annotated[int, Field(ge=1, le=1024)] = 8

    @model_validator(mode="after")
    def _one_source(self) -> ModelDefinition:
        if (self.name is None) == (self.path is None):
            raise ValueError("give either name (a built-in network) or path ('file.py:function')")
        return self

    @property
    def options(self) -> dict[str, Any]:
        """The network's own options; checked by the network."""
        return dict(self.model_extra or {})


class EvaluationOptions(Strict):
    """``[evaluation]``: what every evaluator understands; an evaluator's ``Options`` extend it."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of every evaluation: common random numbers make differences between candidates paired."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    gpus: Annotated[float, Field(ge=0.0)] = 0.0
    memory_gib: Annotated[float, Field(gt=0.0)] | None = None
    time_limit: Annotated[float, Field(gt=0.0)] | None = None
    retries: Annotated[int, Field(ge=0, le=20)] = 2

    #: Keys that may change between runs of one study: they do not change a result.
    FREE: ClassVar[frozenset[str]] = frozenset({"gpus", "memory_gib", "time_limit", "retries"})


class HardwareDefinition(Strict):
    """``[hardware]``: the cost profile, by name or path to a TOML file."""

    profile: str = "horowitz-45nm-memory"


class SearchOptions(Strict):
    """``[search]``: how far a run follows its candidates; see :mod:`hqsearch.halving`.

    It belongs to a run, like a strategy's options, and not to what makes a study the same.
    """

    early_stopping: Literal["none", "halving"] = "none"
    """Successive halving: candidates that look worse part-way are not trained to the end."""
    rungs: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] | None = None
    """Epochs at which candidates are compared; a geometric series by default."""
    keep: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    """Part of a cohort that goes on from each rung."""
    cohort: Annotated[int, Field(ge=2, le=10_000)] | None = None
    """How many candidates are compared with each other at most; the strategy's own number by
    default, for ``nsga2`` its generation."""

    @field_validator("early_stopping", mode="before")
    @classmethod
    def _yes_or_no(cls, value: Any) -> Any:
        return {True: "halving", False: "none"}[value] if isinstance(value, bool) else value

    @field_validator("rungs")
    @classmethod
    def _rise(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and any(b <= a for a, b in itertools.pairwise(value)):
            raise ValueError(f"rungs must rise, as in [1, 2, 4]; these do not: {list(value)}")
        return value

    @model_validator(mode="after")
    def _nothing_ignored(self) -> SearchOptions:
        if self.early_stopping == "none":
            for name in ("rungs", "keep", "cohort"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} has no effect without early_stopping = 'halving'")
        return self


class ObjectiveDefinition(Strict):
    name: str


class StudyDefinition(Strict):
    """A whole study; see the README for an annotated example."""

    name: str
    title: str = ""
    space: str
    evaluator: str
    evaluations: Annotated[int, Field(ge=1)] = 48
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    data: DataDefinition | None = None
    model: ModelDefinition | None = None
    evaluation: dict[str, Any] = Field(default_factory=dict)
    hardware: HardwareDefinition = HardwareDefinition()
    objective: tuple[ObjectiveDefinition, ...] = ()
    constraints: dict[str, str] = Field(default_factory=dict)
    search: SearchOptions = SearchOptions()
    strategy: dict[str, dict[str, Any]] = Field(default_factory=dict)
    folder: Path = Path()
    """Where relative paths in the definition start; not a key of the TOML."""

    @model_validator(mode="after")
    def _objectives_differ(self) -> StudyDefinition:
        names = [o.name for o in self.objective]
        if len(set(names)) < len(names):
            raise ValueError("objective: the same name twice")
        if len(names) < 2:
            raise ValueError("objective: a study needs at least two [[objective]] tables")
        return self

    def located(self, reference: str) -> Path:
        """A path of the definition as an absolute one."""
        path = Path(reference).expanduser()
        return path if path.is_absolute() else (self.folder / path).resolve()


class LayerRule(Strict):
    """``[[layers]]`` of a space: what differs for the layers that ``match`` (a glob)."""

    match: str
    choices: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    pin: str | None = None
    tie: bool | None = None

    @model_validator(mode="after")
    def _pin_or_choices(self) -> LayerRule:
        if self.pin is not None and self.choices is not None:
            raise ValueError("give either pin or choices, not both")
        return self


class StructureRule(Strict):
    """``[[structure]]`` of a space: a setting of the network that is searched as well."""

    name: str
    values: Annotated[tuple[str | int | float, ...], Field(min_length=1)]


class SpaceDefinition(Strict):
    """A search space; see :mod:`hqsearch.space` for how it is applied to a network."""

    choices: Annotated[tuple[str, ...], Field(min_length=1)]
    layers: tuple[LayerRule, ...] = ()
    structure: tuple[StructureRule, ...] = ()


def validate(model: type[M], values: Mapping[str, Any], where: str) -> M:
    """``values`` as a ``model``; errors name the place, the value and the closest key.

    Raises:
        UnknownName: a key that the model does not have.
        DefinitionError: a value of the wrong type or out of range.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        place = [str(part) for part in problem["loc"]]
        if problem["type"] == "extra_forbidden":
            table = _nested(model, place[:-1])
            known = [k for k in table.model_fields if k not in ("name", "folder")]
            inside = ".".join(place[:-1])
            section = f"{where} [{inside}]" if inside else where
            raise UnknownName("key", place[-1], known, section) from None
        message = problem["msg"].removeprefix("Value error, ")
        given = problem.get("input")
        shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) else ""
        key = ".".join(place)
        spot = f"{where}: {key}" if key else where
        raise DefinitionError(f"{spot}: {message}{shown}") from None


def _nested(model: type[BaseModel], place: list[str]) -> type[BaseModel]:
    for part in place:
        if part.isdigit() or part not in model.model_fields:
            continue
        found = _models_in(model.model_fields[part].annotation)
        if not found:
            break
        model = found[0]
    return model


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in getattr(annotation, "__args__", ()) for m in _models_in(part)]


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
    for reserved in ("name", "folder"):
        if reserved in tables:
            known = [k for k in StudyDefinition.model_fields if k not in ("name", "folder")]
            raise UnknownName("key", reserved, known, str(path))
    where = f"{path} with {', '.join(overrides)} given" if overrides else str(path)
    return validate(StudyDefinition, {**tables, "name": path.stem, "folder": path.parent}, where)


def load_space(reference: str, study: StudyDefinition) -> SpaceDefinition:
    """The space that a study names: an embedded one, or a TOML file."""
    known = embedded("spaces")
    if reference.endswith(".toml"):
        path = study.located(reference)
    elif reference in known:
        path = known[reference]
    else:
        raise UnknownName("space", reference, known, f"study {study.name!r}")
    return validate(SpaceDefinition, read_toml(path), str(path))


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
