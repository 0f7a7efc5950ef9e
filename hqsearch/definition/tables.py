"""Validated tables of settings: unknown keys are refused with the closest known one.

Every TOML table of hqsearch, an evaluator's or a strategy's own options included, is a
:class:`Strict` model and is checked by :func:`validate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from hqsearch.errors import DefinitionError, UnknownName

M = TypeVar("M", bound=BaseModel)

#: Fields that are set by code and are no keys of a TOML file.
NO_KEYS = frozenset({"name", "folder", "scheme_files"})


class Strict(BaseModel):
    """A table of a definition: unknown keys refused, immutable once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def validate(model: type[M], values: Mapping[str, Any], where: str) -> M:
    """``values`` as a ``model``; errors name the place, the value and the closest key.

    Raises:
        UnknownName: a key that the model does not have.
        DefinitionError: a value of the wrong type or out of range.
    """
    try:
        return model.model_validate(values)
    except DefinitionError as error:
        raise DefinitionError(f"{where}: {error}") from None
    except ValidationError as error:
        problem = error.errors()[0]
        place = [str(part) for part in problem["loc"]]
        if problem["type"] == "extra_forbidden":
            table = _nested(model, place[:-1])
            known = [k for k in table.model_fields if k not in NO_KEYS]
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
