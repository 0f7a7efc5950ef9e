"""The recorded sets that tonic knows: where they lie, and how to get at their events.

Recordings are listed and read by tonic's own classes. Those refuse a copy that lacks the
downloaded archive or some files, and would download; here a copy is used as it is, and tonic
downloads only when asked to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hqsearch.data.files import check_file, checked, decoding
from hqsearch.errors import DataError
from hqsearch.wording import command


@dataclass(frozen=True)
class Recording:
    """One recording on disk.

    Attributes:
        relative: Path below the data folder, with slashes; recordings are sorted by it.
        label: Class name.
        read: Its events, checked, times as in the file; raises DataError naming the file.
        unit: Of those times; None where the file does not say it.
        group: What ``[data] group`` matches in ``relative``; None without that pattern.
    """

    path: Path
    relative: str
    label: str
    subject: int | None
    read: Callable[[tuple[int, int]], NDArray[Any]]
    unit: str | None
    group: str | None = None


@dataclass(frozen=True)
class KnownSet:
    """A recorded set that tonic has a class for.

    Attributes:
        title: For messages.
        tonic_class: Name in ``tonic.datasets``, and of the folder tonic keeps it in.
        sensor: (width, height). N-Caltech101's recordings differ in size; this bounds them.
        parts: Folder of each official split inside that folder; one part "train" where there
            is no official split.
        classes: How many it has, for what is asked before it is downloaded.
        sized: Event files of this set keep within ``sensor`` as they lie on disk.
        licence: As its publisher states it; None where that was not looked up.
    """

    title: str
    tonic_class: str
    sensor: tuple[int, int]
    parts: dict[str, str]
    classes: int
    sized: bool = True
    licence: str | None = None


KNOWN = {
    "dvs-gesture": KnownSet(
        "DVS128 Gesture",
        "DVSGesture",
        (128, 128),
        {"train": "ibmGestureTrain", "test": "ibmGestureTest"},
        classes=11,
        licence="CC BY 4.0",
    ),
    "cifar10-dvs": KnownSet("CIFAR10-DVS", "CIFAR10DVS", (128, 128), {"train": ""}, classes=10),
    "n-caltech101": KnownSet(
        "N-Caltech101", "NCALTECH101", (240, 180), {"train": "Caltech101"}, classes=101, sized=False
    ),
    "nmnist": KnownSet(
        "N-MNIST", "NMNIST", (34, 34), {"train": "Train", "test": "Test"}, classes=10
    ),
}


def licence_of(dataset: str) -> str | None:
    """The licence of a data set by its name in ``[data]``, where it is known."""
    return KNOWN[dataset].licence if dataset in KNOWN else None


def native_root(known: KnownSet, path: Path) -> Path | None:
    """The folder to give tonic as ``save_to`` if ``path`` holds the set in tonic's layout.

    ``path`` may be that folder, or the one that tonic makes in it.
    """
    for root in (path, path.parent):
        folder = root / known.tonic_class / known.parts["train"]
        inside = root == path or path.name == known.tonic_class
        if inside and folder.is_dir() and any(folder.glob("*/")):
            return root
    return None


def native_recordings(
    known: KnownSet, root: Path, part: str
) -> tuple[list[Recording], list[str]] | None:
    """Recordings of one official split, sorted by path, and warnings; None where it is absent.

    Raises:
        DataError: there is something in its folder that is none of the set.
    """
    if part not in known.parts or not (root / known.tonic_class / known.parts[part]).is_dir():
        return None
    try:
        dataset = _open(known, root, part, download=False)
    except Exception as error:
        # tonic makes labels of names, and stumbles over others.
        raise DataError(
            f"{root / known.tonic_class / known.parts[part]}: holds a file or folder that is none "
            f"of {known.title} ({error}). Move it out, or get the set again."
        ) from error
    home = root / known.tonic_class
    users = getattr(dataset, "users", [None] * len(dataset))
    names = _class_names(known, dataset)
    found = []
    for index, (file, target) in enumerate(zip(dataset.data, dataset.targets, strict=True)):
        path = Path(file)
        relative = path.relative_to(home).as_posix()
        read = partial(_read, dataset, index, path)
        try:
            label = names(target)
        except LookupError:
            raise DataError(
                f"{path}: label {target} is none of {known.title}. Move it out, or get "
                "the set again."
            ) from None
        found.append(Recording(path, relative, label, users[index], read, "us"))
    found.sort(key=lambda recording: recording.relative)
    warnings = []
    if not dataset.complete:
        warnings.append(
            f"this copy of {known.title} is not complete ({part}: {len(found)} recordings); it "
            f"is used as it is."
        )
    return found, warnings


def class_order(known: KnownSet, labels: set[str]) -> tuple[str, ...]:
    """Class names in the set's official order where it has one, else sorted."""
    import tonic.datasets

    official = getattr(getattr(tonic.datasets, known.tonic_class), "classes", None)
    names = [] if official is None else [_simple(name) for name in official]
    return tuple(names) if labels <= set(names) else tuple(sorted(labels))


def download(known: KnownSet, root: Path) -> None:
    """Let tonic download and unpack the set into ``root``.

    Raises:
        DataError: It could not; what to do by hand.
    """
    try:
        for part in known.parts:
            _open(known, root, part, download=True)
    except Exception as error:
        # Anything from a lost connection to a damaged archive.
        raise DataError(
            f"{known.title} could not be downloaded: {error}. {how_to(known, root)}"
        ) from error


def how_to(known: KnownSet, path: Path) -> str:
    """What to download, where to put it, and the command that does it."""
    import tonic.datasets

    cls = getattr(tonic.datasets, known.tonic_class)
    urls = [getattr(cls, name) for name in ("train_url", "test_url", "url") if hasattr(cls, name)]
    study = next(name for name, entry in KNOWN.items() if entry is known)
    folders = [f"{known.tonic_class}/{part}".rstrip("/") for part in known.parts.values()]
    more = ["--strategy", "nsga2", "--data", str(path), "--set", "data.download=true"]
    return (
        f"To have tonic download it: {command('run', study, *more)}. By hand: get "
        f"{' and '.join(urls)} and unpack to "
        f"{' and '.join(str(path / folder) for folder in folders)}. Your own recordings go to "
        f"{path}/train/<class>/<file>."
    )


def _simple(name: str) -> str:
    """A class name fit for tables: "Hand clapping" -> "hand_clapping", "0 - zero" -> "0"."""
    return name.split(" - ")[0].strip().lower().replace(" ", "_")


def _class_names(known: KnownSet, dataset: Any) -> Callable[[Any], str]:
    """How tonic's targets become class names."""
    official = getattr(dataset, "classes", None)
    if official is None:
        return str
    names = [_simple(name) for name in official]

    def name_of(target: Any) -> str:
        if int(target) < 0:
            raise IndexError
        return names[int(target)]

    return name_of


@cache
def _lenient(tonic_class: str) -> type:
    """tonic's class, without its tests for an archive and a number of files."""
    import tonic.datasets

    base: Any = getattr(tonic.datasets, tonic_class)

    class Lenient(base):
        def _is_file_present(self) -> bool:
            return True

        def _check_exists(self) -> bool:
            self.complete = bool(super()._check_exists())
            return True

    # tonic looks for the data in a folder that is called like its class.
    Lenient.__name__ = tonic_class
    return Lenient


def _open(known: KnownSet, root: Path, part: str, download: bool) -> Any:
    import numpy.lib.recfunctions  # noqa: F401  (tonic's DVSGesture uses it without importing it)
    import tonic.datasets

    official = len(known.parts) > 1
    options = {"train": part == "train"} if official else {}
    cls = getattr(tonic.datasets, known.tonic_class) if download else _lenient(known.tonic_class)
    return cls(save_to=str(root), **options)


def _read(dataset: Any, index: int, path: Path, sensor: tuple[int, int]) -> NDArray[Any]:
    check_file(path, None)
    with decoding(path):
        raw, _ = dataset[index]
    return checked(raw, sensor, str(path))
