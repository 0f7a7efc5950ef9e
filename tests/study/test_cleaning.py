"""What can be made again and nothing needs is found, and removed only when asked."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from hqsearch.cli import cli
from hqsearch.errors import StorageError, StudyMissing
from hqsearch.show.disk import cleaning_text
from hqsearch.store.lock import DriverLock
from hqsearch.store.log import LogReader, storage_url
from hqsearch.study.cleaning import STALE, clean

#: Names as preparations give them end so.
NEW, OLD, HALF, GONE = "a" * 16, "0" * 16, "b" * 16, "c" * 16


@pytest.fixture
def study(tmp_path: Path, launched: Any) -> Path:
    """The folder of a toy study of 8 trials, with what crashes and changes leave behind."""
    launched.run(tmp_path, evaluations=8)
    folder = tmp_path / "toy"
    token = token_of(folder)
    prepared = {"classes": 2, "frames": f"data/set-{NEW}", "parents": {"": f"parents/{NEW}"}}
    put(folder / "prepared.json", prepared)
    for name in (NEW, OLD):
        put(folder / "data" / f"set-{name}" / "frames.json", {"fingerprint": name})
        put(folder / "parents" / name / "parent.json", {"weights": name})
        put(folder / "data" / f"set-{name}.lock", "")
    put(folder / "data" / f"set-{HALF}.partial" / "test-frames.npy", "half")
    put(folder / "data" / f"set-{GONE}.lock", "")
    put(folder / "rungs" / f"{token[:8]}-3" / "toy.json", "ended")
    put(folder / "rungs" / "00000000-3" / "toy.json", "of an earlier log")
    put(folder / "tasks" / "00000000-0-0" / "progress.json", "of an earlier log")
    put(folder / "results" / "3.json", "in the log")
    put(folder / "results" / "99.json", "not in the log")
    put(folder / ".prepared.json.1234", "never finished")
    os.utime(folder / ".prepared.json.1234", (0, 0))
    put(folder / ".prepared.json.1235", "just begun")
    put(folder / "comparisons" / "1.json", "asked for")
    put(folder / "driver.token", token)
    put(folder / "notes.txt", "a person's own")
    return folder


def put(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def token_of(folder: Path) -> str:
    reader = LogReader(storage_url(None, folder), folder.name)
    token = str(reader.attributes()["study"]["token"])
    reader.close()
    return token


def files(folder: Path) -> set[str]:
    """Every file but those of the log and the lock."""
    every = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return {path for path in every if not path.startswith(("study.db", "driver.lock"))}


def test_it_lists_and_leaves(study: Path) -> None:
    before = files(study)
    found = clean("toy", study.parent, None, remove=False)
    assert files(study) == before
    token = token_of(study)[:8]
    assert {item.path for item in found.items} == {
        f"data/set-{OLD}", f"data/set-{OLD}.lock", f"data/set-{HALF}.partial",
        f"data/set-{GONE}.lock", f"parents/{OLD}",
        f"rungs/{token}-3", "rungs/00000000-3", "tasks/00000000-0-0", "results/3.json",
        ".prepared.json.1234", "driver.token",
    }  # fmt: skip
    assert all(item.why for item in found.items)
    assert not found.removed


def test_it_removes_what_it_lists_and_nothing_else(study: Path, launched: Any) -> None:
    table = launched.table(study.parent)
    listed = clean("toy", study.parent, None, remove=False)
    removed = clean("toy", study.parent, None, remove=True)
    assert removed.items == listed.items
    assert removed.removed
    assert removed.bytes == sum(item.bytes for item in listed.items) > 0
    assert files(study) >= {
        "prepared.json", f"data/set-{NEW}/frames.json", f"data/set-{NEW}.lock",
        f"parents/{NEW}/parent.json",
        "results/99.json", ".prepared.json.1235", "comparisons/1.json", "notes.txt",
    }  # fmt: skip
    assert not any((study / item.path).exists() for item in listed.items)
    assert clean("toy", study.parent, None, remove=True).items == ()
    assert launched.table(study.parent) == table
    launched.run(study.parent, evaluations=10)  # and it goes on
    assert len(launched.table(study.parent)) == 10


def test_what_the_log_names_stays(study: Path, cut_off: Any) -> None:
    cut_off(study, {"data_fingerprint": OLD, "parent": OLD})
    found = {item.path for item in clean("toy", study.parent, None, remove=False).items}
    assert found.isdisjoint({f"data/set-{OLD}", f"parents/{OLD}"})


@pytest.fixture
def cut_off() -> Any:
    """Writes what a study says was prepared."""

    def write(folder: Path, prepared: dict[str, str]) -> None:
        with sqlite3.connect(folder / "study.db") as database:
            database.execute(
                "UPDATE study_user_attributes SET value_json = ? WHERE key = 'prepared'",
                (json.dumps(prepared),),
            )

    return write


def test_where_nothing_is_prepared_frames_and_parents_stay(study: Path) -> None:
    (study / "prepared.json").unlink()
    found = {item.path for item in clean("toy", study.parent, None, remove=False).items}
    assert not any(path.startswith(("data", "parents")) for path in found)


def test_links_are_left_alone(study: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    put(elsewhere / "frames.json", {"fingerprint": "precious"})
    (study / "data" / f"set-{'d' * 16}").symlink_to(elsewhere)
    (study / "rungs" / "11111111-1").symlink_to(elsewhere)
    removed = clean("toy", study.parent, None, remove=True)
    assert not any("dddd" in item.path or "1111" in item.path for item in removed.items)
    assert (elsewhere / "frames.json").is_file()


def test_a_trial_that_has_not_ended_keeps_its_checkpoint(tmp_path: Path, launched: Any) -> None:
    launched.run(tmp_path, evaluations=8)
    folder = tmp_path / "toy"
    with sqlite3.connect(folder / "study.db") as database:
        database.execute("UPDATE trials SET state = 'RUNNING' WHERE number = 7")
    token = token_of(folder)[:8]
    for number in (6, 7):
        put(folder / "rungs" / f"{token}-{number}" / "toy.json", "a checkpoint")
        put(folder / "results" / f"{number}.json", "a result")
    found = {item.path for item in clean("toy", tmp_path, None, remove=False).items}
    assert found == {f"rungs/{token}-6", "results/6.json"}


def test_a_study_that_runs_is_left_alone(study: Path) -> None:
    before = files(study)
    with DriverLock(study), pytest.raises(StorageError, match="is being run by process"):
        clean("toy", study.parent, None, remove=True)
    assert files(study) == before


def test_a_study_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StudyMissing, match="there is no study 'toy' yet"):
        clean("toy", tmp_path, None, remove=True)
    assert list(tmp_path.iterdir()) == []


def test_half_written_files_of_this_hour_stay(study: Path) -> None:
    assert STALE == 3600.0
    assert (study / ".prepared.json.1235").is_file()
    clean("toy", study.parent, None, remove=True)
    assert (study / ".prepared.json.1235").is_file()
    assert not (study / ".prepared.json.1234").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"frames": 3}'])
def test_frames_and_parents_stay_where_it_cannot_be_read_what_is_used(
    study: Path, content: str
) -> None:
    put(study / "prepared.json", content)
    cleaning = clean("toy", study.parent, None, remove=False)
    assert not any(item.path.startswith(("data", "parents")) for item in cleaning.items)
    assert "prepared.json is damaged" in cleaning.notes[0]
    assert cleaning.as_json()["notes"] == list(cleaning.notes)
    assert "note: prepared.json is damaged" in cleaning_text(cleaning.as_json())


@pytest.mark.parametrize("content", ["{", "[1]", "null"])
def test_a_parent_that_cannot_be_read_stays(study: Path, content: str) -> None:
    put(study / "parents" / OLD / "parent.json", content)
    cleaning = clean("toy", study.parent, None, remove=False)
    assert f"parents/{OLD}" not in {item.path for item in cleaning.items}
    assert cleaning.notes == (f"parents/{OLD} is left alone: its parent.json is damaged",)


def test_what_others_put_there_stays(study: Path) -> None:
    put(study / "parents" / "notours" / "thesis.txt", "precious")
    put(study / "data" / "recordings" / "one.aedat", "precious")
    removed = clean("toy", study.parent, None, remove=True)
    assert not {"parents/notours", "data/recordings"} & {item.path for item in removed.items}
    assert (study / "parents" / "notours" / "thesis.txt").is_file()


@pytest.fixture
def orphan(tmp_path: Path) -> Path:
    """The folder of a study that was refused after its preparation."""
    folder = tmp_path / "x"
    put(folder / "prepared.json", {"classes": 2, "frames": "", "parents": {}})
    put(folder / "data" / f"set-{NEW}" / "frames.json", {"fingerprint": NEW})
    put(folder / "parents" / NEW / "parent.json", {"weights": NEW})
    put(folder / "parents" / "notours" / "thesis.txt", "precious")
    put(folder / "driver.lock", "")
    return folder


def test_what_a_refused_run_left_can_be_removed(orphan: Path) -> None:
    listed = clean("x", orphan.parent, None, remove=False)
    assert {item.path for item in listed.items} == {
        "prepared.json", f"data/set-{NEW}", f"parents/{NEW}",
    }  # fmt: skip
    assert listed.bytes > 0
    assert clean("x", orphan.parent, None, remove=True).items == listed.items
    assert not any((orphan / item.path).exists() for item in listed.items)
    assert (orphan / "parents" / "notours" / "thesis.txt").is_file()


def test_a_folder_with_more_in_it_may_have_its_log_elsewhere(orphan: Path) -> None:
    put(orphan / "results.db", "tables of a log on a server")
    with pytest.raises(StudyMissing, match="there is no study 'x' yet"):
        clean("x", orphan.parent, None, remove=True)
    assert (orphan / "prepared.json").is_file()


def test_the_command_and_status_say_what_there_is(
    orphan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--study", "x", "--studies-dir", str(orphan.parent)]
    with pytest.raises(StudyMissing, match=r"has no log .*hqsearch clean --study x .*--storage"):
        cli(["status", *words], standalone_mode=False)
    cli(["clean", *words], standalone_mode=False)
    assert f"parents/{NEW}: of a run that was refused" in capsys.readouterr().out
