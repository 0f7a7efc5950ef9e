"""A search space as its TOML says it; see :mod:`hqsearch.problem.space` for how it is applied."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from hqsearch.definition.tables import Strict


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
    values: Annotated[tuple[bool | int | float | str, ...], Field(min_length=1)]
    """Of the type that they have here, which is what the evaluator is given."""


class SpaceDefinition(Strict):
    """A search space; see :mod:`hqsearch.problem.space` for how it is applied to a network."""

    choices: Annotated[tuple[str, ...], Field(min_length=1)]
    schemes: tuple[str, ...] = ()
    """A user's own schemes, ``path/to/file.py:Class``, relative to the study's file."""
    layers: tuple[LayerRule, ...] = ()
    structure: tuple[StructureRule, ...] = ()
