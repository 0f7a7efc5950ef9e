"""Tasks on Ray: worker processes of this machine, or of a cluster that is joined.

Plain tasks, not Ray Tune: 20 trivial evaluations take 1 s instead of 30 s, and resuming
must not lean on ``Tuner.restore``. Ray's own retries are off, for its default silently runs
a crashing task four times; retries are counted here.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import (
    NodeDiedError,
    OutOfMemoryError,
    RayTaskError,
    TaskCancelledError,
    WorkerCrashedError,
)

from hqsearch.errors import DeviceError, HqsearchError, RunFailed
from hqsearch.evaluator import Resources, Setup
from hqsearch.executors.base import Executor
from hqsearch.executors.task import Task, TaskOutcome, evaluator_for, perform, setup_as_json

GIB = 1024**3


class RayExecutor(Executor):
    """Runs tasks on Ray workers, ``workers`` evaluations at a time."""

    def __init__(
        self,
        setup: Setup,
        workers: int,
        needs: list[Resources],
        retries: int,
        time_limit: float | None,
        address: str | None = None,
    ) -> None:
        """Start Ray here, or join the cluster at ``address``.

        Args:
            setup: what workers make their evaluator from.
            workers: evaluations in flight.
            needs: resources of every kind of task, refused now if no node can give them.
            retries: how often a task is run again after its worker died or ran out of time.
            time_limit: seconds an evaluation may take, counted from its submission.
            address: an existing cluster's address.
        """
        self.capacity = workers
        self._retries, self._time_limit = retries, time_limit
        self._running: dict[Any, tuple[Task, int, float]] = {}
        self._timed_out: set[Any] = set()
        most = max([n.cpus for n in needs] + [1.0])
        cpus = max(os.cpu_count() or 1, round(workers * needs[0].cpus), round(most))
        options: dict[str, Any] = {"address": address}
        if address is not None:
            _check_reachable(address)
        else:
            options = {"address": "local", "num_cpus": cpus, "include_dashboard": False}
            if not any(n.gpus for n in needs):
                options["num_gpus"] = 0
            # Frames are memory-mapped and results are small: the object store stays tiny.
            options["object_store_memory"] = 128 * 1024**2
        logging.getLogger("ray").setLevel(logging.ERROR)
        try:
            ray.init(
                **options, logging_level=logging.ERROR, log_to_driver=False, configure_logging=False
            )
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            where = f"the Ray cluster at {address}" if address else "Ray"
            raise DeviceError(f"{where} cannot be used: {str(error).splitlines()[0]}") from None
        try:
            for need in needs:
                _check_fits(need)
        except DeviceError:
            ray.shutdown()
            raise
        self._setup = ray.put(setup_as_json(setup))

    def submit(self, task: Task) -> None:
        self._start(task, 1)

    def _start(self, task: Task, attempt: int) -> None:
        need = task.resources
        options: dict[str, Any] = {"num_cpus": need.cpus, "num_gpus": need.gpus, "max_retries": 0}
        if need.memory_gib:
            options["memory"] = int(need.memory_gib * GIB)
        reference = _perform.options(**options).remote(self._setup, task)
        self._running[reference] = (task, attempt, time.monotonic())

    def next_finished(self, timeout: float) -> tuple[Task, TaskOutcome] | None:
        if not self._running:
            return None
        done, _ = ray.wait(list(self._running), num_returns=1, timeout=timeout)
        self._cancel_late()
        if not done:
            return None
        reference = done[0]
        task, attempt, _ = self._running.pop(reference)
        try:
            return task, replace(ray.get(reference), attempts=attempt)
        except RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            if isinstance(cause, HqsearchError | OSError) or task.kind == "prepare":
                raise cause from None
            return task, TaskOutcome(failure="exception", reason=str(cause), attempts=attempt)
        except (WorkerCrashedError, NodeDiedError, OutOfMemoryError, TaskCancelledError) as error:
            late = reference in self._timed_out
            self._timed_out.discard(reference)
            if attempt <= self._retries:
                self._start(task, attempt + 1)
                return None
            failure = "time-limit" if late else "died"
            reason = f"took longer than {self._time_limit:g} s" if late else _first_line(error)
            return task, TaskOutcome(failure=failure, reason=reason, attempts=attempt)

    def _cancel_late(self) -> None:
        if self._time_limit is None:
            return
        now = time.monotonic()
        for reference, (task, _, started) in self._running.items():
            late = task.kind == "evaluate" and now - started > self._time_limit
            if late and reference not in self._timed_out:
                self._timed_out.add(reference)
                ray.cancel(reference, force=True)

    def run(self, task: Task) -> TaskOutcome:
        self.submit(task)
        while True:
            finished = self.next_finished(0.5)
            if finished is not None:
                outcome = finished[1]
                if outcome.failure:
                    raise RunFailed(f"preparation failed: {outcome.failure}: {outcome.reason}")
                return outcome

    def close(self) -> None:
        ray.shutdown()


@ray.remote
def _perform(setup_text: str, task: Task) -> TaskOutcome:
    return perform(evaluator_for(setup_text), task)


def _check_reachable(address: str) -> None:
    """Ray itself keeps trying an address that nobody answers for minutes."""
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator or not port.isdigit():
        return  # "auto" and the like: Ray says at once whether it finds a cluster
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise DeviceError(
            f"the Ray cluster at {address} cannot be used: {error.strerror or error}"
        ) from None


def _check_fits(need: Resources) -> None:
    """A request that no node can satisfy would wait for ever."""
    nodes = [n["Resources"] for n in ray.nodes() if n["Alive"]]
    for node in nodes:
        enough_memory = node.get("memory", 0.0) >= (need.memory_gib or 0.0) * GIB
        if (
            node.get("CPU", 0.0) >= need.cpus
            and node.get("GPU", 0.0) >= need.gpus
            and enough_memory
        ):
            return
    wanted = f"{need.cpus:g} CPUs, {need.gpus:g} GPUs"
    if need.memory_gib:
        wanted += f", {need.memory_gib:g} GiB memory"
    largest: dict[str, float] = max(nodes, key=lambda n: n.get("CPU", 0.0), default={})
    has = f"{largest.get('CPU', 0):g} CPUs, {largest.get('GPU', 0):g} GPUs"
    raise DeviceError(f"a task needs {wanted}, and no node has that (the largest has {has})")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
