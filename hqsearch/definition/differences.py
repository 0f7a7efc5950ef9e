"""How two nested tables of settings differ, in words."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

#: What identities of files end in.
_DIGEST = re.compile(r"sha256 ([0-9a-f]{16,})")


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as ``key.path`` → value."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(
    recorded: Mapping[str, Any],
    asked: Mapping[str, Any],
    same: Callable[[Any, Any], bool] = operator.eq,
) -> list[str]:
    """Every difference, in words; ``same`` says whether two values mean one thing."""
    old, new = flatten(recorded), flatten(asked)
    # Names first: that another profile was asked for says more than its fortieth constant.
    keys = sorted(old.keys() | new.keys(), key=lambda k: (not k.endswith("name"), k))
    return [_told(old, new, key) for key in keys if not same(old.get(key), new.get(key))]


def _told(old: Mapping[str, Any], new: Mapping[str, Any], key: str) -> str:
    was, now = (_DIGEST.findall(str(table.get(key, ""))) for table in (old, new))
    if was and now and _DIGEST.sub("", str(old[key])) == _DIGEST.sub("", str(new[key])):
        file = _DIGEST.sub("", str(old[key])).strip() or key
        changed = next(((a, b) for a, b in zip(was, now, strict=False) if a != b), (was[0], now[0]))
        return f"{file} has changed since (sha256 {changed[0][:8]}…, now {changed[1][:8]}…)"
    return f"{key}: {_shown(old, key)} in the study, {_shown(new, key)} asked for"


def _shown(flat: Mapping[str, Any], key: str) -> str:
    return repr(flat[key]) if key in flat else "nothing"
