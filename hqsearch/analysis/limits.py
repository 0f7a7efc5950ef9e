"""Limits on the members of a front: ``energy <= 20 uJ``, ``accuracy >= 92 %``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.problem.budgets import UNITS
from hqsearch.problem.objective import Objective
from hqsearch.store.records import TrialRow

_PATTERN = re.compile(r"\s*(<=|>=)\s*([0-9]*\.?[0-9]+(?:[eE][+-]?\d+)?)\s*(\S*)\s*")
#: Of what is a fraction: factors to it.
_SHARES = {"": 1.0, "%": 0.01}


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit, in the metric's own unit; ``text`` as it was given, without the name."""

    metric: str
    direction: str
    value: float
    text: str

    def __str__(self) -> str:
        return f"{self.metric} {self.text}"

    def excess(self, value: float) -> float:
        """How far beyond the limit a value is, as a share of the limit; 0 where it is met."""
        beyond = self.value - value if self.direction == "max" else value - self.value
        return max(beyond, 0.0) / (abs(self.value) or 1.0)


def parse_limits(
    given: Mapping[str, str | float],
    objectives: Sequence[Objective],
    trials: Sequence[TrialRow],
) -> tuple[Limit, ...]:
    """Limits as a person writes them.

    Args:
        given: objective, or ``average_bits`` → ``"<= 20 uJ"``, ``">= 0.92"``, ``">= 92 %"``,
            ``"<= 0.3 fp32"`` (of the fp32 network's, where the study has measured it), or a
            number in the objective's own unit.
        objectives: of the study.
        trials: every trial of the study.

    Raises:
        UnknownName: no such objective.
        DefinitionError: another form, unit or direction.
    """
    directions = {o.name: o.direction for o in objectives}
    if any(t.average_bits is not None for t in trials):
        directions.setdefault("average_bits", "min")
    return tuple(_parse(name, text, directions, objectives, trials) for name, text in given.items())


def _parse(
    name: str,
    given: str | float,
    directions: Mapping[str, str],
    objectives: Sequence[Objective],
    trials: Sequence[TrialRow],
) -> Limit:
    if name not in directions:
        raise UnknownName("limit", name, directions, "this study")
    direction = directions[name]
    sign = ">=" if direction == "max" else "<="
    share = any(o.name == name and o.unit == "fraction" for o in objectives)
    units = _SHARES if share else UNITS.get(name, {"": 1.0})
    if isinstance(given, int | float) and not isinstance(given, bool):
        given = f"{sign} {given:.12g}" + ("" if "" in units else f" {_own(name)}")
    text = str(given).replace("≤", "<=").replace("≥", ">=").strip()
    match = _PATTERN.fullmatch(text)
    known = [*units, *([] if share else ["fp32"])]
    if match is None or match[1] != sign or match[3] not in known:
        listed = ", ".join(unit or "(no unit)" for unit in known)
        raise DefinitionError(
            f"limit {name} = {given!r}: expected '{sign} NUMBER UNIT' with a unit of: {listed}"
        )
    value = float(match[2])
    if match[3] == "fp32":
        value *= _of_fp32(name, trials)
    else:
        value *= units[match[3]]
    if share and value > 1.0:
        raise DefinitionError(
            f"limit {name} = {given!r}: more than 100 %; write '{sign} 0.92' or '{sign} 92 %'"
        )
    return Limit(name, direction, value, text)


def _own(name: str) -> str:
    return next(unit for unit, factor in UNITS[name].items() if factor == 1.0)


def _of_fp32(name: str, trials: Sequence[TrialRow]) -> float:
    """What the fp32 network was measured at."""
    for trial in trials:
        value = metric_of(trial, name)
        if trial.kind == "baseline" and trial.origin == "fp32" and value is not None:
            return value
    raise DefinitionError(
        f"limit {name}: the study has not measured the fp32 network; give the limit in a unit"
    )


def metric_of(trial: TrialRow, name: str) -> float | None:
    """A trial's value of an objective or of ``average_bits``; None where it has none."""
    if name == "average_bits":
        return trial.average_bits
    return (trial.values or {}).get(name)
