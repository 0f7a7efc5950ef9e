"""Damaged logs: one message, exit codes 0, 1 and 2 only, and nothing made by a refusal.

The damage is seeded: what disks, other programs and people do to a ``study.db``.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from hqsearch.cli import cli
from hqsearch.errors import HqsearchError
from hqsearch.study.running import Request, start

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

#: What a JSON value may turn into.
_OTHERS: tuple[Any, ...] = (
    None, True, -1, 1.5, 10**30, float("nan"), "", "text", "\x00", [], [1], ["a", 2], {}, {"a": 1},
    [[[[]]]], {"state": "BANANA"},
)  # fmt: skip

Damage = Callable[[Path, random.Random], None]


def truncated(path: Path, draw: random.Random) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(draw.choice([draw.randrange(size), 100, 4096, size // 2, size - 1]))


def zeroed_page(path: Path, draw: random.Random) -> None:
    _overwrite(path, 4096 * draw.randrange(path.stat().st_size // 4096), bytes(4096))


def zeroed_bytes(path: Path, draw: random.Random) -> None:
    _overwrite(path, draw.randrange(100, path.stat().st_size), bytes(draw.randrange(1, 3000)))


def random_bytes(path: Path, draw: random.Random) -> None:
    content = draw.randbytes(draw.randrange(1, 400))
    _overwrite(path, draw.randrange(path.stat().st_size), content)


def scattered_bytes(path: Path, draw: random.Random) -> None:
    for _ in range(60):
        _overwrite(path, draw.randrange(100, path.stat().st_size), draw.randbytes(1))


def missing_table(path: Path, draw: random.Random) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"DROP TABLE {draw.choice(_tables(db))}")


def missing_column(path: Path, draw: random.Random) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        table = draw.choice(_tables(db))
        column = draw.choice(_columns(db, table))
        db.execute(f'ALTER TABLE {table} RENAME COLUMN "{column}" TO "gone"')


def missing_rows(path: Path, draw: random.Random) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        table = draw.choice(_tables(db))
        db.execute(f"DELETE FROM {table} WHERE rowid % ? = 0", (draw.choice([1, 2, 3]),))


def wrong_json(path: Path, draw: random.Random) -> None:
    """A value somewhere within the JSON of an attribute is something else, or gone."""
    with closing(sqlite3.connect(path)) as db, db:
        table = draw.choice(["study_user_attributes", "trial_user_attributes"])
        rows = db.execute(f"SELECT rowid, value_json FROM {table}").fetchall()
        place, content = draw.choice(rows)
        changed = json.dumps(_changed(json.loads(content), draw))
        db.execute(f"UPDATE {table} SET value_json = ? WHERE rowid = ?", (changed, place))


def no_json(path: Path, draw: random.Random) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        table = draw.choice(["study_user_attributes", "trial_user_attributes"])
        content = draw.choice(["", "{", "[" * 5000, "1" * 6000, b"\xff\xfe", 7, "nul"])
        place = db.execute(f"SELECT rowid FROM {table} ORDER BY random() LIMIT 1").fetchone()[0]
        db.execute(f"UPDATE {table} SET value_json = ? WHERE rowid = ?", (content, place))


def wrong_value(path: Path, draw: random.Random) -> None:
    """One field of one row is something else."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA ignore_check_constraints = 1")
        table = draw.choice([t for t in _tables(db) if _count(db, t)])
        _, column, _, needed, _, key = draw.choice(_info(db, table))
        value = draw.choice([None, "BANANA", -7, 1e300, b"\x00\xff", 2**62, ""])
        place = draw.randrange(_count(db, table))
        row = f"SELECT rowid FROM {table} LIMIT 1 OFFSET {place}"
        if key or (needed and value is None):
            value = 2**62  # SQLite itself keeps anything else out of a key, and NULL out of others
        db.execute(f'UPDATE OR REPLACE {table} SET "{column}" = ? WHERE rowid = ({row})', (value,))


def foreign_study(path: Path, draw: random.Random) -> None:
    """Another program's Optuna study, of the same name or not."""
    import optuna

    path.unlink()
    name = draw.choice(["toy", "other"])
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    study = optuna.create_study(storage=storage, study_name=name)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=draw.choice([1, 3]))
    storage.remove_session()
    storage.engine.dispose()


def foreign_file(path: Path, draw: random.Random) -> None:
    path.unlink()
    kind = draw.choice(["text", "database", "folder", "zeros"])
    if kind == "folder":
        path.mkdir()
    elif kind == "database":
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("CREATE TABLE photographs (name TEXT)")
    else:
        path.write_bytes(bytes(9000) if kind == "zeros" else b"Dear diary, " * 99)


DAMAGES: tuple[Damage, ...] = (
    truncated, zeroed_page, zeroed_bytes, random_bytes, scattered_bytes, missing_table,
    missing_column, missing_rows, wrong_json, wrong_json, wrong_json, no_json, wrong_value,
    wrong_value, foreign_study, foreign_file,
)  # fmt: skip


def damage(path: Path, seed: int) -> str:
    """Damage a database in the way that ``seed`` draws; the name of the way."""
    kind = DAMAGES[seed % len(DAMAGES)]
    kind(path, random.Random(seed))
    return kind.__name__


def _overwrite(path: Path, place: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(content[: path.stat().st_size - place])


def _tables(db: sqlite3.Connection) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
    return [name for (name,) in db.execute(query)]


def _columns(db: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in _info(db, table)]


def _info(db: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    return db.execute(f"PRAGMA table_info({table})").fetchall()


def _count(db: sqlite3.Connection, table: str) -> int:
    return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def _changed(value: Any, draw: random.Random) -> Any:
    """A JSON value with one value within it changed, or one key gone."""
    if isinstance(value, dict) and value and draw.random() < 0.8:
        key = draw.choice(sorted(value))
        if draw.random() < 0.2:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: _changed(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.7:
        place = draw.randrange(len(value))
        return [*value[:place], _changed(value[place], draw), *value[place + 1 :]]
    return draw.choice(_OTHERS)


COMMANDS: tuple[tuple[str, ...], ...] = (
    ("front", "--json"),
    ("trials", "--json"),
    ("status",),
    ("show", "--trial", "3"),
    ("show", "--strategy", "gumbel"),
    ("studies",),
    ("cost", "--uniform", "4u"),
    ("doctor",),
    ("resume",),
    ("confirm", "--seeds", "1"),
    ("run", "--strategy", "random", "--evaluations", "9"),
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with a run that was stopped early, and one that was not finished."""
    folder = tmp_path_factory.mktemp("sound")
    start(Request("toy", "random", evaluations=8, studies_dir=folder))
    stopping = {"search.early_stopping": "halving", "evaluation.epochs": 4}
    start(Request("toy", "nsga2", evaluations=8, studies_dir=folder / "h", overrides=stopping))
    start(Request("synthetic", "sensitivity", evaluations=6, studies_dir=folder / "s"))
    return folder


def code_of(words: tuple[str, ...], study: str, studies: Path) -> int:
    """The exit code of a command, as :func:`hqsearch.cli.main` gives it; no traceback."""
    named = () if words[0] == "studies" else ("--study", study)
    asked = [words[0], *named, "--studies-dir", str(studies), *words[1:]]
    try:
        done = CliRunner().invoke(cli, asked, standalone_mode=False, catch_exceptions=False)
    except HqsearchError as error:
        return error.exit_code if str(error).strip() else -1
    except click.ClickException as error:
        return error.exit_code
    except OSError:
        return 1
    return int(done.return_value or done.exit_code or 0)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file and folder, with contents."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b""
        for p in folder.rglob("*")
    }


@pytest.mark.parametrize(
    "seed",
    [
        *range(3 * len(DAMAGES)),
        *(pytest.param(s, marks=pytest.mark.slow) for s in range(3 * len(DAMAGES), 1000)),
    ],
)
def test_every_command_says_what_is_wrong(sound: Path, tmp_path: Path, seed: int) -> None:
    study, source = [("toy", sound), ("toy", sound / "h"), ("synthetic", sound / "s")][seed % 3]
    broken = tmp_path / "broken"
    shutil.copytree(source / study, broken / study)
    how = damage(broken / study / "study.db", seed)
    for words in COMMANDS:
        studies = tmp_path / "-".join(words)
        shutil.copytree(broken, studies)
        before = tree(studies)
        code = code_of(words, study, studies)
        assert code in (0, 1, 2), (how, words)
        if code == 2 and words[0] in ("run", "resume", "confirm"):
            assert tree(studies) == before, (how, words)
        assert {*tree(studies)} >= {*before}, (how, words)
        shutil.rmtree(studies)


#: What happens to ``results.db``, which is no log.
TABLE_DAMAGES: tuple[Damage, ...] = (
    truncated, zeroed_page, zeroed_bytes, random_bytes, scattered_bytes, missing_table,
    missing_column, missing_rows, wrong_value, wrong_value, foreign_study, foreign_file,
)  # fmt: skip


def damaged_tables(sound: Path, folder: Path, seeds: range) -> None:
    """Reading goes on whatever is wrong with ``results.db``; ``doctor`` puts all of it right."""
    asked = (("front",), ("trials",), ("status",), ("show", "--trial", "3"))
    healthy = folder / "healthy"
    shutil.copytree(sound / "toy", healthy / "toy")

    def read(studies: Path) -> list[str]:
        told = []
        for name, *more in asked:
            words = [name, "--study", "toy", "--studies-dir", str(studies), *more, "--json"]
            done = CliRunner().invoke(cli, words, standalone_mode=False, catch_exceptions=False)
            assert json.loads(done.stdout)
            told.append(done.stdout)
        return told

    whole = read(healthy)
    for seed in seeds:
        kind = TABLE_DAMAGES[seed % len(TABLE_DAMAGES)]
        studies = folder / "damaged"
        shutil.copytree(healthy, studies)
        kind(studies / "toy" / "results.db", random.Random(seed))
        read(studies)
        assert code_of(("doctor",), "toy", studies) == 0, (seed, kind)
        # What a study takes on disk is told by status, and is not the same.
        again = read(studies)
        assert (*again[:2], again[3]) == (*whole[:2], whole[3]), (seed, kind)
        shutil.rmtree(studies)


def test_damaged_tables_are_made_anew(sound: Path, tmp_path: Path) -> None:
    damaged_tables(sound, tmp_path, range(len(TABLE_DAMAGES)))


@pytest.mark.slow
def test_more_damaged_tables_are_made_anew(sound: Path, tmp_path: Path) -> None:
    damaged_tables(sound, tmp_path, range(len(TABLE_DAMAGES), 1000))
