"""What a study is made from in Python, and is in no file that its definition could name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hqsearch.definition import StudyDefinition
from hqsearch.errors import InputError

if TYPE_CHECKING:
    from hqsearch.data.given import Frames
    from hqsearch.models.given import GivenModel


@dataclass(frozen=True)
class GivenObjects:
    """What a study is made from in Python; each is None where a definition says it.

    Attributes:
        model: its network; the definition's ``[model] object`` is what it is known by.
        frames: its data; ``[data] contents`` is what they are known by. Only the driver has
            them, and only until they lie in the study's folder.
    """

    model: GivenModel | None = None
    frames: Frames | None = None

    def for_workers(self) -> GivenObjects:
        """What workers need: the frames are in the study's folder by then."""
        return replace(self, frames=None)


def missing_model(definition: StudyDefinition) -> InputError:
    """What to say where the network of a study is needed, and was given in another process."""
    assert definition.model is not None
    assert definition.model.object is not None
    name, title = definition.model.object.get("name", "object"), definition.name
    return InputError(
        f"study {title!r} was made from Python objects: its network ({name}) is in no file. Go "
        f"on in Python, with the same network: hqsearch.Study({title!r}, model=…, data=…)"
        ".resume(), or .run(…)"
    )
