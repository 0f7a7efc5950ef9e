"""Strategies' tasks and their answers, as they are logged."""

from __future__ import annotations

from typing import Any

import pytest

from hqsearch.evaluator import (
    OtherTask,
    ScoresResult,
    ScoresTask,
    SupernetResult,
    SupernetTask,
    TaskAnswer,
)
from hqsearch.evaluator.json_record import WrongType
from hqsearch.evaluator.tasks import answer_from_json, checked_answer, task_from_json
from hqsearch.store.records import TaskRecord
from hqsearch.supernet.options import SupernetOptions

TRAINING = {"epochs": 5, "warmup": 1, "temperature": [5.0, 0.5], "top": 2}
SUPERNET = {
    "candidates": [{"key": "a=2u", "log_likelihood": -0.5, "costs": {"energy": 1.5}}],
    "probabilities": {"a": {"2u": 0.6, "fp32": 0.4}},
    "expected": {"energy": 0.3},
    "limits": {"energy": 2.0},
    "multipliers": {"energy": 0.7},
    "epochs": 5,
    "history": {"file": "history.json", "sha256": "abc"},
    "earlier": {"seconds": 1.5, "cpu_seconds": 1.25},
    "cpu_seconds": 3.5,
}


@pytest.mark.parametrize(
    ("kind", "payload", "task"),
    [
        ("scores", {}, ScoresTask()),
        ("scores", {"structure": "timesteps=4"}, ScoresTask("timesteps=4")),
        (
            "supernet",
            {**TRAINING, "budgets": {}, "target": {"energy": 0.3}},
            SupernetTask(target={"energy": 0.3}, training=TRAINING),
        ),
        (
            "supernet",
            {**TRAINING, "budgets": {"storage": 9.0}, "beta": {"energy": 0.0}, "structure": "t=2"},
            SupernetTask(
                beta={"energy": 0.0}, budgets={"storage": 9.0}, structure="t=2", training=TRAINING
            ),
        ),
        ("draw", {"number": 1}, OtherTask("draw", {"number": 1})),
    ],
)
def test_tasks_are_logged_as_ever(kind: str, payload: dict[str, Any], task: Any) -> None:
    assert (task.kind, task.to_json()) == (kind, payload)
    assert task_from_json(kind, payload) == task
    assert TaskRecord(0, 0, 0, 0, kind, payload, "", 0).task == task


def test_a_supernets_payload_is_what_its_training_reads() -> None:
    task = SupernetTask(target={"energy": 0.3}, budgets={"energy": 4.0}, training=TRAINING)
    options = SupernetOptions.model_validate(task.to_json())
    assert (options.target, options.budgets) == ({"energy": 0.3}, {"energy": 4.0})
    assert (options.epochs, options.temperature) == (5, (5.0, 0.5))


@pytest.mark.parametrize(
    ("kind", "stored", "expected"),
    [
        (
            "scores",
            {"scores": {"a": {"2u": 0.5}}, "samples": 0, "cpu_seconds": 0.1},
            ScoresResult(scores={"a": {"2u": 0.5}}, samples=0, cpu_seconds=0.1),
        ),
        ("draw", {"seed": 3, "cpu_seconds": 1}, TaskAnswer(cpu_seconds=1, extra={"seed": 3})),
    ],
)
def test_answers_are_logged_as_ever(kind: str, stored: dict[str, Any], expected: Any) -> None:
    assert answer_from_json(kind, stored) == expected
    assert expected.to_json() == stored
    done = TaskRecord(0, 0, 0, 0, kind, {}, "", 0, "COMPLETE", details=stored)
    assert done.answer == expected


def test_a_supernets_answer() -> None:
    answer = answer_from_json("supernet", SUPERNET)
    assert isinstance(answer, SupernetResult)
    assert answer.to_json() == SUPERNET
    assert answer.candidates[0].key == "a=2u"
    assert answer.candidates[0].costs == {"energy": 1.5}
    assert (answer.cpu_seconds, answer.earlier) == (3.5, {"seconds": 1.5, "cpu_seconds": 1.25})


def test_no_answer_where_it_failed_or_runs() -> None:
    assert TaskRecord(0, 0, 0, 0, "scores", {}, "", 0).answer is None


@pytest.mark.parametrize(
    ("kind", "given", "told"),
    [
        ("scores", {"scores": {"a": {"2u": "much"}}}, "scores: a: 2u: expected a number"),
        ("scores", {"scores": {"a": {"2u": float("nan")}}}, "scores.a.2u: nan is not a finite"),
        ("supernet", {"candidates": [{"key": 3}]}, "candidates: 0: key: expected a text"),
        ("draw", {"seed": {3}}, "seed: a set cannot be stored"),
    ],
)
def test_a_wrong_answer_is_refused_by_name(kind: str, given: dict[str, Any], told: str) -> None:
    with pytest.raises(WrongType, match=f"^the evaluator's answer to '{kind}': {told}"):
        checked_answer(kind, given)
