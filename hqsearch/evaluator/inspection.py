"""What a dry run of an evaluator finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Inspection:
    """What an evaluator found out by trying things, before anything was made.

    Attributes:
        facts: what it found, as JSON values; an evaluator says which.
        notes: what a person should know, and what would not stop a run.
        problems: why a run would fail, each with what to do.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
