"""What frames are made from where it is no events: the contract that :mod:`prepare` works with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hqsearch.data.encoding import Encoding
from hqsearch.data.frames import DESCRIPTION
from hqsearch.data.samples import Progress


class Source(Protocol):
    """Samples of a study that are no events."""

    def check(self, cache: Path | None) -> None:
        """Look at everything, before anything is created.

        Args:
            cache: where frames will lie; None: nothing but names and headers is looked at.

        Raises:
            DataError: what cannot be used, all of it named.
        """

    def folder(self, cache: Path) -> Path:
        """Where its frames lie under ``cache``, or will."""

    def counts(self) -> Mapping[str, int]:
        """Samples of each split."""

    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their labels."""

    def splits_given(self) -> frozenset[str]:
        """Of which splits a person, and no draw, says what their samples are."""

    def encoding(self) -> Encoding:
        """How stored values become what the network sees."""

    def few(self, count: int) -> NDArray[np.uint8]:
        """Stored frames uint8 ``[n, T, C, H, W]`` of at most ``count`` training samples."""

    def labels(self) -> Mapping[str, Sequence[int]]:
        """Label of every sample, by split."""

    def keys(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        """What tells samples apart, and what they are called, by split; empty where unknown."""

    def write(self, folder: Path, progress: Progress | None, workers: int) -> None:
        """Make the frame folder, whole or not at all.

        Raises:
            DataError: samples that cannot be used, all of them named.
        """


class FrameWriter:
    """A frame folder that is being made, split by split."""

    def __init__(self, partial: Path) -> None:
        self._partial = partial

    def split(self, name: str, labels: NDArray[np.int64], frames: Iterable[Any]) -> None:
        """One split: ``labels`` int64 ``[n]``, frames uint8 ``[T, C, H, W]``, at least one."""
        np.save(self._partial / f"{name}-labels.npy", labels)
        with (self._partial / f"{name}-frames.npy").open("wb") as file:
            for index, sample in enumerate(frames):
                if index == 0:
                    header = {"descr": "|u1", "fortran_order": False}
                    shape = (len(labels), *sample.shape)
                    np.lib.format.write_array_header_1_0(file, {**header, "shape": shape})
                # Plain writes: a full disk under a memory map would kill the process.
                file.write(np.ascontiguousarray(sample).data)

    def describe(
        self,
        classes: Sequence[str],
        encoding: Encoding,
        fingerprint: str,
        warnings: Sequence[str],
        summary: str,
    ) -> None:
        """What is told of the frames; written last."""
        told = {
            "classes": list(classes),
            "encoding": encoding.name,
            "mean": list(encoding.mean),
            "std": list(encoding.std),
            "fingerprint": fingerprint,
            "simulated": False,
            "warnings": list(warnings),
            "summary": summary,
        }
        (self._partial / DESCRIPTION).write_text(json.dumps(told, indent=1), encoding="utf-8")


@contextmanager
def making(folder: Path) -> Iterator[FrameWriter]:
    """Make ``folder``, whole or not at all."""
    partial = folder.with_name(folder.name + ".partial")
    for stale in (partial, folder):
        shutil.rmtree(stale, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield FrameWriter(partial)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
