"""Database errors become ones a person can act on, by their codes and not by their words."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import text

from hqsearch.errors import DiskFull, StorageError, StudyMissing
from hqsearch.store.database import connected, storage_url, translated
from hqsearch.store.log import LogReader


class DriverError(Exception):
    """As PostgreSQL's driver raises them."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__("es ist kein Platz mehr")
        self.sqlstate = sqlstate


def raised(original: Exception) -> sqlalchemy.exc.OperationalError:
    return sqlalchemy.exc.OperationalError("INSERT", {}, original)


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("words that change from version to version")
    error.sqlite_errorcode = code
    return error


def test_a_full_database_is_told(tmp_path: Path) -> None:
    url = storage_url(None, tmp_path)
    with connected(url) as connection:
        connection.execute(text("CREATE TABLE t (x BLOB)"))
        connection.execute(text("PRAGMA max_page_count = 2"))
        with pytest.raises(DiskFull, match="free some and resume"), translated(url):
            connection.execute(text("INSERT INTO t VALUES (zeroblob(100000))"))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (sqlite_error(sqlite3.SQLITE_FULL), DiskFull),
        (sqlite_error(sqlite3.SQLITE_IOERR_SHMSIZE), DiskFull),
        (sqlite_error(sqlite3.SQLITE_BUSY), StorageError),
        (sqlite3.OperationalError("the text says: disk is full"), StorageError),
        (DriverError("53100"), DiskFull),
        (DriverError("40001"), StorageError),
    ],
)
def test_codes_tell(tmp_path: Path, error: Exception, kind: type[Exception]) -> None:
    with pytest.raises((DiskFull, StorageError)) as told, translated(storage_url(None, tmp_path)):
        raise raised(error)
    assert type(told.value) is kind


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(KeyError), translated(storage_url(None, tmp_path)):
        raise KeyError("a fault of ours")


@pytest.mark.parametrize("made", ["nothing", "an empty file", "another table"])
def test_a_study_that_is_not_there_yet_has_an_error_of_its_own(tmp_path: Path, made: str) -> None:
    path = tmp_path / "study.db"
    if made != "nothing":
        path.touch()
    if made == "another table":
        with connected(storage_url(None, tmp_path)) as connection:
            connection.execute(text("CREATE TABLE t (x BLOB)"))
    with pytest.raises(StudyMissing, match="there is no study 's'"):
        LogReader(storage_url(None, tmp_path), "s")


def test_a_link_that_leads_nowhere_makes_no_file(tmp_path: Path) -> None:
    """SQLite follows links, and makes what they lead to."""
    for target in ("elsewhere.db", "study.db"):  # the second one leads to itself
        link = tmp_path / target.partition(".")[0] / "study.db"
        link.parent.mkdir()
        link.symlink_to(target)
        with pytest.raises(StorageError, match="a link that leads nowhere"):
            LogReader(storage_url(None, link.parent), "study")
        assert list(link.parent.iterdir()) == [link]
