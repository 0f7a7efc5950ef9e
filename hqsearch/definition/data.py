"""``[data]`` of a study, and the names that it may hold.

Nothing here touches the disk; :func:`hqsearch.data.check_data` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from hqsearch.definition.tables import Strict
from hqsearch.errors import DefinitionError, UnknownName

SIMULATED = "simulated-gestures"
#: Frames that were given as Python objects and lie in the study's folder, named by content.
FRAMES = "frames"
#: Every data set that a definition may name. The first needs no files.
DATASETS = (SIMULATED, "dvs-gesture", "cifar10-dvs", "n-caltech101", "nmnist", "folder")
#: Name -> width in bits of an integer encoding, None for a real-valued one.
ENCODINGS: dict[str, int | None] = {"log2": 4, "count": 8, "log1p": None}
#: Encoding of real-valued frames that were given: 8-bit codes times a step.
LINEAR = "linear"

#: Nano-, micro-, milliseconds and seconds.
TIME_UNITS = ("ns", "us", "ms", "s")

#: Key -> smallest and largest value, and the unit that a message names.
_LIMITS = {
    "size": (8, 1024, ""),
    "train": (1, 1_000_000, " samples"),
    "validation": (1, 1_000_000, " samples"),
    "test": (1, 1_000_000, " samples"),
}


class DataDefinition(Strict):
    """``[data]``: which recordings, how they become frames, how they are split.

    Raises:
        UnknownName: ``encoding`` or ``time_unit`` does not exist.
        DefinitionError: another value is out of range, or contradicts the data set.
    """

    dataset: str
    """One of :data:`DATASETS`; a user's own evaluator may know others, so the name is checked
    by whoever frames the data."""
    path: Path | None = None
    """Folder of the recordings; None for simulated data, and where ``--data`` will say it."""
    sensor: tuple[int, int] | None = None
    """(width, height) of the sensor in pixels. Needed for ``folder`` unless all files are
    ``.aedat4``, which say it themselves; overrides what is known of a named set."""
    size: int = 32
    """Frames are ``size`` x ``size`` pixels."""
    encoding: str = "log2"
    """``log2`` (4 bit), ``count`` (8 bit) or ``log1p`` (real-valued)."""
    train: int | None = None
    """Training samples; None: all that validation and test leave (simulated: 1,100)."""
    validation: int | None = None
    """Validation samples; None: a fifth of what is not test (simulated: 1,000)."""
    test: int | None = None
    """Test samples; None: the official test split, or where there is none a tenth of all
    (simulated: 1,000)."""
    seed: int = 0
    """Of the split, and of the simulation."""
    download: bool = False
    """Let tonic download a recorded set that is absent."""
    # Left out where they say nothing, so that fingerprints of earlier studies stay as they are.
    time_unit: Annotated[str | None, Field(exclude_if=lambda unit: unit is None)] = None
    """One of :data:`TIME_UNITS`: of the times in ``.npy`` and ``.npz`` files; None: recognised."""
    contents: Annotated[str | None, Field(exclude_if=lambda value: value is None)] = None
    """SHA-256 of frames that were given as Python objects; of no other data set."""
    channels: Annotated[int, Field(ge=1, le=1024, exclude_if=lambda value: value == 2)] = 2
    """Channels of frames that were given; events have two, OFF and ON."""

    @model_validator(mode="after")
    def _possible(self) -> DataDefinition:
        linear = self.dataset == FRAMES and self.encoding == LINEAR
        if self.encoding not in ENCODINGS and not linear:
            raise UnknownName("encoding", self.encoding, ENCODINGS, "[data] encoding")
        if self.time_unit is not None and self.time_unit not in TIME_UNITS:
            raise UnknownName("unit", self.time_unit, TIME_UNITS, "[data] time_unit")
        for key, (least, most, unit) in _LIMITS.items():
            value = getattr(self, key)
            if value is not None and not least <= value <= most:
                raise DefinitionError(
                    f"[data] {key} must be {least} to {most:,}{unit}; {value} was given."
                )
        if self.seed < 0:
            raise DefinitionError(f"[data] seed must not be negative; {self.seed} was given.")
        if self.sensor is not None and not all(1 <= side <= 65535 for side in self.sensor):
            raise DefinitionError(
                f"[data] sensor must be (width, height) in pixels; {self.sensor} was given."
            )
        self._check_combination()
        return self

    def _check_combination(self) -> None:
        if (self.dataset == FRAMES) != (self.contents is not None):
            raise DefinitionError(
                "[data] dataset = 'frames' and contents are set by hqsearch.Study(…, data="
                "hqsearch.Frames(…)) alone; a definition file names a data set or a folder."
            )
        if self.dataset != FRAMES and self.channels != 2:
            raise DefinitionError("[data] channels does not apply to events, which have two.")
        if self.dataset == SIMULATED:
            for key in ("path", "sensor", "time_unit"):
                if getattr(self, key) is not None:
                    raise DefinitionError(
                        f"[data] {key} does not apply to {SIMULATED}, which reads no files. "
                        f"Remove it, or choose dataset = 'dvs-gesture' for recordings."
                    )
            if self.download:
                raise DefinitionError(f"[data] download does not apply to {SIMULATED}.")
        if self.dataset == "folder" and self.download:
            raise DefinitionError("[data] download does not apply to a folder of recordings.")
