"""Whether ``results.db`` still is what was made: its schema, its content, the file itself.

The schema is compared at every opening, for that costs nothing; the content, row by row with
tables that are made anew from the log, by ``hqsearch doctor``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from typing import Any

from sqlite_utils import Database

from hqsearch.store.views import VIEWS, quoted

#: Tables that the log alone decides, with the column that says of which trial a row is.
_TABLES = {"trials": "number", "layers": "trial", "runs": None, "study": None}
#: Tables and views that are hqsearch's; others may be put beside them.
OWN = frozenset({*_TABLES, "fronts", *VIEWS})
#: Rows of the table ``study`` that tell of the tables themselves.
SCHEMA_KEY, FRONTS_KEY = "schema", "fronts"


def schema_text(db: Database) -> str:
    """How hqsearch's own tables, their keys and views are defined now."""
    rows = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    # What others put beside them (an index of theirs has a text) is not compared.
    own = [row for row in rows if row[1] in OWN or (row[2] in OWN and row[3] is None)]
    return json.dumps(sorted(own, key=lambda row: (row[0], row[1])))


def fronts_text(db: Database) -> str:
    """A hash of the fronts so far, which the log does not hold."""
    rows = db.execute("SELECT finished, trial FROM fronts ORDER BY finished, trial").fetchall()
    return hashlib.sha256(json.dumps(rows, default=repr).encode()).hexdigest()


def told(db: Database, key: str) -> Any:
    """What the tables tell of themselves; None where they do not."""
    row = db.execute("SELECT value FROM study WHERE key = ?", [key]).fetchone()
    return None if row is None else row[0]


def tell(db: Database, key: str, text: str) -> None:
    db.execute("INSERT OR REPLACE INTO study (key, value) VALUES (?, ?)", [key, text])


def disagreements(held: Database, fresh: Database, numbers: Collection[int]) -> Iterator[str]:
    """What is wrong with tables, in words.

    Args:
        held: as they are on disk.
        fresh: as they are made from the log.
        numbers: trials that had finished when the log was read; a driver may have gone on.
    """
    found = [str(row[0]) for row in held.execute("PRAGMA integrity_check(8)")]
    if found != ["ok"]:
        yield from found
        return
    if fronts_text(held) != told(held, FRONTS_KEY):
        yield "table fronts was changed"
    for table, number in _TABLES.items():
        columns = {name: sorted(db[table].columns_dict) for name, db in _named(held, fresh)}
        if columns["held"] != columns["fresh"]:
            yield f"table {table} has other columns"
            continue
        rows = [
            [row for row in _rows(db, table, columns["held"], number)
             if number is None or row[0] in numbers]
            for db in (held, fresh)
        ]  # fmt: skip
        if rows[0] != rows[1]:
            yield f"table {table} was changed"


def _named(held: Database, fresh: Database) -> Iterator[tuple[str, Database]]:
    yield "held", held
    yield "fresh", fresh


def _rows(
    db: Database, table: str, columns: list[str], number: str | None
) -> list[tuple[Any, ...]]:
    """Rows of a table in an order of their own, those of tables of trials with its number first."""
    first = [] if number is None else [number]
    names = ", ".join(map(quoted, [*first, *columns]))
    where = "" if table != "study" else f"WHERE key NOT IN ('{SCHEMA_KEY}', '{FRONTS_KEY}')"
    # By everything: the order of rows that are there twice must not matter.
    order = ", ".join(str(place + 1) for place in range(len(first) + len(columns)))
    query = f"SELECT {names} FROM {table} {where} ORDER BY {order}"
    return [tuple(row) for row in db.execute(query)]
