"""Whether an evaluator honours the dimensions of a space: if not, the space is refused by name.

A dimension that is silently ignored would be searched for nothing, and its values would look like
results.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hqsearch.errors import DefinitionError, closest
from hqsearch.problem.space import Dimension, Space


def require_honoured(
    space: Space, evaluator: str, kinds: Set[str], structure: Mapping[str, Any]
) -> None:
    """Refuse a space with a dimension that an evaluator does not honour.

    Args:
        space: what is to be searched.
        evaluator: its name, for the message.
        kinds: of dimensions that it honours.
        structure: its structural settings, name → type, as pydantic understands types.

    Raises:
        DefinitionError: says which dimension, which evaluator, and what it offers.
    """
    for dimension in space.dimensions:
        if dimension.kind not in kinds:
            raise DefinitionError(
                f"evaluator {evaluator!r} does not honour dimension {dimension.name!r} of kind "
                f"{dimension.kind}: it searches {' and '.join(sorted(kinds))} alone; take "
                f"{dimension.name!r} out of the space, or use an evaluator that honours it"
            )
        if dimension.kind == "structure":
            _require_setting(dimension, evaluator, structure)


def require_few_parts(space: Space, most: int, name: str) -> None:
    """Refuse more structural parts than a study allows.

    Raises:
        DefinitionError: says how many there are, and what to do.
    """
    count = len(space.parts)
    if count > most:
        sizes = [space.dimensions[place] for place in space.structural]
        product = " × ".join(f"{d.name} {len(d.values)}" for d in sizes)
        raise DefinitionError(
            f"space {name!r} has {count} structural parts ({product}) and the study allows {most}: "
            "each needs a parent and cost tables of its own. Give fewer values, or set "
            f"max_structures = {count} in the study"
        )


def _require_setting(dimension: Dimension, evaluator: str, structure: Mapping[str, Any]) -> None:
    if dimension.name not in structure:
        close = closest(dimension.name, structure)
        hint = f"; did you mean {close!r}?" if close else "."
        raise DefinitionError(
            f"evaluator {evaluator!r} has no structural setting {dimension.name!r}{hint} "
            f"It offers: {', '.join(sorted(structure)) or 'none'}"
        )
    allowed = TypeAdapter(structure[dimension.name])
    for setting in dimension.settings:
        try:
            allowed.validate_python(setting, strict=True)
        except ValidationError as error:
            told = error.errors()[0]["msg"]
            raise DefinitionError(
                f"the space's [[structure]] {dimension.name!r} has the value {setting!r}, which "
                f"evaluator {evaluator!r} does not take: {told}"
            ) from None
