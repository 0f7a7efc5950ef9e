"""The log, read from Optuna's tables: what it holds, and what it should not hold is named."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from hqsearch.errors import StudyDamaged, StudyMissing
from hqsearch.evaluator import Details
from hqsearch.problem.objective import ACCURACY, ENERGY
from hqsearch.problem.space import Dimension, Space
from hqsearch.store.log import StudyLog, storage_url
from hqsearch.store.log_reader import LogReader, damaged, said
from hqsearch.store.model_record import ModelRecord
from hqsearch.store.records import Decision, Outcome, Proposal, Rung, TaskRecord

SPACE = Space(tuple(Dimension(n, "weights", ("2u", "4u"), (n,)) for n in ("a", "b")))
OBJECTIVES = (ACCURACY, ENERGY)
STUDY = {
    "name": "s",
    "token": "0",
    "dimensions": list(SPACE.names),
    "objectives": [
        {"name": o.name, "unit": o.unit, "direction": o.direction, "cheap": o.cheap}
        for o in OBJECTIVES
    ],
}


def proposal(slot: int, run: int = 0) -> Proposal:
    return Proposal(run, slot, "random", "search", "a=2u;b=4u", 7, slot)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a study of four trials: complete, stopped after a rung, failed, running."""
    log = StudyLog(storage_url(None, tmp_path), "s", SPACE, OBJECTIVES)
    log.set_attribute("study", STUDY)
    log.finish(log.create(proposal(0)), "COMPLETE", (0.9, 2.0), Outcome(0, 1.5))
    stopped = log.reach(log.create(proposal(1)), Rung(1, (0.5, 3.0)))
    log.finish(stopped, "PRUNED", None, Outcome(1, 0.5))
    log.finish(log.create(proposal(2)), "FAIL", None, Outcome(2, failure="nan", reason="x"))
    log.create(proposal(3))
    log.put_task(TaskRecord(1, 0, 0, 0, "scores", {}, "", 3))
    log.put_task(TaskRecord(0, 1, 0, 0, "scores", {}, "", 3))
    log.put_task(TaskRecord(0, 0, 0, 0, "scores", {}, "", 3))
    log.put_decision(Decision(0, 0, 0, (1, 0), 1))
    log.put_decision(Decision(10, 0, 0, (5,), 1))
    for trial in (2, 0):
        more = ("m", "w", 0.9, 0.8, 1.0, 50, 3, False, (1,), 1, 1)
        log.put_model(ModelRecord(trial, f"models/{trial}", *more))
    log.close()
    return tmp_path


@pytest.fixture
def reader(folder: Path) -> Iterator[LogReader]:
    opened = LogReader(storage_url(None, folder), "s")
    yield opened
    opened.close()


def changed(folder: Path, *statements: tuple[str, tuple[Any, ...]]) -> LogReader:
    """A reader of the log after somebody was at its tables."""
    with sqlite3.connect(folder / "study.db") as database:
        for statement, values in statements:
            database.execute(statement, values)
    return LogReader(storage_url(None, folder), "s")


def test_trials_in_order_from_any_number_on(reader: LogReader) -> None:
    trials = reader.trials()
    assert [t.state for t in trials] == ["COMPLETE", "PRUNED", "FAIL", "RUNNING"]
    assert [t.proposal for t in trials] == [proposal(slot) for slot in range(4)]
    assert (trials[0].values, trials[0].outcome) == ((0.9, 2.0), Outcome(0, 1.5, details=Details()))
    assert trials[1].rungs == (Rung(1, (0.5, 3.0)),)
    assert trials[2].outcome is not None
    assert trials[2].outcome.reason == "x"
    assert (trials[3].values, trials[3].outcome, trials[3].rungs) == (None, None, ())
    assert reader.trials(2) == trials[2:]
    assert reader.trials(4) == []


def test_records_are_found_by_their_keys_and_sorted(reader: LogReader) -> None:
    assert [(t.run, t.index) for t in reader.tasks()] == [(0, 0), (0, 1), (1, 0)]
    assert [d.ranked for d in reader.decisions(0)] == [(1, 0)]
    assert reader.decisions(1) == []  # that of run 10 is another's
    assert list(reader.models()) == [0, 2]
    assert reader.runs() == []
    assert reader.directions() == ["max", "min"]
    assert reader.attributes()["study"] == STUDY
    assert {"number", "state"} <= reader.columns()["trials"]
    assert reader.integrity() == ""


def test_trials_of_others_are_counted_and_left_out(folder: Path) -> None:
    insert = "INSERT INTO trials (number, study_id, state) VALUES (4, 1, 'COMPLETE')"
    reader = changed(folder, (insert, ()))
    assert reader.foreign_trials() == 1
    assert [t.number for t in reader.trials()] == [0, 1, 2, 3]
    reader.close()


def test_a_value_that_sql_does_not_have_is_infinite(folder: Path) -> None:
    reader = changed(
        folder,
        ("UPDATE trial_values SET value = NULL, value_type = 'INF_POS' WHERE objective = 1", ()),
    )
    assert reader.trials()[0].values == (0.9, math.inf)
    reader.close()


def test_values_of_a_trial_that_has_not_ended_are_none_yet(folder: Path) -> None:
    reader = changed(folder, ("UPDATE trials SET state = 'RUNNING' WHERE number = 0", ()))
    assert reader.trials()[0].values is None
    reader.close()


def test_numbers_that_json_does_not_have_are_missing(folder: Path) -> None:
    result = {**Outcome(0, 1.5).as_json(), "seconds": 0.25, "details": {"accuracy_se": math.nan}}
    statement = "UPDATE trial_user_attributes SET value_json = ? WHERE key = 'result'"
    reader = changed(folder, (statement, (json.dumps(result),)))
    outcome = reader.trials()[0].outcome
    assert outcome is not None
    assert (outcome.seconds, outcome.details.accuracy_se) == (0.25, None)
    reader.close()


ATTRIBUTE = (
    "UPDATE trial_user_attributes SET value_json = ? WHERE key = 'proposal' AND trial_id = 1"
)
STUDY_ATTRIBUTE = "UPDATE study_user_attributes SET value_json = ? WHERE key = ?"
DAMAGES: dict[str, tuple[str, tuple[Any, ...], str]] = {
    "no JSON": (ATTRIBUTE, ("{",), "proposal of a trial is no JSON"),
    "a field missing": (ATTRIBUTE, ("{}",), "trial 0: .*missing"),
    "a field of another type": (
        ATTRIBUTE, (json.dumps({**asdict(proposal(0)), "slot": "0"}),), "trial 0: slot is '0'",
    ),
    "a state that there is not": (
        "UPDATE trials SET state = ? WHERE number = 0", ("DONE",), "trial 0: number 0 and state",
    ),
    "a number that is none": (
        "UPDATE trials SET number = ? WHERE number = 0", ("x",), "trial x: number 'x'",
    ),
    "a value that is none": (
        "UPDATE trial_values SET value = ? WHERE objective = 0", ("high",), r"values \['high'",
    ),
    "a value too few": (
        "DELETE FROM trial_values WHERE objective = ?", (1,), "1 values for 2 objectives",
    ),
    "a record": (STUDY_ATTRIBUTE, ("3", "task:0:0"), "task:0:0: "),
    "facts of the study": (STUDY_ATTRIBUTE, ("3", "study"), "attributes of the study"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGES)
def test_damage_is_named_with_its_place(folder: Path, what: str) -> None:
    statement, values, told = DAMAGES[what]
    reader = changed(folder, (statement, values))
    with pytest.raises(StudyDamaged, match=told) as caught:
        (reader.trials(), reader.tasks())
    asked = f"hqsearch doctor --study {folder.name} --studies-dir {folder.parent}"
    assert str(caught.value).startswith(str(folder / "study.db"))
    assert asked.replace(folder.name, "s", 1) in str(caught.value)
    reader.close()


def test_studies_that_are_not_there(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyMissing, match="no study 'other' in"):
        LogReader(storage_url(None, folder), "other")
    with pytest.raises(StudyMissing, match="no study 's' yet"):
        LogReader(storage_url(None, tmp_path / "empty"), "s")


def test_what_went_wrong_in_a_line() -> None:
    assert said(KeyError("slot")) == "'slot' is missing"
    assert said(RecursionError()) == "nested too deeply"
    assert said(ValueError("first\nsecond")) == "first"
    assert said(ValueError()) == "ValueError"
    place = "postgresql+psycopg://me@host/db"
    told = str(damaged(place, "s", "trial 0: x"))
    assert told == f"{place}: trial 0: x; hqsearch doctor tells what can be read of it"
    assert str(damaged(place, "s", f"{place} is gone")).startswith(f"{place} is gone; hqsearch")
