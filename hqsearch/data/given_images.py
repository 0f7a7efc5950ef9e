"""Pictures that are given as arrays, tensors or torch Datasets: frames without a time axis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hqsearch.data.encoding import Encoding, get_encoding
from hqsearch.data.given import FolderFrames, Frames
from hqsearch.data.splits_given import Split, as_split
from hqsearch.definition.data import LINEAR, PIXELS, STANDARDISED, DataDefinition
from hqsearch.errors import DataError, DefinitionError


class Images(Frames):
    """Pictures of one's own: three splits, each ``(pictures, labels)``.

    ``pictures`` is an array or tensor ``[n, C, H, W]``, ``labels`` are integers ``[n]`` from 0; or
    a split is a torch ``Dataset`` of (picture ``[C, H, W]``, label) pairs, which is read whole,
    once. They are stored once, whatever the timesteps of the network.

    * Integers of 0 to 255 are pixels: an 8-bit integer input, and priced as such; with ``mean``
      and ``std`` (of values of 0 to 1, one number a channel) a real-valued one.
    * Real values are kept as 8-bit codes of one step for all splits, and priced as real.

    Args:
        train: what candidates are trained on.
        validation: what the search measures accuracy on.
        test: what ``confirm`` measures on; without it, ``confirm`` is refused.
        classes: names of the classes, or how many there are; the largest label + 1 by default.
        mean: taken from the values of each channel, with ``std``.
        std: what each channel is divided by then.

    Raises:
        DataError: shapes, values or labels that cannot be used; raised at first use.
    """

    still = True

    def __init__(
        self,
        train: Any,
        validation: Any,
        test: Any = None,
        *,
        classes: int | Sequence[str] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__(train, validation, test, classes=classes)
        if (mean is None) != (std is None):
            raise DefinitionError("Images: mean and std belong together; give both or neither.")
        self._mean, self._std = tuple(mean or ()), tuple(std or ())

    @staticmethod
    def from_folder(path: str | Path, *, timesteps: int = 1, **keys: Any) -> FolderFrames:
        """Pictures in a folder or ``.zip`` (``<split>/<class>/…`` or ``<class>/…``).

        Args:
            path: what ``[data] dataset = "pictures"`` reads.
            timesteps: of the network; a picture is stored once.
            keys: the other keys of ``[data]``: ``size``, ``channels``, ``mean``, ``train``, ….
        """
        return FolderFrames(Path(path), timesteps, keys, "pictures")

    def _read(self, name: str, split: Any) -> Split:
        pictures, labels = as_split(name, split)
        if pictures.ndim != 4:
            raise DataError(
                f"Frames: {name} has shape {list(pictures.shape)}; pictures [n, C, H, W] (samples, "
                "channels, height, width) are needed."
            )
        if pictures.shape[3] in (1, 3, 4) and pictures.shape[1] not in (1, 3, 4):
            raise DataError(
                f"Frames: {name} has shape {list(pictures.shape)}, channels last; [n, C, H, W] is "
                "needed: pictures.transpose(0, 3, 1, 2)."
            )
        return super()._read(name, (pictures[:, None], labels))

    def _choose(self, frames: dict[str, NDArray[Any]]) -> tuple[Encoding, list[str]]:
        if any(f.dtype.kind == "f" for f in frames.values()):
            if self._mean:
                raise DataError(
                    "Frames: the pictures are real-valued, so they are normalised already; mean "
                    "and std are of pixels of 0 to 255."
                )
            return super()._choose(frames)
        low, high = (
            min(int(f.min()) for f in frames.values()),
            max(int(f.max()) for f in frames.values()),
        )
        if low < 0 or high > 255:
            raise DataError(f"Frames: pixels must be 0 to 255; these reach from {low} to {high}.")
        channels = next(iter(frames.values())).shape[2]
        for name, values in (("mean", self._mean), ("std", self._std)):
            if values and (len(values) != channels or (name == "std" and min(values) <= 0)):
                raise DataError(
                    f"Frames: {name} must hold one number for each of the {channels} channels, of "
                    f"std above 0; {list(values)} was given."
                )
        return get_encoding(
            STANDARDISED if self._mean else PIXELS, mean=self._mean, std=self._std
        ), []

    def table(self) -> dict[str, Any]:
        told = {**super().table(), "still": True}
        if told["encoding"] == STANDARDISED:
            told |= {"mean": self._mean, "std": self._std}
        return told

    @property
    def timesteps(self) -> int | None:
        """None: it is the network's own business."""
        return None


def as_defined(splits: dict[str, Split], data: DataDefinition) -> Frames:
    """Frames, or with ``still`` pictures, of arrays, as ``[data]`` says.

    Raises:
        DefinitionError: pictures in an encoding of events.
    """
    given = [splits.get(name) for name in ("train", "validation", "test")]
    if not data.still:
        return Frames(*given, encoding=None if data.encoding == LINEAR else data.encoding)
    if data.encoding in (PIXELS, STANDARDISED, LINEAR):
        return Images(*given, mean=data.mean, std=data.std)
    raise DefinitionError(
        f"[data] encoding = {data.encoding!r} is of events; pictures take {PIXELS!r}, "
        f"{STANDARDISED!r} or {LINEAR!r}."
    )
