"""What data a study asks for: its ``[data]`` with the timesteps of its network and a place.

Nothing here touches the disk; :func:`hqsearch.data.check_data` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import model_validator

from hqsearch.definition.data import DATASETS, FRAMES, SIMULATED, DataDefinition
from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.sides import Size

_MOST_TIMESTEPS = 1024


class DataSpec(DataDefinition):
    """Event data, framing and splits: a :class:`DataDefinition` that frames can be made of.

    Raises:
        UnknownName: ``dataset`` or ``encoding`` does not exist.
        DefinitionError: Another value is out of range or contradicts the data set, or there is
            no folder for recordings.
    """

    timesteps: int
    """Frames per sample, ``T``."""

    def __init__(self, dataset: str, timesteps: int, size: Size, **rest: Any) -> None:
        values = {"dataset": dataset, "timesteps": timesteps, "size": size, **rest}
        super().__init__(**values)

    @classmethod
    def of(cls, data: DataDefinition, timesteps: int, path: Path | None) -> DataSpec:
        """``data`` of a study in ``timesteps`` frames per sample, from ``path``."""
        return cls(**{**data.model_dump(), "path": path, "timesteps": timesteps})

    @model_validator(mode="after")
    def _complete(self) -> DataSpec:
        if self.dataset not in (*DATASETS, FRAMES):
            raise UnknownName("data set", self.dataset, DATASETS, "[data] dataset")
        if not 1 <= self.timesteps <= _MOST_TIMESTEPS:
            raise DefinitionError(
                f"timesteps must be 1 to {_MOST_TIMESTEPS}; {self.timesteps} was given."
            )
        if self.dataset not in (SIMULATED, FRAMES) and self.path is None:
            raise DefinitionError(
                f"[data] {self.dataset} needs a folder of recordings: give it with --data DIR "
                f"(or path in [data])."
            )
        return self


def usual_place(dataset: str) -> Path | None:
    """Where a named recorded set is looked for unless ``--data`` says otherwise: ``./data``."""
    return Path("data").resolve() if dataset not in (SIMULATED, FRAMES, "folder") else None
