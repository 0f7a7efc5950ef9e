"""What the log holds of a model that was trained to be kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """The last final training of a trial.

    Attributes:
        trial: whose candidate it is.
        folder: below the study's; weights and manifest are in it.
        manifest: SHA-256 of the manifest there.
        weights: SHA-256 of the weights there.
        accuracy: on the test split, fraction.
        low: lower end of its 95 % interval: Wilson's, or of a task's own score the normal one.
        high: upper end.
        samples: of the test split.
        epochs: length of the schedule.
        merged: whether the validation split was learned from, too.
        seeds: that were trained.
        seed: of the one that was kept.
        trainings: how often a model of this trial was measured on the test split so far.
    """

    trial: int
    folder: str
    manifest: str
    weights: str
    accuracy: float
    low: float
    high: float
    samples: int
    epochs: int
    merged: bool
    seeds: tuple[int, ...]
    seed: int
    trainings: int

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints as ``model``."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ModelRecord:
        return cls(**{**data, "seeds": tuple(data["seeds"])})
