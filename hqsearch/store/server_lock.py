"""One driver per study on a PostgreSQL server: a session-level advisory lock.

The server frees the lock when the driver's connection ends, however the driver dies. Who
holds it is the connection's ``application_name``, set before the lock is asked for, so that
a refused driver can always tell (PostgreSQL manual, 13.3.5 and 54.12, ``pg_locks``).
"""

from __future__ import annotations

import hashlib
import os
import socket
from contextlib import suppress
from datetime import datetime

import sqlalchemy
from sqlalchemy import text

from hqsearch.errors import StorageError
from hqsearch.store.database import connect_args, short, shown, translated

#: Bytes of an application name that PostgreSQL keeps.
_KEPT = 63
_MARK = "hqsearch"


def advisory_key(name: str) -> int:
    """The 64-bit signed key of a study's lock; advisory locks are per database."""
    digest = hashlib.sha256(f"{_MARK}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class ServerLock:
    """The lock of the study ``name`` on the server of ``url``, on a connection of its own."""

    def __init__(self, url: str, name: str) -> None:
        self.url, self.name = url, name
        self._connection: sqlalchemy.Connection | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            StorageError: another driver holds it (says which), or the server is not there.
        """
        who = ""
        with translated(self.url):
            connection = _connect(self.url)
            try:
                taken = connection.execute(
                    text("SELECT pg_try_advisory_lock(:key)"), {"key": advisory_key(self.name)}
                ).scalar_one()
                if taken:
                    self._connection = connection
                    return
                who = _holder(connection, self.name) or "another process"
            finally:
                if self._connection is None:
                    connection.close()
        raise StorageError(
            f"study {self.name!r} in {shown(self.url)} is being run by {who}; "
            "wait for it, or stop it first"
        )

    def check(self) -> None:
        """Make sure that the lock is still held.

        Raises:
            StorageError: the connection is gone, and the lock with it: another driver may
                have taken over.
        """
        assert self._connection is not None
        try:
            self._connection.execute(text("SELECT 1"))
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise StorageError(
                f"lost the connection to {shown(self.url)} that holds the lock of study "
                f"{self.name!r}: {short(error)}; what had finished is in the log: "
                "once the server is back, the same command goes on"
            ) from None

    def release(self) -> None:
        """Give the lock back; a connection that is gone already has."""
        if self._connection is not None:
            with suppress(sqlalchemy.exc.SQLAlchemyError):
                self._connection.close()
            self._connection = None

    @staticmethod
    def holder(url: str, name: str) -> str:
        """Who drives the study now; empty where nobody does."""
        with translated(url), _connect(url) as connection:
            return _holder(connection, name)


def _connect(url: str) -> sqlalchemy.Connection:
    since = datetime.now().isoformat(timespec="seconds")
    # The host last: it is what may be too long.
    own = f"{_MARK} {since} {os.getpid()} {socket.gethostname()}"[:_KEPT]
    engine = sqlalchemy.create_engine(
        url,
        connect_args={**connect_args(url), "application_name": own},
        isolation_level="AUTOCOMMIT",  # no transaction is left open for hours
        poolclass=sqlalchemy.NullPool,
    )
    return engine.connect()


def _holder(connection: sqlalchemy.Connection, name: str) -> str:
    key = advisory_key(name) & (2**64 - 1)
    row = connection.execute(
        text(
            "SELECT a.application_name, a.pid FROM pg_locks l "
            "JOIN pg_stat_activity a ON a.pid = l.pid "
            "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
            "AND l.classid::bigint = :high AND l.objid::bigint = :low "
            "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ),
        {"high": key >> 32, "low": key & 0xFFFFFFFF},
    ).first()
    if row is None:
        return ""
    parts = str(row[0]).split(" ", 3)
    if len(parts) != 4 or parts[0] != _MARK:
        return f"server process {row[1]}"
    _, since, pid, host = parts
    return f"process {pid} on {host} since {since}"
