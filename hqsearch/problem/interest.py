"""Ranges of a cost in which a front is to be refined: ``energy between 15 uJ .. 30 uJ``.

A range is a preference and no limit: what lies outside of it is evaluated, joins the front, and
counts, but what it adds weighs little. Hypervolume is measured by a density along the cost, 1
inside of the range and :data:`OUTSIDE` elsewhere (weighted hypervolume; Zitzler et al. 2007), which
is the same as plain hypervolume on a cost that is stretched there. Whatever costs less than the
range adds to it, too, as far as it is accurate enough to be missed there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hqsearch.errors import BudgetError, DefinitionError, UnknownName
from hqsearch.problem.budgets import OWN_UNIT, UNITS, Budget

Floats = npt.NDArray[np.float64]

#: What hypervolume outside of a range counts, of what it counts inside.
OUTSIDE = 0.1
_NUMBER = r"([0-9]*\.?[0-9]+(?:[eE][+-]?\d+)?)\s*(\S*?)"
_PATTERN = re.compile(rf"\s*{_NUMBER}\s*\.\.\s*{_NUMBER}\s*")


@dataclass(frozen=True, slots=True)
class Range:
    """One range of a cost, in the metric's own unit."""

    metric: str
    low: float
    high: float
    text: str

    def stretched(self, costs: Floats, low: float, high: float) -> Floats:
        """Costs ``[n]`` on a scale on which a difference counts what it weighs.

        >>> import numpy as np
        >>> own = Range("energy", 15.0, 30.0, "15 uJ .. 30 uJ")
        >>> own.stretched(np.array([5.0, 15.0, 25.0, 40.0]), 15.0, 30.0).round(2).tolist()
        [14.0, 15.0, 25.0, 31.0]

        Args:
            costs: on any scale.
            low: the range's ends on that scale; ``high`` likewise.
        """
        inside = np.clip(costs, low, high)
        return np.asarray(inside + OUTSIDE * (costs - inside))


def parse_ranges(
    asked: Mapping[str, str], metrics: Sequence[str], reference: Mapping[str, float]
) -> tuple[Range, ...]:
    """Ranges as they were asked for.

    Args:
        asked: cost → text such as ``"15 uJ .. 30 uJ"``, ``"15 .. 30 uJ"`` or ``"0.1 .. 0.2 fp32"``.
        metrics: what a range may be of: objectives that are known before training.
        reference: cheap metrics of the fp32 network, for ranges relative to it.

    Raises:
        DefinitionError: a text that is no range, or one that is empty.
        UnknownName: it is not of a cost.
    """
    found = []
    for metric, text in asked.items():
        if metric not in metrics:
            raise UnknownName("cost", metric, metrics, "between")
        match = _PATTERN.fullmatch(text)
        units = {**UNITS.get(metric, {"": 1.0}), "fp32": reference[metric]}
        unit = match and (match[4] or match[2])
        if not match or unit not in units or (match[2] or unit) not in units:
            listed = ", ".join(u or "(no unit)" for u in units)
            raise DefinitionError(
                f"between {metric} {text!r}: expected 'NUMBER UNIT .. NUMBER UNIT' with a unit of: "
                f"{listed}"
            )
        low, high = float(match[1]) * units[match[2] or unit], float(match[3]) * units[unit]
        if not low < high:
            raise DefinitionError(f"between {metric} {text!r}: the first number must be smaller")
        found.append(Range(metric, low, high, text.strip()))
    return tuple(found)


def check_range(own: Range, least: float, most: float, budgets: Sequence[Budget]) -> None:
    """Refuse a range that no candidate can lie in.

    Args:
        own: the range.
        least: of any candidate's cost; ``most`` likewise.
        budgets: of the run.

    Raises:
        BudgetError: it lies beyond all candidates, or beyond a budget.
    """
    unit = OWN_UNIT.get(own.metric, "")
    if own.low > most or own.high < least:
        raise BudgetError(
            f"between {own.metric} {own.text}: no candidate lies there; they need {least:.4g} to "
            f"{most:.4g} {unit}"
        )
    for budget in budgets:
        if budget.metric == own.metric and budget.limit <= own.low:
            raise BudgetError(
                f"between {own.metric} {own.text}: the budget {budget.text} leaves nothing there"
            )
