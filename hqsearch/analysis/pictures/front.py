"""The front of one study or several: accuracy against every cost, controls among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hqsearch.analysis.pictures.facts import Facts, NothingToDraw, require_completed
from hqsearch.analysis.words import choice_counts
from hqsearch.errors import InputError
from hqsearch.problem.objective import Objective
from hqsearch.store.records import TrialRow

#: Strategies whose candidates no search proposed: what a search must stand up to.
CONTROLS = ("random", "sensitivity")


@dataclass(frozen=True)
class FrontPoint:
    """One candidate.

    Attributes:
        study: its study.
        trial: its first trial.
        strategy: that proposed it; ``uniform 4u`` for a baseline, ``import`` for what was measured
            elsewhere.
        member: whether it is on its study's front.
        control: a uniform assignment, or of a strategy that does not search.
        values: by objective, as the search measured them.
        error: standard error of the measured objective, in its unit; None where unknown.
        choices: dimension → value.
        confirmed: the measured objective on fresh seeds and the test split; None where it is not.
        confirmed_error: its standard error.
    """

    study: str
    trial: int
    strategy: str
    member: bool
    control: bool
    values: dict[str, float]
    error: float | None
    choices: dict[str, str]
    confirmed: float | None = None
    confirmed_error: float | None = None

    @property
    def layers(self) -> str:
        """Its choices in short: ``4u×9 2l×6``."""
        return choice_counts(self.choices)


@dataclass(frozen=True)
class FrontPicture:
    """What a picture of fronts shows.

    Attributes:
        title: of the picture.
        studies: their names, in order.
        quality: the measured objective, upwards.
        costs: one panel each.
        points: every completed candidate, by its first trial.
        split: that accuracies were measured on; empty where the evaluator does not say.
    """

    title: str
    studies: tuple[str, ...]
    quality: Objective
    costs: tuple[Objective, ...]
    points: tuple[FrontPoint, ...]
    split: str = ""

    @property
    def members(self) -> tuple[FrontPoint, ...]:
        """The points on a front."""
        return tuple(p for p in self.points if p.member)


def front_picture(studies: Sequence[Facts]) -> FrontPicture:
    """The completed candidates of studies.

    Raises:
        NothingToDraw: one of them has no completed trial, or no cost beside its quality.
        InputError: their objectives differ; the message says in what.
    """
    first = studies[0]
    for facts in studies:
        require_completed(facts)
        _require_same(first, facts)
    if not first.costs:
        raise NothingToDraw(f"study {first.name!r} has no objective that is to be small")
    names = tuple(f.name for f in studies)
    return FrontPicture(
        title=first.title if len(studies) == 1 else "Fronts of " + ", ".join(names),
        studies=names,
        quality=first.quality,
        costs=first.costs,
        points=tuple(point for facts in studies for point in _points(facts)),
        split="validation" if all(map(_on_validation, studies)) else "",
    )


def _require_same(first: Facts, other: Facts) -> None:
    mine, theirs = (
        {f"{o.name} ({o.unit}, {o.direction})" for o in f.objectives} for f in (first, other)
    )
    if mine == theirs:
        return
    parts = []
    for name, more in ((first.name, mine - theirs), (other.name, theirs - mine)):
        if more:
            parts.append(f"only {name!r} has {', '.join(sorted(more))}")
    raise InputError(
        f"studies {first.name!r} and {other.name!r} have different objectives and do not go into "
        f"one picture: {'; '.join(parts)}"
    )


def _points(facts: Facts) -> list[FrontPoint]:
    members = {t.number for t in facts.front}
    rows = (*facts.completed, *facts.imported)
    return [_point(facts, trial, trial.number in members) for trial in rows]


def _point(facts: Facts, trial: TrialRow, member: bool) -> FrontPoint:
    confirmation = facts.confirmation
    own = confirmation is not None and not trial.imported
    confirmed = confirmation.of(trial.key) if confirmation is not None and own else None
    name, baseline = facts.quality.name, trial.kind == "baseline"
    return FrontPoint(
        study=facts.name,
        trial=trial.number,
        strategy=f"uniform {trial.origin}" if baseline else trial.strategy,
        member=member,
        control=baseline or trial.strategy in CONTROLS,
        values=dict(trial.values or {}),
        error=_standard_error(trial, facts.quality),
        choices=trial.choices,
        confirmed=confirmed.confirmed[name] if confirmed else None,
        confirmed_error=_finite(confirmed.quality.standard_error) if confirmed else None,
    )


def _on_validation(facts: Facts) -> bool:
    return '"validation_samples"' in facts.completed[0].details_json


def _standard_error(trial: TrialRow, quality: Objective) -> float | None:
    # Parsing the details of 5,000 trials takes longer than drawing them.
    key = "accuracy_se" if quality.name == "accuracy" else "standard_errors"
    if f'"{key}"' not in trial.details_json:
        return None
    return trial.details.error_of(quality.name) or None


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and abs(value) < float("inf") else None
