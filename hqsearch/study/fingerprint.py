"""What must not differ between the runs of one study, and how a difference is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hqsearch.definition.differences import differences
from hqsearch.errors import StudyMismatch


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
