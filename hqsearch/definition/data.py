"""``[data]`` of a study, and the names that it may hold.

Nothing here touches the disk; :func:`hqsearch.data.check_data` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hqsearch.definition.lengths import check_pattern, window_microseconds
from hqsearch.definition.tables import Strict
from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.sides import Size, as_size, sides

SIMULATED = "simulated-gestures"
#: Frames that were given as Python objects and lie in the study's folder, named by content.
FRAMES = "frames"
#: Pictures: a folder or a .zip of them, and two sets whose layout is known.
PICTURES = ("pictures", "cifar10", "imagenet")
#: Frames or pictures as arrays in .npy or .npz files, and what a function of the user's returns.
ARRAYS, CODE = "arrays", "code"
#: Every data set that a definition may name. The first needs no files.
DATASETS = (
    SIMULATED, "dvs-gesture", "cifar10-dvs", "n-caltech101", "nmnist", "folder",
    *PICTURES, ARRAYS, CODE,
)  # fmt: skip
#: Name -> width in bits of an integer encoding of events, None for a real-valued one.
ENCODINGS: dict[str, int | None] = {"log2": 4, "count": 8, "binary": 1, "log1p": None}
#: The same of pictures: bytes as they are, or less a mean and divided by a deviation.
PIXELS, STANDARDISED = "pixels", "standardised"
PICTURE_ENCODINGS: dict[str, int | None] = {PIXELS: 8, STANDARDISED: None}
#: Encoding of real-valued frames that were given: 8-bit codes times a step.
LINEAR = "linear"

#: Nano-, micro-, milliseconds and seconds.
TIME_UNITS = ("ns", "us", "ms", "s")
#: What the frames of a sample have in common: their length, or their number of events.
BINS = ("time", "events")

#: Key -> smallest and largest value, and the unit that a message names.
_LIMITS = {
    "train": (1, 1_000_000, " samples"),
    "validation": (1, 1_000_000, " samples"),
    "test": (1, 1_000_000, " samples"),
}
#: Fewest and most pixels of a side of a frame.
_SIDE = (8, 1024)


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
    """(width, height) of the sensor in pixels. Needed for ``folder`` unless all files say it
    themselves (``.aedat4``, ``.aedat``, most ``.raw`` and ``.dat``); overrides what is known of a
    named set."""
    size: Size = 32
    """Frames are ``size`` x ``size`` pixels, or (height, width)."""
    encoding: str = "log2"
    """Of events ``log2`` (4 bit), ``count`` (8 bit), ``binary`` (whether there was one: spikes) or
    ``log1p`` (real-valued). Of pictures
    ``pixels`` (their bytes, 8 bit; the default) or ``standardised`` (real-valued; with ``mean``
    and ``std``)."""
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
    bins: Annotated[str, Field(exclude_if=lambda value: value == "time")] = "time"
    """``time``: a sample's frames are equally long; ``events``: they hold equally many events."""
    window: Annotated[str | None, Field(exclude_if=lambda value: value is None)] = None
    """Such as ``"400 ms"``: recordings are cut into samples of that length, one after the other;
    windows of one recording stay in one split. None: a recording is a sample."""
    group: Annotated[str | None, Field(exclude_if=lambda value: value is None)] = None
    """Regular expression with one group: recordings or pictures in whose path (below the data
    folder) it matches the same text, such as a subject, stay in one split."""
    contents: Annotated[str | None, Field(exclude_if=lambda value: value is None)] = None
    """SHA-256 of frames that were given as Python objects; of no other data set."""
    channels: Annotated[int, Field(ge=1, le=1024, exclude_if=lambda value: value == 2)] = 2
    """Channels: of events two, OFF and ON; of pictures 3 (red, green, blue; the default) or 1."""
    still: Annotated[bool, Field(exclude_if=lambda value: not value)] = False
    """Of ``arrays``, ``code`` and frames that were given: samples are pictures ``[C, H, W]``,
    without a time axis."""
    mean: Annotated[tuple[float, ...] | None, Field(exclude_if=lambda value: value is None)] = None
    """Of ``standardised``: taken from each channel's values of 0 to 1, one number a channel."""
    std: Annotated[tuple[float, ...] | None, Field(exclude_if=lambda value: value is None)] = None
    """Of ``standardised``: what each channel is divided by then."""
    presented: Annotated[
        Literal["once", "every-step"] | None, Field(exclude_if=lambda value: value is None)
    ] = None
    """Whether a network is given a picture once or as T copies. None: networks of hqsearch's own
    once, for they compute once what is alike; others every timestep."""
    fit: Annotated[
        Literal["crop", "stretch", "pad"], Field(exclude_if=lambda value: value == "crop")
    ] = "crop"
    """How a picture gets its ``size``: its middle alone, all of it distorted, or all of it with
    black beside it."""

    @property
    def is_still(self) -> bool:
        """Whether samples are pictures, stored once whatever the network's timesteps."""
        return self.dataset in PICTURES or self.still

    @model_validator(mode="before")
    @classmethod
    def _by_kind(cls, values: Any) -> Any:
        """What is usual of a kind of data where nothing else is said."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        if "dataset" not in values and values.get("path") is not None:
            values["dataset"] = _dataset_of(str(values["path"]))
        if values.get("dataset") in PICTURES:
            values.setdefault("channels", 3)
        still = values.get("dataset") in PICTURES or values.get("still") is True
        if still and values.get("dataset") != FRAMES:
            given = values.get("mean") is not None or values.get("std") is not None
            values.setdefault("encoding", STANDARDISED if given else PIXELS)
        elif values.get("dataset") in (ARRAYS, CODE):
            values.setdefault("encoding", "count")
        return values

    @field_validator("size")
    @classmethod
    def _shortest(cls, size: Size) -> Size:
        return as_size(*sides(size))

    @property
    def window_microseconds(self) -> int | None:
        """Length of a sample where recordings are cut into windows."""
        return None if self.window is None else window_microseconds(self.window)

    @model_validator(mode="after")
    def _possible(self) -> DataDefinition:
        known = self._encodings()
        if self.encoding not in known:
            raise UnknownName("encoding", self.encoding, known, "[data] encoding")
        if self.time_unit is not None and self.time_unit not in TIME_UNITS:
            raise UnknownName("unit", self.time_unit, TIME_UNITS, "[data] time_unit")
        if self.bins not in BINS:
            raise UnknownName("kind of bins", self.bins, BINS, "[data] bins")
        if not all(_SIDE[0] <= side <= _SIDE[1] for side in sides(self.size)):
            raise DefinitionError(
                f"[data] size must be {_SIDE[0]} to {_SIDE[1]:,}; {self.size} was given. Of "
                "frames that are not square it is [height, width]."
            )
        if self.window is not None:
            window_microseconds(self.window)
        if self.group is not None:
            check_pattern(self.group)
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
        self._check_pictures()
        return self

    def _encodings(self) -> tuple[str, ...]:
        """Names of the encodings that this data set can have."""
        if self.dataset in PICTURES:
            return tuple(PICTURE_ENCODINGS)
        pictures = tuple(PICTURE_ENCODINGS) if self.still else ()
        linear = (LINEAR,) if self.dataset in (FRAMES, ARRAYS, CODE) else ()
        return (*pictures, *ENCODINGS, *linear)

    def _check_pictures(self) -> None:
        if self.dataset in PICTURES and self.channels not in (1, 3):
            raise DefinitionError(
                f"[data] channels of pictures must be 3 (colour) or 1 (grey); {self.channels} was "
                "given."
            )
        if self.still and self.dataset not in (ARRAYS, CODE, FRAMES):
            raise DefinitionError(
                f"[data] still does not apply to {self.dataset}, which says by itself whether its "
                "samples are pictures. Remove it."
            )
        if self.presented is not None and not self.is_still:
            raise DefinitionError("[data] presented applies to pictures alone. Remove it.")
        if self.fit != "crop" and self.dataset not in PICTURES:
            raise DefinitionError("[data] fit applies to files of pictures alone. Remove it.")
        for key in ("mean", "std"):
            value = getattr(self, key)
            if (value is not None) != (self.encoding == STANDARDISED):
                raise DefinitionError(
                    f"[data] mean and std belong to encoding = {STANDARDISED!r}, which needs both; "
                    f"{key} is {'missing' if value is None else 'given without it'}."
                )
            if value is not None and len(value) != self.channels:
                raise DefinitionError(
                    f"[data] {key} must hold one number for each of the {self.channels} channels; "
                    f"{len(value)} were given."
                )
        if self.std is not None and min(self.std) <= 0:
            raise DefinitionError(f"[data] std must be positive; {list(self.std)} was given.")

    def _check_combination(self) -> None:
        if (self.dataset == FRAMES) != (self.contents is not None):
            raise DefinitionError(
                "[data] dataset = 'frames' and contents are set by hqsearch.Study(…, data="
                "hqsearch.Frames(…)) alone; a definition file names a data set or a folder."
            )
        if self.dataset not in (FRAMES, ARRAYS, CODE, *PICTURES) and self.channels != 2:
            raise DefinitionError("[data] channels does not apply to events, which have two.")
        if self.dataset in (ARRAYS, CODE, *PICTURES):
            for key in ("sensor", "time_unit", "window"):
                if getattr(self, key) is not None:
                    raise DefinitionError(
                        f"[data] {key} is of events; it does not apply to {self.dataset}. Remove "
                        "it."
                    )
            if self.group is not None and self.dataset in (ARRAYS, CODE):
                raise DefinitionError(
                    "[data] group looks at the paths of recordings and pictures; samples of "
                    f"{self.dataset} have none. Give arrays for train, validation and test instead."
                )
            if self.download:
                raise DefinitionError(f"[data] download does not apply to {self.dataset}.")
            if self.bins != "time":
                raise DefinitionError(
                    f"[data] bins is of events; it does not apply to {self.dataset}."
                )
        if self.dataset == FRAMES and (self.window or self.group or self.bins != "time"):
            raise DefinitionError(
                "[data] bins, window and group say how recordings become frames; frames were given."
            )
        if self.dataset == SIMULATED:
            for key in ("path", "sensor", "time_unit", "window", "group"):
                if getattr(self, key) is not None:
                    raise DefinitionError(
                        f"[data] {key} does not apply to {SIMULATED}, which reads no files. "
                        f"Remove it, or choose dataset = 'dvs-gesture' for recordings."
                    )
            if self.download:
                raise DefinitionError(f"[data] download does not apply to {SIMULATED}.")
        if self.dataset == "folder" and self.download:
            raise DefinitionError("[data] download does not apply to a folder of recordings.")


def _dataset_of(path: str) -> str:
    """What lies at ``path``, as its name says.

    Raises:
        DefinitionError: it does not.
    """
    if ".py:" in path:
        return CODE
    if path.lower().endswith((".npz", ".npy")):
        return ARRAYS
    if path.lower().endswith(".zip"):
        return PICTURES[0]
    raise DefinitionError(
        f"[data] path = {path!r} does not show what it is: say so, dataset = 'pictures' for a "
        "folder of pictures, 'folder' for one of recordings, 'arrays' for one of .npy files."
    )
