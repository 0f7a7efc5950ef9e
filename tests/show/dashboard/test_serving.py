"""The Optuna dashboard on a study: what it is given, what it refuses, who may write."""

from __future__ import annotations

import io
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hqsearch
from hqsearch.analysis.pictures.facts import study_facts
from hqsearch.errors import InputError
from hqsearch.show.dashboard.content import FRONT, HYPERVOLUME, markdown, published
from hqsearch.show.dashboard.serving import LookOnly, ready
from hqsearch.show.dashboard.view import StudyView, readable
from hqsearch.store.lock import DriverLock
from hqsearch.store.log import LogReader
from hqsearch.store.published import PIECE, REPORT, Published, attributes_of

pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")


def url_of(study: hqsearch.Study) -> str:
    return f"sqlite:///{study.folder / 'study.db'}"


@pytest.fixture
def view(drawn_study: hqsearch.Study) -> Iterator[StudyView]:
    made = StudyView(url_of(drawn_study), "toy", drawn_study.folder)
    yield made
    made.engine.dispose()


def asked(app: Any, path: str, method: str = "GET", query: str = "", host: str = "") -> Any:
    """Status and body of a request."""
    told: list[str] = []
    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "SERVER_NAME": "x",
        "SERVER_PORT": "1", "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr, "HTTP_HOST": host or "127.0.0.1:8080",
    }  # fmt: skip
    body = b"".join(app(environ, lambda status, headers, _=None: told.append(status)))
    return told[0], body


# What the driver writes


def test_a_run_leaves_note_and_figures_in_the_log(drawn_study: hqsearch.Study) -> None:
    from optuna.storages import RDBStorage
    from optuna_dashboard._custom_plot_data import get_plotly_graph_objects
    from optuna_dashboard._note import get_note_from_system_attrs
    from optuna_dashboard.artifact._backend import list_study_artifacts

    storage = RDBStorage(url_of(drawn_study))
    system = storage.get_study_system_attrs(1)
    storage.engine.dispose()
    figures = get_plotly_graph_objects(system)
    assert set(figures) == {FRONT, f"{FRONT}-2", HYPERVOLUME}
    front = json.loads(figures[FRONT])
    members = sum(len(t["x"]) for t in front["data"] if t["name"].startswith("front"))
    uniform = [t for t in front["data"] if t["name"] == "uniform"]
    assert len(uniform[0]["x"]) == 5
    logged = {v for t in drawn_study.front() for v in [t.values["energy"]] if t.kind == "search"}
    drawn = {x for t in front["data"] if t["name"].startswith("front") for x in t["x"]}
    assert drawn == logged
    assert members == len([t for t in drawn_study.front() if t.kind == "search"])
    note = get_note_from_system_attrs(system, None)["body"]
    assert note == published(study_facts("toy", drawn_study.folder.parent)).note
    assert "Verdict" in note
    assert [a["artifact_id"] for a in list_study_artifacts(system)] == [REPORT]
    assert system["study:metric_names"] == ["accuracy (fraction)", "energy (µJ)", "storage (KiB)"]


def test_only_what_changed_is_written_again() -> None:
    long = Published("n" * (2 * PIECE + 5), {"f": "{}"}, ("a",))
    first = attributes_of(long, {})
    assert first["dashboard:note_ver"] == 1
    assert attributes_of(long, first) == {}
    short = attributes_of(Published("new", {"f": "{}"}, ("a",)), first)
    assert short == {
        "dashboard:note_str:0": "new",
        "dashboard:note_str:1": "",
        "dashboard:note_str:2": "",
        "dashboard:note_ver": 2,
    }


def test_a_publisher_that_breaks_costs_no_search(
    tmp_path: Path, launched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(facts: Any) -> Any:
        raise ValueError("no picture")

    done = launched.run(tmp_path, publisher=broken)
    assert done.finished == 20


def test_texts_of_anybody_are_no_markup() -> None:
    text = markdown("<script>x</script> [/b] *a* `c` | d\n# e")
    assert "<" not in text
    for sign in "[]*`|#":
        assert text.count(sign) == text.count(f"\\{sign}")


# What is served


def test_trials_are_shown_as_the_dashboard_shows_them(
    view: StudyView, drawn_study: hqsearch.Study
) -> None:
    from optuna_dashboard._app import create_app

    ours = json.loads(view.detail(0))
    status, body = asked(create_app(view), "/api/studies/1", query="after=0")
    assert status == "200 OK"
    theirs = json.loads(body)
    assert set(ours) == set(theirs)
    for key in ("name", "directions", "note", "objective_names", "artifacts", "is_preferential"):
        assert ours[key] == theirs[key], key
    assert ours["trials"] == theirs["trials"]
    assert {t["number"] for t in ours["best_trials"]} == {t.number for t in drawn_study.front()}
    assert sorted(c["key"] for c in ours["union_user_attrs"]) == sorted(
        c["key"] for c in theirs["union_user_attrs"]
    )
    assert json.loads(view.detail(30))["trials"] == ours["trials"][30:]
    told = {a["key"]: a["value"] for a in ours["trials"][0]["user_attrs"]}
    assert told["found by"].startswith("uniform ")
    assert told["energy by layer, µJ"].startswith("stem ")


def test_what_nobody_works_on_is_not_running(
    tmp_path: Path, launched: Any, drawn_study: hqsearch.Study
) -> None:
    launched.run(tmp_path, evaluations=6)
    reader = LogReader(f"sqlite:///{tmp_path / 'toy' / 'study.db'}", "toy")
    trial = reader.trials()[-1].trial_id
    reader.close()
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(tmp_path / "toy" / "study.db")) as db, db:
        db.execute("UPDATE trials SET state = 'RUNNING' WHERE trial_id = ?", (trial,))
    made = StudyView(f"sqlite:///{tmp_path / 'toy' / 'study.db'}", "toy", tmp_path / "toy")
    assert json.loads(made.detail(0))["trials"][-1]["state"] == "Waiting"
    with DriverLock(tmp_path / "toy"):
        assert json.loads(made.detail(0))["trials"][-1]["state"] == "Running"
    made.engine.dispose()


def test_only_looking_is_answered(view: StudyView) -> None:
    def app(environ: Any, start: Any) -> list[bytes]:
        start("200 OK", [])
        return [b"dashboard"]

    served = LookOnly(app, view)
    assert asked(served, "/dashboard") == ("200 OK", b"dashboard")
    assert asked(served, "/api/studies/1", query="after=0")[0] == "200 OK"
    assert asked(served, "/api/studies/1", query="after=x")[0] == "400 Bad Request"
    for method in ("POST", "PUT", "DELETE"):
        assert asked(served, "/api/studies/1", method)[0] == "403 Forbidden"
    assert asked(served, "/api/meta", host="evil.example")[0] == "403 Forbidden"
    assert asked(served, "/api/meta", host="localhost:1")[0] == "200 OK"


def test_a_port_in_use_is_told(drawn_study: hqsearch.Study) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with ready("toy", drawn_study.folder.parent, None, port) as board:
            assert f"port {port} is in use" in board.notes[-1]
            assert f":{port}/" not in board.address


def test_a_study_that_is_driven_is_served_as_it_is(drawn_study: hqsearch.Study) -> None:
    with (
        DriverLock(drawn_study.folder),
        ready("toy", drawn_study.folder.parent, None, 8650) as board,
    ):
        assert board.notes[0].startswith("driven by process ")


def test_of_a_study_that_may_only_be_read_a_copy_is_served(
    drawn_study: hqsearch.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: Any, **keys: Any) -> Any:
        raise PermissionError(13, "read-only")

    monkeypatch.setattr(DriverLock, "__enter__", refused)
    before = (drawn_study.folder / "study.db").read_bytes()
    with ready("toy", drawn_study.folder.parent, None, 8660) as board:
        assert "temporary copy" in board.notes[0]
    assert (drawn_study.folder / "study.db").read_bytes() == before


def test_a_missing_study_is_no_dashboard(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has not been run"), ready("toy", tmp_path):
        raise AssertionError("it was served")


def test_rates_and_bits_are_read_by_people(drawn_study: hqsearch.Study) -> None:
    trial = drawn_study.trial(3)
    told = readable(trial.row, trial.row.details)
    assert told["average bits"] == round(trial.average_bits, 3)
    assert told["layers"] == "4u×8"
    assert "firing rates" not in told


# In a browser

SLOW = """
import time
from hqsearch.evaluators.toy import Toy

class Slow(Toy):
    def evaluate(self, candidate, *rest, **more):
        time.sleep(0.25)
        return super().evaluate(candidate, *rest, **more)
"""


def _started(*words: str, **options: Any) -> subprocess.Popen[Any]:
    # A shell's background job ignores SIGINT, and what it starts inherits that.
    return subprocess.Popen(
        _command(*words),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "hqsearch", *words]


def _looked_at(browser: Any, address: str, picture: Path, width: int, scheme: str) -> None:
    """Front, hypervolume and note are on the study's page, without an error."""
    viewport = {"width": width, "height": 900}
    context = browser.new_context(viewport=viewport, color_scheme=scheme)
    tab = context.new_page()
    said: list[str] = []
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto(address)
    for name in (FRONT, HYPERVOLUME):
        tab.wait_for_selector(
            f"[id='user-defined-plot:{name}'] .main-svg >> nth=0", timeout=120_000
        )
    tab.screenshot(path=picture, full_page=True)
    tab.goto(f"{address}/note")
    tab.wait_for_selector("text=Front:", timeout=120_000)
    assert said == []
    context.close()


@pytest.mark.slow
@pytest.mark.parametrize("running", [False, True])
def test_a_browser_shows_front_and_note(
    running: bool, browser: Any, tmp_path: Path, study_file: Any
) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    path = study_file(evaluator="slow.py:Slow" if running else "toy")
    where = ["--study", str(path), "--studies-dir", str(tmp_path)]
    settings = ["--set", "strategy.nsga2.population=6", "--executor", "in-process"]
    count = ["--evaluations", "2000" if running else "20"]
    driver = _started("run", *where, "--strategy", "nsga2", *settings, *count)
    if not running:
        assert driver.wait(timeout=300) == 0
    deadline = time.monotonic() + 300
    while not (tmp_path / "mine" / "study.db").exists() or (running and not _published(tmp_path)):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    board = _started("dashboard", *where, "--port", "8700", stdout=subprocess.PIPE, text=True)
    assert board.stdout is not None
    try:
        address = board.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:87")
        _looked_at(browser, address, tmp_path / f"dashboard-{running}.png", 1280, "light")
        _looked_at(browser, address, tmp_path / f"dashboard-{running}-phone.png", 390, "dark")
        with urllib.request.urlopen(
            f"{address.partition('/dashboard')[0]}/artifacts/1/{REPORT}"
        ) as r:
            assert b"<h1>" in r.read()
    finally:
        board.send_signal(signal.SIGINT)
        code = board.wait(timeout=60)
        board.stdout.close()
        driver.send_signal(signal.SIGINT)
        driver.wait(timeout=60)
    assert code == 0


def _published(folder: Path) -> bool:
    """Whether the driver has written a front already."""
    try:
        facts = study_facts("mine", folder)
    except InputError:
        return False
    return len(facts.front) > 2 and len(facts.completed) > 14
