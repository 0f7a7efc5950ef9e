"""What a driver and ``doctor`` find wrong with a log, each fault by its own words."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hqsearch.errors import StudyDamaged, StudyMissing
from hqsearch.store.log import storage_url
from hqsearch.store.log_reader import LogReader
from hqsearch.store.soundness import log_faults, require_own_file, require_sound
from hqsearch.study.running import Request, start


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a toy study of two runs of 8 trials each."""
    studies = tmp_path_factory.mktemp("sound")
    for seed in (0, 1):
        start(Request("toy", "random", evaluations=8, seed=seed, studies_dir=studies))
    return studies / "toy"


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(sound, tmp_path / "toy"))


def faults(folder: Path) -> list[str]:
    reader = LogReader(storage_url(None, folder), "toy")
    try:
        return list(log_faults(reader))
    finally:
        reader.close()


def execute(folder: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(folder / "study.db")) as database, database:
        assert database.execute(statement, values).rowcount != 0


def attribute(folder: Path, table: str, where: str, **changes: Any) -> None:
    """Change keys of a JSON attribute."""
    with closing(sqlite3.connect(folder / "study.db")) as database, database:
        query = f"SELECT value_json FROM {table} WHERE {where}"
        value = json.loads(database.execute(query).fetchone()[0])
        statement = f"UPDATE {table} SET value_json = ? WHERE {where}"
        assert database.execute(statement, (json.dumps({**value, **changes}),)).rowcount == 1


def of_study(folder: Path, key: str, **changes: Any) -> None:
    attribute(folder, "study_user_attributes", f"key = '{key}'", **changes)


def of_trial(folder: Path, number: int, **changes: Any) -> None:
    trial = f"(SELECT trial_id FROM trials WHERE number = {number})"
    attribute(
        folder, "trial_user_attributes", f"key = 'proposal' AND trial_id = {trial}", **changes
    )


def test_a_sound_log_has_no_faults_and_its_attributes_are_returned(folder: Path) -> None:
    assert faults(folder) == []
    attributes = require_sound(storage_url(None, folder), "toy")
    assert attributes["study"]["name"] == "toy"
    assert "fingerprint" in attributes


def test_a_study_that_was_only_begun_is_new(folder: Path) -> None:
    execute(folder, "DELETE FROM study_user_attributes WHERE key NOT IN ('study', 'definition')")
    execute(folder, "DELETE FROM trial_user_attributes")
    for table in ("trial_values", "trial_params", "trial_system_attributes", "trials"):
        with closing(sqlite3.connect(folder / "study.db")) as database, database:
            database.execute(f"DELETE FROM {table}")
    assert faults(folder) == []
    assert require_sound(storage_url(None, folder), "toy") == {}


FAULTS: dict[str, tuple[Any, str]] = {
    "a definition less": (
        lambda f: execute(f, "DELETE FROM study_user_attributes WHERE key = 'definition'"),
        "attribute 'definition' of the study is missing",
    ),
    "a made-up study": (
        lambda f: execute(f, "DELETE FROM study_user_attributes WHERE key = 'fingerprint'"),
        "it is a study that hqsearch did not make",
    ),
    "another direction": (
        lambda f: execute(f, "UPDATE study_directions SET direction = 'MINIMIZE'"),
        "the objectives are not those that the study was made with",
    ),
    "another name": (
        lambda f: of_study(f, "study", name="other"),
        "the log says that it is of study 'other'",
    ),
    "a run less": (
        lambda f: execute(f, "DELETE FROM study_user_attributes WHERE key = 'run:0'"),
        "its runs are numbered [1]",
    ),
    "a run without options": (
        lambda f: of_study(f, "run:0", options={"constraints": {}}),
        "run 0 has no options of its strategy",
    ),
    "constraints that are none": (
        lambda f: of_study(f, "run:0", options={"strategy": {}, "constraints": {"energy": 3}}),
        "run 0 has constraints {'energy': 3}",
    ),
    "another layer": (
        lambda f: of_trial(f, 3, key="x=2u"),
        "trial 3 is of other dimensions than the study: 'x=2u'",
    ),
    "a run that is not there": (
        lambda f: of_trial(f, 15, run=7),
        "trial 15 is of run 7, which is not there",
    ),
    "a copy of nothing": (
        lambda f: of_trial(f, 15, copy_of=99),
        "trial 15 is a copy of trial 99, which is not there",
    ),
    "a slot twice": (
        lambda f: of_trial(f, 7, slot=6),
        "proposals of run 0 are missing, or there twice",
    ),
    "a number twice": (
        lambda f: execute(f, "UPDATE trials SET number = 6 WHERE number = 7"),
        "two trials have the same number",
    ),
    "no result": (
        lambda f: execute(
            f, "DELETE FROM trial_user_attributes WHERE key = 'result' AND trial_id = 1"
        ),
        "trial 0 is complete and has no result",
    ),
    "a column less": (
        lambda f: execute(f, "ALTER TABLE trials RENAME COLUMN datetime_start TO begun"),
        "column datetime_start of table trials is missing",
    ),
    "a table less": (
        lambda f: execute(f, "ALTER TABLE trial_heartbeats RENAME TO beats"),
        "table trial_heartbeats is missing",
    ),
}


@pytest.mark.parametrize("what", FAULTS)
def test_each_fault_is_named_and_the_log_is_not_gone_on_with(folder: Path, what: str) -> None:
    damage, told = FAULTS[what]
    damage(folder)
    assert told in faults(folder)
    with pytest.raises(StudyDamaged, match="hqsearch doctor"):
        require_sound(storage_url(None, folder), "toy")


def test_a_decision_about_trials_of_another_run(folder: Path) -> None:
    decision = json.dumps({"run": 0, "cohort": 0, "rung": 0, "ranked": [1, 12], "promoted": 1})
    execute(
        folder,
        "INSERT INTO study_user_attributes (study_id, key, value_json) VALUES (1, ?, ?)",
        "rung:0:0:0",
        decision,
    )
    assert faults(folder) == ["run 0 was decided on trials that it does not have"]


def test_a_file_that_holds_something_else_is_not_written_to(folder: Path, tmp_path: Path) -> None:
    url = storage_url(None, folder)
    with pytest.raises(StudyMissing):
        require_sound(url, "other")
    with pytest.raises(StudyDamaged, match=r"holds other studies \('toy'\) and no study 'other'"):
        require_own_file(url, "other")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    with closing(sqlite3.connect(foreign / "study.db")) as database, database:
        database.execute("CREATE TABLE addresses (name TEXT)")
    with pytest.raises(StudyDamaged, match="holds the tables addresses"):
        require_own_file(storage_url(None, foreign), "s")
    empty = tmp_path / "empty"
    empty.mkdir()
    sqlite3.connect(empty / "study.db").close()
    require_own_file(storage_url(None, empty), "s")
    assert not (empty / "study.db").stat().st_size
