"""Pictures of a study: found, split, decoded once, kept as bytes."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hqsearch.data.encoding import Encoding, encoding_of
from hqsearch.data.frames import DESCRIPTION, SPLITS, small_validation
from hqsearch.data.groups import groups_of
from hqsearch.data.picture_files import SUFFIXES, BrokenPicture, Decoded, open_picture
from hqsearch.data.picture_layout import PictureLayout, lay_out
from hqsearch.data.picture_stores import CifarStore, FolderStore, PictureStore, ZipStore
from hqsearch.data.samples import Problem, Progress, refuse_all
from hqsearch.data.source import making
from hqsearch.data.spec import DataSpec
from hqsearch.data.splits import SplitItem, split
from hqsearch.data.splits_grouped import split_groups
from hqsearch.errors import DataError
from hqsearch.machine import cores
from hqsearch.sides import sides

#: Raised when the bytes that a given picture and setting are turned into change.
FORMAT_VERSION = 1
#: Frames of at most so many bytes stay in memory from the check to the writing, so that pictures
#: are decoded once. Of larger sets the check looks at headers alone.
KEPT_BYTES = 512 << 20
#: Pictures that a thread takes at a time.
_CHUNK = 64


@dataclass(frozen=True)
class _Chosen:
    """One picture of a split."""

    name: str
    label: int
    group: str | None = None


@dataclass(frozen=True)
class _Kept:
    """All frames of a study in memory, by split, and what was changed of how many pictures."""

    frames: Mapping[str, NDArray[np.uint8]]
    changed: Mapping[str, tuple[int, str]]


#: Of the latest check: its identity, and what it decoded.
_kept: dict[str, _Kept] = {}


class PictureSource:
    """A folder or a .zip of pictures, or a published set of them.

    Raises:
        DataError: at first use, for what cannot be used.
    """

    def __init__(self, spec: DataSpec) -> None:
        assert spec.path is not None, "DataSpec refuses pictures without a path"
        self.spec, self.path = spec, spec.path.expanduser()

    @cached_property
    def store(self) -> PictureStore:
        """Where the pictures lie."""
        return _open_store(self.path, self.spec.dataset)

    @cached_property
    def layout(self) -> PictureLayout:
        """Classes and splits as the folders say them."""
        return lay_out(self.store, str(self.path), val_is_test=self.spec.dataset == "imagenet")

    @cached_property
    def splits(self) -> dict[str, list[_Chosen]]:
        """The pictures that the study uses."""
        return self._split[0]

    @cached_property
    def _split(self) -> tuple[dict[str, list[_Chosen]], tuple[str, ...]]:
        layout = self.layout
        number = {name: label for label, name in enumerate(layout.classes)}
        groups: dict[str, str] = {}
        divide = split
        if self.spec.group is not None:
            names = [file for pool in layout.pools.values() for file, _ in pool]
            origins = {name: self.store.origin(name) for name in names}
            groups = groups_of(self.spec.group, origins, self.path)
            divide = split_groups
        pools = {
            name: [_Chosen(file, number[label], groups.get(file)) for file, label in pool]
            for name, pool in layout.pools.items()
        }

        def items(name: str) -> list[SplitItem] | None:
            if name not in pools:
                return None
            return [SplitItem(c.label, group=c.group) for c in pools[name]]

        indices = divide(
            self.spec, items("train") or [], items("test"), layout.classes, items("validation")
        )
        chosen = {
            "train": [pools["train"][i] for i in indices.train],
            "validation": [pools.get("validation", pools["train"])[i] for i in indices.validation],
            "test": [pools.get("test", pools["train"])[i] for i in indices.test],
        }
        return chosen, indices.warnings

    def check(self, cache: Path | None) -> None:
        """Decode every picture, or of a large set look at every header."""
        splits = self.splits
        if cache is None or (self.folder(cache) / DESCRIPTION).is_file():
            return
        if self._identity in _kept:
            return
        if self._bytes <= KEPT_BYTES:
            kept = self._decode_all()
            _kept.clear()
            _kept[self._identity] = kept
            return
        names = [c.name for name in SPLITS for c in splits[name]]
        with ThreadPoolExecutor(cores()) as pool:
            found = zip(names, pool.map(self._header_fault, names, chunksize=_CHUNK), strict=True)
            refuse_all([(self.store.origin(n), fault) for n, fault in found if fault], "pictures")

    def folder(self, cache: Path) -> Path:
        return cache / f"{self.spec.dataset}-{self._identity[:16]}"

    def counts(self) -> Mapping[str, int]:
        return {name: len(chosen) for name, chosen in self.splits.items()}

    def classes(self) -> tuple[str, ...]:
        return self.layout.classes

    def splits_given(self) -> frozenset[str]:
        return frozenset(self.layout.pools)

    def encoding(self) -> Encoding:
        return encoding_of(self.spec)

    def few(self, count: int) -> NDArray[np.uint8]:
        train = self.splits["train"]
        places = np.unique(np.linspace(0, len(train) - 1, count).round().astype(int))
        return np.stack([self._decoded(train[i]).pixels[None] for i in places])

    def labels(self) -> Mapping[str, Sequence[int]]:
        return {name: [c.label for c in chosen] for name, chosen in self.splits.items()}

    def keys(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        """By what is kept of them: two files of one picture are one; none of a large set."""
        kept = _kept.get(self._identity)
        if kept is None:
            return {}
        return {
            name: [
                (hashlib.sha256(frame.tobytes()).hexdigest(), chosen.name)
                for frame, chosen in zip(kept.frames[name], self.splits[name], strict=True)
            ]
            for name in SPLITS
        }

    def write(self, folder: Path, progress: Progress | None, workers: int) -> None:
        kept = _kept.pop(self._identity, None)
        digest = hashlib.sha256(json.dumps([self._settings, self.classes()]).encode())
        changed, problems = _Changes(), list[Problem]()
        total, done = sum(self.counts().values()), 0

        def frames(name: str) -> Iterator[NDArray[np.uint8]]:
            nonlocal done
            held = None if kept is None else kept.frames[name]
            for pixels in held if held is not None else self._decode(name, changed, problems):
                digest.update(np.ascontiguousarray(pixels).data)
                done += 1
                if progress is not None and done % _CHUNK == 0:
                    progress("reading pictures", done, total)
                yield pixels[None]

        with making(folder) as writer:
            for name in SPLITS:
                labels = np.array(self.labels()[name], dtype=np.int64)
                digest.update(labels.tobytes())
                writer.split(name, labels, frames(name))
            refuse_all(problems, "pictures")
            told = changed.found if kept is None else kept.changed
            writer.describe(
                self.classes(),
                encoding_of(self.spec),
                digest.hexdigest(),
                [
                    *self.layout.warnings,
                    *self._split[1],
                    *_say(told),
                    *small_validation(len(self.splits["validation"])),
                ],
                self.summary(),
            )

    def summary(self) -> str:
        """One line about the pictures."""
        counts = self.counts()
        height, width = sides(self.spec.size)
        colour = "colour" if self.spec.channels == 3 else "grey"
        return (
            f"{sum(counts.values()):,} pictures in {len(self.classes())} classes, kept as "
            f"{height} x {width} {colour} pixels of 8 bit{self._kept_together()}"
        )

    def _kept_together(self) -> str:
        if self.spec.group is None:
            return ""
        number = len({chosen.group for part in self.splits.values() for chosen in part})
        return f"; {number:,} groups by {self.spec.group!r}, none in two splits"

    @cached_property
    def _settings(self) -> dict[str, Any]:
        names = (
            "dataset", "size", "channels", "fit", "train", "validation", "test", "seed",
            "encoding", "mean", "std",
        )  # fmt: skip
        return {"format": FORMAT_VERSION} | {name: getattr(self.spec, name) for name in names}

    @cached_property
    def _identity(self) -> str:
        """Of the settings, and of the files by name, size and time (in archives: their CRC)."""
        digest = hashlib.sha256(json.dumps([self._settings, self.layout.classes]).encode())
        for name in SPLITS:
            for chosen in self.splits[name]:
                line = f"{name}\0{chosen.name}\0{self.store.stamp(chosen.name)}\n"
                digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()

    @property
    def _bytes(self) -> int:
        return sum(self.counts().values()) * math.prod(self._shape)

    @property
    def _shape(self) -> tuple[int, int, int]:
        """Of a picture: channels, height, width."""
        return self.spec.channels, *sides(self.spec.size)

    def _decoded(self, chosen: _Chosen) -> Decoded:
        try:
            spec = self.spec
            return self.store.decode(chosen.name, spec.size, spec.channels, spec.fit)
        except BrokenPicture as error:
            origin = self.store.origin(chosen.name)
            raise DataError(f"{origin}: {error}. Remove it, or get it again.") from error

    def _header_fault(self, name: str) -> str:
        try:
            if not isinstance(self.store, CifarStore):
                open_picture(self.store.content(name))
        except BrokenPicture as error:
            return str(error)
        return ""

    def _decode_all(self) -> _Kept:
        changed, problems = _Changes(), list[Problem]()
        frames = {}
        for name in SPLITS:
            held = np.empty((len(self.splits[name]), *self._shape), np.uint8)
            for place, pixels in enumerate(self._decode(name, changed, problems)):
                held[place] = pixels
            frames[name] = held
        refuse_all(problems, "pictures")
        return _Kept(frames, changed.found)

    def _decode(
        self, name: str, changed: _Changes, problems: list[Problem]
    ) -> Iterator[NDArray[np.uint8]]:
        """Every picture of a split, in order; of broken ones, which are noted, what is black."""
        black = np.zeros(self._shape, np.uint8)
        splits = self.splits[name]

        def chunk(start: int) -> list[Decoded | DataError]:
            found: list[Decoded | DataError] = []
            for chosen in splits[start : start + _CHUNK]:
                try:
                    found.append(self._decoded(chosen))
                except DataError as error:
                    found.append(error)
            return found

        for place, one in enumerate(_ahead(chunk, range(0, len(splits), _CHUNK))):
            origin = self.store.origin(splits[place].name)
            if isinstance(one, DataError):
                problems.append((origin, str(one)))
                yield black
                continue
            if one.changed:
                changed.add(one.changed, origin)
            yield one.pixels


class _Changes:
    """What was done to pictures, how often, and the first that it was done to."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, what: str, origin: str) -> None:
        self._counts[what] += 1
        self._first.setdefault(what, origin)

    @property
    def found(self) -> dict[str, tuple[int, str]]:
        return {what: (n, self._first[what]) for what, n in self._counts.most_common()}


def _say(changed: Mapping[str, tuple[int, str]]) -> list[str]:
    return [
        f"{count:,} {'picture was' if count == 1 else 'pictures were'} converted ({what}), such as "
        f"{first}."
        for what, (count, first) in changed.items()
    ]


def _ahead(chunk: Any, starts: Sequence[int]) -> Iterator[Any]:
    """The results of ``chunk`` for all ``starts``, in order, few of them waiting."""
    threads = cores()
    waiting: deque[Future[list[Any]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for start in starts:
                waiting.append(pool.submit(chunk, start))
                if len(waiting) > 2 * threads:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _open_store(path: Path, dataset: str) -> PictureStore:
    """The store at ``path``.

    Raises:
        DataError: there is none; it says what is expected.
    """
    place = _find_cifar(path) if dataset == "cifar10" else path
    if not place.exists():
        raise DataError(f"{place} does not exist.{_HOW_TO.get(dataset, '')}")
    if place.is_file():
        if place.suffix.lower() != ".zip":
            raise DataError(
                f"{place} is a file; pictures are read from a folder or a .zip."
                f"{_HOW_TO.get(dataset, '')}"
            )
        return ZipStore(place)
    if CifarStore.is_in(place):
        return CifarStore(place)
    if (place / "data_batch_1").is_file():
        raise DataError(
            f"{place} holds CIFAR-10 as pickled Python objects, which are not loaded: any code may "
            f"be in them.{_HOW_TO['cifar10']}"
        )
    if dataset == "imagenet" and not (place / "train").is_dir():
        raise DataError(f"{place} holds no train/.{_HOW_TO['imagenet']}")
    try:
        return FolderStore(place)
    except DataError as error:
        raise DataError(f"{error}{_HOW_TO.get(dataset, '')}") from None


def published_classes(spec: DataSpec) -> int | None:
    """Number of classes of a published set that is not there yet; None where files say it."""
    known = _PUBLISHED.get(spec.dataset)
    if known is None or spec.path is None:
        return None
    path = spec.path.expanduser()
    if not path.exists():
        return known
    if not path.is_dir():
        return None
    place = _find_cifar(path) if spec.dataset == "cifar10" else path
    there = place.is_file() or CifarStore.is_in(place) or (place / "train").is_dir()
    # What else may be there is told by whoever looks at the data.
    return None if there or (spec.dataset == "cifar10" and _classes_are_in(place)) else known


def _classes_are_in(place: Path) -> bool:
    """Whether folders of pictures lie there."""
    files = (islice(f.iterdir(), 100) for f in place.iterdir() if f.is_dir())
    return any(file.suffix.lower() in SUFFIXES for some in files for file in some)


def _find_cifar(path: Path) -> Path:
    """CIFAR-10 at ``path`` or directly below it, in one of its layouts."""
    if not path.exists():
        raise DataError(f"the data folder {path} does not exist.{_HOW_TO['cifar10']}")
    if path.is_file() or CifarStore.is_in(path) or (path / "train").is_dir():
        return path
    for name in ("cifar-10-batches-bin", "cifar-10.zip", "cifar10.zip", "cifar-10", "cifar10"):
        if (path / name).exists():
            return path / name
    return path


_PUBLISHED = {"cifar10": 10, "imagenet": 1000}
_HOW_TO = {
    "cifar10": (
        " CIFAR-10: unpack https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz there (it makes "
        "cifar-10-batches-bin/), or give a folder or .zip of train/<class>/ and test/<class>/ with "
        "--data PATH."
    ),
    "imagenet": (
        " ImageNet is not downloaded: get ILSVRC2012 from https://image-net.org, unpack it as "
        "train/<class>/*.JPEG and val/<class>/*.JPEG, and give that folder with --data DIR."
    ),
}
