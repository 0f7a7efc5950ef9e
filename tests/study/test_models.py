"""What a trial must be to be trained finally, and what else is said where it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hqsearch.errors import InputError
from hqsearch.problem.budgets import Budget
from hqsearch.problem.objective import ACCURACY, ENERGY
from hqsearch.store.model_record import ModelRecord
from hqsearch.store.records import RunRecord, TrialRow
from hqsearch.study.models import is_kept, require_trainable, untrained
from hqsearch.study.opening import Request

OBJECTIVES = (ACCURACY, ENERGY)
RUN = RunRecord(0, "random", 0, {}, 8, 0, (Budget("energy", 4.0, "<= 4 uJ"),), {})


def row(**changes: Any) -> TrialRow:
    plain: dict[str, Any] = {
        "number": 3, "state": "COMPLETE", "run": 0, "strategy": "random", "kind": "search",
        "copy_of": None, "choices": {"a": "4u"}, "values": {"accuracy": 0.9, "energy": 3.0},
        "average_bits": 4.0, "seed": 0, "seconds": 1.0, "violation": 0.0, "failure": "",
        "reason": "", "attempts": 1, "origin": "", "details_json": "{}",
    }  # fmt: skip
    return TrialRow(**{**plain, **changes})


def test_a_completed_feasible_trial_is_trained() -> None:
    require_trainable(row(), RUN, OBJECTIVES, "s")
    require_trainable(row(kind="baseline"), RUN, OBJECTIVES, "s")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"state": "FAIL", "values": None, "failure": "nan", "reason": "the loss is nan"},
            r"trial 3 of study 's' failed \(nan: the loss is nan\)",
        ),
        (
            {"state": "PRUNED", "values": None, "stopped_at": 1},
            "was stopped early, after epoch 1",
        ),
        ({"state": "RUNNING", "values": None}, "has not ended; hqsearch resume --study s"),
        (
            {"violation": 0.25, "values": {"accuracy": 0.9, "energy": 5.0}},
            r"is infeasible: accuracy 90.0 %, energy 5 µJ is beyond .*\(energy <= 4 uJ\) by 25.0%",
        ),
    ],
)
def test_others_are_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        require_trainable(row(**changes), RUN, OBJECTIVES, "s")


def test_the_command_names_where_the_study_is() -> None:
    request = Request("my study", "", studies_dir=Path("/a b"))
    told = str(untrained(3, request, "my study", {}))
    assert told.endswith("hqsearch train --study 'my study' --trial 3 --studies-dir '/a b'")
    assert str(untrained(3, Request("s", ""), "s", {})).endswith("--study s --trial 3")


def test_a_model_without_files_is_not_kept(tmp_path: Path) -> None:
    record = ModelRecord(3, "models/3", "", "", 0.9, 0.8, 1.0, 10, 1, False, (1,), 1, 1)
    assert not is_kept(tmp_path, record)
    assert ModelRecord.from_json({**record.as_json(), "seeds": [1]}) == record
