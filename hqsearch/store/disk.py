"""What a study takes on disk, by what it is kept for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
#: Name in a study's folder → what it is kept for.
_KEPT_FOR = {
    "study.db": "log",
    "results.db": "tables",
    "data": "frames",
    "parents": "parents",
    "models": "models",
    "tasks": "strategies",
    "rungs": "rungs",
    "results": "results",
    "comparisons": "comparisons",
}


def disk_use(folder: Path) -> dict[str, int]:
    """Bytes in a study's folder by what they are kept for, largest first; links count nothing.

    The kinds are ``log``, ``tables``, ``frames``, ``parents``, ``models``, ``strategies`` (their
    own trainings), ``rungs``, ``results``, ``comparisons`` and ``other``.
    """
    use: dict[str, int] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = path.name.removesuffix("-wal").removesuffix("-shm")
        kind = _KEPT_FOR.get(name, "other")
        use[kind] = use.get(kind, 0) + size_of(path)
    ordered = sorted(use.items(), key=lambda item: -item[1])
    return {kind: size for kind, size in ordered if size}


def size_of(path: Path) -> int:
    """Bytes of a file, or of the files in a folder; of a link nothing."""
    total = 0
    for file in _files(path):
        try:
            total += file.stat().st_size
        except FileNotFoundError:  # a driver is at work
            continue
    return total


def size_text(size: float) -> str:
    """Bytes for a person.

    >>> [size_text(n) for n in (0, 1023, 1536, 250 * 2**20, 3 * 2**30)]
    ['0 bytes', '1023 bytes', '1.5 KiB', '250 MiB', '3.0 GiB']
    """
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return (
        f"{size:.0f} {_UNITS[unit]}" if unit == 0 or size >= 100 else f"{size:.1f} {_UNITS[unit]}"
    )


def _files(path: Path) -> Iterator[Path]:
    if path.is_symlink():
        return
    if not path.is_dir():
        yield path
        return
    try:
        inside = sorted(path.iterdir())
    except FileNotFoundError:
        return
    for one in inside:
        yield from _files(one)
