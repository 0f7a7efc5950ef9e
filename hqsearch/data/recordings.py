"""Recorded data: a known set in tonic's layout, or folders ``<root>/<class>/<file>``.

Folders may have ``train/``, ``validation/`` and ``test/`` above the classes. A known set
(``nmnist``, ...) is accepted in folder form too, so that a part of it can be used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from hqsearch.data.files import (
    SUFFIXES,
    as_events,
    check_file,
    declared_sensor,
    file_unit,
    read_columns,
)
from hqsearch.data.framing import Events
from hqsearch.data.groups import groups_of
from hqsearch.data.known import (
    KNOWN,
    KnownSet,
    Recording,
    class_order,
    download,
    how_to,
    native_recordings,
    native_root,
)
from hqsearch.data.samples import Problem, Sample, SampleList, refuse_all
from hqsearch.data.spec import DataSpec
from hqsearch.data.splits import Indices, SplitItem, split
from hqsearch.data.splits_grouped import split_groups
from hqsearch.errors import DataError


def check_recordings(spec: DataSpec) -> list[Problem]:
    """Look at names, sizes and headers of all recordings; downloads and creates nothing.

    Returns:
        The files that cannot be used.

    Raises:
        DataError: See :func:`hqsearch.data.check_data`.
    """
    if is_absent(spec):
        return []
    known = KNOWN.get(spec.dataset)
    found = _find(spec)
    sensor = _sensor(spec, found.all)
    peek = sensor if known is None or known.sized else None
    problems: list[Problem] = []
    for recording in found.all:
        try:
            check_file(recording.path, peek)
        except DataError as error:
            problems.append((str(recording.path), str(error)))
    if spec.window is not None:
        return problems  # how many samples there are is known when recordings are read
    try:
        _splits(spec, found)
    except DataError:
        refuse_all(problems)  # more telling than that there are too few
        raise
    return problems


def recorded_samples(spec: DataSpec) -> SampleList:
    """The samples of ``spec``; downloads a known set first where that is asked for.

    Raises:
        DataError: See :func:`hqsearch.data.prepare_data`.
    """
    found = _here(spec)
    indices = _splits(spec, found)
    whole = _listed(spec, found)
    pool = whole.splits["train"]
    sources = {
        "train": (pool, indices.train),
        "validation": (whole.splits["validation"] or pool, indices.validation),
        "test": (whole.splits["test"] if indices.own_test else pool, indices.test),
    }
    return replace(
        whole,
        splits={name: [some[i] for i in chosen] for name, (some, chosen) in sources.items()},
        warnings=(*found.warnings, *indices.warnings),
    )


def whole_recordings(spec: DataSpec) -> SampleList:
    """One sample for each recording, in the splits that are folders; the rest is in ``train``.

    Raises:
        DataError: See :func:`hqsearch.data.prepare_data`.
    """
    return _listed(spec, _here(spec))


def _here(spec: DataSpec) -> _Found:
    """What is on disk, after a download where one is asked for."""
    known = KNOWN.get(spec.dataset)
    if known is not None and is_absent(spec):
        download(known, _root(spec))
    return _find(spec)


def _listed(spec: DataSpec, found: _Found) -> SampleList:
    everything = found.all
    sensor = _sensor(spec, everything)
    number = {name: label for label, name in enumerate(found.classes)}

    def samples(recordings: Sequence[Recording]) -> list[Sample]:
        return [
            Sample(
                origin=str(r.path),
                label=number[r.label],
                read=partial(_read, r, sensor),
                columns=partial(r.read, sensor),
                unit=r.unit,
                group=r.group or (None if r.subject is None else f"subject {r.subject}"),
            )
            for r in recordings
        ]

    return SampleList(
        activity="framing recordings",
        splits={
            "train": samples(found.pool),
            "validation": samples(found.validation_pool or []),
            "test": samples(found.test_pool or []),
        },
        classes=found.classes,
        sensor=sensor,
        identity=_identity(everything),
        simulated=False,
        warnings=tuple(found.warnings),
    )


def splits_on_disk(spec: DataSpec) -> frozenset[str]:
    """Those of ``validation`` and ``test`` that folders, or lists of a published set, name.

    Raises:
        DataError: the recordings are missing.
    """
    found = _find(spec)
    pools = {"validation": found.validation_pool, "test": found.test_pool}
    return frozenset(name for name, pool in pools.items() if pool is not None)


def is_absent(spec: DataSpec) -> bool:
    """Whether the recordings are still to be downloaded."""
    known = KNOWN.get(spec.dataset)
    return spec.download and known is not None and not _present(spec, known)


def recorded_classes(spec: DataSpec) -> int | None:
    """Number of classes of a known set that is not there yet; None where files have to say it."""
    known = KNOWN.get(spec.dataset)
    return known.classes if known is not None and not _present(spec, known) else None


@dataclass(frozen=True)
class _Found:
    """Recordings on disk, in order of path; a pool is None where no folder is that split."""

    pool: list[Recording]
    test_pool: list[Recording] | None
    classes: tuple[str, ...]
    warnings: list[str]
    validation_pool: list[Recording] | None = None

    @property
    def all(self) -> list[Recording]:
        """Every one of them, once."""
        return self.pool + (self.validation_pool or []) + (self.test_pool or [])


def _root(spec: DataSpec) -> Path:
    assert spec.path is not None, "DataSpec refuses recordings without a path"
    return spec.path.expanduser()


def _present(spec: DataSpec, known: KnownSet) -> bool:
    root = _root(spec)
    return native_root(known, root) is not None or bool(_subfolders(root))


def _find(spec: DataSpec) -> _Found:
    root, known = _root(spec), KNOWN.get(spec.dataset)
    advice = "" if known is None else f" {how_to(known, root)}"
    if not root.exists():
        raise DataError(f"the data folder {root} does not exist.{advice}")
    if not root.is_dir():
        raise DataError(f"{root} is a file; [data] path must be a folder.")
    if known is not None:
        native = native_root(known, root)
        if native is not None:
            return _grouped(spec, _find_native(known, native))
    if not _subfolders(root):
        what = "is empty" if not any(root.iterdir()) else "holds no class folders"
        layout = "" if known else " Recordings are expected as <class>/<file>."
        raise DataError(f"the data folder {root} {what}.{layout}{advice}")
    return _grouped(spec, _find_folders(root))


def _grouped(spec: DataSpec, found: _Found) -> _Found:
    """The recordings with their groups, where a pattern is given.

    Raises:
        DataError: paths that it does not match, all of them named.
    """
    if spec.group is None:
        return found
    groups = groups_of(spec.group, {r.relative: str(r.path) for r in found.all}, spec.path)

    def grouped(recordings: list[Recording]) -> list[Recording]:
        return [replace(r, group=groups[r.relative]) for r in recordings]

    return replace(
        found,
        pool=grouped(found.pool),
        test_pool=None if found.test_pool is None else grouped(found.test_pool),
        validation_pool=(None if found.validation_pool is None else grouped(found.validation_pool)),
    )


def _find_native(known: KnownSet, root: Path) -> _Found:
    train = native_recordings(known, root, "train")
    if train is None or not train[0]:
        raise DataError(
            f"{root / known.tonic_class} holds no recordings of {known.title}. "
            f"{how_to(known, root)}"
        )
    test = native_recordings(known, root, "test")
    labels = {r.label for r in train[0]} | {r.label for r in (test[0] if test else [])}
    warnings = train[1] + (test[1] if test else [])
    return _Found(
        train[0], test[0] if test and test[0] else None, class_order(known, labels), warnings
    )


def _find_folders(root: Path) -> _Found:
    above = {folder.name.lower(): folder for folder in _subfolders(root)}
    warnings: list[str] = []
    if "train" not in above:
        pool = _class_folders(root, root, warnings)
        test_pool = validation_pool = None
    else:
        others = sorted(set(above) - {"train", "validation", "test"})
        if others:
            raise DataError(
                f"{root} holds train/ and also {others[0]}/, which is unclear. Move that folder "
                f"out, or put all classes next to each other without train/."
            )
        pool = _class_folders(above["train"], root, warnings)
        validation_pool, test_pool = (
            _class_folders(above[name], root, warnings) if name in above else None
            for name in ("validation", "test")
        )
    classes = tuple(sorted({r.label for r in pool}))
    for recording in (validation_pool or []) + (test_pool or []):
        if recording.label not in classes:
            raise DataError(
                f"{recording.path.parent}: class {recording.label!r} has no folder under "
                f"{above['train']}, so it cannot be learned."
            )
    if len(classes) < 2:
        raise DataError(f"{root} holds one class only ({classes[0]!r}); two or more are needed.")
    return _Found(pool, test_pool, classes, warnings, validation_pool)


def _class_folders(folder: Path, root: Path, warnings: list[str]) -> list[Recording]:
    """The event files of each class folder in ``folder``, sorted by path."""
    found: list[Recording] = []
    ignored: list[Path] = []
    classes = _subfolders(folder)
    if not classes:
        raise DataError(f"{folder} holds no class folders; <class>/<file> is expected there.")
    for class_folder in classes:
        files = sorted(p for p in class_folder.iterdir() if not p.name.startswith("."))
        # A folder or a pipe called like an event file is refused with the unusable files.
        events = [p for p in files if p.suffix.lower() in SUFFIXES]
        ignored += [p for p in files if p not in events]
        if not events:
            raise DataError(
                f"{class_folder}: no readable event files ({', '.join(SUFFIXES)}) for class "
                f"{class_folder.name!r}. Add some, or remove the folder."
            )
        for path in events:
            relative = path.relative_to(root).as_posix()
            read, unit = partial(read_columns, path), file_unit(path)
            found.append(Recording(path, relative, class_folder.name, None, read, unit))
    if ignored:
        warnings.append(
            f"{len(ignored)} entries below {folder} are no event files and were ignored, such as "
            f"{ignored[0]}."
        )
    return sorted(found, key=lambda recording: recording.relative)


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _sensor(spec: DataSpec, recordings: list[Recording]) -> tuple[int, int]:
    if spec.sensor is not None:
        return spec.sensor
    known = KNOWN.get(spec.dataset)
    if known is not None:
        return known.sensor
    first: tuple[Path, tuple[int, int]] | None = None
    for recording in recordings:
        size = declared_sensor(recording.path)
        if size is None:
            raise DataError(
                f"{recording.path}: this file does not say how large its sensor is. Declare it: "
                f"sensor = [width, height] in [data]."
            )
        first = first or (recording.path, size)
        if size != first[1]:
            raise DataError(
                f"{recording.path} has a sensor of {size[0]}x{size[1]}, but {first[0]} one of "
                f"{first[1][0]}x{first[1][1]}. Declare one for all: sensor = [width, height] in "
                f"[data]."
            )
    assert first is not None, "a folder without recordings was refused before"
    return first[1]


def _splits(spec: DataSpec, found: _Found) -> Indices:
    def labelled(recordings: list[Recording]) -> list[SplitItem]:
        return [SplitItem(found.classes.index(r.label), r.subject, r.group) for r in recordings]

    test_pool = None if found.test_pool is None else labelled(found.test_pool)
    own = None if found.validation_pool is None else labelled(found.validation_pool)
    divide = split if spec.group is None else split_groups
    return divide(spec, labelled(found.pool), test_pool, found.classes, own)


def _read(recording: Recording, sensor: tuple[int, int]) -> Events:
    return as_events(recording.read(sensor), recording.unit, str(recording.path))


def _identity(recordings: list[Recording]) -> str:
    digest = hashlib.sha256()
    for recording in recordings:
        try:
            stat = recording.path.stat()
        except OSError as error:
            raise DataError(f"{recording.path}: cannot be read ({error.strerror}).") from error
        digest.update(f"{recording.relative}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()
