"""When a run is given up, and what is said of one of which nothing came."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hqsearch.cli import cli
from hqsearch.errors import RunFailed
from hqsearch.search.failures import ENOUGH, Failures, require_some
from hqsearch.store.records import Outcome, Proposal, Rung, TrialRecord


def trial(
    number: int, state: str = "FAIL", reason: str = "no data", kind: str = "x"
) -> TrialRecord:
    outcome = Outcome(number, failure=kind if state == "FAIL" else "", reason=reason)
    proposal = Proposal(0, number, "random", "search", "a=4u", 0, 0)
    return TrialRecord(number, number, state, proposal, outcome=outcome)


def test_enough_failures_alike_and_nothing_else() -> None:
    failures = Failures([])
    for number in range(ENOUGH):
        assert not failures.hopeless
        failures.add(trial(number))
    assert failures.hopeless
    failures.add(trial(9, "COMPLETE", ""))
    assert not failures.hopeless


@pytest.mark.parametrize("differs", ["reason", "kind"])
def test_failures_that_differ_are_not_alike(differs: str) -> None:
    failures = Failures([])
    for number in range(ENOUGH + 4):
        failures.add(trial(number, **{differs: "abcdefghijklmno"[number]}))
    assert not failures.hopeless


@pytest.mark.parametrize("state", ["COMPLETE", "PRUNED", "RUNNING"])
def test_something_that_came_of_the_run_before(state: str) -> None:
    before = trial(0, state, "")
    if state == "RUNNING":  # it came to a rung
        before = TrialRecord(0, 0, state, before.proposal, rungs=(Rung(1, (0.5,)),))
    failures = Failures([before])
    for number in range(1, 2 * ENOUGH):
        failures.add(trial(number))
    assert not failures.hopeless


def test_what_is_the_candidate_s_own_in_a_reason_makes_no_difference() -> None:
    """What a script printed, and numbers of layers or of memory, are of one cause."""
    failures = Failures([])
    reasons = [f"no JSON, but 'accuracy 0.{n}' after {n} s" for n in range(ENOUGH)]
    failed = [trial(number, reason=reason) for number, reason in enumerate(reasons)]
    for each in failed:
        failures.add(each)
    assert failures.hopeless
    with pytest.raises(RunFailed) as told:
        require_some(failed, ENOUGH, "evaluations", "again")
    assert str(told.value) == f"all 8 evaluations failed alike, the first: {reasons[0]} (x); again"


def test_what_is_said() -> None:
    require_some([], 8, "evaluations", "again")
    require_some([trial(0), trial(1, "COMPLETE", "")], 8, "evaluations", "again")
    with pytest.raises(RunFailed, match=r"^all 2 evaluations failed: no data \(x\); again$"):
        require_some([trial(0), trial(1)], 2, "evaluations", "again")
    with pytest.raises(
        RunFailed,
        match=r"^all 3 evaluations failed, 2 of them alike, the first: no data \(x\); 5 of 8",
    ):
        require_some([trial(0), trial(1), trial(2, reason="?")], 8, "evaluations", "again")


def test_a_log_with_any_reason_in_it_can_be_read(
    tmp_path: Path, launched: Any, study_file: Callable[..., Path]
) -> None:
    launched.run(tmp_path, strategy="random", evaluations=6)
    reasons = ["\ud83d", "\x1b[2J\x00", "x" * 3_000_000]
    with closing(sqlite3.connect(tmp_path / "toy" / "study.db")) as log, log:
        rows = log.execute(
            "SELECT trial_user_attribute_id, value_json FROM trial_user_attributes "
            "WHERE key = 'result' ORDER BY trial_id"
        ).fetchall()
        for (row, stored), reason in zip(rows, reasons, strict=False):
            result = {**json.loads(stored), "failure": "exception", "reason": reason}
            result["details"] |= {"loss": float("nan"), "half\ud83d": "\udc00"}
            log.execute(
                "UPDATE trial_user_attributes SET value_json = ? WHERE trial_user_attribute_id = ?",
                (json.dumps(result), row),
            )
    (tmp_path / "toy" / "results.db").unlink(missing_ok=True)
    where = ["--study", "toy", "--studies-dir", str(tmp_path)]
    for command in (["trials"], ["trials", "--json"], ["trials", "--csv"], ["status"],
                    ["show", "--trial", "0"], ["show", "--trial", "2", "--json"]):  # fmt: skip
        done = CliRunner().invoke(cli, [*command, *where], catch_exceptions=False)
        assert done.exit_code == 0
        assert len(done.output) < 100_000
        assert "\x1b" not in done.output
    shown = json.loads(CliRunner().invoke(cli, ["trials", "--json", *where]).output)
    assert shown[0]["details"]["reason"] == "\\ud83d"
    assert shown[0]["details"]["loss"] is None
    launched.run(tmp_path, strategy="random", evaluations=8)
