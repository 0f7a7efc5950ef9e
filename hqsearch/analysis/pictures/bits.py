"""The bit map: which choice every layer has in every member of the front."""

from __future__ import annotations

from dataclasses import dataclass

from hqsearch.analysis.pictures.facts import Facts, require_completed, spread_over
from hqsearch.problem.objective import Objective

#: Members that a map shows; more are too narrow to be read.
COLUMNS = 24


@dataclass(frozen=True)
class BitColumn:
    """One member of the front: its trial, values and average bits."""

    trial: int
    values: dict[str, float]
    average_bits: float | None


@dataclass(frozen=True)
class BitMap:
    """Layers × members, cheapest first.

    Attributes:
        title: of the study.
        dimensions: the rows, in the order of the network.
        columns: the members shown.
        choices: ``[row][column]``.
        members: how many the front has in all.
        objectives: of the study.
    """

    title: str
    dimensions: tuple[str, ...]
    columns: tuple[BitColumn, ...]
    choices: tuple[tuple[str, ...], ...]
    members: int
    objectives: tuple[Objective, ...]

    @property
    def kinds(self) -> list[str]:
        """The choices that occur."""
        return sorted({choice for row in self.choices for choice in row})


def bit_map(facts: Facts, columns: int = COLUMNS) -> BitMap:
    """The bit map of a study's front.

    Raises:
        NothingToDraw: no trial was completed.
    """
    require_completed(facts)
    shown = spread_over(facts.front, columns)
    names = tuple(facts.attributes["study"]["dimensions"])
    return BitMap(
        title=facts.title,
        dimensions=names,
        columns=tuple(BitColumn(t.number, dict(t.values or {}), t.average_bits) for t in shown),
        choices=tuple(tuple(t.choices[name] for t in shown) for name in names),
        members=len(facts.front),
        objectives=facts.objectives,
    )
