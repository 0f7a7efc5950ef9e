"""What in a study's folder can be made again and is no longer needed, and removing it.

Never the log, and never what the study's next run would start from: frames and parents that a
``prepared*.json`` or the log names stay, and so does whatever belongs to a trial that has not
ended. Links are left alone, and what hqsearch gave no name.

Where a run was refused or cut off after its data or parent were made and before it had a log,
all of that can go.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqsearch.errors import StudyMissing
from hqsearch.evaluator import ParentResult
from hqsearch.evaluator.tasks import PARENT
from hqsearch.store.disk import disk_use, size_of
from hqsearch.store.lock import DriverLock
from hqsearch.store.log import LogReader, storage_url
from hqsearch.study.opening import study_folder

#: Seconds after which a half-written file is nobody's any more.
STALE = 3600.0
_HALF_WRITTEN = re.compile(r"\..+\.[0-9]+(\.part)?")
_RUNG = re.compile(r"([0-9a-f]{8})-([0-9]+)")
_FINAL = re.compile(r"final-([0-9]+)-[0-9a-f]{8}")
_TASK = re.compile(r"([0-9a-f]+)-([0-9]+)-([0-9]+)")
_FRAMES = re.compile(r".+-[0-9a-f]{16}(\.partial|\.lock)?")
_PARENT = re.compile(r"[0-9a-f]{16}")
_PREPARED = re.compile(r"prepared(-[0-9a-f]{8})?\.json")
#: What there may be in the folder of a study that never had a log.
_ORPHANED = {"data", "parents", "driver.lock", "driver.json", "driver.token"}


@dataclass(frozen=True)
class Removable:
    """A file or folder, ``path`` below the study's folder, and why nothing needs it."""

    path: str
    bytes: int
    why: str

    def as_json(self) -> dict[str, Any]:
        return {"path": self.path, "bytes": self.bytes, "why": self.why}


@dataclass(frozen=True)
class Cleaning:
    """What can be removed from a study's folder, whether it was, and what is there now.

    notes: what was left alone because it cannot be read.
    """

    study: str
    folder: Path
    items: tuple[Removable, ...]
    removed: bool
    disk: Mapping[str, int]
    notes: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        return sum(item.bytes for item in self.items)

    def as_json(self) -> dict[str, Any]:
        return {
            "study": self.study,
            "folder": str(self.folder),
            "removed": self.removed,
            "bytes": self.bytes,
            "items": [item.as_json() for item in self.items],
            "disk": dict(self.disk),
            "notes": list(self.notes),
        }


def clean(study: str, studies_dir: Path, storage: str | None, remove: bool) -> Cleaning:
    """List, and with ``remove`` delete, what can be made again and nothing needs.

    Raises:
        StudyMissing: there is no such study, or it was cut off while it was made.
        StorageError: somebody is running it.
    """
    name = Path(study).stem if study.endswith(".toml") else study
    folder = study_folder(name, studies_dir)
    url = storage_url(storage, folder)
    notes: list[str] = []
    if storage is None and is_orphaned(folder):
        with DriverLock(folder):
            items = _removed(folder, orphaned(folder), remove)
        return Cleaning(name, folder, items, remove, disk_use(folder))
    reader = LogReader(url, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)  # of a study that is on a server only
        with DriverLock(folder, url, name):
            items = _removed(folder, removable(folder, reader, notes), remove)
    finally:
        reader.close()
    return Cleaning(name, folder, items, remove, disk_use(folder), tuple(notes))


def _removed(folder: Path, found: Iterable[Removable], remove: bool) -> tuple[Removable, ...]:
    items = tuple(found)
    for item in items if remove else ():
        _delete(folder / item.path)
    return items


def is_orphaned(folder: Path) -> bool:
    """Whether a study's folder holds what a run prepares, and nothing else: no log, here or on a
    server, ever was about it."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    foreign = {n for n in names - _ORPHANED if not n.startswith(".") and not _PREPARED.fullmatch(n)}
    return bool(names) and not foreign


def orphaned(folder: Path) -> Iterator[Removable]:
    """What a run left that never had a log."""
    why = "of a run that was refused or cut off before it had a log"
    yield from _listed(folder, "data", lambda name: why if _FRAMES.fullmatch(name) else "")
    yield from _listed(folder, "parents", lambda name: why if _PARENT.fullmatch(name) else "")
    yield from _listed(folder, ".", lambda name: why if _PREPARED.fullmatch(name) else "")
    yield from _half_written(folder)


def removable(folder: Path, reader: LogReader, notes: list[str]) -> Iterator[Removable]:
    """What nothing needs in the folder of a study that nobody runs; ``reader`` is its log's.

    Args:
        notes: gains what is left alone because it cannot be read.

    Raises:
        StudyMissing: the study was cut off while it was made.
    """
    attributes = reader.attributes()
    if "fingerprint" not in attributes:
        raise StudyMissing(f"study {reader.name!r} was cut off while it was made; run it again")
    token = str(attributes["study"]["token"])
    ended = {t.number: t.finished for t in reader.trials()}
    named = set(attributes.get("prepared", {}).values())
    fresh = [t for t in reader.tasks() if t.kind == PARENT]
    answers = [t.answer for t in fresh]
    places = {a.file for a in answers if isinstance(a, ParentResult) and a.file}
    kept = {Path(place).parent.name for place in places}
    yield from _unprepared(folder, named, kept, any(not t.finished for t in fresh), notes)
    yield from _listed(folder, "rungs", lambda name: _why_rung(name, token[:8], ended))
    tasks = {t.folder.removeprefix("tasks/") for t in reader.tasks()}
    yield from _listed(
        folder,
        "tasks",
        lambda name: (
            "a strategy's training of an earlier log"
            if _TASK.fullmatch(name) and name not in tasks
            else ""
        ),
    )
    models = {str(trial) for trial in reader.models()}
    yield from _listed(folder, "tasks", lambda name: _why_final(name, models))
    yield from _listed(
        folder,
        "models",
        lambda name: (
            "" if name in models or not name.isdigit() else "a model that was never finished"
        ),
    )
    yield from _listed(folder, "results", lambda name: _why_result(name, ended))
    yield from _half_written(folder)
    if (folder / "driver.token").is_file():
        yield _item(folder, folder / "driver.token", "a mark of a run that was cut off")


def _unprepared(
    folder: Path, named: set[Any], kept: set[str], training: bool, notes: list[str]
) -> Iterator[Removable]:
    """Frames and parents that no preparation and no log names; none where nothing is prepared.

    Args:
        named: fingerprints and hashes in the log.
        kept: folders of parents that confirmations started from.
        training: whether a confirmation has begun a parent that is not there yet.
    """
    frames: set[str] = set()
    parents: set[str] = set()
    for file in sorted(folder.glob("prepared*.json")):
        try:
            prepared = json.loads(file.read_text())
            frames.add(Path(prepared["frames"]).name)
            parents |= {Path(place).name for place in prepared["parents"].values()}
        except (ValueError, TypeError, KeyError, AttributeError):
            notes.append(f"{file.name} is damaged, so frames and parents are left alone")
            return
    if not frames:
        return

    def recorded(path: Path, key: str) -> bool:
        """Whether the log names it; what cannot be read may be what it names."""
        if not path.is_file():
            return False
        try:
            return json.loads(path.read_text()).get(key) in named
        except (ValueError, TypeError, AttributeError):
            place = path.parent.relative_to(folder)
            notes.append(f"{place} is left alone: its {path.name} is damaged")
            return True

    def why_frames(name: str) -> str:
        if not _FRAMES.fullmatch(name):
            return ""
        if name.endswith(".partial"):
            return "frames that were never finished"
        if name in frames or recorded(folder / "data" / name / "frames.json", "fingerprint"):
            return ""
        if name.endswith(".lock"):
            of = name.removesuffix(".lock")
            needed = (folder / "data" / of).is_dir() and not why_frames(of)
            return "" if needed else "a lock of frames that are gone"
        return "frames that this study does not use"

    def why_parent(name: str) -> str:
        if not _PARENT.fullmatch(name) or name in parents | kept:
            return ""
        if training and not (folder / "parents" / name / "parent.json").exists():
            return ""
        if recorded(folder / "parents" / name / "parent.json", "weights"):
            return ""
        return "a parent that this study does not start from"

    yield from _listed(folder, "data", why_frames)
    yield from _listed(folder, "parents", why_parent)


def _why_rung(name: str, token: str, ended: Mapping[int, bool]) -> str:
    match = _RUNG.fullmatch(name)
    if match is None:
        return ""
    if match[1] != token:
        return "a checkpoint of an earlier log"
    return "a checkpoint of a trial that has ended" if ended.get(int(match[2]), True) else ""


def _why_final(name: str, models: Set[str]) -> str:
    match = _FINAL.fullmatch(name)
    done = match is not None and match[1] in models
    return "a final training that was cut off; another one is kept" if done else ""


def _why_result(name: str, ended: Mapping[int, bool]) -> str:
    number = name.removesuffix(".json")
    logged = number.isdigit() and ended.get(int(number), False)
    return "a result that is in the log" if logged else ""


def _half_written(folder: Path) -> Iterator[Removable]:
    for path in sorted(folder.rglob(".*")):
        old = path.is_file() and not path.is_symlink() and _age(path) > STALE
        if old and _HALF_WRITTEN.fullmatch(path.name):
            yield _item(folder, path, "a file that was never finished")


def _listed(folder: Path, below: str, why: Callable[[str], str]) -> Iterator[Removable]:
    """What lies directly in a folder of the study's and has a reason to go; no links."""
    place = folder / below
    if not place.is_dir() or place.is_symlink():
        return
    for path in sorted(place.iterdir()):
        if path.name.startswith(".") or path.is_symlink():
            continue
        reason = why(path.name)
        if reason:
            yield _item(folder, path, reason)


def _item(folder: Path, path: Path, why: str) -> Removable:
    return Removable(path.relative_to(folder).as_posix(), size_of(path), why)


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
