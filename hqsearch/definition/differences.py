"""How two nested tables of settings differ, in words."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

#: What identities of files end in: of their bytes, and of what Python makes of them.
_DIGEST = re.compile(r"\b(?:sha256|code) ([0-9a-f]{16,})")


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
    was, now = str(old.get(key)), str(new.get(key))
    before, after = _DIGEST.findall(was), _DIGEST.findall(now)
    file = _DIGEST.sub("", was).strip()
    alike = before and after and file == _DIGEST.sub("", now).strip()
    if not alike or not isinstance(old.get(key), str):
        return f"{key}: {_shown(old, key)} in the study, {_shown(new, key)} asked for"
    what = f"{key}: {file}" if file else key
    if before[0] == after[0]:
        return f"{what}: a file that it imports has changed since"
    return f"{what} has changed since (sha256 {before[0][:8]}…, now {after[0][:8]}…)"


def _shown(flat: Mapping[str, Any], key: str) -> str:
    return repr(flat[key]) if key in flat else "nothing"
