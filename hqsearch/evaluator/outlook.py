"""What lies before a run, as far as an evaluator can say it before anything is made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outlook:
    """What is still to be prepared, and what that and an evaluation will cost.

    Times are of one worker; None is unknown and is said to be. What is told as a number rests
    on ``basis``, in words.

    Attributes:
        steps: what is still to be prepared: ``frame 3,100 samples``; empty where nothing is.
        preparation_seconds: of those steps.
        evaluation_seconds: of one evaluation.
        basis: what the times rest on.
        disk_bytes: what the preparation will leave on disk, beyond what is there.
    """

    steps: tuple[str, ...] = ()
    preparation_seconds: float | None = None
    evaluation_seconds: float | None = None
    basis: str = ""
    disk_bytes: int | None = None
