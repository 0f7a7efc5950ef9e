"""The log on a real PostgreSQL server: crashes, racing drivers, a server that goes away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import text

from hqsearch.errors import StorageError
from hqsearch.problem.objective import ACCURACY, ENERGY
from hqsearch.problem.space import Dimension, Space
from hqsearch.store.lock import DriverLock
from hqsearch.store.log import LogReader, StudyLog, storage_url
from hqsearch.store.records import Outcome, Proposal
from hqsearch.store.results import Results

SPACE = Space(tuple(Dimension(n, "weights", ("2u", "4u"), (n,)) for n in ("a", "state")))
OBJECTIVES = (ACCURACY, ENERGY)
RUN = ("run", "--study", "toy", "--strategy", "nsga2", "--evaluations", "30")
SLOW = ("--set", "evaluation.seconds=0.1", "--set", "strategy.nsga2.population=6")


def command(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hqsearch", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def call(folder: Path, *words: str, code: int = 0) -> str:
    """Standard output of a command that ends well, standard error of one that does not."""
    process = command(folder, *words)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert "secret" not in out + err
    return err if code else out


def table(url: str) -> list[tuple[Any, ...]]:
    """Number, state, choices, values, seed of every trial."""
    reader = LogReader(url, "toy")
    rows = [(t.number, t.state, t.proposal.key, t.values, t.proposal.seed) for t in reader.trials()]
    reader.close()
    return rows


def wait_for_trials(url: str, count: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if len(table(url)) >= count:
                return
        except StorageError:
            pass  # the driver has not made the study yet
        time.sleep(0.05)
    raise AssertionError(f"{count} trials never came")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """The trial table of the toy run, from SQLite."""
    folder = tmp_path_factory.mktemp("whole")
    call(folder, *RUN, *SLOW[2:])
    return table(storage_url(None, folder / "studies" / "toy"))


@pytest.mark.slow
def test_a_killed_driver_resumes_to_the_same_table(
    tmp_path: Path, postgres: Any, uninterrupted: list[tuple[Any, ...]]
) -> None:
    url = postgres.new_database()
    words = (*RUN, *SLOW, "--storage", url)
    for reached in (2, 9, 20):
        driver = command(tmp_path, *words)
        wait_for_trials(url, reached)
        os.kill(driver.pid, signal.SIGKILL)
        driver.communicate()
        assert len(table(url)) < 30
    call(tmp_path, *words)
    assert table(url) == uninterrupted


def test_reading_commands_work_from_any_machine(tmp_path: Path, postgres: Any) -> None:
    url = postgres.new_database()
    call(tmp_path, *RUN, "--storage", url)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    asked = ("--study", "toy", "--storage", url)
    front = json.loads(call(elsewhere, "front", *asked, "--json"))
    trials = json.loads(call(elsewhere, "trials", *asked, "--json"))
    assert len(trials) == 30
    assert front
    assert all(row in trials for row in front)
    assert "30 of 30" in call(elsewhere, "status", *asked)
    assert (elsewhere / "studies" / "toy" / "results.db").exists()
    told = call(elsewhere, "front", "--study", "other", "--storage", url, code=2)
    assert "there is no study 'other'" in told


@pytest.mark.slow
def test_of_two_drivers_exactly_one_wins(tmp_path: Path, postgres: Any) -> None:
    """They start at one moment with folders of their own, as on two machines."""
    url = postgres.new_database()
    drivers = {}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        drivers[name] = command(tmp_path / name, *RUN, *SLOW, "--storage", url)
    ended = {name: (*d.communicate(timeout=60), d.returncode) for name, d in drivers.items()}
    assert sorted(code for _, _, code in ended.values()) == [0, 2], ended
    winner, loser = sorted(ended, key=lambda name: ended[name][2])
    told = " ".join(ended[loser][1].split())
    assert f"is being run by process {drivers[winner].pid} on" in told
    assert "secret" not in told
    assert [row[1] for row in table(url)] == ["COMPLETE"] * 30


def open_log(url: str, guard: Any = None) -> StudyLog:
    return StudyLog(url, "s", SPACE, OBJECTIVES, guard)


def proposal(slot: int) -> Proposal:
    return Proposal(0, slot, "random", "search", "a=2u;state=4u", 7, slot)


def test_the_lock_is_freed_with_its_connection(tmp_path: Path, postgres: Any) -> None:
    url = postgres.new_database()
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    with DriverLock(folders[0], url, "s") as lock:
        log = open_log(url, lock.check)
        assert f"process {os.getpid()} on " in DriverLock.holder(folders[1], url, "s")
        with pytest.raises(StorageError, match="is being run by process"):
            DriverLock(folders[1], url, "s").__enter__()
        with DriverLock(folders[1], url, "another study"):
            pass
        log.create(proposal(0))
        engine = sqlalchemy.create_engine(url)
        with engine.connect() as connection:
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
            )
        engine.dispose()
        # Another driver may hold the lock by now, so this one must not write any more.
        with pytest.raises(StorageError, match="that holds the lock of study 's'"):
            log.create(proposal(1))
        with DriverLock(folders[1], url, "s"):
            assert len(log.trials()) == 1
    assert DriverLock.holder(folders[0], url, "s") == ""
    log.close()


@pytest.mark.slow
def test_a_lost_server_is_told_and_the_run_goes_on_later(
    tmp_path: Path, postgres: Any, uninterrupted: list[tuple[Any, ...]]
) -> None:
    url = postgres.new_database()
    words = (*RUN, *SLOW, "--storage", url)
    driver = command(tmp_path, *words)
    wait_for_trials(url, 8)
    postgres.stop()
    _, told = driver.communicate(timeout=60)
    assert driver.returncode == 1  # the run had begun: what it left on disk stays
    assert "Traceback" not in told
    assert "the same command goes on" in told
    absent = call(tmp_path, "front", "--study", "toy", "--storage", url, code=2)
    assert "cannot be reached" in absent
    postgres.start()
    call(tmp_path, *words)
    assert table(url) == uninterrupted


def test_results_are_those_of_the_log_they_are_asked_of(tmp_path: Path, postgres: Any) -> None:
    """A server's log and a file's share one folder: the tables must not mix them."""
    for url, count in ((postgres.new_database(), 3), (storage_url(None, tmp_path), 1)) * 2:
        log = open_log(url)
        log.set_attribute(
            "study",
            {
                "name": "s",
                "objectives": [
                    {"name": o.name, "unit": o.unit, "direction": o.direction, "cheap": o.cheap}
                    for o in OBJECTIVES
                ],
                "dimensions": list(SPACE.names),
            },
        )
        for slot in range(len(log.trials()), count):
            log.finish(log.create(proposal(slot)), "COMPLETE", (0.5, 1.0 + slot), Outcome(slot))
        results = Results(tmp_path, log)
        assert len(results.trials()) == count
        results.close()
        log.close()


@pytest.mark.parametrize(
    ("storage", "told"),
    [
        ("mysql://user:secret@host/db", "expected postgresql"),
        ("sqlite:///elsewhere.db", "without --storage the log is a file"),
        ("postgresql+psycopg://user:secret@host:port/db", "port"),
        ("postgresql://user:secret@127.0.0.1:1/db", "cannot be reached"),
    ],
)
def test_unusable_storage_is_told_without_its_password(
    tmp_path: Path, storage: str, told: str
) -> None:
    pytest.importorskip("psycopg")
    error = call(tmp_path, *RUN, "--storage", storage, code=2)
    assert told in " ".join(error.split())
