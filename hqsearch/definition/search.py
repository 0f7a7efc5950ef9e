"""``[search]`` of a study: how far a run follows its candidates."""

from __future__ import annotations

import itertools
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hqsearch.definition.tables import Strict


class SearchOptions(Strict):
    """``[search]``: how far a run follows its candidates.

    How is in :mod:`hqsearch.search.early_stopping`. It belongs to a run, like the options of a
    strategy, and not to what makes a study the same.
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
