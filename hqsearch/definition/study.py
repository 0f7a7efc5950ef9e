"""A study as its TOML says it.

What an evaluator, a strategy or a network declares itself (their option models) is checked by
them, through :func:`hqsearch.definition.tables.validate`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from hqsearch.definition.data import DataDefinition
from hqsearch.definition.names import checked_name
from hqsearch.definition.search import SearchOptions
from hqsearch.definition.space import SpaceDefinition
from hqsearch.definition.tables import Strict, validate
from hqsearch.errors import DefinitionError


class NeuronDefinition(Strict):
    """A neuron class of the user's own, and what cannot be read from its attributes."""

    cls: Annotated[str, Field(alias="class", min_length=1)]
    """``file.Class``, ``package.Class`` or ``Class``."""
    tau: Annotated[float, Field(gt=0.0)] | None = None
    """Membrane time constant in timesteps."""
    threshold: float | None = None
    reset: Literal["zero", "value", "subtract", "none"] | None = None
    output: Literal["binary", "integer", "real"] | None = None

    model_config = ConfigDict(populate_by_name=True, extra="forbid", frozen=True)


class ModelDefinition(Strict):
    """``[model]``: a built-in network by ``name``, or a user's own by ``path``.

    Every other key is an option of the network and is checked by it. A network that was given
    as a Python object, and is in no file, is ``object``: what tells it from another one.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str | None = None
    path: str | None = None
    object: dict[str, Any] | None = None
    timesteps: Annotated[int, Field(ge=1, le=1024)] = 8
    # Left out where they say nothing, so that fingerprints of earlier studies stay as they are.
    neurons: Annotated[tuple[NeuronDefinition, ...], Field(exclude_if=lambda value: not value)] = ()
    """Neuron classes of the user's own."""
    unknown: Annotated[
        Literal["refuse", "real"], Field(exclude_if=lambda value: value == "refuse")
    ] = "refuse"
    """What becomes of operations that the cost model does not know; ``real``: each output is
    one real-valued multiply-accumulate."""
    readout: Annotated[
        Literal["mean", "sum", "last"] | None, Field(exclude_if=lambda value: value is None)
    ] = None
    """How logits come of a network that returns one for every timestep, ``[T, N, classes]``, alone
    or as the first of several tensors."""
    weights: Annotated[str | None, Field(exclude_if=lambda value: value is None)] = None
    """File of trained weights that the network starts from."""
    rename: Annotated[
        str | tuple[tuple[str, str], ...], Field(exclude_if=lambda value: not value)
    ] = ()
    """Of the names in that file: pairs of regex and replacement, or a mapping by name."""

    @field_validator("neurons", mode="before")
    @classmethod
    def _all_alike(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return [{"class": entry} if isinstance(entry, str) else entry for entry in value]

    @field_validator("rename", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        for pair in value if isinstance(value, list | tuple) else ():
            texts = isinstance(pair, list | tuple) and all(isinstance(t, str) for t in pair)
            if not texts or len(pair) != 2:
                raise ValueError("each is a pair of texts, [regex, replacement]")
        return value

    @model_validator(mode="after")
    def _names_of_weights(self) -> ModelDefinition:
        if self.rename and self.weights is None:
            raise ValueError("rename changes names in a file of weights: give weights")
        return self

    @model_validator(mode="after")
    def _one_source(self) -> ModelDefinition:
        if sum(source is not None for source in (self.name, self.path, self.object)) != 1:
            raise ValueError(
                "give either name (a built-in network) or path ('file.py:function' or "
                "'package.module:function')"
            )
        if self.object and not isinstance(self.object.get("name"), str):
            raise ValueError(
                "object is set by hqsearch.Study(…, model=…) alone; a definition file gives name "
                "(a built-in network) or path ('file.py:function')"
            )
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

    profile: str = "resident-45nm"


class ObjectiveDefinition(Strict):
    name: str


class VerdictDefinition(Strict):
    """``[verdict]``: what a verdict calls as accurate; fixed when a study is made."""

    margin: Annotated[float, Field(ge=0.0, le=100.0)] | None = None
    """Percentage points of accuracy; :data:`MARGIN` by default."""


#: Percentage points of accuracy within which a verdict calls two candidates as accurate.
MARGIN = 1.0


class StudyDefinition(Strict):
    """A whole study; see the README for an annotated example."""

    name: str
    title: str = ""
    space: str | SpaceDefinition
    """Name of a space, its TOML file, or the space itself."""
    evaluator: str
    evaluations: Annotated[int, Field(ge=1)] = 48
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    max_structures: Annotated[int, Field(ge=1)] = 8
    """Structural parts that a space may have: each needs a parent and cost tables of its own."""
    data: DataDefinition | None = None
    model: ModelDefinition | None = None
    evaluation: dict[str, Any] = Field(default_factory=dict)
    hardware: HardwareDefinition = HardwareDefinition()
    objective: tuple[ObjectiveDefinition, ...] = ()
    resolution: dict[str, float] = Field(default_factory=dict)
    """Objective → relative difference that its front does not tell apart; the objective's own by
    default, and fixed when a study is made."""
    verdict: VerdictDefinition = VerdictDefinition()
    constraints: dict[str, str] = Field(default_factory=dict)
    search: SearchOptions = SearchOptions()
    strategy: dict[str, dict[str, Any]] = Field(default_factory=dict)
    folder: Path = Path()
    """Where relative paths in the definition start; not a key of the TOML."""
    scheme_files: tuple[str, ...] = ()
    """The space's ``schemes`` where a worker has them elsewhere; not a key of the TOML."""

    @field_validator("space", mode="before")
    @classmethod
    def _named_or_whole(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return validate(SpaceDefinition, value, "[space]")
        if not isinstance(value, str | SpaceDefinition):
            raise DefinitionError(
                f"space: expected a name, a TOML file or a table (given: {value!r})"
            )
        return value

    @field_validator("resolution", mode="before")
    @classmethod
    def _shares(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {name: _share(name, given) for name, given in value.items()}

    @field_validator("name")
    @classmethod
    def _names_one_folder(cls, value: str) -> str:
        return checked_name(value)

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


def _share(name: str, given: Any) -> float:
    """A relative difference: a number, or text in percent."""
    number: Any = given
    if isinstance(given, str) and given.strip().endswith("%"):
        try:
            number = float(given.strip().removesuffix("%")) / 100
        except ValueError:
            number = None
    if isinstance(number, bool) or not isinstance(number, int | float):
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise DefinitionError(
            f"[resolution] {name} = {given!r}: expected a share such as 0.005 or '0.5 %', at least "
            "0 (every difference is told)"
        )
    return float(number)
