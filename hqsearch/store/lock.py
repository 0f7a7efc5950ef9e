"""One driver per study: locks that are freed when the driver dies, however it dies.

A lock file guards the study's folder; where the log is on a server, an advisory lock there
guards the log as well, for the other driver may be on another machine.
"""

from __future__ import annotations

import json
import os
import socket
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from hqsearch.errors import StorageError
from hqsearch.store.database import is_server
from hqsearch.store.server_lock import ServerLock

#: Seconds that a driver waits: :meth:`DriverLock.holder` takes the lock for an instant, and
#: a driver that has just taken it needs as much to write down who it is.
_PATIENCE = 0.5


class DriverLock:
    """Held by the driver of a study; a second driver is refused with who holds it.

    Args:
        folder: the study's.
        url: of its log; only a server's needs naming.
        name: of the study in that log.
    """

    def __init__(self, folder: Path, url: str = "", name: str = "") -> None:
        self._lock = FileLock(folder / "driver.lock")
        self._holder = folder / "driver.json"
        self._server = ServerLock(url, name) if is_server(url) else None
        self.folder = folder

    def __enter__(self) -> DriverLock:
        try:
            self._lock.acquire(timeout=_PATIENCE)
        except Timeout:
            raise StorageError(
                f"{self.folder} is being run by {_who(self._holder)}; wait for it, or stop it first"
            ) from None
        try:
            if self._server is not None:
                self._server.acquire()
            facts = {
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "since": datetime.now().isoformat(timespec="seconds"),
            }
            self._holder.write_text(json.dumps(facts))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.unlink(missing_ok=True)
        if self._server is not None:
            self._server.release()
        self._lock.release()

    def check(self) -> None:
        """Make sure, before a write to the log, that this is still the only driver.

        Raises:
            StorageError: the server has freed the lock, for the connection to it broke.
        """
        if self._server is not None:
            self._server.check()

    @staticmethod
    def holder(folder: Path, url: str = "", name: str = "") -> str:
        """Who drives the study now; empty where nobody does."""
        if is_server(url):
            return ServerLock.holder(url, name)
        if not (folder / "driver.lock").exists():
            return ""  # nothing is made by looking
        lock = FileLock(folder / "driver.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return _who(folder / "driver.json")
        except OSError:  # a folder that may only be read
            return _who(folder / "driver.json") if _is_held(folder / "driver.lock") else ""
        lock.release()
        return ""


def _is_held(lock: Path) -> bool:
    """Whether a lock file that may only be read is locked."""
    try:
        import fcntl
    except ImportError:  # Windows, where a file that is held cannot be opened
        return not os.access(lock, os.R_OK)
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _who(holder: Path) -> str:
    try:
        facts = json.loads(holder.read_text())
        return f"process {facts['pid']} on {facts['host']} since {facts['since']}"
    except (OSError, ValueError, KeyError):
        return "another process"
