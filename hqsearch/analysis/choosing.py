"""``hqsearch choose``: one member of a front, why, what its neighbours offer, and how sure it is.

Without limits it is the *knee*. Every objective is scaled to 0…1 over the front, 1 being best;
costs (less is better) on a logarithmic scale, where all are positive; one that is the same for
all is left out. A member's height is the mean over the maximized objectives, minus one, plus the
mean over the minimized ones; the knee is the highest. With one cost this is the member farthest
from the straight line between the cheapest and the most accurate end (Branke et al. 2004; Deb
and Gupta 2011).

With limits, the members that meet all of them are left, and the one that is best in the study's
first objective without a limit is taken; where every objective has one, their knee.

Accuracies are those confirmed on fresh seeds if every member has them, and then members whose
place rested on luck are left out; else those that the front was chosen by (means of the accuracy
model, or what the search measured), and the choice is provisional.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hqsearch.analysis.confirmation import LUCK, ConfirmedFront, Member, confirmation_of
from hqsearch.analysis.limits import Limit, metric_of, parse_limits
from hqsearch.analysis.paired import metric_difference
from hqsearch.analysis.words import values_text
from hqsearch.errors import InputError, LimitsNotMet
from hqsearch.problem.objective import (
    Objective,
    difference_text,
    first_cost,
    minimized,
    unit_text,
    value_text,
)
from hqsearch.store.fronts import by_means, means_of
from hqsearch.store.modelled import Modelled
from hqsearch.store.records import TrialRow

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Neighbour:
    """Another member: what one gains and loses by taking it instead.

    Attributes:
        trial: the other member.
        changes: by objective: the other's value / the chosen one's - 1 of costs, the difference
            of fractions.
        standard_error: of the difference in the measured objective; None where it has none.
        paired: whether that is over the samples that both were measured on.
    """

    trial: TrialRow
    changes: dict[str, float]
    standard_error: float | None
    paired: bool


@dataclass(frozen=True)
class Selection:
    """What was chosen.

    Attributes:
        trial: the member.
        values: its values that counted: confirmed means, the model's, or those of the search.
        reason: why, in a sentence.
        cheaper: the most accurate member that costs less of the first cost; None at that end.
        better: the member that is better in the measured objective (accuracy) for the least
            more of the first cost; None at that end.
        standard_error: of the measured objective; None where it was measured exactly.
        confirmed: whether the accuracies are those of fresh seeds.
        certainty: how sure it is, in words.
    """

    trial: TrialRow
    values: dict[str, float]
    reason: str
    cheaper: Neighbour | None
    better: Neighbour | None
    standard_error: float | None
    confirmed: bool
    certainty: str
    limits: tuple[Limit, ...]
    modelled: bool = False
    """Whether the accuracies that counted are the means of the accuracy model."""


def choose(
    front: Sequence[TrialRow],
    trials: Sequence[TrialRow],
    objectives: tuple[Objective, ...],
    given: Mapping[str, str | float] | None = None,
) -> Selection:
    """One member of ``front``.

    Args:
        front: of the study, under its budgets.
        trials: every trial of the study.
        objectives: of the study.
        given: limits by objective, see :func:`hqsearch.analysis.limits.parse_limits`.

    Raises:
        InputError: there is no member yet.
        LimitsNotMet: no member meets the limits; the nearest one is told.
        DefinitionError: a limit that cannot be read.
    """
    limits = parse_limits(given or {}, objectives, trials)
    if not front:
        raise InputError("there is nothing to choose from: the front is empty")
    means = means_of(trials, objectives)
    field = _Field(front, confirmation_of(front, trials, objectives), objectives, means)
    able = [t for t in field.members if not any(field.excess(t, limit) for limit in limits)]
    if not able:
        raise LimitsNotMet(_nearest(field, limits))
    free = [o for o in objectives if o.name not in {limit.metric for limit in limits}]
    if limits and free:
        chosen = min(able, key=lambda t: (field.cost(t, free[0]), t.number))
        what = f"the {_best(free[0])} of them"
    else:
        heights = _heights(np.array([field.row(t) for t in able]), objectives)
        chosen = able[int(np.argmax(np.round(heights, 12)))]
        what = f"the knee of {'them' if limits else 'the front'}"
    return Selection(
        trial=chosen,
        values=field.values(chosen),
        reason=_reason(field, limits, len(able), what),
        cheaper=_cheaper(field, chosen),
        better=_better(field, chosen),
        standard_error=field.error(chosen),
        confirmed=field.confirmed is not None,
        certainty=_certainty(field, chosen, limits),
        limits=limits,
        modelled=field.confirmed is None and chosen.number in means,
    )


class _Field:
    """The members that can be chosen, with the values that count."""

    def __init__(
        self,
        front: Sequence[TrialRow],
        confirmation: ConfirmedFront | None,
        objectives: tuple[Objective, ...],
        means: Mapping[int, Modelled],
    ) -> None:
        self.objectives, self.means = objectives, means
        self.quality = next((o for o in objectives if not o.cheap), objectives[0])
        self.price = first_cost(objectives)
        self.confirmed: ConfirmedFront | None = None
        self.members, self.lucky = list(front), 0
        if confirmation is not None and all(confirmation.of(t.key) for t in front):
            held = [t for t in front if self._status(confirmation, t) != LUCK]
            if held:
                self.confirmed = confirmation
                self.members, self.lucky = held, len(front) - len(held)

    @staticmethod
    def _status(confirmation: ConfirmedFront, trial: TrialRow) -> str:
        member = confirmation.of(trial.key)
        assert member is not None
        return member.status

    def values(self, trial: TrialRow) -> dict[str, float]:
        member = self.confirmed.of(trial.key) if self.confirmed is not None else None
        if member is not None:
            return member.confirmed
        names, values = [o.name for o in self.objectives], dict(trial.values or {})
        judged = by_means([values[n] for n in names], self.means.get(trial.number), self.objectives)
        return {**values, **dict(zip(names, judged, strict=True))}

    def value(self, trial: TrialRow, name: str) -> float | None:
        values = self.values(trial)
        return values[name] if name in values else metric_of(trial, name)

    def row(self, trial: TrialRow) -> list[float]:
        values = self.values(trial)
        return [values[o.name] for o in self.objectives]

    def cost(self, trial: TrialRow, objective: Objective) -> float:
        value = self.values(trial)[objective.name]
        return -value if objective.direction == "max" else value

    def excess(self, trial: TrialRow, limit: Limit) -> float:
        value = self.value(trial, limit.metric)
        return math.inf if value is None else limit.excess(value)

    def error(self, trial: TrialRow) -> float | None:
        if self.confirmed is not None:
            member = self.confirmed.of(trial.key)
            assert member is not None
            error = member.quality.standard_error
            return error if math.isfinite(error) else None
        if trial.number in self.means:
            return self.means[trial.number].deviation
        searched = trial.details.error_of(self.quality.name)
        return float(searched) if searched else None

    def difference(self, one: TrialRow, other: TrialRow) -> tuple[float | None, bool]:
        """Standard error of ``one`` minus ``other`` in the measured objective; whether paired."""
        if self.confirmed is not None:
            first, second = self.confirmed.of(one.key), self.confirmed.of(other.key)
            assert first is not None
            assert second is not None
            error = self.confirmed.difference(first, second).standard_error
            return (error if math.isfinite(error) else None), True
        if one.number in self.means and other.number in self.means:
            deviations = (self.means[trial.number].deviation for trial in (one, other))
            return math.hypot(*deviations), False
        mine, theirs = (self.values(trial)[self.quality.name] for trial in (one, other))
        gap = metric_difference(self.quality, mine, one.details, theirs, other.details)
        return gap.standard_error or None, gap.paired


def _heights(values: Floats, objectives: tuple[Objective, ...]) -> Floats:
    """How far each member ``[n]`` of ``values [n, m]`` lies above the line between the ends."""
    costs = minimized(values, objectives)
    quality = next((o for o in objectives if not o.cheap), None)
    good, varies = np.zeros_like(costs), np.zeros(len(objectives), dtype=bool)
    for column, objective in enumerate(objectives):
        own = costs[:, column]
        if objective.direction == "min" and objective is not quality and (own > 0).all():
            own = np.log(own)
        spread = own.max() - own.min()
        if spread > 0:
            good[:, column], varies[column] = (own.max() - own) / spread, True
    most = np.array([o.direction == "max" or o is quality for o in objectives])
    heights = np.full(len(costs), -1.0)
    for side in (most & varies, ~most & varies):
        if side.any():
            heights += good[:, side].mean(axis=1)
    return heights


def _cheaper(field: _Field, chosen: TrialRow) -> Neighbour | None:
    price = field.price
    if price is None:
        return None
    able = [t for t in field.members if field.cost(t, price) < field.cost(chosen, price)]
    first = field.quality
    if not able:
        return None
    return _neighbour(
        field, chosen, min(able, key=lambda t: (field.cost(t, first), field.cost(t, price)))
    )


def _better(field: _Field, chosen: TrialRow) -> Neighbour | None:
    first, price = field.quality, field.price or field.quality
    able = [t for t in field.members if field.cost(t, first) < field.cost(chosen, first)]
    if not able:
        return None
    return _neighbour(
        field, chosen, min(able, key=lambda t: (field.cost(t, price), field.cost(t, first)))
    )


def _neighbour(field: _Field, chosen: TrialRow, other: TrialRow) -> Neighbour:
    mine, its = field.values(chosen), field.values(other)
    changes = {}
    for objective in field.objectives:
        name = objective.name
        if objective.unit == "fraction" or not mine[name]:
            changes[name] = its[name] - mine[name]
        else:
            changes[name] = its[name] / mine[name] - 1.0
    error, paired = field.difference(other, chosen)
    return Neighbour(other, changes, error, paired)


def _best(objective: Objective) -> str:
    if objective.name == "accuracy":
        return "most accurate"
    if objective.direction == "max":
        return f"highest in {objective.name}"
    return f"one with the least {objective.name}"


def _reason(field: _Field, limits: tuple[Limit, ...], able: int, what: str) -> str:
    count = len(field.members)
    luck = f" ({field.lucky} more rested on luck)" if field.lucky else ""
    members = f"{count} members of the front{luck}" if count > 1 else f"one member{luck}"
    if not limits:
        return f"of {members} it is {what}" if count > 1 else f"the front has {members}"
    asked = " and ".join(map(str, limits))
    if able == 1:
        return f"of {members} it alone meets {asked}"
    return f"of {members}, {able} meet {asked}; it is {what}"


def _certainty(field: _Field, chosen: TrialRow, limits: tuple[Limit, ...]) -> str:
    error, name = field.error(chosen), field.quality.name
    parts = []
    if error is not None and field.confirmed is None and chosen.number in field.means:
        measured = value_text(field.quality, (chosen.values or {})[name])
        shown = difference_text(field.quality, error) + unit_text(field.quality)
        parts.append(
            f"its {name} is the mean of the accuracy model, ± {shown}; measured {measured}"
        )
    elif error is not None:
        shown = difference_text(field.quality, error) + unit_text(field.quality)
        parts.append(f"standard error of its {name}: {shown}")
    elif field.confirmed is None:
        parts.append(f"its {name} was measured without a known error")
    if field.confirmed is not None:
        parts.append(f"confirmed: {field.confirmed.trained}")
        better = _beaten_by(field, field.confirmed, chosen)
        if better is not None:
            shown = values_text(better.confirmed, field.objectives)
            parts.append(
                f"{better.label}, which is not of the front, dominates it on these means: {shown}"
            )
    elif error is not None:
        what = "accuracies flatter" if name == "accuracy" else f"values of {name} flatter"
        modelled = chosen.number in field.means
        told = "rests on one training each" if modelled else f"search {what} the best of many"
        parts.append(f"provisional: {told}; hqsearch confirm")
    for limit in limits:
        value = field.value(chosen, limit.metric)
        if error is not None and limit.metric == name and value is not None:
            margin = abs(value - limit.value)
            if margin < error:
                parts.append(f"it meets {limit} by less than that error")
    return "; ".join(parts)


def _beaten_by(field: _Field, confirmed: ConfirmedFront, chosen: TrialRow) -> Member | None:
    """The most accurate control off the front that dominates the member on confirmed means."""
    names = [o.name for o in field.objectives]
    on_front, own = {t.key for t in field.members}, field.values(chosen)
    mine = minimized([own[n] for n in names], field.objectives)[0]
    place, found = names.index(field.quality.name), []
    for member in confirmed.members:
        if member.label and member.key not in on_front and set(names) <= set(member.confirmed):
            other = minimized([member.confirmed[n] for n in names], field.objectives)[0]
            if (other <= mine).all() and (other < mine).any():
                found.append((float(other[place]), member.trial, member))
    return min(found)[2] if found else None


def _beyond(field: _Field, trial: TrialRow, limit: Limit) -> str:
    """By how much a member misses a limit; fractions by points, for a percent of those misleads."""
    value, excess = field.value(trial, limit.metric), field.excess(trial, limit)
    objective = next((o for o in field.objectives if o.name == limit.metric), None)
    if value is not None and objective is not None and objective.unit == "fraction":
        gap = abs(value - limit.value)
        return f"{difference_text(objective, gap)}{unit_text(objective)}"
    return f"{excess:.1%}" if excess < 1 else f"a factor of {1 + excess:.3g}"


def _nearest(field: _Field, limits: tuple[Limit, ...]) -> str:
    """What to say where nobody meets the limits."""
    near = min(
        field.members, key=lambda t: (sum(field.excess(t, limit) for limit in limits), t.number)
    )
    shown = values_text(field.values(near), field.objectives)
    missed = " and ".join(
        f"{limit} by {_beyond(field, near, limit)}" for limit in limits if field.excess(near, limit)
    )
    asked = " and ".join(map(str, limits))
    return (
        f"no member of the front meets {asked}. The nearest is trial {near.number} ({shown}), "
        f"which misses {missed}"
    )
