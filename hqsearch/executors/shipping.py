"""A study on machines that do not share its folder: what is shipped, and where it lies there.

The driver lists the study's artifacts by content (:class:`Shipment`); a node keeps contents in
a folder of its own (:class:`NodeCache`), each once whatever its name and study, and gives
every study a folder that looks like the driver's. Contents are checked against their SHA-256,
appear under their final name only when whole, and a lock lets one process of a node write
them. Paths are relative and may not leave their folder. Knows nothing of Ray.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from hqsearch import __version__
from hqsearch.definition import SpaceDefinition, StudyDefinition, read_toml
from hqsearch.errors import DiskFull, RunFailed
from hqsearch.evaluator import Setup
from hqsearch.executors.cache_folder import cache_inside, open_cache
from hqsearch.executors.task import Task, setup_as_json
from hqsearch.plugins import read_user_code

Bytes = npt.NDArray[np.uint8]

#: Holds the driver's token while it runs, so that a worker can tell that it sees this folder.
MARKER = "driver.token"
#: Set to ``always``: keep a copy on the node's disk even where the study's folder is visible.
SHIP_VARIABLE = "HQSEARCH_SHIP"
#: The folder in which a node makes its cache of what was shipped.
CACHE_VARIABLE = "HQSEARCH_CACHE"
CHUNK = 32 << 20
#: Files from this size on are linked into a study's folder on a node, smaller ones copied.
LINK_FROM = 64 << 20
#: Contents that were not used for this long are removed when something else is shipped.
KEEP_SECONDS = 7 * 86_400
#: Rung checkpoints of a run that a node without the driver's folder keeps, the newest ones.
KEEP_RUNGS = 64
#: hqsearch's own state in a study's folder, which no evaluation needs.
OWN_STATE = frozenset({"results", "rungs", "tasks", "fronts", "report", "models"})
_STUDY, _NAMED = "study", "files"
#: Names that a cache gives to contents and to studies' folders; with a point while unfinished.
_CONTENT_NAME = re.compile(r"[0-9a-f]{64}|\.[0-9a-f]{64}\.[0-9]+")
_STUDY_NAME = re.compile(r"[0-9a-f]{24}|\.[0-9a-f]{24}\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Item:
    """One file: its POSIX path below the shipped folder, SHA-256 and size in bytes."""

    path: str
    digest: str
    size: int


@dataclass(frozen=True)
class Shipment:
    """What a worker is told about the driver's study.

    Attributes:
        setup: the evaluator's, as the driver has it (:func:`setup_as_json`).
        token: of the driver; empty where there is but one machine.
        named: files that the definition names (key, path on the driver, name in the file,
            SHA-256): the user's evaluator, network, space, schemes and profile.
        beside: neighbours that those files import (POSIX path among the shipped files, path on
            the driver, SHA-256).
        items: contents of the study's folder and of the named files; None until a node needs
            them.
        version: of hqsearch.
    """

    setup: str
    token: str = ""
    named: tuple[tuple[str, str, str, str], ...] = ()
    beside: tuple[tuple[str, str, str], ...] = ()
    items: tuple[Item, ...] | None = None
    version: str = __version__

    def key(self, *more: str) -> str:
        """A name for this very content in this driver's run."""
        text = json.dumps([self.setup, self.token, [str(i) for i in self.items or ()], *more])
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def setup_in(self, folder: Path) -> str:
        """The setup for a worker that has the shipped files under ``folder``."""
        data = json.loads(self.setup)
        data["folder"] = str(folder / _STUDY)
        shelves = _shelves((key, path) for key, path, *_ in self.named)
        for key, path, name, _ in self.named:
            *tables, last = key.split(".")
            table = data["definition"]
            for part in tables:
                table = table[part]
            located = folder / _NAMED / shelves[key] / Path(path).name
            reference = f"{located}:{name}" if name else str(located)
            if isinstance(table, list):
                table.append(reference)
            else:
                table[last] = reference
        return json.dumps(data)


class Packer:
    """The driver's side: lists contents, reads them, and takes back what remote tasks made."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._known: dict[tuple[str, int, int], str] = {}
        self._sources: dict[str, Path] = {}
        self.token = uuid.uuid4().hex
        setup.folder.mkdir(parents=True, exist_ok=True)
        (setup.folder / MARKER).write_text(self.token)
        named = tuple(
            (key, str(path), name, self._digest(path))
            for key, path, name in named_files(setup.definition)
        )
        #: For a worker that may see the study's folder.
        self.bare = Shipment(
            setup_as_json(setup),
            self.token,
            named,
            tuple((place, str(path), self._digest(path)) for place, path in _beside(named)),
        )

    def pack(self, tasks: bool) -> Shipment:
        """The contents as they are now; ``tasks``: with the artifacts of strategies' tasks."""
        skip = OWN_STATE - {"tasks"} if tasks else OWN_STATE
        items = [self._item(f"{_STUDY}/{p}", f) for p, f in files_of(self._setup.folder, skip)]
        shelves = _shelves((key, path) for key, path, *_ in self.bare.named)
        places = {f"{shelves[key]}/{Path(path).name}": path for key, path, *_ in self.bare.named}
        places.update({place: path for place, path, _ in self.bare.beside})
        items += [self._item(f"{_NAMED}/{place}", Path(path)) for place, path in places.items()]
        return replace(self.bare, items=tuple(items))

    def chunks(self, digest: str) -> Iterator[Bytes]:
        """The content ``digest``, in pieces of at most :data:`CHUNK` bytes."""
        path = self._sources[digest]
        for offset in range(0, path.stat().st_size, CHUNK):
            yield np.fromfile(path, dtype=np.uint8, count=CHUNK, offset=offset)

    def take(self, files: Sequence[tuple[str, Bytes]]) -> None:
        """Write what a task made on another machine into the study's folder, in its order."""
        for path, content in files:
            target = inside(self._setup.folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.{os.getpid()}")
            with temporary.open("wb") as file:
                content.tofile(file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)

    def close(self) -> None:
        (self._setup.folder / MARKER).unlink(missing_ok=True)

    def _item(self, name: str, path: Path) -> Item:
        digest = self._digest(path)
        self._sources[digest] = path
        return Item(name, digest, path.stat().st_size)

    def _digest(self, path: Path) -> str:
        stat = path.stat()
        known = (str(path), stat.st_size, stat.st_mtime_ns)
        if known not in self._known:
            self._known[known] = _sha256(path)
        return self._known[known]


class NodeCache:
    """The node's side: contents by SHA-256, and folders of studies made from them.

    Only what a cache wrote, in a folder that it marked as its own, is ever removed: see
    :mod:`hqsearch.executors.cache_folder`.

    Args:
        root: the cache folder itself; None: ``hqsearch-cache-1`` in the folder that
            ``HQSEARCH_CACHE`` names, or in ``hqsearch-UID`` in the temporary folder.

    Raises:
        DeviceError: that folder is not a cache, is a link, is someone else's, or may be written
            by others.
    """

    def __init__(self, root: Path | None = None) -> None:
        given = os.environ.get(CACHE_VARIABLE)
        usual = Path(tempfile.gettempdir()) / f"hqsearch-{os.getuid()}"
        self.root = open_cache(root) if root else cache_inside(Path(given) if given else usual)

    def lacking(self, items: Iterable[Item]) -> tuple[str, ...]:
        """Contents that are not here yet, or not whole."""
        return tuple({i.digest: None for i in items if not self._whole(i)})

    def _whole(self, item: Item) -> bool:
        try:
            if self._content(item.digest).stat().st_size == item.size:
                return True
        except FileNotFoundError:
            return False
        self._content(item.digest).unlink(missing_ok=True)
        return False

    def add(self, digest: str, chunks: Iterable[Bytes]) -> bool:
        """Keep a content; False where another process of this node was quicker.

        Raises:
            RunFailed: it is not what it should be: the file changed while it was read.
            DiskFull: no space on this node.
        """
        target = self._content(digest)
        with self._lock(digest):
            if target.exists():
                return False
            self._prune()
            temporary = target.with_name(f".{digest}.{os.getpid()}")
            found = hashlib.sha256()
            try:
                with temporary.open("wb") as file:
                    for chunk in chunks:
                        found.update(chunk.data)
                        file.write(chunk.data)
                    file.flush()
                    os.fsync(file.fileno())
                if found.hexdigest() != digest:
                    raise RunFailed("a file of the study changed while it was shipped; run again")
                temporary.chmod(0o444)
                temporary.replace(target)
            except OSError as error:
                raise DiskFull(
                    f"node {os.uname().nodename}: the study's data cannot be kept in {self.root}: "
                    f"{error.strerror}"
                ) from None
            finally:
                temporary.unlink(missing_ok=True)
            return True

    def folder(self, shipment: Shipment, *more: str) -> Path:
        """The shipped files in a folder of this driver's run, made at the first call."""
        folder = self.root / "studies" / shipment.key(*more)
        if not folder.exists():
            with self._lock(folder.name):
                if not folder.exists():
                    self._lay_out(shipment.items or (), folder)
        os.utime(folder)
        return folder

    @contextmanager
    def work(self, shipment: Shipment, task: str) -> Iterator[Path]:
        """A folder for a task that leaves files; found again by a retry on this node, and
        removed when the task has succeeded."""
        # Whoever drives: a task that was cut off goes on from its checkpoint.
        # And whatever tasks ended meanwhile, whose artifacts are shipped since.
        others = tuple(i for i in shipment.items or () if not i.path.startswith(f"{_STUDY}/tasks/"))
        key = replace(shipment, token="", items=others).key(task)
        with self._lock(key):
            folder = self.root / "studies" / key
            if not folder.exists():
                self._lay_out(shipment.items or (), folder)
            yield folder
            shutil.rmtree(folder, ignore_errors=True)

    def forget(self, shipment: Shipment) -> None:
        """Remove a study's folder; its contents stay for the next driver."""
        shutil.rmtree(self.root / "studies" / shipment.key(), ignore_errors=True)

    def _lay_out(self, items: Iterable[Item], folder: Path) -> None:
        partial = folder.with_name(f".{folder.name}.{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)  # of a process that died with this number
        (partial / _STUDY).mkdir(parents=True)
        for item in items:
            target, content = inside(partial, item.path), self._content(item.digest)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.utime(content)
            if item.size < LINK_FROM:
                shutil.copyfile(content, target)
            else:
                _link(content, target)
        partial.rename(folder)

    def _prune(self) -> None:
        before = time.time() - KEEP_SECONDS
        for part, name, kind in (
            ("contents", _CONTENT_NAME, stat.S_ISREG),
            ("studies", _STUDY_NAME, stat.S_ISDIR),
        ):
            for old in (self.root / part).iterdir():
                try:
                    status = old.lstat()
                    if not name.fullmatch(old.name) or not kind(status.st_mode):
                        continue  # nothing that a cache writes
                    if status.st_mtime < before:
                        shutil.rmtree(old) if kind is stat.S_ISDIR else old.unlink()
                except OSError:
                    continue  # another process was quicker

    def _content(self, digest: str) -> Path:
        return inside(self.root / "contents", digest)

    def _lock(self, name: str) -> FileLock:
        return FileLock(self.root / "locks" / f"{name[:24]}.lock")


def sees_study(shipment: Shipment) -> bool:
    """Whether this process sees the driver's folder and the files that the study names."""
    if not shipment.token:
        return True
    if os.environ.get(SHIP_VARIABLE) == "always":
        return False
    marker = Path(json.loads(shipment.setup)["folder"]) / MARKER
    try:
        files = [(path, digest) for _, path, _, digest in shipment.named]
        files += [(path, digest) for _, path, digest in shipment.beside]
        return marker.read_text() == shipment.token and all(
            _sha256(Path(path)) == digest for path, digest in files
        )
    except OSError:
        return False


def made_files(folder: Path, shipment: Shipment) -> list[tuple[str, Bytes]]:
    """What a task added or changed under a :meth:`NodeCache.work` folder, oldest first."""
    shipped = {i.path: i for i in shipment.items or ()}
    made = []
    for path, file in files_of(folder / _STUDY, OWN_STATE - {"tasks"}):
        item, stat = shipped.get(f"{_STUDY}/{path}"), file.stat()
        if item and item.size == stat.st_size and (stat.st_nlink > 1 or _same(file, item)):
            continue
        made.append((stat.st_mtime_ns, path, file))
    return [(path, np.fromfile(file, dtype=np.uint8)) for _, path, file in sorted(made)]


def trim_rungs(folder: Path) -> None:
    """Drop the oldest rung checkpoints under a :meth:`NodeCache.folder`: a node is not told
    which are done with, and one that is missed costs time, not exactness."""
    rungs = folder / _STUDY / "rungs"
    kept = sorted(rungs.iterdir(), key=_changed, reverse=True) if rungs.is_dir() else []
    for old in kept[KEEP_RUNGS:]:
        shutil.rmtree(old, ignore_errors=True)


def named_files(definition: StudyDefinition) -> list[tuple[str, Path, str]]:
    """Files that a definition names: (its key, the file, the name in the file or nothing)."""
    found = []
    model = definition.model.path if definition.model and definition.model.path else ""
    space = definition.space if isinstance(definition.space, str) else ""
    schemes: Sequence[str] = ()
    if isinstance(definition.space, SpaceDefinition):
        schemes = definition.space.schemes
    elif space.endswith(".toml"):
        schemes = read_toml(definition.located(space)).get("schemes", ())
    for key, reference in (
        ("evaluator", definition.evaluator),
        ("model.path", model),
        ("evaluation.task", str(definition.evaluation.get("task") or "")),
        *((f"scheme_files.{index}", scheme) for index, scheme in enumerate(schemes)),
    ):
        place, _, name = reference.rpartition(":")
        if place.endswith(".py"):
            found.append((key, definition.located(place), name))
    if definition.model is not None and definition.model.weights is not None:
        found.append(("model.weights", definition.located(definition.model.weights), ""))
    for key, reference in (
        ("space", space),
        ("hardware.profile", definition.hardware.profile),
    ):
        if reference.endswith(".toml"):
            found.append((key, definition.located(reference), ""))
    return found


def _shelves(files: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Key of a named file → folder that it is shipped in; Python files of one folder, which may
    import each other, stay together."""
    first: dict[Path, str] = {}
    return {
        key: first.setdefault(Path(path).parent, key) if path.endswith(".py") else key
        for key, path in files
    }


def _beside(named: Sequence[tuple[str, str, str, str]]) -> list[tuple[str, Path]]:
    """What Python files that are named import: (where it goes, the file)."""
    shelves = _shelves((key, path) for key, path, *_ in named)
    files: dict[str, Path] = {}
    for key, path, *_ in named:
        if path.endswith(".py"):
            code = read_user_code(Path(path))
            files.update({f"{shelves[key]}/{n}": code.folder / n for n in code.neighbours})
    return list(files.items())


def files_of(folder: Path, skip: frozenset[str]) -> list[tuple[str, Path]]:
    """Regular files below ``folder`` as (POSIX path, file), without hqsearch's own state,
    hidden, temporary and lock files."""
    found = []
    for root, folders, names in os.walk(folder, followlinks=True):
        here = Path(root).relative_to(folder)
        top = here == Path()
        folders[:] = sorted(
            f
            for f in folders
            if not (f.startswith(".") or f.endswith(".partial") or (top and f in skip))
        )
        for name in sorted(names):
            own = top and name.startswith(("study.db", "results.db", "driver."))
            if not (own or name.startswith(".") or name.endswith(".lock")):
                found.append(((here / name).as_posix(), Path(root) / name))
    return found


def inside(folder: Path, path: str) -> Path:
    """``folder / path``; refused where that would lead out of ``folder``."""
    parts = PurePosixPath(path)
    target = folder / parts
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise RunFailed(f"a shipped file is called {path!r}, which leads out of its folder")
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise RunFailed(f"{target.parent} is a link that leads out of {folder}")
    return target


def task_identity(task: Task) -> str:
    """A text that tells one task from another."""
    return json.dumps([type(task.work).__name__, task.identity()], sort_keys=True)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0  # another process removed it


def _same(file: Path, item: Item) -> bool:
    return _sha256(file) == item.digest


def _link(content: Path, target: Path) -> None:
    try:
        os.link(content, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(content, target)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
