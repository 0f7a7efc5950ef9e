from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest

from hqsearch.errors import StorageError
from hqsearch.evaluator import Details, LayerRow
from hqsearch.problem.objective import ACCURACY, ENERGY
from hqsearch.problem.space import Dimension, Space
from hqsearch.store.fronts import front_of
from hqsearch.store.lock import DriverLock
from hqsearch.store.log import LogReader, StudyLog, storage_url
from hqsearch.store.records import (
    Decision,
    Outcome,
    Proposal,
    Rung,
    RunRecord,
    TaskRecord,
    TrialRow,
)
from hqsearch.store.results import Results

SPACE = Space(tuple(Dimension(n, "weights", ("2u", "4u"), (n,)) for n in ("a", "state")))
OBJECTIVES = (ACCURACY, ENERGY)


def open_log(folder: Path) -> StudyLog:
    log = StudyLog(storage_url(None, folder), "s", SPACE, OBJECTIVES)
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
    return log


def proposal(slot: int, key: str = "a=2u;state=4u") -> Proposal:
    return Proposal(0, slot, "random", "search", key, 7, slot)


def test_a_trial_goes_through_the_log(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    created = log.create(proposal(0))
    assert (created.number, created.state) == (0, "RUNNING")
    assert log.trials()[0].outcome is None
    outcome = Outcome(0, 1.5, details=Details(average_bits=3.0))
    log.finish(created, "COMPLETE", (0.9, 2.0), outcome)
    (read,) = LogReader(log.url, "s").trials()
    assert read.values == (0.9, 2.0)
    assert read.outcome == outcome
    assert read.proposal == proposal(0)


def test_optuna_reads_the_same(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.finish(log.create(proposal(0)), "COMPLETE", (0.9, 2.0), Outcome(0))
    log.finish(log.create(proposal(1)), "COMPLETE", (0.99, 1.0), Outcome(1, violation=0.5))
    log.finish(log.create(proposal(2)), "FAIL", None, Outcome(2, failure="nan", reason="x"))
    study = optuna.load_study(study_name="s", storage=log.url)
    assert [t.state.name for t in study.trials] == ["COMPLETE", "COMPLETE", "FAIL"]
    assert study.trials[0].params == {"a": "2u", "state": "4u"}
    assert study.metric_names == ["accuracy", "energy"]
    # The violator dominates, but Optuna (and its dashboard) must see that it is infeasible.
    assert [t.number for t in study.best_trials] == [0]


def test_a_copy_is_complete_at_once(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    copy = Proposal(0, 0, "random", "search", "a=2u;state=4u", 7, 0, copy_of=5)
    log.create_copy(copy, (0.5, 1.0), Outcome(0))
    (read,) = log.trials()
    assert (read.state, read.values, read.proposal.copy_of) == ("COMPLETE", (0.5, 1.0), 5)


def test_runs_are_kept(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    run = RunRecord(0, "nsga2", 3, {"strategy": {}}, 10, 0, (), {"python": "3"}, ("note",))
    log.add_run(run)
    assert LogReader(log.url, "s").runs() == [run]


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("these are my notes, not a database")
    with pytest.raises(StorageError, match="is not a database"):
        open_log(tmp_path)
    assert (tmp_path / "study.db").read_text().startswith("these are my notes")


def test_an_absent_study_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no study"):
        LogReader(storage_url(None, tmp_path), "s")
    open_log(tmp_path).close()
    with pytest.raises(StorageError, match="there is no study 'other'"):
        LogReader(storage_url(None, tmp_path), "other")


def test_results_follow_the_log_and_can_be_rebuilt(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    first, second = log.create(proposal(0)), log.create(proposal(1, "a=4u;state=4u"))
    log.finish(
        second,
        "COMPLETE",
        (0.8, 3.0),
        Outcome(0, details=Details(layers=(LayerRow(layer="a", choice="4u", energy=1.0),))),
    )
    results = Results(tmp_path, log)
    assert [t.state for t in results.trials()] == ["RUNNING", "COMPLETE"]
    log.finish(first, "COMPLETE", (0.9, 2.0), Outcome(1))
    results = Results(tmp_path, log)
    before = [json.dumps(t.as_json()) for t in results.trials()]
    assert [t.state for t in results.trials()] == ["COMPLETE", "COMPLETE"]
    assert results.trials()[0].choices == {"a": "2u", "state": "4u"}
    assert results.layers(1) == [{"layer": "a", "choice": "4u", "energy": 1.0}]
    assert [t.number for t in results.front()] == [0]
    results.close()
    (tmp_path / "results.db").write_bytes(b"damaged, but it is only a projection" * 100)
    assert [json.dumps(t.as_json()) for t in Results(tmp_path, log).trials()] == before


def test_front_takes_each_candidate_once_and_only_complete_ones() -> None:
    def row(number: int, key: str, state: str, values: dict[str, float] | None) -> TrialRow:
        choices = dict(part.split("=") for part in key.split(";"))
        return TrialRow(
            number, state, 0, "random", "search", None, choices, values, 2.0, 0, 1.0, 0.0,
            "", "", 1, "", "{}",
        )  # fmt: skip

    rows = [
        row(0, "a=2u", "COMPLETE", {"accuracy": 0.9, "energy": 2.0}),
        row(1, "a=2u", "COMPLETE", {"accuracy": 0.9, "energy": 2.0}),
        row(2, "a=4u", "COMPLETE", {"accuracy": 0.8, "energy": 3.0}),
        row(3, "a=8u", "COMPLETE", {"accuracy": 0.95, "energy": 5.0}),
        row(4, "a=6u", "FAIL", None),
    ]
    assert [t.number for t in front_of(rows, OBJECTIVES)] == [0, 3]
    from hqsearch.problem.budgets import Budget

    assert [t.number for t in front_of(rows, OBJECTIVES, [Budget("energy", 4.0, "")])] == [0]


def test_one_driver_at_a_time(tmp_path: Path) -> None:
    with DriverLock(tmp_path):
        assert "process" in DriverLock.holder(tmp_path)
        with pytest.raises(StorageError, match="is being run by process"), DriverLock(tmp_path):
            pass
    assert DriverLock.holder(tmp_path) == ""


def test_a_database_that_was_only_begun_is_opened(tmp_path: Path) -> None:
    (tmp_path / "study.db").touch()  # what a crash leaves between creation and first write
    with pytest.raises(StorageError, match="there is no study"):
        LogReader(storage_url(None, tmp_path), "s")
    log = open_log(tmp_path)
    assert log.create(proposal(0)).number == 0
    log.close()


def test_a_study_that_was_cut_off_while_made_gets_its_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(optuna.Study, "set_metric_names", cut)
        with pytest.raises(KeyboardInterrupt):
            open_log(tmp_path)
    log = open_log(tmp_path)
    assert optuna.load_study(study_name="s", storage=log.url).metric_names == ["accuracy", "energy"]
    log.close()


def test_layers_with_new_columns_are_taken_in(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for slot, row in enumerate(
        ({"layer": "a", "energy": 1.0}, {"layer": "a", "energy": 2.0, "rate": 0.5, "shape": [2, 3]})
    ):
        created = log.create(proposal(slot))
        log.finish(
            created,
            "COMPLETE",
            (0.5, 1.0),
            Outcome(slot, details=Details.from_json({"layers": [row]})),
        )
        results = Results(tmp_path, log)
        results.close()
    results = Results(tmp_path, log)
    assert results.layers(0) == [{"layer": "a", "energy": 1.0, "rate": None, "shape": None}]
    assert results.layers(1) == [{"layer": "a", "energy": 2.0, "rate": 0.5, "shape": "[2, 3]"}]
    results.close()
    log.close()


def test_the_storage_writes_what_optunas_own_writes(tmp_path: Path) -> None:
    """The shortcut for parameters, against Optuna's own way."""
    log = open_log(tmp_path)
    log.create(proposal(0))
    ours = optuna.load_study(study_name="s", storage=log.url).trials[0]
    plain = optuna.create_study(
        storage=f"sqlite:///{tmp_path / 'plain.db'}", directions=["minimize"] * 2
    )
    plain.add_trial(
        optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params=ours.params,
            distributions=ours.distributions,
        )
    )
    theirs = plain.trials[0]
    assert (ours.params, ours.distributions) == (theirs.params, theirs.distributions)
    assert ours.distributions["a"].choices == ("2u", "4u")
    log.close()


def test_no_write_without_asking_the_guard(tmp_path: Path) -> None:
    asked: list[str] = []
    alive = True

    def guard() -> None:
        asked.append("may I")
        if not alive:
            raise StorageError("another driver has taken this study over")

    log = StudyLog(storage_url(None, tmp_path), "s", SPACE, OBJECTIVES, guard)
    begun = log.create(proposal(0))
    copy = Proposal(0, 1, "random", "search", "a=2u;state=4u", 7, 0, copy_of=5)
    task = TaskRecord(0, 0, 0, 0, "scores", {}, "", 1)
    writes = [
        lambda: log.set_attribute("key", 1),
        lambda: log.add_run(RunRecord(0, "random", 0, {}, 1, 0, (), {})),
        lambda: log.put_task(task),
        lambda: log.put_decision(Decision(0, 0, 0, (0,), 1)),
        lambda: log.create(proposal(1)),
        lambda: log.create_copy(copy, (0.5, 1.0), Outcome(0)),
        lambda: log.reach(begun, Rung(1, (0.5, 1.0))),
        lambda: log.finish(begun, "COMPLETE", (0.5, 1.0), Outcome(0)),
    ]
    alive, before = False, len(asked)
    assert before == 1
    for write in writes:
        with pytest.raises(StorageError, match="taken this study over"):
            write()
    assert len(asked) == before + len(writes)
    assert log.trials() == [begun]
    assert (log.runs(), log.tasks(), log.decisions(0)) == ([], [], [])
    assert "key" not in log.attributes()
    log.close()
