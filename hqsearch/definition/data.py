"""``[data]`` of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from hqsearch.definition.tables import Strict


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
