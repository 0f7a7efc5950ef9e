"""Shared fixtures: the toy study, runs on it, crashes, and recordings that some tests need."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hqsearch.definition import embedded, load_study
from hqsearch.errors import InputError
from hqsearch.evaluator import Evaluator, Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.show.live import LiveProgress
from hqsearch.store.log import LogReader, storage_url
from hqsearch.study.running import Finished, Request, start


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", default=4, type=int, help="kills per test in test_kills.py")


@pytest.fixture
def recordings() -> Path:
    """The folder of real recordings that HQSEARCH_DATA names."""
    folder = os.environ.get("HQSEARCH_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real recordings: set HQSEARCH_DATA to their folder")
    return Path(folder)


@pytest.fixture
def toy(tmp_path: Path) -> Evaluator:
    """The embedded toy study's evaluator."""
    return make_evaluator(Setup(load_study(embedded("studies")["toy"]), tmp_path))


@pytest.fixture
def study_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a variant of the toy study: ``study_file(evaluator="mine.py:Mine")``."""

    def write(name: str = "mine", extra: str = "", **top: Any) -> Path:
        keys = {"title": "a test", "space": "toy", "evaluator": "toy", **top}
        lines = [f"{key} = {value!r}" for key, value in keys.items()]
        for objective in ("accuracy", "energy", "storage"):
            lines += ["[[objective]]", f'name = "{objective}"']
        path = tmp_path / f"{name}.toml"
        path.write_text("\n".join([*lines, extra]) + "\n")
        return path

    return write


def tree(folder: Path) -> dict[str, str]:
    """Everything below a folder, files with the hash of what is in them.

    Of ``results.db``, which reading catches up, what its tables hold, in any order; SQLite's own
    files beside a log count where there is anything in them.
    """
    return {str(p.relative_to(folder)): _content(p) for p in folder.rglob("*") if _counts(p)}


def _counts(path: Path) -> bool:
    log = path.with_name(path.name.removesuffix("-shm").removesuffix("-wal") + "-wal")
    return path.name[-4:] not in ("-wal", "-shm") or (log.exists() and log.stat().st_size > 0)


def _content(path: Path) -> str:
    if path.is_dir():
        return "folder"
    content = path.read_bytes()
    if path.name == "results.db":
        place = f"{path.absolute().as_uri()}?immutable=1"
        with closing(sqlite3.connect(place, uri=True)) as connection:
            content = "\n".join(sorted(connection.iterdump())).encode()
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., AbstractContextManager[Any]]:
    """``with refused(DataError, match=…)``: exit code 2, and nothing on disk has changed."""

    @contextmanager
    def expect(error: type[InputError], match: str | None = None) -> Iterator[Any]:
        before = tree(tmp_path)
        with pytest.raises(error, match=match) as raised:
            yield raised
        assert raised.value.exit_code == 2
        assert tree(tmp_path) == before

    return expect


class Launched:
    """Runs as a person starts them, and the tables that come of them."""

    def run(self, folder: Path, study: str = "toy", action: Any = start, **asked: Any) -> Finished:
        """20 evaluations of ``nsga2`` with 6 individuals, unless told otherwise."""
        overrides = {"strategy.nsga2.population": 6, **asked.pop("overrides", {})}
        request = Request(
            study,
            **{"strategy": "nsga2", "evaluations": 20, "studies_dir": folder, **asked},
            overrides=overrides,
        )
        with LiveProgress(Console(quiet=True)) as progress:
            finished = action(request, progress)
        assert isinstance(finished, Finished)
        return finished

    def table(self, folder: Path, study: str = "toy") -> list[tuple[Any, ...]]:
        """Number, state, choices, values, seed and origin of every trial."""
        reader = LogReader(storage_url(None, folder.resolve() / study), study)
        rows = [
            (t.number, t.state, t.proposal.key, t.values, t.proposal.seed, t.proposal.copy_of)
            for t in reader.trials()
        ]
        reader.close()
        return rows


@pytest.fixture
def launched() -> Launched:
    return Launched()


class _Crash(BaseException):
    """Stands for a power cut: nothing catches it."""


@pytest.fixture
def cut_driver(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], int]:
    """Cut a driver before and after its writes to the log, starting it anew each time.

    ``cut_driver(start)`` calls ``start`` until it gets through, and returns the number of cuts.
    """
    from optuna.storages import RDBStorage

    writes = limit = 0

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal writes
            writes += 1
            if writes == limit:
                raise _Crash
            done = original(*args, **kwargs)
            writes += 1
            if writes == limit:
                raise _Crash
            return done

        return call

    def cut(action: Callable[[], Any]) -> int:
        nonlocal writes, limit
        for name in (
            "_create_new_trial",
            "set_study_user_attr",
            "set_trial_user_attr",
            "set_trial_intermediate_value",
            "set_trial_state_values",
        ):
            monkeypatch.setattr(RDBStorage, name, counted(getattr(RDBStorage, name)))
        for crashes in range(1000):
            writes, limit = 0, 1 + (crashes * 5) % 17
            try:
                action()
            except _Crash:
                continue
            monkeypatch.undo()
            return crashes
        raise AssertionError("it never got through")

    return cut
