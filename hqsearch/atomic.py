"""Files that are whole or not there, and disks that are full."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hqsearch.errors import DiskFull

#: What a disk says that has no room, at all or for this user.
_FULL = (errno.ENOSPC, errno.EDQUOT)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that, after a crash at any instruction, it is whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()  # a full disk needs the space
        raise


def is_full(error: BaseException) -> bool:
    """Whether an error says that a disk has no room."""
    return isinstance(error, OSError) and error.errno in _FULL


@contextmanager
def full_disk_told() -> Iterator[None]:
    """Turn a full disk into an error that says what to do.

    Raises:
        DiskFull: no space left; everything finished is saved.
    """
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        place = f"for {error.filename}" if error.filename else "on the device"
        raise DiskFull(
            f"no space left {place}; free some and resume, nothing finished is lost"
        ) from None
