"""What data a study asks for: its ``[data]`` with the timesteps of its network and a place.

Nothing here touches the disk; :func:`hqsearch.data.check_data` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import model_validator

from hqsearch.definition.data import (
    ARRAYS,
    CODE,
    DATASETS,
    FRAMES,
    SIMULATED,
    DataDefinition,
)
from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.sides import Size
from hqsearch.wording import option

_MOST_TIMESTEPS = 1024
_FOLDER = "a folder of recordings"
#: What is asked for of a data set that is no folder of recordings.
_WHERE = {
    "pictures": "a folder or a .zip of pictures",
    "cifar10": "a folder or a .zip that holds CIFAR-10",
    "imagenet": "the folder that holds ImageNet's train/ and val/",
    ARRAYS: "a .npz file or a folder of .npy files",
    CODE: "a function, path = 'file.py:build'",
}


class DataSpec(DataDefinition):
    """Samples, framing and splits: a :class:`DataDefinition` that frames can be made of.

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
                f"[data] {self.dataset} needs {_WHERE.get(self.dataset, _FOLDER)}: give it with "
                f"{option('recordings', 'DIR')} (or path in [data])."
            )
        return self

    @property
    def stored_steps(self) -> int:
        """Frames that are kept of a sample: of a picture one."""
        return 1 if self.is_still else self.timesteps


def usual_place(dataset: str) -> Path | None:
    """Where a named published set is looked for unless ``--data`` says otherwise: ``./data``."""
    elsewhere = (SIMULATED, FRAMES, "folder", "pictures", ARRAYS, CODE)
    return Path("data").resolve() if dataset not in elsewhere else None
