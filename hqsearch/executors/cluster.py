"""What a Ray cluster offers: whether a task fits at all, how many evaluations fit at a time."""

from __future__ import annotations

import math
import socket
from collections.abc import Mapping, Sequence

import ray

from hqsearch.errors import DeviceError
from hqsearch.evaluator import Resources
from hqsearch.wording import option

GIB = 1024**3


def check_reachable(address: str) -> None:
    """Ray itself keeps trying an address that nobody answers for minutes.

    Raises:
        DeviceError: nobody answers, or it is one of Ray Client.
    """
    if address.startswith("ray://"):
        raise DeviceError(
            f"{option('ray_address', address)}: Ray Client is not supported; start hqsearch on a "
            f"node of the cluster (or as a Ray job) with {option('ray_address', 'HOST:6379')} or "
            "auto"
        )
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdigit():
        return  # "auto" and the like: Ray says at once whether it finds a cluster
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise DeviceError(
            f"the Ray cluster at {address} cannot be used: {error.strerror or error}"
        ) from None


def nodes() -> dict[str, Mapping[str, float]]:
    """Resources of the living nodes, by Ray's id of the node."""
    return {n["NodeID"]: n["Resources"] for n in ray.nodes() if n["Alive"]}


def room(node: Mapping[str, float], need: Resources) -> int:
    """How many tasks that need this fit on a node."""
    wanted = (
        ("CPU", need.cpus),
        ("GPU", need.gpus),
        ("memory", (need.memory_gib or 0.0) * GIB),
    )
    # A share of a GPU that is no binary fraction must not cost one task.
    fits = [node.get(name, 0.0) / amount + 1e-9 for name, amount in wanted if amount]
    if 0.0 < need.gpus <= 1.0:
        # A share is of one GPU: two of 0.6 do not fit on 1.2 of two.
        fits.append(node.get("GPU", 0.0) * math.floor(1.0 / need.gpus + 1e-9))
    return math.floor(min(fits))


def check_fits(needs: Sequence[Resources]) -> None:
    """A request that no node can satisfy would wait for ever.

    Raises:
        DeviceError: with what is wanted, and what the nodes have.
    """
    found = nodes().values()
    for need in needs:
        if need.gpus > 1.0 and need.gpus != int(need.gpus):
            raise DeviceError(f"a task needs {need.gpus:g} GPUs: above 1, give a whole number")
        if any(room(node, need) for node in found):
            continue
        kinds = sorted({_shown(node, need) for node in found})
        wanted = _amounts(need.cpus, need.gpus, need.memory_gib)
        has = f"the only one has {kinds[0]}" if len(found) == 1 else f"they have {'; '.join(kinds)}"
        raise DeviceError(f"a task needs {wanted}, and no node has that ({has})")


def capacity(need: Resources) -> int:
    """How many evaluations fit on the cluster as it is now; at least 1."""
    return max(1, sum(room(node, need) for node in nodes().values()))


def _shown(node: Mapping[str, float], need: Resources) -> str:
    memory = node.get("memory", 0.0) / GIB if need.memory_gib else None
    return _amounts(node.get("CPU", 0.0), node.get("GPU", 0.0), memory)


def _amounts(cpus: float, gpus: float, memory_gib: float | None) -> str:
    text = f"{cpus:g} CPUs, {gpus:g} GPUs"
    return f"{text}, {memory_gib:.3g} GiB memory" if memory_gib else text
