"""Reading where nothing can be written: somebody else's study, a full disk, a dead driver's."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from hqsearch.study.running import Request, start

COMMANDS = ("front", "trials", "status", "show", "studies", "cost", "doctor")
#: Root may write anywhere, unless it gives that up.
AS_A_READER = (
    (
        "setpriv",
        "--bounding-set=-dac_override,-dac_read_search",
        "--inh-caps=-dac_override,-dac_read_search",
    )
    if os.geteuid() == 0
    else ()
)


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("theirs")
    start(Request("toy", "random", evaluations=6, studies_dir=folder))
    return folder


def asked(command: str, studies: Path, before: tuple[str, ...] = (), **how: object) -> str:
    """Standard output of a command in a process of its own."""
    words = [command, "--studies-dir", str(studies)]
    words += [] if command == "studies" else ["--study", "toy"]
    words += {"show": ["--trial", "2"], "cost": ["--uniform", "4u"]}.get(command, [])
    done = subprocess.run(
        [*before, sys.executable, "-m", "hqsearch", *words, "--json"],
        capture_output=True, text=True, check=False, **how,  # type: ignore[call-overload]
    )  # fmt: skip
    if command == "cost":  # the toy has no network to be costed
        assert done.returncode == 2, done.stderr
        assert "has no workload" in done.stderr
        return ""
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    return str(done.stdout)


def left_open(studies: Path, folder: Path) -> Path:
    """A copy whose last writes are in the write-ahead log alone, as a killed driver leaves it."""
    shutil.copytree(studies, folder / "open")
    source = studies / "toy" / "study.db"
    target = folder / "open" / "toy"
    shutil.copy(source, folder / "study.db")
    with closing(sqlite3.connect(folder / "study.db")) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("UPDATE study_user_attributes SET value_json = value_json")
        db.execute(
            "UPDATE study_user_attributes SET value_json = json_set(value_json, '$.title', 'late') "
            "WHERE key = 'study'"
        )
        db.commit()
        for suffix in ("", "-wal"):
            shutil.copy(folder / f"study.db{suffix}", target / f"study.db{suffix}")
    return folder / "open"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_may_only_be_read(studies: Path, tmp_path: Path, command: str) -> None:
    folder = tmp_path / "s"
    shutil.copytree(studies, folder)
    for name in ("results.db", "driver.lock"):
        (folder / "toy" / name).unlink(missing_ok=True)
    before = sorted(folder.rglob("*"))
    for place in (folder / "toy", folder):
        place.chmod(0o555)
    (folder / "toy" / "study.db").chmod(0o444)
    try:
        asked(command, folder, AS_A_READER)
        assert sorted(folder.rglob("*")) == before
    finally:
        for place in (folder, folder / "toy"):
            place.chmod(0o755)


@pytest.mark.parametrize("command", ["trials", "status"])
def test_a_log_that_a_dead_driver_left_open(studies: Path, tmp_path: Path, command: str) -> None:
    folder = left_open(studies, tmp_path)
    (folder / "toy").chmod(0o555)
    try:
        said = asked(command, folder, AS_A_READER)
    finally:
        (folder / "toy").chmod(0o755)
    assert command != "status" or json.loads(said)["title"] == "late"


def _no_room() -> None:
    """No file may grow: what a full disk does to whoever writes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@pytest.mark.parametrize("command", ["front", "trials", "status"])
def test_a_full_disk(studies: Path, tmp_path: Path, command: str) -> None:
    folder = tmp_path / "s"
    shutil.copytree(studies, folder)
    (folder / "toy" / "results.db").unlink(missing_ok=True)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    asked(command, folder, preexec_fn=_no_room, env=environment)
