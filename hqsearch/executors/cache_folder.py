"""The folder that a node's cache may clean up: its own, marked, private, or refused.

A cache deletes what was not used for a while, so it must never take a folder of the user's for
its own. It therefore works in ``hqsearch-cache-1`` *inside* the folder that is named for it,
which appears whole with a marker file in it, and it opens only such a folder. What release 0.1
kept directly in the named folder (``contents``, ``studies``, ``locks``) is not looked at and
never removed; it can be deleted by hand.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from pathlib import Path

from hqsearch.errors import DeviceError

#: Name of the cache inside the folder that the user names; the number is the layout's.
CACHE_NAME = "hqsearch-cache-1"
#: The file that marks a folder as a cache.
CACHE_MARKER = "hqsearch-cache.json"
LAYOUT = 1
#: What a cache consists of.
PARTS = ("contents", "studies", "locks")


def cache_inside(place: Path) -> Path:
    """The cache folder in ``place``, made where it is absent.

    ``place`` itself is made (for its owner alone) where it does not exist.

    Raises:
        DeviceError: ``place`` or the cache in it cannot be trusted, or cannot be made.
    """
    _make(place)
    _require_private(place, place, owners=(os.getuid(), 0), sticky=True)
    return open_cache(place / CACHE_NAME)


def open_cache(root: Path) -> Path:
    """``root`` as a cache: made with its marker where it is absent or empty, else checked.

    Raises:
        DeviceError: it is a link, holds something else than a cache, belongs to someone else, or
            others may write in it.
    """
    _make(root.parent)
    if not root.is_symlink() and (not root.exists() or _is_empty(root)):
        _create(root)
    _require_private(root, root, owners=(os.getuid(),), sticky=False)
    _require_marker(root)
    for part in PARTS:
        _require_private(root / part, root, owners=(os.getuid(),), sticky=False)
    return root


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _refusal(folder, f"it cannot be made ({error.strerror})") from None


def _is_empty(folder: Path) -> bool:
    try:
        return folder.is_dir() and not any(folder.iterdir())
    except OSError as error:
        raise _refusal(folder, f"it cannot be read ({error.strerror})") from None


def _create(root: Path) -> None:
    """Put a whole cache at ``root``, unless another process is quicker."""
    if root.exists():
        # Its mode and owner are judged before it is replaced, not lost.
        _require_private(root, root, owners=(os.getuid(),), sticky=False)
    try:
        made = Path(tempfile.mkdtemp(prefix=f".{root.name}.", dir=root.parent))
        try:
            told = {"layout": LAYOUT, "is": "a cache of hqsearch; it may be deleted at any time"}
            (made / CACHE_MARKER).write_text(json.dumps(told), encoding="utf-8")
            for part in PARTS:
                (made / part).mkdir(mode=0o700)
            made.rename(root)  # replaces an empty folder, and no other
        except OSError:
            shutil.rmtree(made, ignore_errors=True)
            if not (root / CACHE_MARKER).is_file():
                raise
    except OSError as error:
        raise _refusal(root, f"it cannot be made ({error.strerror})") from None


def _require_private(folder: Path, named: Path, owners: tuple[int, ...], sticky: bool) -> None:
    try:
        status = folder.lstat()
    except OSError as error:
        raise _refusal(named, f"{folder} cannot be read ({error.strerror})") from None
    if stat.S_ISLNK(status.st_mode):
        raise _refusal(named, f"{folder} is a symbolic link")
    if not stat.S_ISDIR(status.st_mode):
        raise _refusal(named, f"{folder} is no folder")
    if status.st_uid not in owners:
        raise _refusal(named, f"{folder} belongs to someone else (user {status.st_uid})")
    shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if shared and not (sticky and status.st_mode & stat.S_ISVTX):
        raise _refusal(named, f"others may write in {folder} (chmod go-w {folder} changes that)")


def _require_marker(root: Path) -> None:
    marker = root / CACHE_MARKER
    try:
        usual = stat.S_ISREG(marker.lstat().st_mode)
        told = json.loads(marker.read_text(encoding="utf-8")) if usual else None
    except FileNotFoundError:
        what = f"it is not empty and has no {CACHE_MARKER}, so it is no cache"
        raise _refusal(root, what) from None
    except (OSError, ValueError):
        told = None
    if not isinstance(told, dict) or told.get("layout") != LAYOUT:
        raise _refusal(root, f"its {CACHE_MARKER} is not one of layout {LAYOUT}")


def _refusal(folder: Path, what: str) -> DeviceError:
    return DeviceError(
        f"{folder} cannot be used as the cache of this node: {what}. Nothing in it was changed; "
        f"let HQSEARCH_CACHE name a folder of your own, or one that does not exist yet."
    )
