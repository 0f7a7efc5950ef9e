"""Numbers and values as words."""

from __future__ import annotations

from hqsearch.problem.objective import Objective


def number(value: float | None, digits: int = 4) -> str:
    """A number for people; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}g}"


def value_text(objective: Objective, value: float | None) -> str:
    """A value of an objective; fractions in percent."""
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if objective.unit == "fraction" else number(value)
