"""Studies that are made from Python objects: what they are known by, and whether it is still so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hqsearch.definition import StudyDefinition
from hqsearch.definition.data import FRAMES
from hqsearch.errors import InputError
from hqsearch.evaluator import GivenObjects
from hqsearch.evaluator.given import missing_model
from hqsearch.study.fingerprint import require_same

if TYPE_CHECKING:
    from hqsearch.data import DataSpec


def with_objects(
    definition: StudyDefinition, objects: GivenObjects, folder: Path
) -> StudyDefinition:
    """A definition that says by what the objects are known.

    Args:
        definition: of the study; its ``[model]`` says the timesteps and the options.
        objects: what it is made from.
        folder: of the study, where its frames may lie already.

    Raises:
        PluginError: the network cannot be built.
        DataError: frames that cannot be used.
    """
    update: dict[str, Any] = {}
    if objects.frames is not None:
        assert definition.data is not None
        update["data"] = definition.data.model_copy(update=objects.frames.table())
    if objects.model is not None:
        assert definition.model is not None
        changed = definition.model_copy(update=update)
        seed = int(definition.evaluation.get("seed", 0))
        given = _from_data(changed, objects, folder)
        identity = objects.model.identity(definition.model.options, given, seed)
        update["model"] = definition.model.model_copy(update={"object": identity})
    return definition.model_copy(update=update)


def _from_data(definition: StudyDefinition, objects: GivenObjects, folder: Path) -> dict[str, Any]:
    """What the data decide of a network."""
    from hqsearch.data import data_classes

    spec = _spec(definition)
    classes = data_classes(spec, folder / "data", objects.frames)
    return {
        "timesteps": spec.timesteps,
        "size": spec.size,
        "classes": len(classes),
        "in_channels": spec.channels,
    }


def _spec(definition: StudyDefinition) -> DataSpec:
    from hqsearch.data import DataSpec, usual_place

    data, model = definition.data, definition.model
    if data is None or model is None:
        raise InputError(f"study {definition.name!r}: a network needs data: give data=…")
    path = definition.located(str(data.path)) if data.path else usual_place(data.dataset)
    return DataSpec.of(data, model.timesteps, path)


def require_objects(
    definition: StudyDefinition, asked: StudyDefinition | None, objects: GivenObjects
) -> None:
    """Refuse to work on a study without the objects that it was made from, or with others.

    Args:
        definition: of the study, as it is to be worked on.
        asked: what :func:`with_objects` said, if there is any object.
        objects: those of this process.

    Raises:
        InputError: the network is in no file, and was not given.
        StudyMismatch: what was given differs; what does is named.
    """
    known, given = _known_by(definition), _known_by(asked) if asked is not None else {}
    if "model" in known and objects.model is None:
        raise missing_model(definition)
    # What was not given, and lies in the study's folder, is as it was.
    compared = {key: value for key, value in known.items() if key in given or key == "model"}
    if asked is not None:
        require_same(compared, given, definition.name)


def _known_by(definition: StudyDefinition) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if definition.model is not None and definition.model.object is not None:
        told["model"] = {"object": definition.model.object}
    if definition.data is not None and definition.data.contents is not None:
        told["data"] = {"contents": definition.data.contents}
    return told


def require_test_split(definition: StudyDefinition) -> None:
    """Refuse to confirm a study whose frames were given without a test split.

    Raises:
        InputError: they were; it says what to do.
    """
    data = definition.data
    if data is not None and data.dataset == FRAMES and data.test is None:
        raise InputError(
            f"study {definition.name!r} has no test split, and a confirmation measures on "
            "samples that no search has seen: make the study again, under another name, with "
            "data=hqsearch.Frames(train, validation, test)"
        )
