"""What must not differ between the runs of one study, and how a difference is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hqsearch.errors import StudyMismatch


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as ``key.path`` → value."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(recorded: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Every difference, in words."""
    old, new = flatten(recorded), flatten(asked)
    # Names first: that another profile was asked for says more than its fortieth constant.
    keys = sorted(old.keys() | new.keys(), key=lambda k: (not k.endswith("name"), k))
    return [
        f"{key}: {_shown(old, key)} in the study, {_shown(new, key)} asked for"
        for key in keys
        if old.get(key) != new.get(key)
    ]


def require_same(recorded: Mapping[str, Any], asked: Mapping[str, Any], study: str) -> None:
    """Refuse another fingerprint than the recorded one, naming what differs.

    Raises:
        StudyMismatch: with the first differences and what to do.
    """
    told = differences(recorded, asked)
    if told:
        more = f" (and {len(told) - 4} more)" if len(told) > 4 else ""
        raise StudyMismatch(
            f"study {study!r} was made with other settings: {'; '.join(told[:4])}{more}. "
            "Use the recorded settings, another --studies-dir, or --fresh to move the old "
            "study aside."
        )


def _shown(flat: Mapping[str, Any], key: str) -> str:
    return repr(flat[key]) if key in flat else "nothing"
