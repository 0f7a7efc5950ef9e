"""What all structural parts of a study share: definition, folder, device, options, hardware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hqsearch.definition import DataDefinition, ModelDefinition, StudyDefinition, validate
from hqsearch.definition.data import CODE
from hqsearch.errors import DefinitionError, PluginError
from hqsearch.evaluator import GivenObjects
from hqsearch.hardware import Profile, load_profile
from hqsearch.models.weights import content_identity
from hqsearch.plugins import (
    file_identity,
    installed_identity,
    is_installed_reference,
    load_from_file,
)
from hqsearch.problem.objective import ACCURACY, Objective
from hqsearch.qat.options import QatOptions
from hqsearch.sides import sides
from hqsearch.training.task import CLASSIFICATION, Task


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
        if self.data.is_still:
            usual = self.options.for_pictures(self.data.size, self.definition.evaluation)
            object.__setattr__(self, "options", usual)
        if self.options.border == "reflect" and self.options.shift >= min(sides(self.data.size)):
            raise DefinitionError(
                f"study {self.definition.name!r}: shift = {self.options.shift} must be smaller "
                f"than the {min(sides(self.data.size))} pixels of a side where border = 'reflect'"
            )
        epochs = self.definition.evaluation.get("parent_epochs")
        weights = self.definition.model.weights
        if weights is not None and epochs is None:
            untrained = self.options.model_copy(update={"parent_epochs": 0})
            object.__setattr__(self, "options", untrained)
        elif weights is None and epochs == 0:
            raise DefinitionError(
                f"study {self.definition.name!r}: parent_epochs = 0 trains no parent; give [model] "
                "weights to take them as they are, or train it"
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

    @cached_property
    def task(self) -> Task:
        """What networks are trained for and measured by.

        Raises:
            PluginError: the user's file does not define one.
        """
        if self.options.task is None:
            return CLASSIFICATION
        made = load_from_file(self.options.task, self.definition.folder)
        task = made() if isinstance(made, type) else made
        if not isinstance(task, Task):
            raise PluginError(
                f"[evaluation] task = {self.options.task!r} is no task: write a class that derives "
                "from hqsearch.training.Task"
            )
        return task

    @cached_property
    def measured(self) -> Objective:
        """What is measured by training.

        A task's metric, by its name; definitions of 0.2 name any share that is to be large
        ``accuracy``, and go on so.
        """
        own, chosen = self.task.objective, {o.name for o in self.definition.objective}
        share = (own.unit, own.direction) == (ACCURACY.unit, ACCURACY.direction)
        old = share and ACCURACY.name in chosen and own.name not in chosen
        return ACCURACY if old else own

    def settings(self) -> dict[str, Any]:
        """``[evaluation]`` as far as it changes results, as JSON values."""
        settings = self.options.model_dump(mode="json", exclude=set(self.options.FREE))
        if self.options.task is not None:
            settings["task"] = file_identity(self.options.task, self.definition.folder)
        return settings

    def data_identity(self) -> dict[str, Any]:
        """``[data]`` as far as it changes results: not where it lies."""
        told = self.data.model_dump(mode="json", exclude={"path", "download"})
        if self.data.dataset == CODE:
            told["code"] = file_identity(str(self.data.path), self.definition.folder)
        return told

    def model_identity(self, model: ModelDefinition) -> dict[str, Any]:
        """``model`` as JSON values; a user's file by its contents."""
        identity = model.model_dump(mode="json", exclude_none=True)
        if model.path is not None and is_installed_reference(model.path):
            identity["path"] = installed_identity(model.path)
        elif model.path is not None:
            identity["path"] = file_identity(model.path, self.definition.folder)
        if model.weights is not None:
            identity["weights"] = content_identity(self.weights_file(model))
        return identity

    def weights_file(self, model: ModelDefinition) -> Path:
        """The file of trained weights that ``model`` starts from."""
        assert model.weights is not None
        return self.definition.located(model.weights)
