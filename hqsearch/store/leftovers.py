"""Files that a process which died left half-written; nothing reads them.

Only names that :mod:`hqsearch.atomic` and the safetensors writer give, in the folders that they
write to, of processes that are gone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PID = r"\.(?P<pid>\d+)"
_WEIGHTS = r"\.model\.safetensors\.(?P<part>\d+)\.part"
#: Folder below a study's → names of what is written there, before it is whole.
_PLACES = {
    ".": rf"\.prepared(-[0-9a-f]{{8}})?\.json{_PID}",
    "results": rf"\.(\d+|task-\d+-\d+)\.json{_PID}",
    "comparisons": rf"\.\d+\.json{_PID}",
    "parents/*": rf"\.(workload|parent)\.json{_PID}|\.parent\.safetensors\.(?P<part>\d+)\.part",
    "tasks/*": rf"\.(history|progress)\.json{_PID}",
    "tasks/final-*/*": rf"\.(progress|(train|measure)-outcome)\.json{_PID}|{_WEIGHTS}",
    "models/*": rf"\.manifest\.json{_PID}|{_WEIGHTS}",
}


def leftovers(folder: Path) -> Iterator[Path]:
    """Half-written files of dead processes in a study's folder."""
    for place, pattern in _PLACES.items():
        for inside in [folder] if place == "." else sorted(folder.glob(place)):
            if not inside.is_dir() or inside.is_symlink():
                continue
            for path in sorted(inside.iterdir()):
                match = re.fullmatch(pattern, path.name)
                if match and path.is_file() and not path.is_symlink():
                    groups = match.groupdict()
                    if not _is_alive(int(groups["pid"] or groups["part"])):
                        yield path


def remove_leftovers(folder: Path) -> list[Path]:
    """Delete them; the study's driver lock is held."""
    removed = []
    for path in list(leftovers(folder)):
        with suppress(OSError):
            path.unlink()
            removed.append(path)
    return removed


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
