"""``[evaluation]`` of ``evaluator = "command"``, and what its command line may say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hqsearch.definition import EvaluationOptions
from hqsearch.definition.tables import Strict
from hqsearch.errors import DefinitionError, UnknownName

#: What may stand in braces in a command, with what it becomes.
PLACEHOLDERS = {
    "assignment": "a JSON file with the choice of every layer",
    "result": "a file to write the result to, instead of standard output",
    "seed": "a number: of everything random in it",
    "budget": "epochs to train in all",
    "epochs": "epochs of the whole schedule, of which budget may be a part",
    "split": "'validation' in a search, 'test' in a confirmation",
    "checkpoint": "a folder to leave a checkpoint in",
    "resume": "the folder of an earlier checkpoint of this very training, or nothing",
    "python": "the Python that hqsearch runs in",
}
_BRACES = re.compile(r"\{([a-z_]*)\}")


class Measure(Strict):
    """An objective that the command measures, besides accuracy."""

    unit: str = ""
    direction: Literal["min", "max"]


class CommandOptions(EvaluationOptions):
    """``[evaluation]`` of ``evaluator = "command"``."""

    command: tuple[str, ...]
    """Words, as a shell would split them; no shell is involved."""
    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """The whole schedule; ``{budget}`` is at most this."""
    layers: dict[str, int] = Field(default_factory=dict)
    """Weight layers by name with their numbers of weights, where there is no network."""
    workload: str | None = None
    """A JSON file that says what a network does (``workload.json`` of a study), instead."""
    input: tuple[int, int, int] | None = None
    """Of the network in ``[model]``: channels, height and width of a frame."""
    input_bits: Annotated[int, Field(ge=1, le=32)] | None = None
    """Width of integer frames; real-valued ones without it."""
    classes: Annotated[int, Field(ge=1)] | None = None
    """Of the network in ``[model]``: how many logits it has."""
    rate: Annotated[float, Field(ge=0.0, le=1.0)] = 0.2
    """Firing rate that energies are estimated at, where the command reports none."""
    measures: dict[str, Measure] = Field(default_factory=dict)
    """Further objectives that the command prints, with unit and direction."""

    @field_validator("command", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError('give the words as a list: ["python", "train.py", "{assignment}"]')
        return value

    @field_validator("command")
    @classmethod
    def _known_placeholders(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not value[0].strip():
            raise ValueError("the command is empty")
        if any("\0" in word for word in value):
            raise ValueError("a word with a NUL character")
        for name in placeholders_in(value):
            if name not in PLACEHOLDERS:
                raise UnknownName("placeholder", name, PLACEHOLDERS, "command")
        if "assignment" not in placeholders_in(value):
            raise ValueError("it has no {assignment}, so it would train the same network always")
        return value

    @field_validator("layers", mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        return _flattened(value) if isinstance(value, Mapping) else value

    @field_validator("layers")
    @classmethod
    def _positive(cls, value: dict[str, int]) -> dict[str, int]:
        for name, weights in value.items():
            if weights < 1:
                raise DefinitionError(f"layers: {name} has {weights} weights; at least 1 is needed")
        return value

    @model_validator(mode="after")
    def _one_source_of_layers(self) -> CommandOptions:
        if self.layers and self.workload:
            raise ValueError("give layers or workload, not both")
        named = placeholders_in(self.command)
        if self.epochs > 1 and not {"budget", "epochs"} & set(named):
            raise ValueError("epochs is given, but the command has neither {budget} nor {epochs}")
        if "resume" in named and "checkpoint" not in named:
            raise ValueError("{resume} needs {checkpoint}, which leaves what it goes on from")
        return self


def placeholders_in(command: tuple[str, ...]) -> list[str]:
    """Names in braces, in order.

    >>> placeholders_in(("train", "--seed={seed}", "{assignment}"))
    ['seed', 'assignment']
    """
    return [name for word in command for name in _BRACES.findall(word)]


def filled(command: tuple[str, ...], values: Mapping[str, str]) -> list[str]:
    """The command with every placeholder replaced; other braces stay.

    >>> filled(("train", "--seed={seed}", "{}{x"), {"seed": "3"})
    ['train', '--seed=3', '{}{x']
    """
    return [_BRACES.sub(lambda m: values.get(m[1], m[0]), word) for word in command]


def _flattened(table: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """TOML reads ``blocks.0.q = 64`` as tables within tables; a layer's name has the dots."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{above}.{key}" if above else str(key)
        flat |= _flattened(value, name) if isinstance(value, Mapping) else {name: value}
    return flat
