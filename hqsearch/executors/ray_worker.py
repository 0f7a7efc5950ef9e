"""What runs on Ray's workers: tasks, and keeping what the driver ships to their node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray

from hqsearch import __version__
from hqsearch.errors import DeviceError
from hqsearch.evaluator import GivenObjects
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


@ray.remote
def perform_task(shipment: Shipment, task: Task, objects: GivenObjects) -> Reply:
    """Perform a task here, in the driver's folder or in one made from what was shipped.

    ``objects`` come from the driver's process by Ray's serialisation, and from nowhere else.
    """
    if not shipment.token:
        return Reply(outcome=perform(evaluator_for(shipment.setup, objects), task))
    check_version(shipment)
    node = ray.get_runtime_context().get_node_id()
    if sees_study(shipment):
        return Reply(node, perform(evaluator_for(shipment.setup, objects), task))
    if shipment.items is None:
        return Reply(node, remote=True)
    cache = NodeCache()
    lacking = cache.lacking(shipment.items)
    if lacking:
        return Reply(node, lacking=lacking, remote=True)
    here = replace(task, result_file=None)  # the driver writes it
    if task.measures:
        folder = cache.folder(shipment)
        outcome = perform(evaluator_for(shipment.setup_in(folder), objects), here)
        trim_rungs(folder)
        return Reply(node, outcome, remote=True)
    with cache.work(shipment, task_identity(task)) as folder:
        outcome = perform(evaluator_for(shipment.setup_in(folder), objects), here)
        return Reply(node, outcome, remote=True, files=tuple(made_files(folder, shipment)))


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
