"""Samples that are arrays: in ``.npy`` and ``.npz`` files, or what a function of the user's gives.

Files hold frames ``[n, T, C, H, W]``, or pictures ``[n, C, H, W]`` where ``[data] still`` says so,
and labels ``[n]``: under the names of :data:`FRAME_NAMES` and :data:`LABEL_NAMES`, alone or with
``train``, ``validation`` (or ``val``) and ``test`` before or behind. Nothing is unpickled. A
function ``build`` returns two or three splits, each a pair of arrays or a torch Dataset, or
:class:`hqsearch.Frames` or :class:`hqsearch.Images`.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hqsearch.data.arrays import Unusable, open_npy, open_npz
from hqsearch.data.encoding import Encoding
from hqsearch.data.frames import SPLITS
from hqsearch.data.given import Frames
from hqsearch.data.given_images import as_defined
from hqsearch.data.samples import Progress
from hqsearch.data.spec import DataSpec
from hqsearch.data.splits import SplitItem, split
from hqsearch.data.splits_given import Split, as_split
from hqsearch.definition.data import CODE
from hqsearch.errors import DataError, HqsearchError
from hqsearch.plugins import file_identity, load_from_file
from hqsearch.sides import as_size

FRAME_NAMES = ("frames", "images", "pictures", "data", "x")
LABEL_NAMES = ("labels", "targets", "y")
_SPLIT_NAMES = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


class ObjectSource:
    """Arrays of a study, from files or from a function.

    Raises:
        DataError: at first use, for what cannot be used.
    """

    def __init__(self, spec: DataSpec) -> None:
        assert spec.path is not None, "DataSpec refuses arrays without a path"
        self.spec, self.path = spec, spec.path.expanduser()

    @cached_property
    def frames(self) -> Frames:
        """The study's splits, drawn where they are not given; turned into bytes when asked."""
        spec = self.spec
        if spec.dataset == CODE:
            found = self._called()
            if isinstance(found, Frames):
                return found
            splits = found
        else:
            splits = read_arrays(self.path)
        with self._naming():
            return as_defined(self._drawn(splits), spec)

    def check(self, cache: Path | None) -> None:
        frames = self.frames
        with self._naming():
            shape, spec = frames.shape, self.spec
            wanted = {"size": as_size(*shape[2:]), "channels": shape[1]}
            if not frames.still:
                wanted["timesteps"] = shape[0]
            if frames.still != spec.still:
                what, said = ("pictures", "true") if frames.still else ("frames", "false")
                raise DataError(f"Frames: samples are {what}: set still = {said} in [data].")
            off = [
                f"{key} = {list(v) if isinstance(v, tuple) else v}"
                for key, v in wanted.items()
                if getattr(spec, key) != v
            ]
            if off:
                raise DataError(
                    f"Frames: samples have the shape {list(shape)} [T, C, H, W]: set "
                    f"{', '.join(off)} (timesteps in [model], the others in [data])."
                )
            name = frames.stored.encoding.name
            if name != spec.encoding:
                raise DataError(f"Frames: values are kept as {name!r}: set encoding = {name!r}.")

    def folder(self, cache: Path) -> Path:
        return cache / f"{self.spec.dataset}-{self._identity[:16]}"

    def counts(self) -> Mapping[str, int]:
        with self._naming():
            return {name: len(labels) for name, labels in self.labels().items()}

    def classes(self) -> tuple[str, ...]:
        with self._naming():
            return self.frames.stored.classes

    def splits_given(self) -> frozenset[str]:
        if self.spec.dataset == CODE:
            return frozenset(("validation", "test"))
        return frozenset(read_arrays(self.path))

    def encoding(self) -> Encoding:
        return self.frames.stored.encoding

    def few(self, count: int) -> NDArray[np.uint8]:
        return self.frames.stored.splits["train"][0][:count]

    def labels(self) -> Mapping[str, Sequence[int]]:
        return {name: y.tolist() for name, (_, y) in self.frames.stored.splits.items()}

    def keys(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        return self.frames.keys()

    def write(self, folder: Path, progress: Progress | None, workers: int) -> None:
        self.check(None)
        self.frames.write(folder)

    @cached_property
    def _identity(self) -> str:
        spec = self.spec
        names = ("dataset", "size", "channels", "still", "encoding", "mean", "std", "train",
                 "validation", "test", "seed")  # fmt: skip
        told: list[Any] = [{name: getattr(spec, name) for name in names}]
        if spec.dataset == CODE:
            told += [file_identity(str(self.path), Path()), spec.timesteps]
        else:
            files = sorted(self.path.glob("*.npy")) if self.path.is_dir() else [self.path]
            told += [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files if f.is_file()]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def _called(self) -> Frames | dict[str, Split]:
        """What the user's function returns."""
        spec, reference = self.spec, str(self.path)
        build = load_from_file(reference, Path())
        if not callable(build):
            raise DataError(
                f"{reference} is no function; write `def build(*, size, timesteps, seed)` there, "
                "returning train, validation and test."
            )
        given = {"size": spec.size, "timesteps": spec.timesteps, "seed": spec.seed}
        parameters = inspect.signature(build).parameters.values()
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
        taken = {k: v for k, v in given.items() if open_ended or k in {p.name for p in parameters}}
        try:
            found = build(**taken)
        except HqsearchError:
            raise
        except Exception as error:
            raise DataError(f"{reference} failed: {type(error).__name__}: {error}") from error
        if isinstance(found, Frames):
            return found
        if isinstance(found, Mapping):
            found = [found.get(name) for name in SPLITS]
        if not isinstance(found, tuple | list) or not 2 <= len(found) <= 3:
            raise DataError(
                f"{reference} returned a {type(found).__name__}; train, validation and test are "
                "needed (test may be left out), each (arrays, labels) or a torch Dataset."
            )
        with self._naming():
            return {
                name: as_split(name, given)
                for name, given in zip(SPLITS, found, strict=False)
                if given is not None
            }

    def _drawn(self, splits: dict[str, Split]) -> dict[str, Split]:
        """The samples that the study asks for; splits that are not there come from train."""
        if "train" not in splits:
            raise DataError(f"{self.path}: there are no training samples.")
        for name, (x, y) in splits.items():
            if len(x) != len(y) or y.ndim != 1 or y.dtype.kind not in "ui":
                raise DataError(
                    f"{self.path}: {name} has {len(x)} samples and labels {y.dtype} "
                    f"{list(y.shape)}; a whole number each is needed."
                )

        def items(name: str) -> list[SplitItem] | None:
            return [SplitItem(int(v)) for v in splits[name][1]] if name in splits else None

        labels = splits["train"][1]
        classes = [str(i) for i in range(int(labels.max(initial=0)) + 1)]
        indices = split(
            self.spec, items("train") or [], items("test"), classes, items("validation")
        )
        places = {"train": indices.train, "validation": indices.validation, "test": indices.test}
        drawn = {}
        for name, rows in places.items():
            x, y = splits.get(name, splits["train"])
            drawn[name] = x[rows], y[rows]
        return drawn

    def _naming(self) -> _Naming:
        return _Naming(str(self.path))


class _Naming:
    """Messages about given frames name the file that they come from."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, DataError) and str(error).startswith("Frames: "):
            text = str(error).removeprefix("Frames: ")
            raise DataError(f"{self._place}: {text}") from error


def read_arrays(path: Path) -> dict[str, Split]:
    """The arrays of an ``.npz`` file, or of the ``.npy`` files in a folder, by split.

    What has no split in its name is ``train``. Files of a folder are memory-mapped.

    Raises:
        DataError: there is none, arrays are damaged, or their names say nothing.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist.")
    try:
        if path.is_dir():
            arrays = {}
            for file in sorted(path.glob("*.npy")):
                try:
                    arrays[file.stem] = open_npy(file, mapped=True)
                except (Unusable, ValueError) as error:
                    raise Unusable(f"{file.name}: {error}") from error
        elif path.suffix.lower() == ".npz":
            arrays = open_npz(path)
        else:
            raise Unusable(
                "arrays are read from an .npz file, or from a folder of .npy files for frames and "
                "labels"
            )
        return _by_split(arrays)
    except Unusable as error:
        raise DataError(f"{path}: {error}.") from error


def _by_split(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Split]:
    found: dict[str, dict[str, str]] = {}
    for name in arrays:
        words = [w for w in re.split(r"[-_. ]+", name.lower()) if w]
        split = next((_SPLIT_NAMES[w] for w in words if w in _SPLIT_NAMES), "train")
        rest = [w for w in words if w not in _SPLIT_NAMES]
        kind = "frames" if rest and rest[0] in FRAME_NAMES else "labels"
        if len(rest) != 1 or rest[0] not in (*FRAME_NAMES, *LABEL_NAMES):
            continue
        if kind in found.setdefault(split, {}):
            raise Unusable(f"{found[split][kind]!r} and {name!r} may both be the {kind} of {split}")
        found[split][kind] = name
    listed = ", ".join(list(arrays)[:10]) or "nothing"
    for split, kinds in found.items():
        for kind, names in (("frames", FRAME_NAMES), ("labels", LABEL_NAMES)):
            if kind not in kinds:
                raise Unusable(
                    f"it holds {listed}; the {kind} of {split} are missing ({split}_{names[0]} is "
                    "a name that is understood)"
                )
    if not found:
        raise Unusable(
            f"it holds {listed}; arrays such as train_frames and train_labels, or frames and "
            "labels, are needed"
        )
    return {s: (arrays[k["frames"]], arrays[k["labels"]]) for s, k in found.items()}
