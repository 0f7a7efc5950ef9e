"""A full disk, on a small one of its own: one message, exit code 1, and the run goes on later."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hqsearch.cli import cli
from hqsearch.errors import DiskFull
from hqsearch.store.log import LogReader, storage_url

MIB = 6
#: Fills the disk as soon as an evaluation (or a task) begins that is not the first of its kind.
FILLING = """
from pathlib import Path
from hqsearch.evaluators.toy import Toy
from filler import fill

class Filling(Toy):
    costly = COSTLY

    def evaluate(self, candidate, *rest, **more):
        if Path(WHEN).exists() and Path(WHEN).read_text() == "evaluate":
            if sum(1 for p in Path(DISK).rglob("study.db")) and self._begun(3):
                fill(Path(DISK))
        return super().evaluate(candidate, *rest, **more)

    def strategy_task(self, *rest, **more):
        if Path(WHEN).exists() and Path(WHEN).read_text() == "task":
            fill(Path(DISK))
        return super().strategy_task(*rest, **more)

    def _begun(self, count):
        self.begun = getattr(self, "begun", 0) + 1
        return self.begun > count
"""


def fill(disk: Path) -> None:
    """Take all the space that a disk has."""
    with (disk / "filler").open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={MIB}m", "tmpfs", str(place)]
    with suppress(FileNotFoundError):
        if subprocess.run(words, capture_output=True, check=False).returncode == 0:
            yield place
            # Lazily, for frames stay mapped as long as something refers to them.
            subprocess.run(["umount", "--lazy", str(place)], check=True)
            return
    pytest.skip("needs to mount a file system: run as root, where mounting is allowed")


@pytest.fixture
def call(disk: Path) -> Callable[..., str]:
    def run(*words: str) -> str:
        asked = [*words, "--studies-dir", str(disk / "s")]
        return CliRunner().invoke(cli, asked, standalone_mode=False, catch_exceptions=False).stdout

    return run


@pytest.fixture
def filling(
    tmp_path: Path, disk: Path, study_file: Callable[..., Path]
) -> Callable[[str, bool], Path]:
    """A study that fills the disk when asked to; ``when`` is removed with the filler."""

    def write(when: str, costly: bool) -> Path:
        (tmp_path / "when").write_text(when)
        (tmp_path / "filler.py").write_text(
            "import errno\nfrom pathlib import Path\n\n" + _source("fill")
        )
        text = FILLING.replace("COSTLY", str(costly)).replace("DISK", repr(str(disk)))
        (tmp_path / "filling.py").write_text(text.replace("WHEN", repr(str(tmp_path / "when"))))
        return study_file("filling", evaluator="filling.py:Filling")

    return write


def _source(name: str) -> str:
    import inspect

    return inspect.getsource(globals()[name])


def freed(tmp_path: Path, disk: Path) -> None:
    (tmp_path / "when").unlink()
    (disk / "filler").unlink()


def table(studies: Path) -> list[Any]:
    reader = LogReader(storage_url(None, studies / "filling"), "filling")
    found = [(t.number, t.state, t.proposal.key, t.values) for t in reader.trials()]
    reader.close()
    return found


@pytest.mark.parametrize(
    ("when", "costly", "strategy", "settings"),
    [
        pytest.param("evaluate", False, "random", (), id="log"),
        pytest.param("evaluate", True, "random", (), id="result file"),
        pytest.param(
            "evaluate",
            False,
            "nsga2",
            ("search.early_stopping=halving", "evaluation.epochs=4", "strategy.nsga2.assist=false"),
            id="rung",
        ),
        pytest.param("task", False, "gumbel", ("strategy.gumbel.count=1",), id="supernet"),
    ],
)
def test_a_run_goes_on_when_there_is_space_again(
    tmp_path: Path, disk: Path, call: Any, filling: Any, when: str, costly: bool, strategy: str,
    settings: tuple[str, ...],
) -> None:  # fmt: skip
    study = filling(when, costly)
    given = [word for setting in settings for word in ("--set", setting)]
    run = (
        "run",
        "--study",
        str(study),
        "--strategy",
        strategy,
        "--evaluations",
        "9",
        "--executor",
        "in-process",
        *given,
    )
    with pytest.raises(DiskFull, match="no space left") as raised:
        call(*run)
    assert raised.value.exit_code == 1
    assert "resume" in str(raised.value)
    before = table(disk / "s")
    assert json.loads(call("trials", "--study", "filling", "--json")) is not None
    assert json.loads(call("status", "--study", "filling", "--json"))
    assert not list(disk.rglob(f".*.{os.getpid()}"))
    freed(tmp_path, disk)
    call("resume", "--study", "filling", "--executor", "in-process")
    assert [row for row in before if row[1] != "RUNNING"] == table(disk / "s")[: _ended(before)]
    CliRunner().invoke(
        cli, [*run, "--studies-dir", str(tmp_path / "whole")], standalone_mode=False,
        catch_exceptions=False,
    )  # fmt: skip
    assert table(disk / "s") == table(tmp_path / "whole")


def _ended(rows: list[Any]) -> int:
    return sum(row[1] != "RUNNING" for row in rows)


def test_reading_works_where_nothing_can_be_written(disk: Path, call: Any) -> None:
    """The projection and SQLite's own files beside a log are not needed to read it."""
    call("run", "--study", "toy", "--strategy", "random", "--evaluations", "9")
    asked = (("front", "--json"), ("trials", "--json"), ("status", "--json"), ("studies",))
    whole = [call(name, *_named(name), *more) for name, *more in asked]
    (disk / "s" / "toy" / "results.db").unlink()
    fill(disk)
    again = [call(name, *_named(name), *more) for name, *more in asked]
    assert again[:2] == whole[:2]
    told = [{k: v for k, v in json.loads(t).items() if k != "disk"} for t in (again[2], whole[2])]
    assert told[0] == told[1]
    assert "toy" in again[3]
    (disk / "filler").unlink()
    assert call("front", "--study", "toy", "--json") == whole[0]


def _named(command: str) -> tuple[str, ...]:
    return () if command == "studies" else ("--study", "toy")


def test_a_run_that_never_had_space(disk: Path, call: Any) -> None:
    fill(disk)
    run = ("run", "--study", "toy", "--strategy", "random", "--evaluations", "6")
    with pytest.raises(DiskFull, match="no space left"):
        call(*run)
    (disk / "filler").unlink()
    assert call(*run) is not None


@pytest.mark.slow
@pytest.mark.parametrize("space", [200, 600])
def test_a_parent_that_does_not_fit_is_trained_when_there_is_space(
    disk: Path, call: Any, space: int
) -> None:
    """First the parent's checkpoint fails, then what is written after its training."""
    small = {
        "data.train": 22, "data.validation": 22, "data.test": 11, "data.size": 16,
        "model.timesteps": 2, "model.embed_dim": 16, "model.depth": 1, "model.heads": 2,
        "evaluation.parent_epochs": 2, "evaluation.batch_size": 11, "evaluation.epochs": 1,
    }  # fmt: skip
    given = [word for key, value in small.items() for word in ("--set", f"{key}={value}")]
    run = ("run", "--study", "gesture", "--strategy", "random", "--evaluations", "2",
           "--executor", "in-process", "--device", "cpu", *given)  # fmt: skip
    fill(disk)
    os.truncate(disk / "filler", (disk / "filler").stat().st_size - space * 1024)
    with pytest.raises(DiskFull, match="no space left"):
        call(*run)
    (disk / "filler").unlink()
    call(*run)
    assert len(json.loads(call("trials", "--study", "gesture", "--json"))) == 2
