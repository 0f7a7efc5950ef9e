"""One driver per study: a lock file that the operating system releases when the driver dies."""

from __future__ import annotations

import json
import os
import socket
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from hqsearch.errors import StorageError


class DriverLock:
    """Held by the driver of a study; a second driver is refused with who holds it."""

    def __init__(self, folder: Path) -> None:
        self._lock = FileLock(folder / "driver.lock")
        self._holder = folder / "driver.json"
        self.folder = folder

    def __enter__(self) -> DriverLock:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise StorageError(
                f"{self.folder} is being run by {self._who()}; wait for it, or stop it first"
            ) from None
        facts = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": datetime.now().isoformat(timespec="seconds"),
        }
        self._holder.write_text(json.dumps(facts))
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.unlink(missing_ok=True)
        self._lock.release()

    def _who(self) -> str:
        return _describe(self._holder) or "another process"

    @staticmethod
    def holder(folder: Path) -> str:
        """Who drives the study in ``folder`` now; empty where nobody does."""
        lock = FileLock(folder / "driver.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return _describe(folder / "driver.json") or "another process"
        lock.release()
        return ""


def _describe(holder: Path) -> str:
    try:
        facts = json.loads(holder.read_text())
        return f"process {facts['pid']} on {facts['host']} since {facts['since']}"
    except (OSError, ValueError, KeyError):
        return ""
