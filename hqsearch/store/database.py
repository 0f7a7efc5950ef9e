"""Where a log lives: ``study.db`` in the study's folder, or a PostgreSQL server.

URLs, connections, and database errors turned into ones a person can act on. Passwords in
URLs never reach a message. A path is not a URL: what has a meaning in one (``%``, ``?``, ``#``)
is quoted where it becomes one, and taken back from the parsed URL only.
"""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy

from hqsearch.errors import DiskFull, StorageError
from hqsearch.wording import option

SERVER = "postgresql+psycopg"
#: Primary result codes of SQLite; PostgreSQL's ``disk_full``.
_SQLITE_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_POSTGRES_FULL = "53100"
#: Of a server's URL: its query may hold them instead of ``user:password@`` (libpq's names).
_SECRETS = ("password", "passwd", "sslpassword")
_HIDDEN = "***"
#: SQLite's complaints about reading, among those about the disk.
_UNREADABLE = (
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
)
#: Seconds to wait for a server to answer, and after which a silent connection is probed.
_SERVER_ARGUMENTS = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10}


def storage_url(storage: str | None, folder: Path) -> str:
    """The database URL of a study: a server's, or ``study.db`` in its folder.

    ``postgresql://`` and ``postgres://`` mean ``postgresql+psycopg://``.

    Raises:
        StorageError: ``storage`` is no PostgreSQL URL, or its driver is not installed.
    """
    if storage is None:
        return _sqlite_url(folder / "study.db")
    scheme, separator, rest = storage.partition("://")
    if not separator or scheme not in (SERVER, "postgresql", "postgres"):
        raise StorageError(
            f"{option('storage', _without_password(storage))}: expected "
            f"{SERVER}://USER:PASSWORD@HOST:PORT/DATABASE; "
            f"without {option('storage')} the log is a file in {option('studies_dir')}"
        )
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise StorageError(
            f"{option('storage', f'{scheme}://…')}: psycopg is not installed: "
            "pip install 'hqsearch[postgres]'"
        ) from None
    url = f"{SERVER}://{rest}"
    try:
        sqlalchemy.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        # What it says may hold a part of the password.
        raise StorageError(
            f"{option('storage', _without_password(storage))}: cannot be read as a URL; in a "
            "user name or password, @ is written %40, / is %2F, : is %3A and % is %25"
        ) from None
    return url


def _sqlite_url(path: Path) -> str:
    """The URL of an SQLite file, whatever its name has in it."""
    try:
        url = sqlalchemy.URL.create("sqlite", database=str(path))
        return url.render_as_string(hide_password=False)
    except UnicodeEncodeError:
        raise StorageError(f"{str(path)!r}: the folder's name is not valid Unicode") from None


def is_server(url: str) -> bool:
    """Whether the log is on a PostgreSQL server."""
    return url.startswith("postgresql")


def shown(url: str) -> str:
    """A log's place for people: the file, or the server's URL without its passwords."""
    path = sqlite_path(url)
    if path is not None:
        return str(path)
    parsed = sqlalchemy.make_url(url)
    hidden = {key: _HIDDEN for key in parsed.query if key.lower() in _SECRETS}
    text = parsed.update_query_dict(hidden).render_as_string(hide_password=True)
    return text.replace(quote(_HIDDEN, safe=""), _HIDDEN)


def sqlite_path(url: str) -> Path | None:
    """The file of an SQLite URL."""
    parsed = sqlalchemy.make_url(url)
    return Path(parsed.database) if parsed.drivername == "sqlite" and parsed.database else None


def check_database(url: str) -> None:
    """Refuse a ``study.db`` that is not a database, before anything writes to it.

    SQLite itself looks: to open and close the file in any other way would drop the locks of
    this process on it, and another process could then remove the write-ahead log of a study
    that is being written ("How To Corrupt An SQLite Database File", 2.2).
    """
    path = sqlite_path(url)
    if path is None:
        return
    if path.is_symlink() and not path.exists():  # SQLite would make a file where it leads
        raise StorageError(f"{path} is a link that leads nowhere; remove it, or mend it")
    if not path.exists():
        return
    if path.is_dir():
        raise StorageError(f"{path} is a folder, not a study's database")
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            connection.execute("PRAGMA schema_version")
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorname == "SQLITE_NOTADB":
                raise StorageError(
                    f"{path} is not a database; move it away, or name another "
                    f"{option('studies_dir')}"
                ) from None


def connect_args(url: str) -> dict[str, Any]:
    """What the database's driver is told when it connects."""
    return dict(_SERVER_ARGUMENTS) if is_server(url) else {"timeout": 60}


def connect(url: str) -> sqlalchemy.Engine:
    """An engine on a database; SQLite waits for other readers and never blocks them (WAL)."""
    engine = sqlalchemy.create_engine(url, connect_args=connect_args(url))
    if not is_server(url):
        sqlalchemy.event.listen(engine, "connect", tune_sqlite)
    return engine


@contextmanager
def connected(url: str) -> Iterator[sqlalchemy.Connection]:
    """One connection, closed afterwards."""
    engine = connect(url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def tune_sqlite(connection: Any, _: Any) -> None:
    """Of every SQLite connection: readers do not block the writer, nor it them."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn database errors into ones a person can act on.

    Raises:
        DiskFull: the database's disk is full.
        StorageError: anything else; for a server that is gone, with how to go on.
    """
    try:
        yield
    except Exception as error:
        database = _database_error(error)
        if database is None:
            raise
        message = _without_secrets(short(database), url)
        if _is_full(database):
            raise DiskFull(
                f"no space left for {shown(url)}; free some and resume, nothing is lost"
            ) from None
        if is_server(url) and isinstance(database, sqlalchemy.exc.OperationalError):
            raise StorageError(
                f"the database server of {shown(url)} cannot be reached: {message}; what had "
                "finished is in the log: once the server is back, the same command goes on"
            ) from None
        raise StorageError(f"{shown(url)}: {message}") from None


def _is_full(error: BaseException) -> bool:
    """Whether the database's disk is full."""
    raised = getattr(error, "orig", None)
    if isinstance(raised, sqlite3.Error):
        # Without room for its shared memory or a journal, SQLite tells of an I/O error.
        code = getattr(raised, "sqlite_errorcode", 0)
        return code & 0xFF in _SQLITE_FULL and code not in _UNREADABLE
    return getattr(raised, "sqlstate", None) == _POSTGRES_FULL


def _database_error(error: BaseException) -> BaseException | None:
    """The database's own error in what Optuna or SQLAlchemy raised; None for other errors."""
    if isinstance(error, sqlalchemy.exc.SQLAlchemyError):
        return error
    optuna = sys.modules.get("optuna")  # readers do without it
    if optuna is not None and isinstance(error, optuna.exceptions.StorageInternalError):
        cause = error.__cause__
        return cause if isinstance(cause, sqlalchemy.exc.SQLAlchemyError) else error
    return None


def short(error: BaseException) -> str:
    """The first line of what the database said."""
    cause = getattr(error, "orig", None) or error.__cause__ or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[0] if lines else type(cause).__name__


def _without_secrets(message: str, url: str) -> str:
    """What a driver said, without the passwords of the URL that it was given."""
    parsed = sqlalchemy.make_url(url)
    secrets = [v for k, v in parsed.query.items() if k.lower() in _SECRETS and isinstance(v, str)]
    for secret in (parsed.password, *secrets):
        if secret:
            message = message.replace(str(secret), _HIDDEN)
    return message


def _without_password(text: str) -> str:
    """Any text that may be a URL, without its passwords: before ``@`` and in its query."""
    names = "|".join(_SECRETS)
    text = re.sub(rf"(?i)([?&](?:{names})=)[^&]*", rf"\1{_HIDDEN}", text)
    scheme, separator, rest = text.rpartition("://")
    login, at, place = rest.rpartition("@")
    user = login.partition(":")[0]
    return f"{scheme}{separator}{user}{at}{place}"
