"""What data a study asks for: one frozen description, checked when it is made.

Nothing here touches the disk; :func:`hqsearch.data.check_data` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hqsearch.data.encoding import ENCODINGS
from hqsearch.errors import DefinitionError, UnknownName

#: Every data set there is. The first needs no files.
DATASETS = (
    "simulated-gestures",
    "dvs-gesture",
    "cifar10-dvs",
    "n-caltech101",
    "nmnist",
    "folder",
)
SIMULATED = "simulated-gestures"


@dataclass(frozen=True)
class DataSpec:
    """Event data, framing and splits of a study.

    Attributes:
        dataset: One of :data:`DATASETS`.
        timesteps: Frames per sample, ``T``.
        size: Frames are ``size`` x ``size`` pixels.
        encoding: ``log2`` (4 bit), ``count`` (8 bit) or ``log1p`` (real-valued).
        path: Folder of the recordings; None for simulated data only.
        sensor: (width, height) of the sensor in pixels. Needed for ``folder`` unless all files
            are ``.aedat4``, which say it themselves; overrides what is known of a named set.
        train: Number of training samples; None: all that validation and test leave
            (simulated: 1,100).
        validation: Number of validation samples; None: a fifth of what is not test
            (simulated: 1,000).
        test: Number of test samples; None: the official test split, or where there is none
            a tenth of all (simulated: 1,000).
        seed: Seed of the split, and of the simulation.
        download: Let tonic download a recorded set that is absent (``dvs-gesture``,
            ``cifar10-dvs``, ``n-caltech101``, ``nmnist``).

    Raises:
        UnknownName: ``dataset`` or ``encoding`` does not exist.
        DefinitionError: Another value is out of range, or contradicts the data set.
    """

    dataset: str
    timesteps: int
    size: int
    encoding: str = "log2"
    path: Path | None = None
    sensor: tuple[int, int] | None = None
    train: int | None = None
    validation: int | None = None
    test: int | None = None
    seed: int = 0
    download: bool = False

    def __post_init__(self) -> None:
        if self.dataset not in DATASETS:
            raise UnknownName("data set", self.dataset, DATASETS, "[data] dataset")
        if self.encoding not in ENCODINGS:
            raise UnknownName("encoding", self.encoding, ENCODINGS, "[data] encoding")
        for key, value, most in (("timesteps", self.timesteps, 1024), ("size", self.size, 1024)):
            if not 1 <= value <= most:
                raise DefinitionError(f"{key} must be 1 to {most}; {value} was given.")
        for key in ("train", "validation", "test"):
            count = getattr(self, key)
            if count is not None and not 1 <= count <= 1_000_000:
                raise DefinitionError(
                    f"[data] {key} must be 1 to 1,000,000 samples; {count} was given."
                )
        if self.seed < 0:
            raise DefinitionError(f"[data] seed must not be negative; {self.seed} was given.")
        if self.sensor is not None and not all(1 <= side <= 65535 for side in self.sensor):
            raise DefinitionError(
                f"[data] sensor must be (width, height) in pixels; {self.sensor} was given."
            )
        self._check_combination()

    def _check_combination(self) -> None:
        if self.dataset == SIMULATED:
            for key in ("path", "sensor"):
                if getattr(self, key) is not None:
                    raise DefinitionError(
                        f"[data] {key} does not apply to {SIMULATED}, which reads no files. "
                        f"Remove it, or choose dataset = 'dvs-gesture' for recordings."
                    )
            if self.download:
                raise DefinitionError(f"[data] download does not apply to {SIMULATED}.")
        elif self.path is None:
            raise DefinitionError(
                f"[data] {self.dataset} needs a folder of recordings: give it with --data DIR "
                f"(or path in [data])."
            )
        if self.dataset == "folder" and self.download:
            raise DefinitionError("[data] download does not apply to a folder of recordings.")
