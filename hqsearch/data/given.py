"""Frames that are given as Python objects: checked, turned into bytes, written once.

What a study keeps of them is a frame folder like any other (:mod:`hqsearch.data.frames`), named
by the SHA-256 of its contents, so that workers, other machines, resuming and the command line
need no arrays.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hqsearch.data.encoding import Encoding, get_encoding
from hqsearch.data.frames import DESCRIPTION, SPLITS, small_validation
from hqsearch.data.spec import DataSpec
from hqsearch.data.splits_given import Split, check_alike, class_names, read_split
from hqsearch.definition.data import FRAMES, LINEAR
from hqsearch.errors import DataError, DefinitionError
from hqsearch.sides import as_size

#: Raised when the bytes that given frames are turned into change.
FORMAT_VERSION = 1
#: Samples that are turned into bytes at a time.
_CHUNK = 64


@dataclass(frozen=True)
class _Stored:
    """The splits as they are kept: uint8 ``[n, T, C, H, W]`` and int64 ``[n]``."""

    splits: dict[str, tuple[NDArray[np.uint8], NDArray[np.int64]]]
    encoding: Encoding
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    contents: str


class Frames:
    """Event frames of one's own: three splits, each ``(frames, labels)``.

    ``frames`` is an array or tensor ``[n, T, C, H, W]`` (T timesteps), ``labels`` are
    integers ``[n]`` from 0; or a split is a torch ``Dataset`` of (frames ``[T, C, H, W]``,
    label) pairs, which is read whole, once.

    * Integers are counts: kept in 8 bits as ``encoding`` says, and priced as integer input.
    * Real values are kept as 8-bit codes of one step for all splits, declared real-valued, and
      priced as such; the largest rounding error is told as a note of the run.

    Arrays are looked at when they are first needed, and written, once, into the study's folder
    when a run starts; until then nothing is created.

    Args:
        train: what candidates are trained on.
        validation: what the search measures accuracy on.
        test: what ``confirm`` measures on; without it, ``confirm`` is refused.
        classes: names of the classes, or how many there are; the largest label + 1 by default.
        encoding: of counts: ``"count"`` (8 bit, at most 255; the default), ``"log2"``
            (floor(log2(1 + count)), 4 bit), ``"binary"`` (1 where there was an event) or
            ``"log1p"`` (real-valued).

    Raises:
        DataError: shapes, values or labels that cannot be used; raised at first use.
    """

    #: Whether samples have no time axis.
    still = False

    def __init__(
        self,
        train: Any,
        validation: Any,
        test: Any = None,
        *,
        classes: int | Sequence[str] | None = None,
        encoding: str | None = None,
    ) -> None:
        given = zip(SPLITS, (train, validation, test), strict=True)
        self._given = {name: split for name, split in given if split is not None}
        for name in SPLITS[:2]:
            if name not in self._given:
                raise DataError(f"Frames: the {name} split is missing; only test may be left out.")
        if encoding is not None:
            get_encoding(encoding)
            if encoding == LINEAR:
                raise DefinitionError(
                    "Frames: 'linear' is what real values get; leave encoding out for them."
                )
        self._classes, self._encoding = classes, encoding

    @staticmethod
    def from_folder(path: str | Path, *, timesteps: int = 8, **keys: Any) -> FolderFrames:
        """Recordings in a folder (``<split>/<class>/…`` or ``<class>/…``), framed by the study.

        Args:
            path: the folder; what it may hold is that of ``[data] dataset = "folder"``.
            timesteps: frames per sample.
            keys: the other keys of ``[data]``: ``sensor``, ``size``, ``encoding``, ``train``, ….
        """
        return FolderFrames(Path(path), timesteps, keys)

    @cached_property
    def stored(self) -> _Stored:
        """The bytes that are kept of it, and what tells them from others."""
        read = {name: self._read(name, split) for name, split in self._given.items()}
        check_alike(read)
        encoding, notes = self._choose({n: f for n, (f, _) in read.items()})
        classes, missing = class_names(
            self._classes, {n: labels for n, (_, labels) in read.items()}
        )
        splits, error = {}, 0.0
        for name, (frames, labels) in read.items():
            stored, largest = _encode(frames, encoding)
            splits[name], error = (stored, labels), max(error, largest)
        if encoding.name == LINEAR:
            notes.append(
                f"the frames are real-valued: kept as 8-bit codes of step {encoding.step:.4g}, "
                f"with a rounding error of at most {error:.3g}"
            )
        notes += missing + small_validation(len(read["validation"][1]))
        if "test" not in splits:
            shape = splits["train"][0].shape[1:]
            splits["test"] = (np.empty((0, *shape), np.uint8), np.empty(0, np.int64))
        told = [FORMAT_VERSION, encoding.name, encoding.step, encoding.signed, classes]
        told += [encoding.mean, encoding.std] if encoding.mean else []
        digest = hashlib.sha256(json.dumps(told).encode())
        for name in SPLITS:
            frames, labels = splits[name]
            digest.update(json.dumps([name, frames.shape]).encode())
            digest.update(labels.tobytes())
            for start in range(0, len(frames), _CHUNK):
                digest.update(np.ascontiguousarray(frames[start : start + _CHUNK]).data)
        return _Stored(splits, encoding, classes, tuple(notes), digest.hexdigest())

    def _read(self, name: str, split: Any) -> Split:
        """Frames ``[n, T, C, H, W]`` and labels ``[n]`` of what was given as a split."""
        return read_split(name, split)

    def _choose(self, frames: dict[str, NDArray[Any]]) -> tuple[Encoding, list[str]]:
        """How values are kept, and what is lost by it."""
        return _choose_encoding(frames, self._encoding)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(T, C, H, W)`` of a sample."""
        timesteps, channels, height, width = self.stored.splits["train"][0].shape[1:]
        return timesteps, channels, height, width

    @property
    def timesteps(self) -> int | None:
        """T of a sample; None where the network says it."""
        return self.shape[0]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of them: clipping, rounding, small splits."""
        return self.stored.notes

    def table(self) -> dict[str, Any]:
        """``[data]`` of a study that uses them."""
        stored = self.stored
        counts = {name: len(labels) or None for name, (_, labels) in stored.splits.items()}
        return {
            "dataset": FRAMES,
            "size": as_size(*self.shape[2:]),
            "channels": self.shape[1],
            "encoding": stored.encoding.name,
            "contents": stored.contents,
            **counts,
        }

    def write(self, folder: Path) -> None:
        """Make the frame folder, whole or not at all.

        Raises:
            OSError: it cannot be written; nothing half-made is left behind.
        """
        stored = self.stored
        partial = folder.with_name(folder.name + ".partial")
        for stale in (partial, folder):
            shutil.rmtree(stale, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            for name, (frames, labels) in stored.splits.items():
                np.save(partial / f"{name}-labels.npy", labels)
                np.save(partial / f"{name}-frames.npy", np.ascontiguousarray(frames))
            description = {
                "classes": stored.classes,
                "encoding": stored.encoding.name,
                "step": stored.encoding.step,
                "signed": stored.encoding.signed,
                "mean": stored.encoding.mean,
                "std": stored.encoding.std,
                "fingerprint": stored.contents,
                "simulated": False,
                "warnings": stored.notes,
                "empty": [name for name, (_, labels) in stored.splits.items() if not len(labels)],
            }
            (partial / DESCRIPTION).write_text(json.dumps(description, indent=1), encoding="utf-8")
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    def keys(self) -> dict[str, list[tuple[str, str]]]:
        """What tells samples apart, and what they are called, by split."""
        return {
            name: [
                (hashlib.sha256(sample.tobytes()).hexdigest(), f"{name} sample {i}")
                for i, sample in enumerate(frames)
            ]
            for name, (frames, _) in self.stored.splits.items()
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._given)})"


@dataclass(frozen=True)
class FolderFrames:
    """A folder of recordings, as :meth:`Frames.from_folder` names it."""

    path: Path
    timesteps: int
    keys: dict[str, Any]
    dataset: str = "folder"

    def table(self) -> dict[str, Any]:
        """``[data]`` of a study that uses them."""
        return {"dataset": self.dataset, "path": str(self.path.expanduser().resolve()), **self.keys}


def given_folder(spec: DataSpec, cache: Path, given: Frames | None) -> Path:
    """Where the frames of ``spec`` lie under ``cache``, or will.

    Raises:
        DataError: they are not there, and ``given`` are none or others.
    """
    assert spec.contents is not None
    folder = cache / f"{FRAMES}-{spec.contents[:16]}"
    here = (folder / DESCRIPTION).is_file()
    if not here and (given is None or given.stored.contents != spec.contents):
        raise DataError(
            f"the frames of this study are not in {folder}: they were given in Python, and must "
            "be given again: hqsearch.Study(…, data=hqsearch.Frames(…))."
        )
    return folder


def _choose_encoding(
    frames: dict[str, NDArray[Any]], asked: str | None
) -> tuple[Encoding, list[str]]:
    """How values are kept, and what is lost by it."""
    low = min(float(f.min()) for f in frames.values())
    high = max(float(f.max()) for f in frames.values())
    counts = asked is not None or all(f.dtype.kind in "bui" for f in frames.values())
    if not counts:
        signed = low < 0
        step = max(-low / 128, high / 127) if signed else high / 255
        return get_encoding(LINEAR, step or 1.0, signed), []
    if low < 0:
        raise DataError(f"Frames: counts cannot be negative; the smallest is {low:g}.")
    for name, array in frames.items():
        if array.dtype.kind == "f" and not all(
            (array[i : i + _CHUNK] == np.rint(array[i : i + _CHUNK])).all()
            for i in range(0, len(array), _CHUNK)
        ):
            raise DataError(
                f"Frames: {name} holds fractions, and encoding {asked!r} is one of counts; leave "
                "encoding out for real values."
            )
    encoding = get_encoding(asked or "count")
    if encoding.name == "binary":
        return encoding, []
    if asked is None and high <= 1:
        return encoding, [
            "frames hold 0 and 1 alone: encoding 'binary' lets the first layer read spikes"
        ]
    most = 2**15 - 1 if encoding.name == "log2" else 255
    clipped = [f"counts reach {high:g} and are clipped at {most}"] if high > most else []
    return encoding, clipped


def _encode(frames: NDArray[Any], encoding: Encoding) -> tuple[NDArray[np.uint8], float]:
    """The bytes of ``frames``, and the largest error of real values."""
    if frames.dtype == np.uint8 and encoding.name == "count":
        return frames, 0.0
    stored = np.empty(frames.shape, np.uint8)
    error = 0.0
    for start in range(0, len(frames), _CHUNK):
        part = frames[start : start + _CHUNK]
        part = part.astype(np.float64 if encoding.name == LINEAR else np.int64)
        codes = encoding.store(part)
        stored[start : start + _CHUNK] = codes
        if encoding.name == LINEAR:
            values = (codes.view(np.int8) if encoding.signed else codes) * encoding.step
            error = max(error, float(np.abs(values - part).max()))
    return stored, error
