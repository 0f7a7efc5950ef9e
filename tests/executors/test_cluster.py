"""A cluster of two nodes that share no file system with each other or with the driver."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import ray
from click.testing import CliRunner
from ray.cluster_utils import Cluster
from ray.exceptions import NodeDiedError, ObjectLostError, RaySystemError, RayTaskError

from hqsearch.cli import cli
from hqsearch.definition import load_study
from hqsearch.errors import DeviceError
from hqsearch.evaluator import Evaluator, OtherTask, Resources, Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.executors.base import Executor
from hqsearch.executors.cache_folder import CACHE_NAME
from hqsearch.executors.cluster import room
from hqsearch.executors.ray import RayExecutor, _check_imports
from hqsearch.executors.ray_worker import Reply, check_version
from hqsearch.executors.shipping import CACHE_VARIABLE, SHIP_VARIABLE, Shipment
from hqsearch.executors.task import Evaluate, Prepare, StrategyWork, Task, TaskOutcome
from hqsearch.problem.candidate import Candidate
from hqsearch.testing import ExecutorContract

#: Seconds after which a test gives up; on a loaded machine all takes long.
PATIENCE = 300.0

# Says where it ran, needs what preparation left, and leaves a line in the node's own log.
PLUGIN = """
import os, time
from pathlib import Path
from hqsearch.evaluators.toy import Toy

class Remote(Toy):
    costly = True
    strategy_tasks = frozenset({"train"})

    def prepare_task(self, payload):
        folder = self.setup.folder / "parents"
        folder.mkdir(exist_ok=True)
        (folder / "parent.json").write_text("0.25")
        return {"node": os.environ["NODE"]}

    def strategy_task(self, task, seed, folder):
        (folder / "weights").write_bytes(bytes(1000))
        return {"node": os.environ["NODE"]}

    def evaluate(self, candidate, seed, budget=None, resume_from=None, checkpoint=None):
        node = os.environ["NODE"]
        with (Path(os.environ["LOG"]) / node).open("a") as log:
            log.write(candidate.key + "\\n")
        time.sleep(float(os.environ.get("NODE_SECONDS", "0.3")))
        if (Path(os.environ["LOG"]) / node).read_text().count("\\n") > int(
            os.environ.get("NODE_EVALUATIONS", "999")
        ):
            time.sleep(3600)
        done = super().evaluate(candidate, seed)
        done.values["accuracy"] -= float((self.setup.folder / "parents/parent.json").read_text())
        done.details |= {"node": node, "folder": str(self.setup.folder)}
        if checkpoint is not None:
            checkpoint.mkdir(parents=True, exist_ok=True)
            done.details["resumed"] = resume_from is not None
        done.details["gpus"] = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        return done
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Node ``one`` (1 CPU; the driver's) and node ``two`` (1 CPU, 1 GPU)."""
    root = tmp_path_factory.mktemp("cluster")
    made = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 1,
            "include_dashboard": False,
            "env_vars": node("one", root),
            # A node that is gone refuses connections: Ray need not ask for long.
            "_system_config": {"health_check_period_ms": 300, "health_check_initial_delay_ms": 0},
        },
    )
    made.add_node(num_cpus=1, num_gpus=1, env_vars=node("two", root))
    made.root = root
    yield made
    made.shutdown()


def node(name: str, root: Path, **more: str) -> dict[str, str]:
    (root / "log").mkdir(exist_ok=True)
    return {
        "NODE": name,
        "LOG": str(root / "log"),
        CACHE_VARIABLE: str(root / f"cache-{name}"),
        SHIP_VARIABLE: "always",
        **more,
    }


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    (tmp_path / "plugin.py").write_text(PLUGIN)
    path = tmp_path / "study.toml"
    path.write_text(
        'space = "toy"\nevaluator = "plugin.py:Remote"\n[strategy.nsga2]\npopulation = 6\n'
        '[[objective]]\nname = "accuracy"\n[[objective]]\nname = "energy"\n'
    )
    (tmp_path / "state").mkdir()
    return Setup(load_study(path), tmp_path / "state")


@pytest.fixture
def executor(cluster: Cluster, setup: Setup) -> Iterator[Callable[..., RayExecutor]]:
    made: list[RayExecutor] = []

    def make(**changes: Any) -> RayExecutor:
        options = {"workers": None, "needs": [Resources()], "retries": 1, "time_limit": None}
        made.append(RayExecutor(setup, **{**options, **changes}, address=cluster.address))
        return made[-1]

    yield make
    for one in made:
        one.close()


def collect(executor: RayExecutor, count: int) -> dict[int, TaskOutcome]:
    found: dict[int, TaskOutcome] = {}
    deadline = time.monotonic() + PATIENCE
    while len(found) < count and time.monotonic() < deadline:
        finished = executor.next_finished(1.0)
        if finished is not None:
            found[finished[0].number] = finished[1]
    assert len(found) == count
    return found


def parent(folder: Path) -> None:
    """What the plugin's evaluations start from."""
    (folder / "parents").mkdir(parents=True)
    (folder / "parents" / "parent.json").write_text("0.25")


def some(setup: Setup, count: int) -> list[Candidate]:
    evaluator = make_evaluator(setup)
    baselines = list(evaluator.space.baselines().values())
    return [baselines[i % len(baselines)] for i in range(count)]


def test_nodes_that_share_nothing_get_everything_once(
    cluster: Cluster,
    setup: Setup,
    executor: Callable[..., RayExecutor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: Counter[tuple[str, str]] = Counter()
    arrived = RayExecutor._arrived

    def count(self: RayExecutor, reference: Any) -> None:
        delivery = self._deliveries[reference]
        kept.update((delivery.node, digest) for digest in delivery.chunks)
        arrived(self, reference)

    monkeypatch.setattr(RayExecutor, "_arrived", count)
    ray_executor = executor()
    assert ray_executor.capacity == 2
    prepared = ray_executor.run(Task(-1, Prepare({"parent": ""})))
    assert prepared.answer["node"] == "one"  # the driver's
    assert (setup.folder / "parents" / "parent.json").read_text() == "0.25"

    candidates = some(setup, 200)
    results = setup.folder / "results"
    found: dict[int, TaskOutcome] = {}
    submitted = 0
    seen: Counter[str] = Counter()
    deadline = time.monotonic() + PATIENCE
    while min(seen["one"], seen["two"]) < 3 and time.monotonic() < deadline:
        while submitted - len(found) < 2:
            path, key = results / f"{submitted}.json", candidates[submitted].key
            task = Task(submitted, Evaluate(key), 1, result_file=path)
            ray_executor.submit(task)
            submitted += 1
        finished = ray_executor.next_finished(1.0)
        if finished is not None:
            found[finished[0].number] = finished[1]
            seen[finished[1].details.extra["node"]] += 1
    evaluator = make_evaluator(setup)
    monkeypatch.setenv("NODE", "driver")
    monkeypatch.setenv("LOG", str(cluster.root))
    monkeypatch.setenv("NODE_SECONDS", "0")
    for number in found:
        assert found[number].values == evaluator.evaluate(candidates[number], 1).values
        assert found[number].attempts == 1
        assert (results / f"{number}.json").is_file()  # written by the driver
        there = Path(found[number].details.extra["folder"])
        assert there.is_relative_to(cluster.root / f"cache-{found[number].details.extra['node']}")
    assert min(seen["one"], seen["two"]) >= 3
    # Two files, the plugin and the parent, on two nodes.
    assert list(kept.values()) == [1] * 4

    trained = StrategyWork(OtherTask("train"), "tasks/0-0")
    done = ray_executor.run(Task(-2, trained))
    assert done.answer["node"] == "one"
    assert (setup.folder / "tasks" / "0-0" / "weights").stat().st_size == 1000
    # What finished while the strategy's task was waited for is not lost.
    assert set(collect(ray_executor, submitted - len(found))) == set(range(submitted)) - set(found)
    ray_executor.close()
    for name in ("one", "two"):
        assert list((cluster.root / f"cache-{name}" / CACHE_NAME / "studies").iterdir()) == []


def test_what_a_node_has_lost_is_sent_again(
    cluster: Cluster, setup: Setup, executor: Callable[..., RayExecutor]
) -> None:
    parent(setup.folder)
    ray_executor = executor()
    for batch in (0, 2):
        for number, candidate in enumerate(some(setup, 2), batch):
            ray_executor.submit(Task(number, Evaluate(candidate.key), 1))
        assert [o.failure for o in collect(ray_executor, 2).values()] == ["", ""]
        for name in ("one", "two"):
            for content in (cluster.root / f"cache-{name}" / CACHE_NAME / "contents").glob("*"):
                content.unlink()


def test_a_rung_goes_on_where_its_checkpoint_is(
    cluster: Cluster, setup: Setup, executor: Callable[..., RayExecutor]
) -> None:
    parent(setup.folder)
    ray_executor = executor()
    candidates = some(setup, 5)

    def rung(number: int) -> None:
        work = Evaluate(candidates[number].key, 1, f"rungs/{number}")
        ray_executor.submit(Task(number, work, 1))

    for number in range(5):
        rung(number)
    first = collect(ray_executor, 5)
    for number in range(5):
        time.sleep(0.5)  # Ray takes a moment to see that a node is free, else goes elsewhere
        rung(number)
        again = collect(ray_executor, 1)[number]
        assert again.details.extra["node"] == first[number].details.extra["node"]
        resumed = [d.details.extra["resumed"] for d in (first[number], again)]
        assert resumed == [False, True]
    assert not (setup.folder / "rungs").exists()
    del cluster


def test_a_share_of_a_gpu_goes_where_the_gpu_is_and_files_come_back(
    setup: Setup, executor: Callable[..., RayExecutor]
) -> None:
    study = load_study(setup.definition.folder / "study.toml", {"evaluation.gpus": 0.25})
    share = make_evaluator(replace(setup, definition=study)).resources()
    assert share == Resources(cpus=1.0, gpus=0.25)
    assert executor(needs=[Resources(cpus=0.25, gpus=0.25)]).capacity == 4
    ray.shutdown()
    ray_executor = executor(needs=[share])
    assert ray_executor.capacity == 1
    # The driver's node has no GPU, so this runs elsewhere, and what it makes comes back.
    done = ray_executor.run(Task(-1, Prepare({"parent": ""}), resources=share))
    assert done.answer["node"] == "two"
    assert (setup.folder / "parents" / "parent.json").read_text() == "0.25"
    for number, candidate in enumerate(some(setup, 2)):
        task = Task(number, Evaluate(candidate.key), 1, resources=share)
        ray_executor.submit(task)
    for outcome in collect(ray_executor, 2).values():
        assert (outcome.details.extra["node"], outcome.details.extra["gpus"]) == ("two", "0")
    with pytest.raises(DeviceError, match="and no node has that"):
        ray_executor.submit(
            Task(-2, StrategyWork(OtherTask("train"), "t"), resources=Resources(gpus=2.0))
        )


class TestJoined(ExecutorContract):
    """The contract of every executor, on nodes that do not see the driver's folder."""

    @pytest.fixture(autouse=True)
    def _address(self, cluster: Cluster) -> None:
        self.address = cluster.address

    def make(self, folder: Path) -> tuple[Executor, Evaluator]:
        path = folder / "study.toml"
        path.write_text(
            'space = "toy"\nevaluator = "toy"\n'
            '[[objective]]\nname = "accuracy"\n[[objective]]\nname = "energy"\n'
        )
        setup = Setup(load_study(path), folder)
        joined = RayExecutor(setup, 2, [Resources()], 1, None, self.address)
        return joined, make_evaluator(setup)


@pytest.mark.parametrize(
    "need, told",
    [
        (Resources(gpus=2.0), r"needs 1 CPUs, 2 GPUs, and no node has that \(they have 1 CPUs, 0"),
        (Resources(gpus=1.5), "above 1, give a whole number"),
        (Resources(cpus=2.0), "needs 2 CPUs, 0 GPUs"),
        (Resources(memory_gib=1e5), r"1e\+05 GiB memory"),
    ],
)
def test_what_no_node_has_is_refused(
    executor: Callable[..., RayExecutor], need: Resources, told: str
) -> None:
    # Together the nodes have 2 CPUs, but no node has.
    with pytest.raises(DeviceError, match=told):
        executor(needs=[Resources(), need])
    assert not ray.is_initialized()


def test_a_gpu_is_looked_for_on_the_cluster_not_on_the_drivers_machine(
    cluster: Cluster, setup: Setup, tmp_path: Path
) -> None:
    words = [
        "run", "--study", str(setup.definition.folder / "study.toml"), "--strategy", "random",
        "--studies-dir", str(tmp_path / "gpu"), "--ray-address", cluster.address,
        "--device", "cuda", "--set", "evaluation.gpus=2",
    ]  # fmt: skip
    with pytest.raises(DeviceError, match="needs 1 CPUs, 2 GPUs, and no node has that"):
        hqsearch(words)


def test_a_lost_node_costs_only_what_was_in_flight_there(
    cluster: Cluster, setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("NODE", "driver"), ("LOG", str(tmp_path)), ("NODE_SECONDS", "0")):
        monkeypatch.setenv(name, value)
    words = [
        "run", "--study", str(setup.definition.folder / "study.toml"), "--strategy", "nsga2",
        "--evaluations", "16", "--device", "cpu", "--studies-dir",
    ]  # fmt: skip
    alone, spread = tmp_path / "alone", tmp_path / "spread"
    for folder in (alone, spread):
        parent(folder / "study")
    hqsearch([*words, str(alone), "--executor", "in-process"])
    log = cluster.root / "log" / "three"
    for old in log.parent.iterdir():
        old.unlink()

    # Unlike the others, this one sees the driver's folder. It hangs from its third on.
    seen = {"NODE_SECONDS": "0", "NODE_EVALUATIONS": "2", SHIP_VARIABLE: ""}
    third = cluster.add_node(num_cpus=2, env_vars=node("three", cluster.root, **seen))
    driver = subprocess.Popen(
        [sys.executable, "-m", "hqsearch", *words, str(spread), "--ray-address", cluster.address],
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and not (log.exists() and log.read_text().count("\n") >= 3):
        time.sleep(0.1)
    # Two evaluations are in flight there, or one that has just begun.
    cluster.remove_node(third, allow_graceful=False)
    assert driver.wait(PATIENCE) == 0

    found = trials(spread)
    keys = ("number", "state", "choices", "values", "seed", "copy_of")
    expected = [[row[k] for k in keys] for row in trials(alone)]
    assert [[row[k] for k in keys] for row in found] == expected
    assert all(row["state"] == "COMPLETE" for row in found)
    for row in found:
        at_home = row["details"]["folder"] == str(spread / "study")
        assert at_home == (row["details"]["node"] == "three")
    done = [key for part in log.parent.iterdir() for key in part.read_text().splitlines()]
    assert 1 <= len(done) - len(set(done)) <= 2
    assert len(set(done)) == sum(row["copy_of"] is None for row in found)


def hqsearch(words: list[str]) -> str:
    """A command's standard output."""
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def trials(folder: Path) -> list[dict[str, Any]]:
    words = ["trials", "--study", "study", "--studies-dir", str(folder), "--json"]
    return list(json.loads(hqsearch(words)))


@pytest.mark.parametrize("retries, failure, attempts", [(0, "died", 1), (1, "", 2)])
def test_a_node_lost_while_it_is_sent_data_is_retried(
    setup: Setup,
    executor: Callable[..., RayExecutor],
    monkeypatch: pytest.MonkeyPatch,
    retries: int,
    failure: str,
    attempts: int,
) -> None:
    parent(setup.folder)
    (setup.folder / "new").write_text(f"no node has {setup.folder} yet")
    ray_executor = executor(retries=retries)
    get, arrived, lost = ray.get, ray_executor._arrived, []

    def lose(reference: Any) -> Any:
        lost.append(get(reference))
        raise NodeDiedError("the node is gone")

    def arrive(reference: Any) -> None:
        with monkeypatch.context() as patch:
            if not lost:
                patch.setattr(ray, "get", lose)
            arrived(reference)

    monkeypatch.setattr(ray_executor, "_arrived", arrive)
    ray_executor.submit(Task(0, Evaluate(some(setup, 1)[0].key), 1))
    outcome = collect(ray_executor, 1)[0]
    assert (outcome.failure, outcome.attempts) == (failure, attempts)
    assert lost


@pytest.mark.parametrize("kind", ["prepare", "evaluate"])
def test_what_a_task_was_given_may_get_lost_as_well(
    setup: Setup,
    executor: Callable[..., RayExecutor],
    monkeypatch: pytest.MonkeyPatch,
    kind: Literal["prepare", "evaluate"],
) -> None:
    parent(setup.folder)
    ray_executor = executor(retries=1)
    get, lost = ray.get, []

    def lose_the_first(reference: Any) -> Any:
        found = get(reference)
        if isinstance(found, Reply) and found.outcome and not lost:
            lost.append(found)
            cause = ObjectLostError("00" * 28, None, "")
            raise RayTaskError("perform_task", "an argument was lost", cause)
        return found

    monkeypatch.setattr(ray, "get", lose_the_first)
    key = some(setup, 1)[0].key
    work = Evaluate(key) if kind == "evaluate" else Prepare({"parent": ""})
    ray_executor.submit(Task(0, work, 1))
    outcome = collect(ray_executor, 1)[0]
    assert (outcome.failure, outcome.attempts, len(lost)) == ("", 2, 1)


def test_a_node_without_hqsearch_is_told() -> None:
    text = "ray.exceptions.RaySystemError: System error: No module named 'hqsearch.executors'"
    with pytest.raises(DeviceError, match="install the same version on every node"):
        _check_imports(RayTaskError("perform_task", text, RaySystemError(text)))
    _check_imports(RayTaskError("perform_task", "No module named 'mine'", ImportError("mine")))


def test_room_on_a_node() -> None:
    node = {"CPU": 8.0, "GPU": 2.0, "memory": 16 * 1024.0**3}
    assert room(node, Resources()) == 8
    assert room(node, Resources(cpus=2.0, memory_gib=5.0)) == 3
    assert room(node, Resources(gpus=0.25)) == 8
    assert room(node, Resources(cpus=0.5, gpus=0.6)) == 2
    assert room(node, Resources(gpus=2.0)) == 1
    assert room(node, Resources(gpus=4.0)) == 0
    assert room({}, Resources()) == 0


def test_another_version_on_a_node_is_told() -> None:
    with pytest.raises(DeviceError, match=r"the driver has 0\.0\.0: install the same version"):
        check_version(Shipment("{}", version="0.0.0"))


def test_ray_client_is_refused(setup: Setup) -> None:
    with pytest.raises(DeviceError, match="Ray Client is not supported"):
        RayExecutor(setup, None, [Resources()], 0, None, "ray://127.0.0.1:10001")
