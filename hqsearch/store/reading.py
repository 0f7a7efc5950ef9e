"""Opening a log to read it, wherever it lies: on a full disk, in somebody else's folder.

SQLite needs files beside a database in WAL mode to read it at all. Where they cannot be made,
a log that was closed whole is read as it lies (nobody is writing it, else they were there); one
that a driver has left without closing it is read from a copy in a temporary folder.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path

import sqlalchemy
from sqlalchemy import text

from hqsearch.store.database import connect_args, sqlite_path, storage_url

#: Primary result codes of a place that cannot be written, or not now.
_UNWRITABLE = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
)
#: A folder in memory, where the disk of temporary files is full as well.
_IN_MEMORY = Path("/dev/shm")


def is_unwritable(error: BaseException) -> bool:
    """Whether an SQLite error says that a place cannot be written, not what is wrong there."""
    raised = getattr(error, "orig", None) or error
    return int(getattr(raised, "sqlite_errorcode", 0)) & 0xFF in _UNWRITABLE


class ReadingEngine:
    """An engine that reads a log; :meth:`dispose` removes what was made to do so."""

    def __init__(self, url: str) -> None:
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        # The log stays in the mode that its driver gave it.
        self.engine = sqlalchemy.create_engine(url, connect_args=connect_args(url))
        path = sqlite_path(url)
        if path is None or not path.exists():
            return
        try:
            _try(self.engine)
        except (sqlalchemy.exc.DatabaseError, UnicodeDecodeError) as error:
            self.engine.dispose()
            if not is_unwritable(error):
                return  # told by whoever reads
            self.engine = self._elsewhere(path)

    def _elsewhere(self, path: Path) -> sqlalchemy.Engine:
        log = path.with_name(f"{path.name}-wal")
        try:
            if not log.exists() or log.stat().st_size == 0:
                return _as_it_lies(path)
            return sqlalchemy.create_engine(storage_url(None, self._copied([path, log])))
        except OSError:
            return _as_it_lies(path)

    def _copied(self, files: list[Path]) -> Path:
        """A temporary folder with copies.

        Raises:
            OSError: there is no room for them, or they may not be read.
        """
        for place in (None, _IN_MEMORY):
            self._copy = tempfile.TemporaryDirectory(prefix="hqsearch-", dir=place)
            try:
                for file in files:
                    shutil.copyfile(file, Path(self._copy.name) / file.name)
            except OSError:
                self._copy.cleanup()
                if place is _IN_MEMORY:
                    raise
            else:
                break
        assert self._copy is not None
        return Path(self._copy.name)

    def dispose(self) -> None:
        self.engine.dispose()
        if self._copy is not None:
            self._copy.cleanup()


def _as_it_lies(path: Path) -> sqlalchemy.Engine:
    """Reads one file and nothing beside it, without a lock."""
    place = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    return sqlalchemy.create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(place, uri=True, check_same_thread=False),
        poolclass=sqlalchemy.NullPool,
    )


def _try(engine: sqlalchemy.Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT count(*) FROM sqlite_master"))
