"""How much of this machine a process may use."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

#: Where Linux shows the limits of control groups (version 2).
CONTROL_GROUPS = Path("/sys/fs/cgroup")


def cores() -> int:
    """Cores that this process may use; at least 1.

    Where Linux tells: by the affinity (taskset, Slurm, cpusets) and by the quota of the control
    group (containers, systemd), rounded up.
    """
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0))
    try:
        group = Path("/proc/self/cgroup").read_text()
    except OSError:
        return allowed
    return max(1, min(allowed, quota_cores(group, CONTROL_GROUPS, allowed)))


def quota_cores(group: str, root: Path, most: int) -> int:
    """Cores by the tightest quota of a control group and those above it.

    Args:
        group: ``/proc/self/cgroup``.
        root: where control groups are shown.
        most: where there is no quota.
    """
    named = [line.removeprefix("0::/") for line in group.splitlines() if line.startswith("0::/")]
    if not named or ".." in PurePosixPath(named[0]).parts:
        return most
    place = root / named[0]
    fewest = most
    for folder in (place, *place.parents):
        if not folder.is_relative_to(root):
            break
        try:
            quota, period = (folder / "cpu.max").read_text().split()
            fewest = min(fewest, -(-int(quota) // int(period)))
        except (OSError, ValueError, ZeroDivisionError):
            continue  # none here, or "max"
    return fewest
