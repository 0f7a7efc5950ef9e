"""What an evaluator may return, raise and say; how a worker takes it, and what it leaves."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hqsearch.errors import RunFailed
from hqsearch.evaluator import Evaluation, Evaluator, ScoresTask
from hqsearch.executors.task import Evaluate, Prepare, StrategyWork, Task, perform, read_result

#: What ends a process, or looks as if it did.
ENDINGS: dict[str, Callable[[], Any]] = {
    "SystemExit: 0": lambda: sys.exit(0),
    "SystemExit: no checkpoint": lambda: sys.exit("no checkpoint"),
    "KeyboardInterrupt": lambda: _raise(KeyboardInterrupt()),
    "GeneratorExit": lambda: _raise(GeneratorExit()),
    "CancelledError: late": lambda: _raise(asyncio.CancelledError("late")),
    "Mine: all of it": lambda: _raise(Mine("all of it")),
    "Untold: its message cannot be told, ZeroDivisionError": lambda: _raise(Untold()),
}


class Mine(BaseException):
    pass


class Untold(Exception):
    def __str__(self) -> str:
        return str(1 / 0)


class Odd:
    def __repr__(self) -> str:
        raise ValueError("no picture of me")


def _raise(error: BaseException) -> None:
    raise error


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def circular() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["again"] = value
    return value


GOOD = {"accuracy": 0.5, "energy": 2.0, "storage": 3.0}
#: Details or values → the reason that names the key.
REFUSED_DETAILS: list[tuple[Any, str]] = [
    ([1], "expected a table, not [1]"),
    ("x", "expected a table, not 'x'"),
    ({"average_bits": "x"}, "average_bits: expected a number, not 'x'"),
    ({"accuracy_se": [0.1]}, "accuracy_se: expected a number, not [0.1]"),
    ({"validation_samples": 10.5}, "validation_samples: expected an integer, not 10.5"),
    ({"correct": b"/+8="}, "correct: a bytes cannot be stored as JSON"),
    ({"layers": {"a": 1}}, "layers: expected a list, not {'a': 1}"),
    ({"layers": [{"layer": "a", "rate": "x"}]}, "layers: 0: rate: expected a number, not 'x'"),
    ({"layers": [{"layer": "a", "trial": 3}]}, "layers[0].trial: a key that is in use already"),
    ({"layers": [{"layer": "a", "Rate": 3, "rate": 1.0}]},
     "layers[0].Rate: a key that is in use already"),
    ({"loss": float("nan")}, "loss: nan is not a finite number"),
    ({"loss": {"by": [1.0, float("inf")]}}, "loss.by[1]: inf is not a finite number"),
    ({"seen": {3}}, "seen: a set cannot be stored as JSON"),
    ({"self": Odd()}, "self: a Odd cannot be stored as JSON"),
    ({"weights": 10**5000}, "weights: an integer of 16610 bits; 64 can be stored"),
    ({"weights": 2**63}, "weights: an integer of 64 bits; 64 can be stored"),
    ({"deep": nested(3000)}, "deep" + "[0]" * 18 + "[0…: nested deeper than 100 levels"),
    (circular(), "again" + ".again" * 9 + ".…: nested deeper than 100 levels"),
]  # fmt: skip
REFUSED_VALUES: list[tuple[Any, str]] = [
    ({**GOOD, "accuracy": "0.5"}, "the evaluator's values: accuracy: expected a number, not '0.5'"),
    ({**GOOD, "accuracy": None}, "the evaluator's values: accuracy: expected a number, not None"),
    ({**GOOD, "accuracy": True}, "the evaluator's values: accuracy: expected a number, not True"),
    ({**GOOD, "accuracy": 1j}, "the evaluator's values: accuracy: expected a number, not 1j"),
    ({**GOOD, "accuracy": [0.5, 0.6]},
     "the evaluator's values: accuracy: expected a number, not [0.5, 0.6]"),
    ({**GOOD, "accuracy": np.ones(2)},
     "the evaluator's values: accuracy: expected a number, not array([1., 1.])"),
    ({**GOOD, "accuracy": 10**400},
     "the evaluator's values: accuracy: the number is too large"),
    ({**GOOD, "accuracy": Odd()}, "the evaluator's values: accuracy: expected a number, not a Odd"),
    ([0.5, 2.0], "the evaluator's values: expected a table, not a list"),
]  # fmt: skip


def returning(toy: Evaluator, returned: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(toy, "evaluate", lambda *_, **__: returned)
    key = next(iter(toy.space.baselines().values())).key
    return perform(toy, Task(0, Evaluate(key)))


@pytest.mark.parametrize("told", ENDINGS)
def test_what_would_end_the_process_fails_its_evaluation(
    toy: Evaluator, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.setattr(toy, "evaluate", lambda *_, **__: ENDINGS[told]())
    key = next(iter(toy.space.baselines().values())).key
    outcome = perform(toy, Task(0, Evaluate(key)))
    assert (outcome.failure, outcome.reason) == ("exception", told)


def test_a_preparation_that_ends_the_process_is_a_failed_run(
    toy: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toy, "prepare_task", lambda _: sys.exit(0))
    with pytest.raises(RunFailed, match="preparation failed: SystemExit: 0"):
        perform(toy, Task(-1, Prepare({})))


@pytest.mark.parametrize("caught", ["not at all", "and forgotten", "as another"])
def test_a_persons_interrupt_gets_through(
    toy: Evaluator, monkeypatch: pytest.MonkeyPatch, caught: str
) -> None:
    def evaluate(*_: Any, **__: Any) -> Evaluation:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            if caught == "not at all":
                raise
            if caught == "as another":
                raise ValueError("a made-up fault") from None
        return Evaluation(GOOD)

    # A shell's background job ignores SIGINT, and what it starts inherits that.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(toy, "evaluate", evaluate)
    key = next(iter(toy.space.baselines().values())).key
    with pytest.raises(KeyboardInterrupt):
        perform(toy, Task(0, Evaluate(key)))
    after = signal.signal(signal.SIGINT, inherited)
    assert after is before


def test_evaluations_may_run_in_any_thread(toy: Evaluator) -> None:
    key = next(iter(toy.space.baselines().values())).key
    outcomes: list[Any] = []
    thread = threading.Thread(target=lambda: outcomes.append(perform(toy, Task(0, Evaluate(key)))))
    thread.start()
    thread.join()
    assert outcomes[0].failure == ""


@pytest.mark.parametrize(("details", "told"), REFUSED_DETAILS)
def test_details_that_cannot_be_stored_fail_by_key(
    toy: Evaluator, monkeypatch: pytest.MonkeyPatch, details: Any, told: str
) -> None:
    outcome = returning(toy, Evaluation(GOOD, details), monkeypatch)
    start = "WrongType: the evaluator's details: "
    assert (outcome.failure, outcome.reason) == ("exception", start + told)


@pytest.mark.parametrize(("values", "told"), REFUSED_VALUES)
def test_values_that_are_no_numbers_fail_by_key(
    toy: Evaluator, monkeypatch: pytest.MonkeyPatch, values: Any, told: str
) -> None:
    outcome = returning(toy, Evaluation(values), monkeypatch)
    assert (outcome.failure, outcome.reason) == ("exception", f"WrongType: {told}")


@pytest.mark.parametrize("returned", [None, GOOD, 0.5])
def test_what_is_no_evaluation_fails(
    toy: Evaluator, monkeypatch: pytest.MonkeyPatch, returned: Any
) -> None:
    outcome = returning(toy, returned, monkeypatch)
    kind = type(returned).__name__
    assert outcome.reason == f"WrongType: the evaluator returned a {kind}, no Evaluation"


def test_what_stands_for_a_number_is_converted(
    toy: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        "accuracy": torch.tensor([0.5]),
        "energy": np.float32(2.0),
        "storage": np.ones((1, 1)),
    }
    details = {
        "accuracy_se": np.float32(0.25),
        "validation_samples": np.int64(10),
        "confusion": np.eye(2, dtype=np.int64),
        "pair": (1, 2),
        3: "three",
        "half": "\ud83d",
        "whole": "\U0001f600",
    }
    outcome = returning(toy, Evaluation(values, details), monkeypatch)
    assert outcome.failure == ""
    assert outcome.values == {"accuracy": 0.5, "energy": 2.0, "storage": 1.0}
    assert outcome.details.accuracy_se == 0.25
    assert outcome.details.validation_samples == 10
    assert outcome.details.extra == {
        "confusion": [[1, 0], [0, 1]],
        "pair": [1, 2],
        "3": "three",
        "half": "\\ud83d",
        "whole": "\U0001f600",
    }
    assert returning(toy, Evaluation(GOOD, None), monkeypatch).failure == ""  # type: ignore[arg-type]


def test_a_result_file_with_anything_in_it_is_no_result(toy: Evaluator, tmp_path: Path) -> None:
    key = next(iter(toy.space.baselines().values())).key
    task = Task(0, Evaluate(key), result_file=tmp_path / "0.json")
    outcome = perform(toy, task)
    assert task.result_file is not None
    assert read_result(task.result_file, task) == outcome
    whole = json.loads(task.result_file.read_text())
    assert whole.pop("sha256")  # releases before 0.3 wrote none
    task.result_file.write_text(json.dumps(whole))
    assert read_result(task.result_file, task) == outcome
    for change in (
        {"details": [1]},
        {"details": {"average_bits": "x"}},
        {"values": None},
        {"values": {"accuracy": "0.5"}},
        {"values": {"accuracy": float("nan")}},
        {"seconds": "long"},
        {"attempts": None},
        {"failure": 3},
        {"more": 1},
        {"key": [1]},
    ):
        task.result_file.write_text(json.dumps({**whole, **change}))
        assert read_result(task.result_file, task) is None, change
    for text in ("", "[1]", "[" * 100_000, "\x00", '"'):
        task.result_file.write_text(text)
        assert read_result(task.result_file, task) is None
    told = {**whole, "failure": "exception", "reason": "\ud83d\x1b[31m" + "x" * 3_000_000}
    task.result_file.write_text(json.dumps(told))
    left = read_result(task.result_file, replace(task))
    assert left is not None
    assert left.reason.startswith("\\ud83d\\x1b[31mxxx")
    assert len(left.reason) < 2000


def damaged_results(toy: Evaluator, folder: Path, seeds: range) -> None:
    """Result files of evaluations and of scores, changed at random: the result, or none."""
    key = next(iter(toy.space.baselines().values())).key
    scores = ScoresTask(structure="")
    for number, work in enumerate((Evaluate(key), StrategyWork(scores, "tasks/0"))):
        task = Task(number, work, 3, result_file=folder / f"{number}.json", study="token")
        outcome = perform(toy, task)
        assert task.result_file is not None
        content = task.result_file.read_bytes()
        for seed in seeds:
            draw = random.Random(seed)
            changed = bytearray(content)
            for _ in range(draw.choice([1, 1, 1, 2, 5])):
                at = draw.randrange(len(changed))
                length = draw.choice([1, 1, 1, 2, 30])
                new = draw.choice(
                    [draw.randbytes(length), b"7", b"", b"[[", b"null", bytes(length)]
                )
                changed[at : at + length] = new
            task.result_file.write_bytes(changed[: draw.choice([None, None, None, at])])
            left = read_result(task.result_file, task)
            assert left is None or left == outcome, seed


def test_a_damaged_result_file_is_the_result_or_none(toy: Evaluator, tmp_path: Path) -> None:
    damaged_results(toy, tmp_path, range(100))


@pytest.mark.slow
def test_a_thousand_damaged_result_files(toy: Evaluator, tmp_path: Path) -> None:
    damaged_results(toy, tmp_path, range(1000))
