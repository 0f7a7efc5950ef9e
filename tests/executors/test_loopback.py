"""Ray that hqsearch starts is not reachable from other machines."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray._private import ray_constants

from hqsearch.definition import embedded, load_study
from hqsearch.evaluator import Resources, Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.executors.ray import RayExecutor
from hqsearch.executors.task import Evaluate, Task

LISTEN = "0A"


def descendants(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from descendants(int(child))


def address(text: str) -> str:
    """An address as ``/proc/net`` writes it: words of four bytes, each in the machine's order."""
    words = [bytes.fromhex(text[i : i + 8]) for i in range(0, len(text), 8)]
    if sys.byteorder == "little":
        words = [word[::-1] for word in words]
    found = ipaddress.ip_address(b"".join(words))
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


def listening(pid: int) -> dict[str, set[str]]:
    """Where a process and those below it listen: name of the process → addresses."""
    places: dict[str, str] = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN:
                places[f"socket:[{fields[9]}]"] = address(fields[1].partition(":")[0])
    found: dict[str, set[str]] = {}
    for one in descendants(pid):
        name = Path(f"/proc/{one}/comm").read_text().strip()
        for handle in Path(f"/proc/{one}/fd").iterdir():
            place = places.get(os.readlink(handle)) if handle.is_symlink() else None
            if place is not None:
                found.setdefault(name, set()).add(place)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0100007F", "127.0.0.1"),
        ("00000000", "0.0.0.0"),
        ("00000000000000000000000000000000", "::"),
        ("0000000000000000FFFF00000100007F", "127.0.0.1"),
        ("00000000000000000000000001000000", "::1"),
    ],
)
def test_addresses_are_read(text: str, expected: str) -> None:
    assert address(text) == expected


def test_everything_it_starts_listens_on_loopback(tmp_path: Path) -> None:
    setup = Setup(load_study(embedded("studies")["toy"]), tmp_path)
    before = ray_constants.ENABLE_RAY_CLUSTER
    executor = RayExecutor(setup, 2, [Resources(1.0, 0.0, None)], 0, None)
    try:
        assert before == ray_constants.ENABLE_RAY_CLUSTER
        candidates = make_evaluator(setup).space.baselines().values()
        for number, candidate in enumerate(candidates):
            executor.submit(Task(number, Evaluate(candidate.key), 1))
        finished = 0
        while finished < len(candidates):
            done = executor.next_finished(1.0)
            if done is not None:
                assert not done[1].failure
                finished += 1
        reached = listening(os.getpid())
    finally:
        executor.close()
    assert {"gcs_server", "raylet"} <= set(reached)
    assert any(name.startswith("ray::") for name in reached)
    assert {place for places in reached.values() for place in places} <= {"127.0.0.1", "::1"}


def test_the_check_sees_what_others_start() -> None:
    ray.init(address="local", num_cpus=1, include_dashboard=False, configure_logging=False)
    try:
        assert listening(os.getpid())["gcs_server"] & {"::", "0.0.0.0"}
    finally:
        ray.shutdown()
