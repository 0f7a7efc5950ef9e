"""A real PostgreSQL server of one's own, for the tests of the log on one and for kills."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

USER = "postgres"


class PostgresServer:
    """A cluster of its own in a temporary folder, on a free port of this machine."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._data = programs, folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        # The server refuses to run as root.
        self._user = USER if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(folder, self._user)
        words = ["-D", str(self._data), "-U", USER, "--auth=trust", "-E", "UTF8", "--no-locale"]
        self._call("initdb", *words, "--no-sync")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def _call(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [self._programs / program, *words],
            user=self._user,
            cwd=self._data.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        settings = ("fsync=off", "listen_addresses=127.0.0.1", "unix_socket_directories=")
        options = [word for setting in settings for word in ("-c", setting)]
        with (self._data.parent / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, "-p", str(self.port), *options],
                user=self._user,
                cwd=self._data.parent,
                stderr=log,
            )
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self._process.poll() is None, (self._data.parent / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _answers(self) -> bool:
        words = ["-h", "127.0.0.1", "-p", str(self.port), "-q"]
        return subprocess.run([self._programs / "pg_isready", *words], check=False).returncode == 0

    def stop(self) -> None:
        """At once, throwing every client out."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
            self._process = None

    @property
    def running(self) -> bool:
        return self._process is not None

    def new_database(self) -> str:
        """The URL of a database that is empty."""
        name = f"d{time.monotonic_ns()}"
        words = ["-h", "127.0.0.1", "-p", str(self.port), "-U", USER]
        self._call("createdb", *words, name)
        return f"postgresql+psycopg://{USER}:secret@127.0.0.1:{self.port}/{name}"


def programs() -> Path | None:
    """Where the server's programs are; Debian keeps them off PATH."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: p.parts[4])
    found = str(versions[-1]) if versions else shutil.which("initdb")
    return Path(found).resolve().parent if found else None
