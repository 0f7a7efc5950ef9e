"""Validated tables of settings: unknown keys are refused with the closest known one.

Every TOML table of hqsearch, an evaluator's or a strategy's own options included, is a
:class:`Strict` model and is checked by :func:`validate`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from hqsearch.errors import DefinitionError, InputError, UnknownName

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

M = TypeVar("M", bound=BaseModel)

#: Fields that are set by code and are no keys of a TOML file.
NO_KEYS = frozenset({"name", "folder", "scheme_files"})


class Strict(BaseModel):
    """A table of a definition: unknown keys refused, immutable once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


#: Where problems go that do not end the look at a table; None: the first one is raised.
_collected: ContextVar[list[str] | None] = ContextVar("collected", default=None)


@contextmanager
def collecting(problems: list[str]) -> Iterator[None]:
    """Inside, a wrong key of a table is added to ``problems``, and the rest is read without it."""
    token = _collected.set(problems)
    try:
        yield
    finally:
        _collected.reset(token)


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
        found = [_problem(model, each, where) for each in error.errors()]
        problems = _collected.get()
        if problems is None:
            raise found[0] from None
        problems += [text for text in map(str, found) if text not in problems]
        rest = _without(values, [each["loc"] for each in error.errors()])
        if rest is None:  # a key that is missing: nobody can go on without it
            raise found[0] from None
        return validate(model, rest, where)


def _problem(model: type[BaseModel], problem: ErrorDetails, where: str) -> InputError:
    """What pydantic found, in words."""
    place = [str(part) for part in problem["loc"]]
    if problem["type"] == "extra_forbidden":
        table = _nested(model, place[:-1])
        inside = ".".join(place[:-1])
        known = [k for k in table.model_fields if inside or k not in NO_KEYS]
        return UnknownName("key", place[-1], known, f"{where} [{inside}]" if inside else where)
    message = problem["msg"].removeprefix("Value error, ")
    given = problem.get("input")
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) else ""
    key = ".".join(place)
    return DefinitionError(
        f"{where}: {key}: {message}{shown}" if key else f"{where}: {message}{shown}"
    )


def _without(
    values: Mapping[str, Any], places: Sequence[tuple[int | str, ...]]
) -> dict[str, Any] | None:
    """A copy without what lies at ``places``; None where one of them is not there."""
    rest = copy.deepcopy(dict(values))
    last_first = sorted(places, key=lambda place: [(isinstance(p, str), p) for p in place])
    for place in reversed(last_first):
        inside: Any = rest
        try:
            for part in place[:-1]:
                inside = inside[part]
            del inside[place[-1]]
        except (KeyError, IndexError, TypeError):
            return None
    return rest


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
