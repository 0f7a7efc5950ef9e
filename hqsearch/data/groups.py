"""Which samples belong together, by a pattern in their paths: ``[data] group``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hqsearch.data.samples import refuse_all
from hqsearch.errors import DataError


def groups_of(pattern: str, origins: Mapping[str, str], where: object) -> dict[str, str]:
    """The group of every path: what the parentheses of ``pattern`` match in it.

    Args:
        pattern: regular expression with one group, looked for in each path.
        origins: path below the data folder → how messages name that file.
        where: the data folder, for messages.

    Raises:
        DataError: paths that it does not match, all of them named.
    """
    found = {path: re.search(pattern, path) for path in origins}
    groups = {path: match[1] for path, match in found.items() if match and match[1] is not None}
    lost = [path for path in origins if path not in groups]
    if lost and not groups:
        raise DataError(
            f"[data] group = {pattern!r} matches no path below {where}, such as {lost[0]}."
        )
    refuse_all(
        [
            (
                origins[path],
                f"{origins[path]}: [data] group = {pattern!r} does not match its path.",
            )
            for path in lost
        ]
    )
    return groups
