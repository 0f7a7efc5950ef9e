"""The source of a study's samples, where they are no events, and what is known without one."""

from __future__ import annotations

import os
from pathlib import Path

from hqsearch.data.objects import ObjectSource
from hqsearch.data.pictures import PictureSource, published_classes
from hqsearch.data.recordings import recorded_classes
from hqsearch.data.source import Source
from hqsearch.data.spec import DataSpec
from hqsearch.definition.data import ARRAYS, CODE, PICTURES

#: The latest one and what its place looked like, so that a large folder is listed once.
_latest: dict[DataSpec, tuple[tuple[str, ...], Source]] = {}
#: Entries of a folder beyond which it is one of pictures, not of classes.
_MANY = 5_000


def source_of(spec: DataSpec) -> Source | None:
    """Where the samples of ``spec`` come from; None for events and for frames that were given."""
    if spec.dataset not in (ARRAYS, CODE, *PICTURES):
        return None
    assert spec.path is not None, "DataSpec refuses pictures without a path"
    place = str(spec.path.expanduser())
    seen = _look(Path(place.rpartition(":")[0] if spec.dataset == CODE else place))
    known = _latest.get(spec)
    if known is None or known[0] != seen:
        _latest.clear()
        source = PictureSource(spec) if spec.dataset in PICTURES else ObjectSource(spec)
        _latest[spec] = known = seen, source
    return known[1]


def classes_beforehand(spec: DataSpec) -> int | None:
    """Number of classes of a published set that is not there yet; None where files say it."""
    return published_classes(spec) if spec.dataset in PICTURES else recorded_classes(spec)


def _look(path: Path, depth: int = 2) -> tuple[str, ...]:
    """What changes when files are added or removed: the times of a file, or of all folders."""
    try:
        status = path.stat()
        seen: tuple[str, ...] = (f"{path} {status.st_size} {status.st_mtime_ns}",)
        if not depth or not path.is_dir():
            return seen
        with os.scandir(path) as entries:
            for number, entry in enumerate(entries):
                if number > _MANY:
                    break
                if entry.is_dir():
                    seen += _look(Path(entry.path), depth - 1)
    except OSError as error:
        return (f"{path} {error.strerror}",)
    return seen
