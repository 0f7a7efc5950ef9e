"""A refusal leaves nothing behind: what was made on the way to it goes, what was moved returns."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path

from hqsearch.errors import InputError
from hqsearch.store.lock import DriverLock


class Traces:
    """What opening a study changes on disk.

    Args:
        folder: of the study.
        note: is told where an old study was moved to, once that is for good.
    """

    def __init__(self, folder: Path, note: Callable[[str], None]) -> None:
        self._folder, self._note = folder, note
        self._before = set(_paths(folder))
        self._missing = [p for p in (folder, *folder.parents) if not p.exists()]
        self._aside: Path | None = None
        self.kept = False
        """Whether something is there that is worth more than a clean disk: from then on what
        goes wrong is a failed run."""

    def move_aside(self) -> None:
        """Give the study's folder another name; nothing is deleted.

        Raises:
            StorageError: somebody is running it.
        """
        if not self._folder.exists():
            return
        with DriverLock(self._folder):
            stem = f"{self._folder.name}.before-{datetime.now().strftime('%Y%m%d-%H%M%S')}"
            names = (stem if n == 0 else f"{stem}-{n}" for n in count())
            free = (self._folder.with_name(name) for name in names)
            aside = next(path for path in free if not path.exists())
            self._aside = self._folder.rename(aside)

    def keep(self) -> None:
        """What there is now stays, whatever happens."""
        if not self.kept:
            self.kept = True
            if self._aside is not None:
                self._note(f"note: the old study is kept as {self._aside}")

    def undo(self) -> None:
        """Leave the disk as it was found."""
        if self._aside is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._aside.rename(self._folder)
        for path in sorted(set(_paths(self._folder)) - self._before, reverse=True):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
        for folder in self._missing:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


@contextmanager
def without_trace(folder: Path, note: Callable[[str], None]) -> Iterator[Traces]:
    """Undo what was done to a study's folder where it is refused.

    Raises:
        InputError: with exit code 2 where nothing was changed, else with 1.
    """
    traces = Traces(folder, note)
    try:
        yield traces
    except InputError as error:
        if traces.kept:
            error.exit_code = 1
        else:
            traces.undo()
        raise
    except BaseException:
        traces.keep()
        raise


def _paths(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        yield from (Path(place, name) for name in (*folders, *files))
