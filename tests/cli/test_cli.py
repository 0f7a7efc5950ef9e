"""The command line as a person uses it: output, JSON, exit codes."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import pytest

from hqsearch.cli import cli
from hqsearch.errors import StorageError
from hqsearch.store.log import LogReader, storage_url

TOY = ("--study", "toy")


def call(folder: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "hqsearch", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the toy study was run."""
    path = tmp_path_factory.mktemp("cli")
    call(path, "run", *TOY, "--strategy", "nsga2", "--evaluations", "40")
    return path


def test_front_and_trials_as_json(folder: Path) -> None:
    front = json.loads(call(folder, "front", *TOY, "--json").stdout)
    trials = json.loads(call(folder, "trials", *TOY, "--json").stdout)
    assert len(trials) == 40
    assert [t["number"] for t in trials] == list(range(40))
    keys = {
        "number", "state", "run", "strategy", "kind", "copy_of", "choices", "values",
        "average_bits", "seed", "seconds", "details",
    }  # fmt: skip
    for row in (*front, *trials):
        assert set(row) == keys
        assert set(row["values"]) == {"accuracy", "energy", "storage"}
        assert len(row["choices"]) == 8
    assert {t["kind"] for t in trials} == {"baseline", "search"}
    by_number = {t["number"]: t for t in trials}
    for one in front:
        assert by_number[one["number"]] == one
        for other in trials:
            a, b = one["values"], other["values"]
            no_worse = (
                b["accuracy"] >= a["accuracy"]
                and b["energy"] <= a["energy"]
                and b["storage"] <= a["storage"]
            )
            assert not no_worse or a == b


def test_run_with_json_prints_only_the_front(folder: Path) -> None:
    done = call(folder, "run", *TOY, "--strategy", "nsga2", "--evaluations", "40", "--json")
    assert json.loads(done.stdout) == json.loads(call(folder, "front", *TOY, "--json").stdout)


def test_csv_has_a_column_for_each_dimension(folder: Path) -> None:
    lines = call(folder, "trials", *TOY, "--csv").stdout.splitlines()
    assert len(lines) == 41
    assert "block.fc1" in lines[0].split(",")


def test_tables_and_verdict(folder: Path) -> None:
    text = call(folder, "front", *TOY).stdout
    assert "Front of toy" in text
    for choice in ("2u", "4u", "2l", "4l", "fp32"):
        assert f"against uniform {choice}:" in text
    assert "provisional" not in text  # the toy has no noise
    assert "of 40 evaluations" in call(folder, "status", *TOY).stdout
    assert "nsga2 seed 0: 40/40" in call(folder, "studies").stdout


def test_status_and_studies_as_json(folder: Path) -> None:
    status = json.loads(call(folder, "status", *TOY, "--json").stdout)
    assert status["trials"] == {"COMPLETE": 40}
    assert status["evaluations_left"] == 0
    studies = {s["name"]: s for s in json.loads(call(folder, "studies", "--json").stdout)}
    assert studies["toy"]["runs"][0]["finished"] == 40
    assert studies["gesture"]["runs"] == []


def test_show_adds_up(folder: Path) -> None:
    shown = json.loads(call(folder, "show", *TOY, "--trial", "7", "--json").stdout)
    assert sum(r["energy"] for r in shown["layers"]) == pytest.approx(shown["values"]["energy"])
    assert "layer by layer" in call(folder, "show", *TOY, "--trial", "7").stdout
    call(folder, "show", *TOY, "--trial", "99", code=2)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("rnu",), "did you mean 'run'"),
        (("front", "--study", "tyo"), "did you mean 'toy'"),
        (("front", "--study", "gesture"), "has not been run"),
        (("run", *TOY, "--strategy", "nsag2"), "did you mean 'nsga2'"),
        (("run", *TOY, "--strategy", "nsga2", "--set", "x"), "expected key.path=value"),
        (("run", *TOY, "--strategy", "nsga2", "--evaluations", "0"), "evaluations"),
        (("run", "--study", "absent.toml", "--strategy", "nsga2"), "no such file"),
        (("run", *TOY, "--strategy", "nsga2", "--device", "cuda"), "CPU only"),
        (("run", *TOY, "--stratgy", "nsga2"), "--strategy"),
        (("run", "--strategy", "nsga2"), "--study"),
        (("resume", *TOY), "nothing to resume"),
        (("front", *TOY, "--json", "--csv"), "two formats of one answer"),
        (("trials", *TOY, "--csv", "--json"), "two formats of one answer"),
        (("cost", *TOY, "--uniform", "4u", "--json", "--csv"), "two formats of one answer"),
        (("run", "--study", "nmnist", "--strategy", "nsga2"), "data.download=true"),
        (("run", "--study", "nmnist", "--strategy", "nsga2", "--data", "absent"), "absent"),
    ],
)
def test_bad_usage_is_told_with_exit_2(folder: Path, words: tuple[str, ...], told: str) -> None:
    before = sorted(str(p) for p in folder.rglob("*") if "results.db" not in p.name)
    assert told in call(folder, *words, code=2).stderr.replace("\n", " ")
    assert sorted(str(p) for p in folder.rglob("*") if "results.db" not in p.name) == before


@pytest.mark.parametrize(
    ("number", "executor"),
    [(signal.SIGINT, "in-process"), (signal.SIGTERM, "ray")],
)
def test_interrupt_leaves_a_resumable_study(
    tmp_path: Path, number: signal.Signals, executor: str
) -> None:
    words = ["run", *TOY, "--strategy", "nsga2", "--evaluations", "30"]
    command = [sys.executable, "-m", "hqsearch", *words, "--set", "evaluation.seconds=0.1"]
    command += ["--executor", executor]
    driver = subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background ignores it, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    _wait_for_trials(tmp_path, 8)
    driver.send_signal(number)
    _, told = driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert told.splitlines()[-1].startswith("interrupted; everything finished is saved")
    assert "Traceback" not in told
    assert "raylet" not in told
    done = json.loads(call(tmp_path, "status", *TOY, "--json").stdout)["trials"]
    assert done.get("COMPLETE", 0) < 30
    call(tmp_path, "resume", *TOY)
    _same_as_uninterrupted(tmp_path, words)


def test_kill_9_leaves_a_resumable_study(tmp_path: Path) -> None:
    words = ["run", *TOY, "--strategy", "nsga2", "--evaluations", "30"]
    command = [sys.executable, "-m", "hqsearch", *words, "--set", "evaluation.seconds=0.1"]
    driver = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    _wait_for_trials(tmp_path, 8)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    call(tmp_path, *words, "--set", "evaluation.seconds=0.1")
    _same_as_uninterrupted(tmp_path, words)


def test_reading_commands_import_neither_torch_nor_ray(folder: Path) -> None:
    code = (
        "import sys; from hqsearch.cli import cli\n"
        "for words in (['front', '--study', 'toy'], ['trials', '--study', 'toy', '--json'],"
        " ['status', '--study', 'toy'], ['studies']):\n"
        "    cli(words, standalone_mode=False)\n"
        "assert not {'torch', 'ray', 'tonic'} & set(sys.modules), 'heavy import'\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True)


def test_the_commands_themselves_import_nothing_heavy() -> None:
    """So that ``hqsearch --help``, and a mistyped command, answer at once."""
    code = (
        "import sys; from hqsearch.cli import cli\n"
        "heavy = {'numpy', 'optuna', 'pydantic', 'matplotlib', 'torch', 'ray'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "print(*cli.commands)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    folder = Path(importlib.import_module("hqsearch.cli.app").__file__ or "").parent
    shared = {"__init__", "app", "options", "output", "streams", "answers"}
    named = {p.stem for p in folder.glob("*.py")} - shared
    # No module of Python can be called as this command is.
    assert set(done.stdout.split()) == named - {"importing"} | {"import"}


def test_every_command_and_option_has_help() -> None:
    for name, command in cli.commands.items():
        assert command.help, name
        for parameter in command.params:
            described = isinstance(parameter, click.Argument) or getattr(parameter, "help", None)
            assert described, f"{name} {parameter.name}"


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert path.exists()


def _wait_for_trials(folder: Path, count: int) -> None:
    """Until a driver has logged so many, however long it takes to start."""
    place = (folder / "studies" / "toy").resolve()
    _wait_for(place / "study.db")
    deadline = time.monotonic() + 60
    found = 0
    while found < count and time.monotonic() < deadline:
        time.sleep(0.02)
        with suppress(StorageError):  # it is being made
            reader = LogReader(storage_url(None, place), "toy")
            found = len(reader.trials())
            reader.close()
    assert found >= count


def _same_as_uninterrupted(folder: Path, words: list[str]) -> None:
    whole = folder / "whole"
    whole.mkdir()
    call(whole, *words)

    def table(where: Path) -> list[tuple[Any, ...]]:
        rows = json.loads(call(where, "trials", *TOY, "--json").stdout)
        keys = ("number", "state", "choices", "values", "seed")
        return [tuple(row[k] for k in keys) for row in rows]

    assert table(folder) == table(whole)
