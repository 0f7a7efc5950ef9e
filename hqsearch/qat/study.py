"""What all structural parts of a study share: definition, folder, device, options, hardware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hqsearch.definition import DataDefinition, ModelDefinition, StudyDefinition, validate
from hqsearch.errors import DefinitionError
from hqsearch.evaluator import GivenObjects
from hqsearch.hardware import Profile, load_profile
from hqsearch.plugins import file_identity
from hqsearch.qat.options import QatOptions


@dataclass(frozen=True)
class QatStudy:
    """What all structural parts of a study share.

    Attributes:
        definition: the validated study.
        folder: where the study's artifacts are.
        device: ``"cpu"`` or ``"cuda"``.
        options: its ``[evaluation]``.
        recipe: of the evaluator; another one trains a parent of its own.
        objects: what it was made from in Python.

    Raises:
        DefinitionError: it has no ``[data]`` or no ``[model]``.
    """

    definition: StudyDefinition
    folder: Path
    device: str
    options: QatOptions
    recipe: int = 1
    objects: GivenObjects = field(default_factory=GivenObjects)

    def __post_init__(self) -> None:
        if self.definition.data is None or self.definition.model is None:
            raise DefinitionError(
                f"study {self.definition.name!r}: evaluator {self.definition.evaluator} needs "
                "[data] and [model]"
            )

    @property
    def data(self) -> DataDefinition:
        assert self.definition.data is not None
        return self.definition.data

    def model(self, settings: Mapping[str, Any]) -> ModelDefinition:
        """``[model]`` with the settings of a structural part.

        Raises:
            DefinitionError: a setting that the network cannot have.
        """
        assert self.definition.model is not None
        if not settings:
            return self.definition.model
        tables = self.definition.model.model_dump(exclude_none=True)
        return validate(ModelDefinition, {**tables, **settings}, "the space's [[structure]]")

    @cached_property
    def profile(self) -> Profile:
        """The hardware profile.

        Raises:
            UnknownName: there is none of that name.
        """
        name = self.definition.hardware.profile
        return load_profile(self.definition.located(name) if name.endswith(".toml") else name)

    def settings(self) -> dict[str, Any]:
        """``[evaluation]`` as far as it changes results, as JSON values."""
        return self.options.model_dump(mode="json", exclude=set(self.options.FREE))

    def data_identity(self) -> dict[str, Any]:
        """``[data]`` as far as it changes results: not where it lies."""
        return self.data.model_dump(mode="json", exclude={"path", "download"})

    def model_identity(self, model: ModelDefinition) -> dict[str, Any]:
        """``model`` as JSON values; a user's file by its contents."""
        identity = model.model_dump(mode="json", exclude_none=True)
        if model.path is not None:
            identity["path"] = file_identity(model.path, self.definition.folder)
        return identity
