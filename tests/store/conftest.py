"""A real PostgreSQL server for the tests of the log on one."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _server() -> ModuleType:
    path = Path(__file__).with_name("postgres_server.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


server = _server()
USER, PostgresServer, programs = server.USER, server.PostgresServer, server.programs


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Any]:
    pytest.importorskip("psycopg", reason="needs pip install 'hqsearch[postgres]'")
    found = programs()
    if found is None:
        pytest.skip("needs a PostgreSQL server: apt-get install postgresql")
    if os.geteuid() == 0 and USER not in {entry.pw_name for entry in pwd.getpwall()}:
        pytest.skip(f"needs a user {USER!r}, for the server refuses to run as root")
    folder = Path(tempfile.mkdtemp(prefix="hqsearch-postgres-"))
    started = PostgresServer(found, folder)
    try:
        started.start()
        yield started
    finally:
        started.stop()
        shutil.rmtree(folder)


@pytest.fixture
def postgres(postgres_cluster: Any) -> Any:
    """A server that runs, whatever the test before did to it."""
    if not postgres_cluster.running:
        postgres_cluster.start()
    return postgres_cluster
