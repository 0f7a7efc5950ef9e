"""How good a parent is: where it has learned nothing, what is found from it says nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ParentQuality:
    """A parent on the validation split.

    Attributes:
        accuracy: fraction that it gets right.
        samples: of the split.
        chance: fraction that the largest class is of it.
    """

    accuracy: float
    samples: int
    chance: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
