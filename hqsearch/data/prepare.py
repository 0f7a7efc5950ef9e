"""Check, make and open the frames of a study.

Frames are written to a temporary folder that is renamed when it is complete, so a folder with
the final name is always whole; an interrupted preparation starts again. The folder's name is
derived from the settings and from the names, sizes and times of the source files, the
fingerprint from the settings and the frames themselves: recordings that were moved or copied
are framed again, and give the same fingerprint.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from hqsearch.atomic import is_full
from hqsearch.data.encoding import Encoding, get_encoding
from hqsearch.data.frames import (
    DESCRIPTION,
    SPLITS,
    FrameData,
    open_frames,
    small_validation,
)
from hqsearch.data.framing import count_equally, count_window, frame_events
from hqsearch.data.given import Frames, given_folder
from hqsearch.data.recordings import (
    check_recordings,
    is_absent,
    recorded_samples,
    splits_on_disk,
    whole_recordings,
)
from hqsearch.data.samples import Problem, Progress, Sample, SampleList, refuse_all
from hqsearch.data.simulated import simulated_samples
from hqsearch.data.sources import source_of
from hqsearch.data.spec import DataSpec
from hqsearch.data.summary import DataSummary, summarise
from hqsearch.data.windows import cut
from hqsearch.definition.data import FRAMES, SIMULATED
from hqsearch.errors import DataError, DiskFull
from hqsearch.machine import cores
from hqsearch.sides import sides

#: Raised when the bytes that a given source and setting are turned into change.
FORMAT_VERSION = 1


def check_data(spec: DataSpec, cache: Path | None = None, given: Frames | None = None) -> None:
    """Look at every source file's name, size and header, before anything is created.

    Args:
        cache: Where :func:`prepare_data` will put the frames. If it is given and they are not
            there yet, all recordings are read as well.

    Raises:
        DataError: A folder is missing or empty, a class has no readable file, files are
            truncated, no event files or (with ``cache``) unusable, all of which are named, or
            there are fewer samples than the splits need.
    """
    if spec.dataset == SIMULATED:
        return
    if spec.dataset == FRAMES:
        given_folder(spec, cache or Path(), given)
        return
    other = source_of(spec)
    if other is not None:
        other.check(cache)
        return
    problems = check_recordings(spec)
    if cache is not None and not is_absent(spec):
        source = list_source(spec)
        if not (_folder(spec, source, cache) / DESCRIPTION).is_file():
            survey(spec, source, cores(), problems)
            list_samples(spec)
    refuse_all(problems)


def summarise_data(spec: DataSpec, workers: int | None = None) -> DataSummary:
    """Duration, events and share of ON of each sample that ``spec`` uses; reads all of them.

    Raises:
        DataError: Recordings that cannot be used, all of them named.
    """
    return summarise(list_source(spec), spec.timesteps, spec.time_unit, workers or cores())


def prepare_data(
    spec: DataSpec,
    cache: Path,
    progress: Progress | None = None,
    workers: int | None = None,
    given: Frames | None = None,
) -> FrameData:
    """Frame the data of ``spec`` under ``cache``, or open what an earlier call made.

    Frames that were ``given`` as Python objects are written there. The frames do not depend on
    ``workers`` (threads; None: as many as there are cores). Safe to call from several
    processes: one works, the others wait.

    Raises:
        DataError: Missing or unusable recordings; all files are named.
        DiskFull: No space under ``cache``; nothing half-made is left behind.
    """
    if spec.dataset == FRAMES:
        folder = given_folder(spec, cache, given)
        if (folder / DESCRIPTION).is_file():
            return open_frames(folder)

        def write() -> None:
            assert given is not None
            given.write(folder)

    elif (other := source_of(spec)) is not None:
        folder, made = other.folder(cache), other
        if (folder / DESCRIPTION).is_file():
            return open_frames(folder)

        def write() -> None:
            made.write(folder, progress, workers or cores())

    else:
        source = list_source(spec)
        folder = _folder(spec, source, cache)
        if (folder / DESCRIPTION).is_file():
            return open_frames(folder)
        summary = None
        if not source.simulated:
            summary = survey(spec, source, workers or cores(), progress=progress)

        def write() -> None:
            listed = source if spec.window is None else list_samples(spec)
            _write(spec, listed, summary, folder, progress, workers or cores())

    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f"{folder.name}.lock"):
            if not (folder / DESCRIPTION).is_file():
                write()
    except OSError as error:
        if is_full(error):
            raise DiskFull(
                f"no space left for the frames in {cache}; free some and run again."
            ) from error
        raise
    return open_frames(folder)


def load_data(spec: DataSpec, cache: Path) -> FrameData:
    """Open the frames that :func:`prepare_data` made for ``spec``.

    Raises:
        DataError: They are not there.
    """
    other = source_of(spec)
    if other is not None:
        return open_frames(other.folder(cache))
    return open_frames(_folder(spec, list_source(spec), cache))


@dataclass(frozen=True)
class DataOutlook:
    """What framing will come to: samples of each split, the folder of the frames, their bytes."""

    samples: Mapping[str, int]
    folder: Path
    bytes: int

    @property
    def ready(self) -> bool:
        """Whether the frames are there."""
        return (self.folder / DESCRIPTION).is_file()


def data_outlook(spec: DataSpec, cache: Path, given: Frames | None = None) -> DataOutlook:
    """What :func:`prepare_data` will come to; no events are read but to count windows.

    Raises:
        DataError: The recordings are missing or not enough.
    """
    if spec.dataset == FRAMES:
        counts = {name: getattr(spec, name) or 0 for name in SPLITS}
        folder = given_folder(spec, cache, given)
    elif (other := source_of(spec)) is not None:
        counts, folder = dict(other.counts()), other.folder(cache)
    else:
        folder = _folder(spec, list_source(spec), cache)
        if (folder / DESCRIPTION).is_file():
            data = open_frames(folder)
            counts = {name: len(getattr(data, name)) for name in SPLITS}
        else:
            splits = list_samples(spec).splits
            counts = {name: len(splits[name]) for name in SPLITS}
    height, width = sides(spec.size)
    size = sum(counts.values()) * spec.stored_steps * spec.channels * height * width
    return DataOutlook(counts, folder, size)


def data_classes(
    spec: DataSpec, cache: Path | None = None, given: Frames | None = None
) -> tuple[str, ...]:
    """Class names of ``spec``, without reading any events; see :func:`prepare_data`.

    Raises:
        DataError: The recordings are missing or not enough.
    """
    if spec.dataset == FRAMES:
        folder = given_folder(spec, cache or Path(), given)
        return given.stored.classes if given is not None else open_frames(folder).classes
    other = source_of(spec)
    if other is not None:
        return other.classes()
    return list_source(spec).classes


def splits_given(spec: DataSpec) -> frozenset[str]:
    """Of ``validation`` and ``test``, those whose samples a person chose: arrays, or a folder of
    that name. The others are drawn."""
    if spec.dataset == FRAMES:
        return frozenset(("validation", "test"))
    other = source_of(spec)
    if other is not None:
        return other.splits_given()
    return frozenset() if spec.dataset == SIMULATED else splits_on_disk(spec)


def list_source(spec: DataSpec) -> SampleList:
    """What the samples of ``spec`` are made from, none of it read: the samples themselves, or
    the recordings that are cut into windows."""
    if spec.dataset == SIMULATED:
        return simulated_samples(spec)
    return recorded_samples(spec) if spec.window is None else whole_recordings(spec)


#: The latest windows, which recordings are read for.
_windows: dict[tuple[DataSpec, str], SampleList] = {}


def list_samples(spec: DataSpec) -> SampleList:
    """Every sample of ``spec``; none is read, except that recordings are read to find windows.

    Raises:
        DataError: recordings that cannot be used, all of them named; or too few samples.
    """
    source = list_source(spec)
    if spec.window is None:
        return source
    key = (spec, source.identity)
    if key not in _windows:
        listed = cut(spec, source, survey(spec, source, cores()).unit, cores())
        _windows.clear()
        _windows[key] = listed
    return _windows[key]


#: The latest survey, so that a check and the preparation after it read recordings once.
_surveyed: dict[tuple[DataSpec, str], DataSummary] = {}


def survey(
    spec: DataSpec,
    listed: SampleList,
    workers: int,
    problems: Sequence[Problem] = (),
    progress: Progress | None = None,
) -> DataSummary:
    """What all recordings come to, read once; see :func:`hqsearch.data.summary.summarise`."""
    key = (spec, listed.identity)
    summary = _surveyed.get(key)
    if summary is None:
        summary = summarise(listed, spec.timesteps, spec.time_unit, workers, problems, progress)
        _surveyed.clear()
        _surveyed[key] = summary
    return summary


def _settings(spec: DataSpec) -> dict[str, Any]:
    """The settings that frames depend on; their order is part of the folder's name."""
    names = ("dataset", "timesteps", "size", "encoding", "train", "validation", "test", "seed")
    given = {n: v for n in ("time_unit", "window", "group") if (v := getattr(spec, n)) is not None}
    if spec.bins != "time":
        given["bins"] = spec.bins
    return {"format": FORMAT_VERSION} | {name: getattr(spec, name) for name in names} | given


def _folder(spec: DataSpec, listed: SampleList, cache: Path) -> Path:
    text = json.dumps([_settings(spec), listed.sensor, listed.classes, listed.identity])
    return cache / f"{spec.dataset}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _write(
    spec: DataSpec,
    listed: SampleList,
    summary: DataSummary | None,
    folder: Path,
    progress: Progress | None,
    workers: int,
) -> None:
    """Make ``folder``, whole or not at all."""
    partial = folder.with_name(folder.name + ".partial")
    for stale in (partial, folder):
        shutil.rmtree(stale, ignore_errors=True)
    partial.mkdir()
    encoding = get_encoding(spec.encoding)
    digest = hashlib.sha256(json.dumps([_settings(spec), listed.sensor, listed.classes]).encode())
    total = sum(len(listed.splits[name]) for name in SPLITS)
    done = 0

    def frame(sample: Sample) -> NDArray[np.uint8]:
        unit = summary.unit if summary else None
        return frame_sample(sample, unit, listed.sensor, spec, encoding)

    try:
        with ThreadPoolExecutor(workers) as pool:
            for name in SPLITS:
                samples = listed.splits[name]
                labels = np.array([sample.label for sample in samples], dtype=np.int64)
                np.save(partial / f"{name}-labels.npy", labels)
                digest.update(labels.tobytes())
                shape = (len(samples), spec.timesteps, 2, *sides(spec.size))
                with (partial / f"{name}-frames.npy").open("wb") as file:
                    _write_header(file, shape)
                    for frames in _in_order(pool, frame, list(samples), 4 * workers):
                        # Plain writes: a full disk under a memory map would kill the process.
                        file.write(frames.tobytes())
                        digest.update(frames.tobytes())
                        done += 1
                        if progress is not None:
                            progress(listed.activity, done, total)
        description = {
            "classes": listed.classes,
            "encoding": spec.encoding,
            "fingerprint": digest.hexdigest(),
            "simulated": listed.simulated,
            "warnings": [
                *listed.warnings,
                *(summary.notes if summary else ()),
                *small_validation(len(listed.splits["validation"])),
            ],
            "summary": str(summary) if summary else "",
        }
        (partial / DESCRIPTION).write_text(json.dumps(description, indent=1), encoding="utf-8")
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def frame_sample(
    sample: Sample,
    unit: str | None,
    sensor: tuple[int, int],
    spec: DataSpec,
    encoding: Encoding,
) -> NDArray[np.uint8]:
    """Stored frames uint8 ``[T, 2, H, W]`` of one sample.

    Raises:
        DataError: it has too few events to fill them.
    """
    events = sample.events(unit)
    if spec.bins == "events":
        counts = count_equally(events, sensor, spec.timesteps, spec.size)
    elif sample.window is not None:
        counts = count_window(events, *sample.window, sensor, spec.timesteps, spec.size)
    else:
        counts = frame_events(events, sensor, spec.timesteps, spec.size)
    if not counts.any():
        raise DataError(
            f"{sample.origin}: too few events to fill {spec.timesteps} frames ({len(events)} "
            f"events). Remove the file, or lower timesteps."
        )
    return encoding.store(counts)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _in_order(
    pool: ThreadPoolExecutor,
    function: Callable[[Sample], NDArray[np.uint8]],
    samples: list[Sample],
    ahead: int,
) -> Iterator[NDArray[np.uint8]]:
    """``map`` with at most ``ahead`` results waiting, so that memory stays small."""
    waiting: deque[Future[NDArray[np.uint8]]] = deque()
    try:
        for sample in samples:
            waiting.append(pool.submit(function, sample))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
