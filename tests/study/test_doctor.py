"""``hqsearch doctor``: it tells, mends what is a projection, and leaves the log alone."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

import hqsearch
from hqsearch.cli import cli
from hqsearch.errors import InputError
from hqsearch.study.doctor import Examination, examine
from hqsearch.study.running import Request, start


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The folder of a toy study with six trials."""
    start(Request("toy", "random", evaluations=6, studies_dir=tmp_path))
    return tmp_path / "toy"


def states(examined: Examination) -> dict[str, str]:
    return {finding.part: finding.state for finding in examined.findings}


SOUND = {"log": "sound", "tables": "sound", "artifacts": "sound", "files": "sound"}


def test_a_sound_study(study: Path) -> None:
    examined = examine("toy", study.parent)
    assert examined.healthy
    assert states(examined) == SOUND


#: What may be wrong with the tables, and whether reading alone shows it and mends it.
TABLE_CHANGES = {
    "one value": ("UPDATE trials SET accuracy = 0.99 WHERE number = 3", False),
    "a row gone": ("DELETE FROM trials WHERE number = 2", True),
    "another number": ("UPDATE trials SET number = 4611686018427387904 WHERE number = 2", True),
    "another version": ("PRAGMA user_version = 1", True),
    "a column of layers": ("ALTER TABLE layers RENAME COLUMN energy TO gone", True),
    "one column more": ("ALTER TABLE layers ADD COLUMN more TEXT", True),
    "a cost of a layer": ("UPDATE layers SET energy = 0 WHERE trial = 1", False),
    "layers gone": ("DELETE FROM layers WHERE trial = 5", False),
    "a view gone": ("DROP VIEW failures", True),
    "a table gone": ("DROP TABLE layers", True),
    "another front": ("UPDATE fronts SET trial = trial + 100", False),
    "a run more": ("INSERT INTO runs (ordinal) VALUES (9)", False),
    "a line more of the study": ("INSERT INTO study VALUES ('x', '1')", False),
}


@pytest.mark.parametrize("how", TABLE_CHANGES)
def test_tables_are_made_again(study: Path, how: str) -> None:
    change, shows = TABLE_CHANGES[how]
    examine("toy", study.parent)
    with closing(sqlite3.connect(study / "results.db")) as db, db:
        db.execute(change)
    if shows:
        copied = study.parent.parent / f"{study.parent.name}-read"
        shutil.copytree(study.parent, copied)
        hqsearch.Study("toy", studies_dir=copied).trials()
        assert states(examine("toy", copied)) == SOUND
    log = (study / "study.db").read_bytes()
    mended = examine("toy", study.parent)
    assert mended.healthy
    assert states(mended)["tables"] == "mended"
    assert states(examine("toy", study.parent)) == SOUND
    assert (study / "study.db").read_bytes() == log


def test_tables_of_garbage_are_made_again(study: Path) -> None:
    (study / "results.db").write_bytes(b"no database" * 1000)
    assert states(examine("toy", study.parent))["tables"] == "mended"
    assert states(examine("toy", study.parent)) == SOUND


def test_what_others_put_beside_the_tables_stays(study: Path) -> None:
    examine("toy", study.parent)
    with closing(sqlite3.connect(study / "results.db")) as db, db:
        db.execute("CREATE INDEX mine ON trials (accuracy)")
        db.execute("CREATE VIEW best AS SELECT max(accuracy) FROM trials")
    assert states(examine("toy", study.parent)) == SOUND
    with closing(sqlite3.connect(study / "results.db")) as db:
        assert db.execute("SELECT * FROM best").fetchone() is not None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("DELETE FROM trial_user_attributes WHERE key = 'result'", "complete and has no result"),
        ("UPDATE trial_user_attributes SET value_json = '7' WHERE key = 'proposal'", "trial 0"),
        ("DELETE FROM study_user_attributes WHERE key = 'run:0'", "run 0, which is not there"),
        ("UPDATE trials SET number = 0", "same number"),
        ("DROP TABLE trial_params", "table trial_params is missing"),
        ("DELETE FROM study_user_attributes WHERE key = 'prepared'", "'prepared'"),
    ],
)
def test_a_damaged_log_is_told_and_left(study: Path, change: str, told: str) -> None:
    with closing(sqlite3.connect(study / "study.db")) as db, db:
        db.execute(change)
    log = (study / "study.db").read_bytes()
    examined = examine("toy", study.parent)
    assert not examined.healthy
    assert told in " ".join(f.what for f in examined.findings)
    assert (study / "study.db").read_bytes() == log
    with pytest.raises(InputError, match="hqsearch doctor"):
        start(Request("toy", "random", evaluations=8, studies_dir=study.parent))


def test_artifacts_by_their_hashes(study: Path) -> None:
    parent = study / "parents" / "abc"
    parent.mkdir(parents=True)
    (parent / "parent.safetensors").write_bytes(b"weights")
    (parent / "parent.json").write_text(json.dumps({"weights": "0" * 64}))
    (study / "data" / "frames").mkdir(parents=True)
    (study / "data" / "frames" / "frames.json").write_text("{}")
    examined = examine("toy", study.parent)
    assert not examined.healthy
    told = [f.what for f in examined.findings if f.part == "artifacts"]
    assert len(told) == 2
    assert "parents/abc/parent.safetensors was changed" in told


def test_leftovers_go_and_nothing_else(study: Path) -> None:
    results = study / "results"
    results.mkdir(exist_ok=True)
    left = [results / ".3.json.999999999", results / ".task-0-1.json.999999999"]
    left.append(study / ".prepared.json.999999999")
    others = [results / ".notes.json.999999999", results / ".3.json.1", study / ".3.json.999999999"]
    for file in (*left, *others):
        file.write_text("half")
    (results / "9.json").write_text("{}")
    examined = examine("toy", study.parent)
    assert examined.healthy
    assert states(examined)["files"] in ("mended", "note")
    assert not any(file.exists() for file in left)
    assert all(file.exists() for file in (*others, results / "9.json"))
    left[0].write_text("half")
    start(Request("toy", "random", evaluations=7, studies_dir=study.parent))
    assert not left[0].exists()
    assert all(file.exists() for file in others)


@pytest.mark.parametrize("broken", [False, True])
def test_the_command(study: Path, broken: bool) -> None:
    if broken:
        (study / "study.db").write_bytes((study / "study.db").read_bytes()[:20000])
    asked = ["doctor", "--study", "toy", "--studies-dir", str(study.parent)]
    told = CliRunner().invoke(cli, asked)
    assert told.exit_code == int(broken)
    assert told.stdout.startswith("log: damaged" if broken else "log: sound")
    as_json = json.loads(CliRunner().invoke(cli, [*asked, "--json"]).stdout)
    assert as_json["healthy"] is not broken
    assert {"part", "state", "what", "advice"} == as_json["findings"][0].keys()
