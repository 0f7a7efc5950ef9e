"""Studies that earlier releases wrote: they open, are shown and go on exactly as they did there.

``fixtures/make_release_logs.py`` made them, and with the functions below what is expected.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import tarfile
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hqsearch.cli import cli

# A user's file of that time imports modules by the names of that time.
pytestmark = pytest.mark.filterwarnings("ignore:hqsearch.* since 0.2:DeprecationWarning")

FIXTURES = Path(__file__).parent / "fixtures"
SINCE_0_2 = (
    "toy",
    "toy-cut",
    "toy-noise",
    "toy-halving",
    "toy-structure",
    "faulty",
    "synthetic",
    "recorded",
    "tiny-qat",
)
#: What each release wrote, as ``fixtures/release_N/``.
STUDIES = {
    "0_1": (
        "toy",
        "toy-cut",
        "toy-noise",
        "toy-halving",
        "faulty",
        "synthetic",
        "recorded",
        "tiny-qat",
    ),
    "0_2": SINCE_0_2,
    "0_3": SINCE_0_2,
}
#: Releases whose fronts had no resolution.
OLD_FRONTS = ("0_1", "0_2")
RESUME = ("resume",)
HERE = ("--executor", "in-process")
#: What finishes each study's unfinished runs. A user's own files are looked for where they
#: were when the study was made, so ``resume`` cannot find those of a study that was moved.
FINISHING: dict[str, tuple[tuple[str, ...], ...]] = {
    "toy": (RESUME,),
    "toy-cut": (RESUME,) * 9,
    "toy-structure": (RESUME,),
    "toy-noise": (("confirm", "--seeds", "3", "--no-controls"),),
    "toy-halving": (RESUME,) * 2,
    "faulty": (("run", "--strategy", "random", "--seed", "1", "--evaluations", "14", *HERE),),
    "synthetic": (RESUME,),
    "recorded": (RESUME,),
}
EVERY = [(release, study) for release, studies in STUDIES.items() for study in studies]
FINISHED = [(release, study) for release, study in EVERY if study in FINISHING]
#: In ``status`` the only facts that are not in the log, or are means of measured times; and what
#: was not told yet.
OTHER = (
    "driver", "seconds_per_evaluation", "worker_seconds_left", "disk", "models", "verdict",
    "imported",
)  # fmt: skip

#: Tables of what hqsearch and Optuna add to a trial.
ATTRIBUTES = ("user_attributes", "system_attributes")


def command(folder: Path, study: str, *words: str) -> str:
    """Standard output of a command on a study in ``folder``."""
    own = folder / "mine" / f"{study}.toml"
    named = str(own) if words[0] == "run" and own.exists() else study
    place = ("--study", named, "--studies-dir", str(folder / "studies"))
    done = CliRunner().invoke(
        cli, [words[0], *place, *words[1:]], standalone_mode=False, catch_exceptions=False
    )
    assert "recorded proposals differ" not in done.stderr
    return done.stdout


def unpack(folder: Path, release: str) -> Path:
    with tarfile.open(FIXTURES / f"release_{release}" / "studies.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def shown(folder: Path, release: str, study: str) -> dict[str, Any]:
    """What the reading commands print of a study; long parts as their SHA-256."""
    status = json.loads(command(folder, study, "status", "--json"))
    # Made when they are asked for, by the rules of now: they say so.
    head = status["verdict"][0]
    assert "rules 2" in head
    assert ("on a front of rules 1" in head) == (release in OLD_FRONTS)
    trials = json.loads(command(folder, study, "trials", "--json"))
    last = max(row["number"] for row in trials if row["state"] == "COMPLETE")
    facts = {
        "front": [_short(row) for row in json.loads(command(folder, study, "front", "--json"))],
        "trials": [_short(row) for row in trials],
        "status": {key: value for key, value in status.items() if key not in OTHER},
        "front_csv_sha256": _digest(command(folder, study, "front", "--csv")),
        "trials_csv_sha256": _digest(command(folder, study, "trials", "--csv")),
        "last_trial_sha256": _digest(
            {
                key: value
                for key, value in json.loads(
                    command(folder, study, "show", "--trial", str(last), "--json")
                ).items()
                if key != "model"  # 0.1 trained none
            }
        ),
    }
    if any(run["strategy"] == "gumbel" for run in status["runs"]):
        words = ("show", "--strategy", "gumbel", "--json")
        facts["learned_sha256"] = _digest(json.loads(command(folder, study, *words)))
    return facts


def _without_verdict(facts: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in facts["status"].items() if key not in OTHER}
    front = [_without_difference(row) for row in facts["front"]]
    return {**facts, "status": kept, "front": front}


def _without_difference(row: dict[str, Any]) -> dict[str, Any]:
    """Since 0.3 errors of differences are those of all confirmed candidates together, and it is
    said which of them are controls; since 0.4 how many trainings each had."""
    confirmed = row.get("confirmed")
    if not confirmed:
        return row
    since = ("difference", "control", "trainings")
    return {**row, "confirmed": {k: v for k, v in confirmed.items() if k not in since}}


def table(folder: Path, study: str) -> list[dict[str, Any]]:
    """Of every trial what must not depend on how often, where or by what it was run."""
    keys = ("number", "run", "state", "kind", "copy_of", "seed", "values")
    return [
        {
            **{key: row[key] for key in keys},
            "choices": _choices(row),
            "origin": row["details"]["origin"],
            "stopped_at": row["details"]["stopped_at"],
            "reason": row["details"]["reason"],
        }
        for row in json.loads(command(folder, study, "trials", "--json"))
    ]


def logged(folder: Path, study: str) -> dict[int, list[tuple[Any, ...]]]:
    """Everything that the database holds of the finished trials, by trial."""
    path = (folder / "studies" / study / "study.db").resolve()
    with closing(sqlite3.connect(path)) as connection:
        done = connection.execute("SELECT trial_id, * FROM trials WHERE state <> 'RUNNING'")
        rows: dict[int, list[tuple[Any, ...]]] = {row[0]: [row] for row in done}
        for kind in ("params", "values", "intermediate_values", *ATTRIBUTES):
            facts = connection.execute(f"SELECT trial_id, * FROM trial_{kind} ORDER BY 1, 2")
            for row in facts:
                if row[0] in rows:
                    rows[row[0]].append(row)
    return rows


def same_tables(found: Sequence[dict[str, Any]], expected: Sequence[dict[str, Any]]) -> None:
    """Equal; values to the last digits, in which machines may differ."""
    assert [{**row, "values": None} for row in found] == [
        {**row, "values": None} for row in expected
    ]
    for row, other in zip(found, expected, strict=True):
        if other["values"] is None:
            assert row["values"] is None, row
        else:
            assert row["values"] == pytest.approx(other["values"], rel=1e-12, abs=0.0), row


def _short(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "choices": _choices(row), "details": _digest(row["details"])}


def _choices(row: dict[str, Any]) -> str:
    return " ".join(f"{name}={choice}" for name, choice in row["choices"].items())


def _digest(data: Any) -> str:
    text = json.dumps(data, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def expected(release: str) -> dict[str, Any]:
    return dict(json.loads((FIXTURES / f"release_{release}" / "expected.json").read_text()))


@pytest.mark.parametrize(("release", "study"), EVERY)
def test_it_is_shown_as_it_was(tmp_path: Path, release: str, study: str) -> None:
    folder = unpack(tmp_path, release)
    before = logged(folder, study)
    expected_of = expected(release)[study]["shown"]
    assert _without_verdict(shown(folder, release, study)) == _without_verdict(expected_of)
    assert logged(folder, study) == before


@pytest.mark.parametrize(("release", "study"), FINISHED)
def test_its_unfinished_runs_end_as_they_did(tmp_path: Path, release: str, study: str) -> None:
    folder = unpack(tmp_path, release)
    before = logged(folder, study)
    for words in FINISHING[study]:
        command(folder, study, *words)
    same_tables(table(folder, study), expected(release)[study]["finished"])
    after = logged(folder, study)
    assert len(after) > len(before)
    assert {trial: after[trial] for trial in before} == before
    left = json.loads(command(folder, study, "status", "--json"))["evaluations_left"]
    assert left == 0


@pytest.mark.parametrize("release", STUDIES)
def test_in_two_pieces_what_is_finished_stays(tmp_path: Path, release: str) -> None:
    folder = unpack(tmp_path, release)
    words = ("run", "--strategy", "nsga2", "--seed", "3")
    total = expected(release)["toy"]["finished"]
    start = json.loads(command(folder, "toy", "status", "--json"))
    assert start["runs"][-1]["finished"] < 16
    before = logged(folder, "toy")
    command(folder, "toy", *words, "--evaluations", "20")
    between = logged(folder, "toy")
    piece = table(folder, "toy")
    same_tables(piece, total[: len(piece)])
    assert len(before) < len(between) == len(piece) < len(total)
    command(folder, "toy", *words, "--evaluations", "30")
    after = logged(folder, "toy")
    same_tables(table(folder, "toy"), total)
    assert {trial: between[trial] for trial in before} == before
    assert {trial: after[trial] for trial in between} == between


@pytest.mark.parametrize("release", STUDIES)
def test_they_are_listed_with_their_runs(tmp_path: Path, release: str) -> None:
    folder = unpack(tmp_path, release)
    words = ["studies", "--studies-dir", str(folder / "studies"), "--json"]
    done = CliRunner().invoke(cli, words, standalone_mode=False, catch_exceptions=False)
    listed = {row["name"]: row for row in json.loads(done.stdout)}
    for study in STUDIES[release]:
        assert listed[study]["runs"] == expected(release)[study]["shown"]["status"]["runs"]
