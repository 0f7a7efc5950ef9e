"""Both executors under the contract; Ray also under fire."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hqsearch.definition import load_study
from hqsearch.errors import DeviceError
from hqsearch.evaluator import Evaluator, Resources, Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.executors.base import Executor
from hqsearch.executors.in_process import InProcessExecutor
from hqsearch.executors.task import (
    Confirm,
    Evaluate,
    Prepare,
    Task,
    TaskOutcome,
    perform,
    read_result,
)
from hqsearch.testing import ExecutorContract

#: Seconds after which a test gives up; on a loaded machine all takes long.
PATIENCE = 300.0

PLUGIN = """
import os, time
from pathlib import Path
from hqsearch.evaluators.toy import Toy

class Misbehaving(Toy):
    costly = True

    def evaluate(self, candidate, seed, *rest, **more):
        log = self.setup.folder / "attempts"
        log.mkdir(parents=True, exist_ok=True)
        (log / f"{os.getpid()}-{time.monotonic_ns()}").touch()
        if candidate["stem"] == "2l":
            os._exit(1)
        if candidate["stem"] == "4l":
            time.sleep(3600)
        return super().evaluate(candidate, seed, *rest, **more)
"""


class TestInProcess(ExecutorContract):
    def make(self, folder: Path) -> tuple[Executor, Evaluator]:
        evaluator = make_evaluator(_setup(folder))
        return InProcessExecutor(evaluator), evaluator


class TestRay(ExecutorContract):
    def make(self, folder: Path) -> tuple[Executor, Evaluator]:
        return _ray(_setup(folder)), make_evaluator(_setup(folder))


def _setup(folder: Path, evaluator: str = "toy") -> Setup:
    path = folder / "study.toml"
    path.write_text(
        f'space = "toy"\nevaluator = "{evaluator}"\n'
        '[[objective]]\nname = "accuracy"\n[[objective]]\nname = "energy"\n'
    )
    return Setup(load_study(path), folder)


def _ray(setup: Setup, **changes: Any) -> Executor:
    from hqsearch.executors.ray import RayExecutor

    options: dict[str, Any] = {"workers": 2, "needs": [Resources()], "retries": 1}
    return RayExecutor(setup, **{**options, "time_limit": None, **changes})


@pytest.fixture
def misbehaving(tmp_path: Path) -> Iterator[Callable[..., tuple[Executor, Evaluator]]]:
    (tmp_path / "plugin.py").write_text(PLUGIN)
    setup = _setup(tmp_path, "plugin.py:Misbehaving")
    made: list[Executor] = []

    def make(**changes: Any) -> tuple[Executor, Evaluator]:
        made.append(_ray(setup, **changes))
        return made[-1], make_evaluator(setup)

    yield make
    for executor in made:
        executor.close()


def _collect(executor: Executor, count: int) -> dict[int, TaskOutcome]:
    found: dict[int, TaskOutcome] = {}
    deadline = time.monotonic() + PATIENCE
    while len(found) < count and time.monotonic() < deadline:
        finished = executor.next_finished(1.0)
        if finished is not None:
            found[finished[0].number] = finished[1]
    assert len(found) == count
    return found


def test_death_and_lateness_are_retried_then_failed_alone(
    tmp_path: Path, misbehaving: Callable[..., tuple[Executor, Evaluator]]
) -> None:
    executor, evaluator = misbehaving(time_limit=3.0)
    keys = [evaluator.space.baseline(c).key for c in ("2l", "4l", "4u")]
    for number, key in enumerate(keys):
        executor.submit(Task(number, Evaluate(key), 1))
    found = _collect(executor, 3)
    assert {n: o.failure for n, o in found.items()} == {0: "died", 1: "time-limit", 2: ""}
    assert [found[n].attempts for n in range(3)] == [2, 2, 1]
    assert found[1].reason == "took longer than 3 s"
    assert len(list((tmp_path / "attempts").iterdir())) == 5


SLOW = """
import os, time
from hqsearch.evaluators.toy import Toy

class Slow(Toy):
    costly = True

    def __init__(self, setup):
        super().__init__(setup)
        if (setup.folder / "slow").exists():
            time.sleep(SECONDS)

    def evaluate(self, candidate, seed, *rest, **more):
        if candidate["stem"] == "2l":
            os._exit(1)
        if candidate["stem"] == "2u":
            raise ValueError("a made-up fault")
        return super().evaluate(candidate, seed, *rest, **more)
"""


def _slow(folder: Path, seconds: float) -> Setup:
    """Whose workers take so long to make the evaluator."""
    (folder / "plugin.py").write_text(SLOW.replace("SECONDS", str(seconds)))
    return _setup(folder, "plugin.py:Slow")


def test_a_limit_does_not_count_how_long_a_worker_takes_to_start(tmp_path: Path) -> None:
    setup = _slow(tmp_path, 4.0)
    space = make_evaluator(_setup(tmp_path)).space
    (tmp_path / "slow").touch()
    with _ray(setup, time_limit=2.0, retries=1) as executor:
        # Death, exception and a good one, each after a start that is longer than the limit.
        for number, choice in enumerate(("2l", "2u", "4u")):
            executor.submit(Task(number, Evaluate(space.baseline(choice).key), 1))
        found = _collect(executor, 3)
    assert {n: (o.failure, o.attempts) for n, o in found.items()} == {
        0: ("died", 2),
        1: ("exception", 1),
        2: ("", 1),
    }
    assert found[1].reason == "ValueError: a made-up fault"


def test_a_limit_does_not_count_the_wait_for_a_worker(tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text(
        "import time\nfrom hqsearch.evaluators.toy import Toy\n"
        "class Steady(Toy):\n"
        "    def evaluate(self, candidate, seed, *rest, **more):\n"
        "        time.sleep(1.0)\n"
        "        return super().evaluate(candidate, seed)\n"
    )
    setup = _setup(tmp_path, "plugin.py:Steady")
    everything = Resources(cpus=float(os.cpu_count() or 1))
    with _ray(setup, workers=1, needs=[everything], time_limit=3.0, retries=0) as executor:
        baselines = list(make_evaluator(setup).space.baselines().values())[:5]
        for number, baseline in enumerate(baselines):
            executor.submit(Task(number, Evaluate(baseline.key), 1, everything))
        found = _collect(executor, len(baselines))
    assert {o.failure for o in found.values()} == {""}


def test_starting_a_worker_has_a_limit_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hqsearch.executors import ray as ray_module

    monkeypatch.setattr(ray_module, "STARTUP", 1.0)
    setup = _slow(tmp_path, 3600.0)
    key = make_evaluator(_setup(tmp_path)).space.baseline("4u").key
    (tmp_path / "slow").touch()
    with _ray(setup, time_limit=900.0, retries=0) as executor:
        executor.submit(Task(0, Evaluate(key), 1))
        found = _collect(executor, 1)
    assert found[0].failure == "time-limit"
    assert found[0].reason == "its worker took longer than 1 s to make the evaluator"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_worker_is_retried_with_the_same_seed(
    tmp_path: Path, misbehaving: Callable[..., tuple[Executor, Evaluator]], number: signal.Signals
) -> None:
    """By SIGTERM, too, which is what Ray sends to the workers of a driver or a node that goes."""
    executor, evaluator = misbehaving(retries=3)
    key = evaluator.space.baseline("4l").key
    executor.submit(Task(0, Evaluate(key), 1))
    killed: set[int] = set()
    deadline = time.monotonic() + PATIENCE
    while len(killed) < 2 and time.monotonic() < deadline:
        assert executor.next_finished(0.2) is None
        for attempt in (tmp_path / "attempts").glob("*"):
            pid = int(attempt.name.split("-")[0])
            # Again and again: an exception that a handler raises may fall where nobody hears it.
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            killed.add(pid)
    assert len(killed) == 2


def test_a_request_no_node_can_satisfy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"a task needs 1 CPUs, 1 GPUs"):
        _ray(_setup(tmp_path), needs=[Resources(gpus=1.0)])


def test_an_address_without_a_cluster_is_told(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"the Ray cluster at 127\.0\.0\.1:1 cannot be used"):
        _ray(_setup(tmp_path), address="127.0.0.1:1")


def test_a_result_of_another_candidate_is_not_taken(tmp_path: Path) -> None:
    executor = InProcessExecutor(make_evaluator(_setup(tmp_path)))
    key = make_evaluator(_setup(tmp_path)).space.baseline("4u").key
    path = tmp_path / "0.json"
    task = Task(0, Evaluate(key), 1, result_file=path)
    executor.submit(task)
    finished = executor.next_finished(0.0)
    assert finished is not None
    assert read_result(path, task) == finished[1]
    for other in (
        replace(task, work=Evaluate(key.replace("4u", "2u"))),
        replace(task, work=Evaluate(key, 3)),
        replace(task, work=Confirm(key)),
        replace(task, seed=2),
        replace(task, study="another"),
    ):
        assert read_result(path, other) is None
    path.write_text(path.read_text()[:-9])
    assert read_result(path, task) is None


def test_a_time_limit_is_for_evaluations_not_for_preparations(tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text(
        "import time\nfrom hqsearch.evaluators.toy import Toy\n"
        "class Slow(Toy):\n"
        "    def prepare_task(self, payload):\n"
        "        time.sleep(4)\n"
        "        return {'made': payload['what']}\n"
    )
    with _ray(_setup(tmp_path, "plugin.py:Slow"), time_limit=1.0) as executor:
        done = executor.run(Task(-1, Prepare({"what": "parent"})))
    assert done.answer["made"] == "parent"


@pytest.mark.parametrize("what", ["the loss is nan", "tokenizer.norm1.weight is not finite"])
def test_what_is_no_number_fails_its_trial_as_nan(tmp_path: Path, what: str) -> None:
    (tmp_path / "plugin.py").write_text(
        "from hqsearch.evaluators.toy import Toy\n"
        "class Diverging(Toy):\n"
        "    def evaluate(self, candidate, seed, *rest, **more):\n"
        f"        raise FloatingPointError({what!r})\n"
    )
    evaluator = make_evaluator(_setup(tmp_path, "plugin.py:Diverging"))
    key = evaluator.space.baseline("4u").key
    outcome = perform(evaluator, Task(0, Evaluate(key)))
    assert (outcome.failure, outcome.reason, outcome.values) == ("nan", what, {})


def test_values_of_numpy_are_taken_and_what_is_no_json_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text(
        "import numpy as np\nfrom hqsearch.evaluators.toy import Toy\n"
        "class Numpy(Toy):\n"
        "    def evaluate(self, candidate, seed, *rest, **more):\n"
        "        done = super().evaluate(candidate, seed)\n"
        "        done.values = {k: np.float32(v) for k, v in done.values.items()}\n"
        "        if candidate['stem'] == '2l':\n"
        "            done.details |= {'array': np.ones(3), 'open': {'to': [1, {2}]}}\n"
        "        if candidate['stem'] == '4l':\n"
        "            done.details['accuracy_se'] = '0.1'\n"
        "        if candidate['stem'] == '2u':\n"
        "            done.details['layers'][1]['energy'] = np.float32('nan')\n"
        "        done.details['loss'] = np.arange(3, dtype=np.float32)\n"
        "        done.details['accuracy_se'] = done.details['accuracy_se'] or np.float64(0.5)\n"
        "        return done\n"
    )
    evaluator = make_evaluator(_setup(tmp_path, "plugin.py:Numpy"))
    outcomes = {}
    for choice in ("4u", "2l", "4l", "2u"):
        key = evaluator.space.baseline(choice).key
        outcomes[choice] = perform(evaluator, Task(0, Evaluate(key)))
    assert outcomes["4u"].failure == ""
    assert all(type(v) is float for v in outcomes["4u"].values.values())
    assert outcomes["4u"].details.accuracy_se == 0.5
    assert outcomes["4u"].details.extra["loss"] == [0.0, 1.0, 2.0]
    reasons = {choice: o.reason for choice, o in outcomes.items() if o.failure == "exception"}
    start = "WrongType: the evaluator's details: "
    assert reasons == {
        "2l": f"{start}open.to[1]: a set cannot be stored as JSON",
        "4l": f"{start}accuracy_se: expected a number, not '0.1'",
        "2u": f"{start}layers[1].energy: nan is not a finite number",
    }
