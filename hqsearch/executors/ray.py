"""Tasks on Ray: worker processes of this machine, or of a cluster that is joined.

Plain tasks, not Ray Tune: 20 trivial evaluations take 1 s instead of 30 s, and resuming
must not lean on ``Tuner.restore``. Ray's own retries are off, for its default silently runs
a crashing task four times; retries are counted here.

On a cluster, no node needs to see the study's folder: one that does not is sent what it
lacks, once, before the evaluations that asked for it (:mod:`hqsearch.executors.shipping`).
Preparations and strategies' own tasks run on the driver's node if it has what they need,
else what they make is sent back.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray._private import ray_constants
from ray.exceptions import RayError, RaySystemError, RayTaskError, WorkerCrashedError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from hqsearch.errors import DeviceError, HqsearchError, RunFailed
from hqsearch.evaluator import Resources, Setup
from hqsearch.executors.base import Executor
from hqsearch.executors.cluster import GIB, capacity, check_fits, check_reachable, nodes, room
from hqsearch.executors.ray_worker import Reply, Stage, forget, keep, perform_task
from hqsearch.executors.shipping import Packer, Shipment
from hqsearch.executors.task import (
    Prepare,
    StrategyWork,
    Task,
    TaskOutcome,
    leave_result,
    setup_as_json,
)
from hqsearch.machine import cores

#: Seconds between two looks at how large the cluster is.
_LOOK_EVERY = 5.0
#: Seconds that nodes get to tidy up at the end.
_PATIENCE = 5.0
#: Seconds that a worker gets to make the evaluator (libraries, data, parent), where evaluations
#: have a limit.
STARTUP = 900.0


@dataclass
class _Running:
    """A task on its way; times are the driver's clock, in seconds.

    Attributes:
        submitted: when.
        arrived: when the driver heard that a worker has it.
        started: when the driver heard that the evaluator has begun.
        late: what it took too long for; empty where it did not.
    """

    task: Task
    attempt: int
    submitted: float
    arrived: float | None = None
    started: float | None = None
    late: str = ""


@dataclass
class _Delivery:
    """Contents on their way to a node, and the tasks that wait for them there."""

    node: str
    chunks: dict[str, list[Any]]
    waiting: list[_Running] = field(default_factory=list)


class RayExecutor(Executor):
    """Runs tasks on Ray workers, ``workers`` evaluations at a time."""

    def __init__(
        self,
        setup: Setup,
        workers: int | None,
        needs: list[Resources],
        retries: int,
        time_limit: float | None,
        address: str | None = None,
    ) -> None:
        """Start Ray here, or join the cluster at ``address``.

        Args:
            setup: what workers make their evaluator from.
            workers: evaluations in flight; None: as many as fit on the cluster, which is
                looked at again and again, so that nodes may join and leave.
            needs: resources of every kind of task, an evaluation's first; refused now if no
                node can give them.
            retries: how often a task is run again after its worker died or ran out of time.
            time_limit: seconds an evaluation may take, counted from its own start: neither
                waiting for a worker nor the worker's start counts, which has :data:`STARTUP`.
            address: an existing cluster's address.

        Raises:
            DeviceError: no such cluster, or no node with the resources.
        """
        self._retries, self._time_limit = retries, time_limit
        self._evaluation, self._workers = needs[0], workers
        self._running: dict[Any, _Running] = {}
        self._deliveries: dict[Any, _Delivery] = {}
        self._delivered: dict[tuple[str, str], float] = {}
        self._rungs: dict[int, str] = {}
        self._fitting = set(needs)
        self._early: deque[tuple[Task, TaskOutcome]] = deque()
        self._packer: Packer | None = None
        self._shipments: dict[bool, tuple[Shipment, Any]] = {}
        self._shipped: list[Shipment] = []
        _connect(address, workers or 1, needs)
        try:
            check_fits(needs)
            if address is None:
                self._bare = ray.put(Shipment(setup_as_json(setup)))
            else:
                self._packer = Packer(setup)
                self._bare = ray.put(self._packer.bare)
            self._objects = ray.put(setup.objects.for_workers())
            self._home = ray.get_runtime_context().get_node_id()
        except BaseException:
            ray.shutdown()
            raise
        self._look_at = 0.0
        self._look()

    def submit(self, task: Task) -> None:
        if task.resources not in self._fitting:
            check_fits([task.resources])
            self._fitting.add(task.resources)
        self._start(task, 1)

    def next_finished(self, timeout: float) -> tuple[Task, TaskOutcome] | None:
        return self._early.popleft() if self._early else self._next(timeout)

    def _next(self, timeout: float) -> tuple[Task, TaskOutcome] | None:
        self._look()
        pending = [*self._running, *self._deliveries]
        if not pending:
            return None
        done, _ = ray.wait(pending, num_returns=1, timeout=timeout)
        self._cancel_late()
        if not done:
            return None
        if done[0] in self._deliveries:
            self._arrived(done[0])
            return None
        running = self._running.pop(done[0])
        task, attempt = running.task, running.attempt
        try:
            told = ray.get(next(done[0]))
            if isinstance(told, Stage):
                self._running[done[0]] = running
                _reached(running, told)
                return None
            return self._answered(running, told)
        except RayTaskError as error:
            _check_imports(error)
            if isinstance(error.cause, RayError):  # what it was given was lost on the way
                return self._lost(running, error.cause)
            cause = error.cause if isinstance(error.cause, Exception) else error
            if isinstance(cause, HqsearchError | OSError) or isinstance(task.work, Prepare):
                raise cause from None
            return task, TaskOutcome(failure="exception", reason=str(cause), attempts=attempt)
        except StopIteration:  # its answer was lost with the node
            return self._lost(running, WorkerCrashedError())
        except RayError as error:
            # A dead worker, a lost node or object, out of memory, cancelled for being late.
            return self._lost(running, error)

    def run(self, task: Task) -> TaskOutcome:
        self.submit(task)
        return self._wait_for(task)

    def run_all(self, tasks: Sequence[Task]) -> list[TaskOutcome]:
        for task in tasks:
            self.submit(task)
        return [self._wait_for(task) for task in tasks]

    def _wait_for(self, task: Task) -> TaskOutcome:
        while True:
            finished = self._next(0.5)
            if finished is not None:
                self._early.append(finished)
            for early in self._early:
                if early[0] is task:
                    self._early.remove(early)
                    if early[1].failure:
                        what = f"{early[1].failure}: {early[1].reason}"
                        raise RunFailed(f"preparation failed: {what}")
                    return early[1]

    def close(self) -> None:
        try:
            if self._packer is not None and ray.is_initialized():
                self._tidy()
        finally:
            ray.shutdown()
            if self._packer is not None:
                self._packer.close()

    def _start(self, task: Task, attempt: int) -> None:
        need = task.resources
        options: dict[str, Any] = {"num_cpus": need.cpus, "num_gpus": need.gpus, "max_retries": 0}
        if need.memory_gib:
            options["memory"] = int(need.memory_gib * GIB)
        if self._packer is not None:
            options["scheduling_strategy"] = self._preferred(task)
        shipment = self._shipments.get(isinstance(task.work, StrategyWork))
        reference = perform_task.options(**options).remote(
            shipment[1] if shipment else self._bare, task, self._objects
        )
        self._running[reference] = _Running(task, attempt, time.monotonic())

    def _preferred(self, task: Task) -> Any:
        """Where a task should run: what leaves files at home, a rung where its checkpoint is."""
        if not task.measures:
            at_home = room(nodes().get(self._home, {}), task.resources) > 0
            return _pinned(self._home) if at_home else "DEFAULT"
        last = self._rungs.get(task.number) if task.checkpoint is not None else None
        if last is None:
            return "DEFAULT"
        return NodeAffinitySchedulingStrategy(last, soft=True, _spill_on_unavailable=True)

    def _lost(self, running: _Running, error: RayError) -> tuple[Task, TaskOutcome] | None:
        """Run a task again whose worker was lost, or say that this was once too often."""
        if running.attempt <= self._retries:
            self._start(running.task, running.attempt + 1)
            return None
        failure = "time-limit" if running.late else "died"
        reason = running.late or _first_line(error)
        return running.task, TaskOutcome(failure=failure, reason=reason, attempts=running.attempt)

    def _answered(self, running: _Running, reply: Reply) -> tuple[Task, TaskOutcome] | None:
        task = running.task
        if task.checkpoint is not None:
            self._rungs[task.number] = reply.node
        if reply.outcome is None:
            self._deliver(running, reply)
            return None
        assert self._packer is not None or not reply.remote
        if self._packer is not None and reply.files:
            self._packer.take(reply.files)
        outcome = replace(reply.outcome, attempts=running.attempt)
        if reply.remote:
            leave_result(task, reply.outcome)
        if not task.measures:
            self._shipments.clear()  # it made something that evaluations may need
        return task, outcome

    def _deliver(self, running: _Running, reply: Reply) -> None:
        """A task's node lacks what it needs: send that, then start the task again."""
        assert self._packer is not None
        tasks = isinstance(running.task.work, StrategyWork)
        if tasks not in self._shipments:
            shipment = self._packer.pack(tasks)
            self._shipped.append(shipment)
            self._shipments[tasks] = (shipment, ray.put(shipment))
        for delivery in self._deliveries.values():
            if delivery.node == reply.node and set(reply.lacking) <= set(delivery.chunks):
                delivery.waiting.append(running)
                return
        # What arrived after this task had looked is there now.
        lacking = tuple(
            d
            for d in reply.lacking
            if self._delivered.get((reply.node, d), -1.0) < running.submitted
        )
        if not lacking:
            self._start(running.task, running.attempt)
            return
        # Other nodes may be getting the same: read and put it once for all of them.
        known = {d: c for delivery in self._deliveries.values() for d, c in delivery.chunks.items()}
        chunks = {
            d: known.get(d) or [ray.put(chunk) for chunk in self._packer.chunks(d)] for d in lacking
        }
        # Without a share of its CPUs, so that it need not wait for a task to finish.
        reference = keep.options(
            num_cpus=0, max_retries=0, scheduling_strategy=_pinned(reply.node)
        ).remote(list(chunks.items()))
        self._deliveries[reference] = _Delivery(reply.node, chunks, [running])

    def _arrived(self, reference: Any) -> None:
        delivery = self._deliveries.pop(reference)
        try:
            ray.get(reference)
        except RayError as error:
            if isinstance(error, RayTaskError) and not isinstance(error.cause, RayError):
                raise (error.cause if isinstance(error.cause, HqsearchError) else error) from None
            # The node is gone, and the tasks with it.
            lost = [self._lost(running, error) for running in delivery.waiting]
            self._early.extend(finished for finished in lost if finished is not None)
            return
        now = time.monotonic()
        self._delivered.update({(delivery.node, d): now for d in delivery.chunks})
        for running in delivery.waiting:
            self._start(running.task, running.attempt)

    def _look(self) -> None:
        if time.monotonic() < self._look_at:
            return
        self.capacity = self._workers or capacity(self._evaluation)
        self._look_at = time.monotonic() + _LOOK_EVERY

    def _cancel_late(self) -> None:
        if self._time_limit is None:
            return
        for reference, running in self._running.items():
            if running.task.measures and not running.late:
                running.late = self._lateness(running, time.monotonic())
                if running.late:
                    ray.cancel(reference, force=True)

    def _lateness(self, running: _Running, now: float) -> str:
        """What a task takes too long for; empty where it does not."""
        assert self._time_limit is not None
        if running.started is not None:
            late = now - running.started > self._time_limit
            return f"took longer than {self._time_limit:g} s" if late else ""
        late = running.arrived is not None and now - running.arrived > STARTUP
        return f"its worker took longer than {STARTUP:g} s to make the evaluator" if late else ""

    def _tidy(self) -> None:
        """Let the nodes remove this driver's folders; what was shipped stays in their caches."""
        for reference in self._running:
            ray.cancel(reference, force=True)
        served = {node for node, _ in self._delivered} & set(nodes())
        tidied = [
            forget.options(num_cpus=0, max_retries=0, scheduling_strategy=_pinned(node)).remote(
                self._shipped
            )
            for node in served
        ]
        if tidied:
            ray.wait(tidied, num_returns=len(tidied), timeout=_PATIENCE)


def _reached(running: _Running, stage: Stage) -> None:
    if stage is Stage.ARRIVED:
        running.arrived = time.monotonic()
    else:
        running.started = time.monotonic()


def _connect(address: str | None, workers: int, needs: Iterable[Resources]) -> None:
    needs = list(needs)
    options: dict[str, Any] = {"address": address}
    if address is not None:
        check_reachable(address)
    else:
        most = max([n.cpus for n in needs] + [1.0])
        cpus = max(cores(), round(workers * needs[0].cpus), round(most))
        options = {"address": "local", "num_cpus": cpus, "include_dashboard": False}
        if not any(n.gpus for n in needs):
            options["num_gpus"] = 0
        # Frames are memory-mapped and results are small: the object store stays tiny.
        options["object_store_memory"] = 128 * 1024**2
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        with _own_handler(), _on_loopback() if address is None else nullcontext():
            ray.init(
                **options, logging_level=logging.ERROR, log_to_driver=False, configure_logging=False
            )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = f"the Ray cluster at {address}" if address else "Ray"
        raise DeviceError(f"{where} cannot be used: {str(error).splitlines()[0]}") from None


@contextmanager
def _own_handler() -> Iterator[None]:
    """Keep who is told of SIGTERM, where somebody is: ``ray.init`` takes that over."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if callable(before) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Let a Ray that is started listen where no other machine can reach it.

    Ray's processes listen on every interface unless the node's address is 127.0.0.1, and
    ``ray.init`` replaces that address by an outer one wherever clusters are possible. Its own
    switch for that is read from ``RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER`` as early as it is imported.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _pinned(node: str) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node, soft=False)


def _check_imports(error: RayTaskError) -> None:
    """A node without hqsearch would fail every evaluation that it is given."""
    cause = error.cause
    if isinstance(cause, ModuleNotFoundError):
        missing = (cause.name or "").partition(".")[0] == "hqsearch"
    else:
        # Of a task that a worker cannot even load, Ray passes on the text and nothing else.
        missing = isinstance(cause, RaySystemError) and "No module named 'hqsearch" in str(cause)
    if missing:
        raise DeviceError(
            "a node of the Ray cluster has no hqsearch (of this version): install the same "
            "version on every node"
        ) from None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
