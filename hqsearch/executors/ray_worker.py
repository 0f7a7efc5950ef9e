"""What runs on Ray's workers: tasks, and keeping what the driver ships to their node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import ray

from hqsearch import __version__
from hqsearch.errors import DeviceError, RunFailed
from hqsearch.evaluator import Evaluator, GivenObjects
from hqsearch.executors.interrupts import signals_get_through
from hqsearch.executors.shipping import (
    Bytes,
    NodeCache,
    Shipment,
    made_files,
    sees_study,
    task_identity,
    trim_rungs,
)
from hqsearch.executors.task import Task, TaskOutcome, evaluator_for, perform
from hqsearch.wording import described


@dataclass(frozen=True)
class Reply:
    """What a worker answers.

    Attributes:
        node: Ray's id of the node it is on; empty where there is but one machine.
        outcome: of the task; None where the node lacks what the task needs.
        lacking: contents (SHA-256) that the node lacks; empty as long as it does not know
            what there is.
        remote: the driver's folder is not seen there.
        files: what the task made in the study's folder, where that is not the driver's.
    """

    node: str = ""
    outcome: TaskOutcome | None = None
    lacking: tuple[str, ...] = ()
    remote: bool = False
    files: tuple[tuple[str, Bytes], ...] = ()


class Stage(Enum):
    """How far a worker is with a task; its time limit counts from the second."""

    ARRIVED = "arrived"
    """The worker is up; it makes the evaluator, unless it has it already."""
    STARTED = "started"
    """The evaluator begins."""


@ray.remote(num_returns="streaming")
def perform_task(shipment: Shipment, task: Task, objects: GivenObjects) -> Iterator[Stage | Reply]:
    """Perform a task here, in the driver's folder or in one made from what was shipped.

    ``objects`` come from the driver's process by Ray's serialisation, and from nowhere else.

    Yields:
        The stages as they are reached, then what the worker answers.
    """
    yield Stage.ARRIVED
    if not shipment.token:
        evaluator = _evaluator(shipment.setup, objects)
        yield Stage.STARTED
        yield Reply(outcome=perform(evaluator, task))
        return
    check_version(shipment)
    node = ray.get_runtime_context().get_node_id()
    if sees_study(shipment):
        evaluator = _evaluator(shipment.setup, objects)
        yield Stage.STARTED
        yield Reply(node, perform(evaluator, task))
        return
    if shipment.items is None:
        yield Reply(node, remote=True)
        return
    cache = NodeCache()
    lacking = cache.lacking(shipment.items)
    if lacking:
        yield Reply(node, lacking=lacking, remote=True)
        return
    here = replace(task, result_file=None)  # the driver writes it
    if task.measures:
        folder = cache.folder(shipment)
        evaluator = _evaluator(shipment.setup_in(folder), objects)
        yield Stage.STARTED
        outcome = perform(evaluator, here)
        trim_rungs(folder)
        yield Reply(node, outcome, remote=True)
        return
    with cache.work(shipment, task_identity(task)) as folder:
        evaluator = _evaluator(shipment.setup_in(folder), objects)
        yield Stage.STARTED
        outcome = perform(evaluator, here)
        yield Reply(node, outcome, remote=True, files=tuple(made_files(folder, shipment)))


def _evaluator(setup: str, objects: GivenObjects) -> Evaluator:
    """The evaluator, where making it does not end the worker.

    Raises:
        RunFailed: it called ``sys.exit``.
        SystemExit: Ray ends this worker.
    """
    with signals_get_through():
        try:
            return evaluator_for(setup, objects)
        except SystemExit as end:
            raise RunFailed(f"the evaluator cannot be made: {described(end)}") from None


@ray.remote
def keep(parts: Sequence[tuple[str, Sequence[Any]]]) -> int:
    """Keep contents, given as (SHA-256, references to their chunks), on this node.

    Returns:
        How many of them another process had not kept already.
    """
    cache = NodeCache()
    return sum(cache.add(digest, (ray.get(c) for c in chunks)) for digest, chunks in parts)


@ray.remote
def forget(shipments: Sequence[Shipment]) -> None:
    """Remove a driver's folders from this node."""
    for shipment in shipments:
        NodeCache().forget(shipment)


def check_version(shipment: Shipment) -> None:
    """The driver's hqsearch and this node's must be the same.

    Raises:
        DeviceError: they are not.
    """
    if shipment.version != __version__:
        node = ray.util.get_node_ip_address()
        raise DeviceError(
            f"node {node} has hqsearch {__version__}, the driver has {shipment.version}: "
            "install the same version on every node"
        )
