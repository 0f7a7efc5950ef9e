"""What a study takes on disk, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hqsearch.store.disk import size_text


def disk_text(use: Mapping[str, int]) -> str:
    """``12.3 MiB (frames 9.0 MiB, parents 3.1 MiB, log 200 KiB)``."""
    parts = ", ".join(f"{kind} {size_text(size)}" for kind, size in use.items())
    return size_text(sum(use.values())) + (f" ({parts})" if parts else "")


def cleaning_text(cleaning: Mapping[str, Any]) -> str:
    """What can be removed, or was; see :class:`hqsearch.study.cleaning.Cleaning`."""
    items, study = cleaning["items"], cleaning["study"]
    if not items:
        lines = [f"{study}: nothing to remove"]
    else:
        done = "removed" if cleaning["removed"] else "can be removed"
        lines = [f"{study}: {size_text(cleaning['bytes'])} {done}"]
        lines += [f"  {size_text(i['bytes']):>10}  {i['path']}: {i['why']}" for i in items]
        if not cleaning["removed"]:
            lines.append("remove them with --yes; the log stays in any case")
    lines += [f"note: {note}" for note in cleaning["notes"]]
    lines.append(f"on disk: {disk_text(cleaning['disk'])}")
    return "\n".join(lines)
