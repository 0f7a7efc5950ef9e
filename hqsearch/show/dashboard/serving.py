"""Serve the Optuna dashboard on one study: on loopback, and only to look at.

What a driver writes, nobody else may: every request but GET is refused, and so is one that names
another host, which a page of the web could make a browser send (DNS rebinding).
"""

from __future__ import annotations

import io
import re
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, BinaryIO
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from hqsearch.analysis.pictures.facts import study_facts
from hqsearch.errors import HqsearchError, InputError, StorageError
from hqsearch.show.dashboard.content import published
from hqsearch.show.report.page import report_html
from hqsearch.store.database import is_server
from hqsearch.store.lock import DriverLock
from hqsearch.store.log import storage_url
from hqsearch.study.publishing import refresh

HOST = "127.0.0.1"
PORT = 8080
#: Ports that are tried, from the one that was asked for.
PORTS = 50


@dataclass(frozen=True)
class Served:
    """A dashboard that listens.

    Attributes:
        address: of the study's page.
        notes: what a person should know.
        serve: answers until :meth:`close`.
        close: stops it.
    """

    address: str
    notes: tuple[str, ...]
    serve: Callable[[], None]
    close: Callable[[], None]


@contextmanager
def ready(
    study: str, studies_dir: Path, storage: str | None = None, port: int = PORT
) -> Iterator[Served]:
    """A dashboard that is ready to be served; everything of it is gone afterwards.

    Args:
        port: the first one that is tried.

    Raises:
        InputError: no such study, the dashboard is not installed, or no port is free.
    """
    try:
        from optuna_dashboard import wsgi

        from hqsearch.show.dashboard.view import StudyView
    except ImportError as error:
        raise InputError(
            f"the dashboard needs {error.name}: pip install 'hqsearch[dashboard]'"
        ) from None
    facts = study_facts(study, studies_dir, storage)
    notes: list[str] = []
    with ExitStack() as stack:
        url, place = _prepared(study, studies_dir, storage, notes, stack)
        view = StudyView(url, facts.name, facts.folder)
        stack.callback(view.engine.dispose)
        report = _Report(lambda: report_html(study_facts(study, place, storage)))
        app = LookOnly(wsgi(view, artifact_store=report), view)
        server = _server(port, app, notes)
        stack.callback(server.server_close)
        address = f"http://{HOST}:{server.server_port}/dashboard/studies/{view.study_id}"
        yield Served(address, tuple(notes), server.serve_forever, server.shutdown)


def _prepared(
    study: str, studies_dir: Path, storage: str | None, notes: list[str], stack: ExitStack
) -> tuple[str, Path]:
    """The URL of the log to serve, up to date, and the studies folder that it is in."""
    folder = study_facts(study, studies_dir, storage).folder
    url, name = storage_url(storage, folder), folder.name
    driver = DriverLock.holder(folder, url, name)
    if driver:
        notes.append(f"driven by {driver}, which keeps note and figures up to date")
        return url, studies_dir
    try:
        refresh(study, studies_dir, storage, published)
    except (OSError, StorageError) as error:
        if is_server(url):
            notes.append(f"note and figures stay as they are: {error}")
            return url, studies_dir
        copy = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hqsearch-")))
        _copy(folder, copy / name)
        notes.append("the study may only be read: a temporary copy is served, which does not grow")
        with suppress(HqsearchError):
            refresh(study, copy, None, published, lock=False)
        return storage_url(None, copy / name), copy
    return url, studies_dir


def _copy(folder: Path, target: Path) -> None:
    """The log, and what small files pictures are made from."""
    target.mkdir(parents=True)
    for file in folder.glob("study.db*"):
        if not file.name.endswith("-shm"):
            shutil.copyfile(file, target / file.name)
    for file in folder.glob("tasks/*/history.json"):
        beside = target / file.relative_to(folder)
        beside.parent.mkdir(parents=True)
        shutil.copyfile(file, beside)
    with sqlite3.connect(target / "study.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


class LookOnly:
    """A WSGI application that passes on what only looks, and answers for one study itself."""

    def __init__(self, app: Any, view: Any) -> None:
        self._app, self._view = app, view
        self._detail = f"/api/studies/{view.study_id}"

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        host = re.sub(r":\d+$", "", environ.get("HTTP_HOST", HOST))
        if host not in (HOST, "localhost"):
            return _answer(start, "403 Forbidden", '{"reason": "only this machine is served"}')
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            reason = '{"reason": "hqsearch shows this study; only a run changes it"}'
            return _answer(start, "403 Forbidden", reason)
        if environ["PATH_INFO"].rstrip("/") == self._detail:
            after = parse_qs(environ.get("QUERY_STRING", "")).get("after", ["0"])[0]
            if not after.isdecimal():
                return _answer(start, "400 Bad Request", '{"reason": "after is a number"}')
            return _answer(start, "200 OK", self._view.detail(int(after)))
        return self._app(environ, start)


def _answer(start: Callable[..., Any], status: str, text: str) -> list[bytes]:
    body = text.encode()
    length = ("Content-Length", str(len(body)))
    start(status, [("Content-Type", "application/json"), length])
    return [body]


class _Report:
    """The report as an artifact that is made whenever somebody opens it."""

    def __init__(self, make: Callable[[], str]) -> None:
        self._make = make

    def open_reader(self, artifact_id: str) -> BinaryIO:
        return io.BytesIO(self._make().encode())

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        raise PermissionError("the dashboard is served to look at")

    def remove(self, artifact_id: str) -> None:
        raise PermissionError("the dashboard is served to look at")


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    # Else a port that another server listens on would be shared with it on some systems.
    allow_reuse_address = True


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: requests of a browser are no news."""


def _server(port: int, app: Any, notes: list[str]) -> WSGIServer:
    """A server on the first free port.

    Raises:
        InputError: none of those tried is free.
    """
    for tried in range(port, min(port + PORTS, 65536)):
        if _taken(tried):
            continue
        try:
            server = make_server(HOST, tried, app, server_class=_Server, handler_class=_Handler)
        except OSError:
            continue
        if tried != port:
            notes.append(f"port {port} is in use; {tried} is taken instead")
        return server
    raise InputError(f"--port {port}: none of the {PORTS} ports from there on is free")


def _taken(port: int) -> bool:
    """Whether somebody listens there, on this address or on all of them."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0
