"""What a confirmation came to: who survives.

Means over fresh seeds on the test split, for the present front and the uniform baselines; how
they are compared is in :mod:`hqsearch.analysis.replicates`. A front member that another candidate
dominates beyond the error of their difference had its place by luck.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hqsearch.analysis.bounds import single_training
from hqsearch.analysis.components import (
    AnyMeasured,
    AnyNoise,
    DivisionNoise,
    FromParents,
    ParentNoise,
    noise_of,
)
from hqsearch.analysis.paired import Difference
from hqsearch.analysis.replicates import Estimate, Floats, Measured, Noise, share_interval
from hqsearch.evaluator import FreshParent
from hqsearch.problem.objective import Objective, first_cost, minimized
from hqsearch.problem.resolution import representatives
from hqsearch.store.records import CLAIMS, TrialRow

#: How the origins begin of replicates that a verdict compares with.
CONTROLS = ("uniform ", "scores, ", "random, ")
CONFIRMED, UNCERTAIN, LUCK = "confirmed", "within the error", "rested on luck"


@dataclass(frozen=True)
class Member:
    """A confirmed candidate.

    Attributes:
        trial: the search trial that stands for it.
        label: ``uniform 4u``, or nothing for a candidate that is no baseline.
        searched: what the search measured, by objective.
        confirmed: means over the replicates, by objective.
        quality: of the measured objective (accuracy), with its error.
        seeds: of the replicates that were completed, each once.
        status: of a front member; empty for a baseline that is not on the front.
        rival: label of the strongest control that costs no more; empty where there is none, or
            where this is a control itself.
        difference: of the measured objective, from the rival's.
    """

    key: str
    trial: int
    label: str
    choices: dict[str, str]
    searched: dict[str, float]
    confirmed: dict[str, float]
    quality: Estimate
    seeds: tuple[int, ...]
    on_front: bool
    status: str = ""
    rival: str = ""
    difference: Estimate | None = None
    control: bool = False
    """Whether it is one that no search evaluated as a baseline."""
    interval: tuple[float, float] = (-math.inf, math.inf)
    """Of the quality, 95 %, within what is possible; so is that of the difference."""
    difference_interval: tuple[float, float] = (-math.inf, math.inf)
    trainings: int = 0
    """Replicates that were completed: with several parents more than seeds."""

    def as_json(self) -> dict[str, Any]:
        low, high = self.interval
        data: dict[str, Any] = {
            "trial": self.trial,
            "label": self.label,
            "control": self.control,
            "on_front": self.on_front,
            "status": self.status,
            "seeds": list(self.seeds),
            "trainings": self.trainings,
            "searched": self.searched,
            "confirmed": self.confirmed,
            "standard_error": _finite(self.quality.standard_error),
            "interval": [_finite(low), _finite(high)],
            "rival": self.rival or None,
            "choices": self.choices,
        }
        if self.difference is not None:
            low, high = self.difference_interval
            data["difference"] = {
                "mean": self.difference.mean,
                "standard_error": _finite(self.difference.standard_error),
                "interval": [_finite(low), _finite(high)],
            }
        return data


@dataclass(frozen=True)
class ConfirmedFront:
    """The latest confirmation of a study, as far as the present front goes.

    ``missing`` are trials of front members and baselines without a replicate.
    """

    quality: str
    epochs: int | None
    samples: int | None
    members: tuple[Member, ...]
    missing: tuple[int, ...]
    failed: int
    measured: Mapping[str, AnyMeasured] = field(repr=False)
    noise: AnyNoise | None = None
    """How much trainings vary, over all of these candidates."""
    parents: tuple[FreshParent, ...] = ()
    """That were trained for it; none where all started from the study's own."""
    training_samples: int | None = None
    """That a candidate learned from, in each division."""

    def of(self, key: str) -> Member | None:
        """The confirmed candidate with this key, if it is one."""
        return next((m for m in self.members if m.key == key), None)

    def difference(self, one: Member, other: Member) -> Estimate:
        """Of the measured objective, paired; where each has one seed, with assumed noise."""
        found = _minus(self.measured[one.key], self.measured[other.key], self.noise)
        if self.noise is None and self.quality == "accuracy":
            return single_training(Difference(found.mean, found.standard_error, True))
        return found

    @property
    def seeds(self) -> int:
        """Fewest trainings of any member from one parent."""
        return min(
            m.seeds if isinstance(m, FromParents) else len(m.trials) for m in self.measured.values()
        )

    @property
    def divisions(self) -> int:
        """Of the recordings into train and test that were trained and tested on."""
        return len({parent.division for parent in self.parents}) or 1

    @property
    def parents_each(self) -> int:
        """Parents of a division, on average, rounded down."""
        return len(self.parents) // self.divisions

    @property
    def all_samples(self) -> int | None:
        """Test samples of all divisions, no one of them twice."""
        return None if self.samples is None else self.samples * self.divisions

    @property
    def trained(self) -> str:
        """How each candidate was trained: ``3 fresh seeds a candidate``."""
        many = "seeds" if self.seeds > 1 else "seed"
        text = f"{self.seeds} fresh {many}"
        if not self.parents:
            return f"{text} a candidate"
        each = self.parents_each
        parents = f"{each} fresh parents" if each > 1 else "1 fresh parent"
        text = f"{parents} and {text} from each" if each > 1 else f"{parents} and {text}"
        return text if self.divisions == 1 else f"{self.divisions} splits with {text}"

    def as_json(self) -> dict[str, Any]:
        return {
            "objective": self.quality,
            "epochs": self.epochs,
            "test_samples": self.samples,
            "seeds": self.seeds,
            "parents": [{"seed": p.seed, "division": p.division} for p in self.parents],
            "divisions": self.divisions,
            "components": self.components,
            "failed": self.failed,
            "missing": list(self.missing),
            "members": [m.as_json() for m in self.members],
        }

    @property
    def components(self) -> dict[str, Any] | None:
        """Standard deviations of what varies besides samples, as JSON; None where not known."""
        if isinstance(self.noise, ParentNoise | DivisionNoise):
            return self.noise.as_json()
        return None


def _minus(one: AnyMeasured, other: AnyMeasured, noise: AnyNoise | None) -> Estimate:
    if isinstance(one, FromParents) and isinstance(other, FromParents):
        return one.minus(other, noise)
    assert isinstance(one, Measured)
    assert isinstance(other, Measured)
    return one.minus(other, noise if isinstance(noise, Noise) else None)


def confirmation_of(
    front: Sequence[TrialRow],
    trials: Sequence[TrialRow],
    objectives: tuple[Objective, ...],
    of_claims: bool = False,
) -> ConfirmedFront | None:
    """Sum the latest confirmation up; None where there is none.

    Args:
        front: of the study.
        trials: every one.
        objectives: of the study.
        of_claims: that of the members that carry claims alone, not that of the whole front.
    """
    replicated = (t for t in trials if t.kind == "replicate")
    runs = [t for t in replicated if (t.strategy == CLAIMS) == of_claims]
    last = max((t.run for t in runs), default=-1)
    replicates: dict[str, list[TrialRow]] = {}
    for trial in runs:
        if trial.run == last and trial.state == "COMPLETE":
            replicates.setdefault(trial.key, []).append(trial)
    if not replicates:
        return None
    quality = next((o.name for o in objectives if not o.cheap), objectives[0].name)
    stand = {
        t.key: t
        for t in reversed(trials)
        if t.kind == "baseline" and t.state == "COMPLETE" and t.copy_of is None
    }
    labels = {key: f"uniform {t.origin}" for key, t in stand.items()}
    baselines = frozenset(labels)
    for key, trained in replicates.items():
        # Controls, and uniform assignments of other structural parts: no search has them.
        named = (t for t in trained if t.origin.startswith(CONTROLS))
        replicate = next(named, None)
        if key not in labels and replicate is not None:
            labels[key], stand[key] = replicate.origin, replace(replicate, values=None)
    members_of_front = {t.key: t for t in front}
    stand.update(members_of_front)
    measured = {k: _measured(replicates[k], quality) for k in stand if k in replicates}
    if not measured:
        return None
    noise = noise_of(measured.values())
    status = _statuses(measured, objectives, quality, noise)
    fraction = next(o for o in objectives if o.name == quality).unit == "fraction"
    members = []
    for key, own in measured.items():
        rival = _rival(key, measured, labels, objectives, quality) if key not in labels else None
        difference = _minus(own, measured[rival], noise) if rival else None
        members.append(
            Member(
                key=key,
                trial=stand[key].number,
                label=labels.get(key, ""),
                choices=stand[key].choices,
                searched=stand[key].values or {},
                confirmed=own.means,
                quality=own.estimate(),
                seeds=tuple(sorted({t.seed for t in replicates[key]})),
                trainings=len(replicates[key]),
                on_front=key in members_of_front,
                status=status[key] if key in members_of_front else "",
                rival=labels[rival] if rival else "",
                control=key in labels and key not in baselines,
                difference=difference,
                interval=_interval(own.estimate(), replicates[key], fraction),
                difference_interval=_within(difference, fraction),
            )
        )
    cost = first_cost(objectives)
    by = cost.name if cost is not None else quality
    first = next(iter(replicates.values()))[0]
    parents = {p for m in measured.values() if isinstance(m, FromParents) for p in m.starts}
    return ConfirmedFront(
        quality=quality,
        epochs=first.details.epochs,
        samples=first.details.test_samples,
        members=tuple(sorted(members, key=lambda m: (m.confirmed[by], m.trial))),
        missing=tuple(t.number for k, t in stand.items() if k not in measured),
        failed=sum(t.run == last and t.state == "FAIL" for t in runs),
        measured=measured,
        noise=noise,
        parents=tuple(sorted(parents)),
        training_samples=first.details.training_samples,
    )


def _measured(trials: Sequence[TrialRow], quality: str) -> AnyMeasured:
    starts: dict[FreshParent | None, dict[int, TrialRow]] = {}
    for trial in trials:
        details = trial.details
        parent = None
        if details.parent is not None:
            parent = FreshParent(details.division or 0, details.parent)
        starts.setdefault(parent, {})[trial.seed] = trial
    fresh = {parent: own for parent, own in starts.items() if parent is not None}
    return FromParents(fresh, quality) if fresh else Measured(starts[None], quality)


def _within(difference: Estimate | None, fraction: bool) -> tuple[float, float]:
    """95 % interval of a difference; two fractions differ by no more than 1."""
    low, high = difference.interval() if difference else (-math.inf, math.inf)
    return (max(low, -1.0), min(high, 1.0)) if fraction else (low, high)


def _interval(
    estimate: Estimate, trials: Sequence[TrialRow], fraction: bool
) -> tuple[float, float]:
    details = [t.details for t in trials]
    samples = {d.division or 0: d.test_samples or 0 for d in details}
    if fraction and all(samples.values()) and math.isfinite(estimate.standard_error):
        return share_interval(estimate, sum(samples.values()))
    return estimate.interval()


def _costs(means: Mapping[str, float], objectives: tuple[Objective, ...]) -> Floats:
    costs: Floats = minimized([[means[o.name] for o in objectives]], objectives)[0]
    return costs


def _statuses(
    measured: Mapping[str, AnyMeasured],
    objectives: tuple[Objective, ...],
    quality: str,
    noise: AnyNoise | None,
) -> dict[str, str]:
    """Who is still not dominated, and whose place rested on luck."""
    keys = list(measured)
    costs = np.array([_costs(measured[k].means, objectives) for k in keys])
    values = [[measured[k].means[o.name] for o in objectives] for k in keys]
    survives = representatives(values, objectives)
    sign = next(1.0 if o.direction == "max" else -1.0 for o in objectives if o.name == quality)
    status = {}
    for row, key in enumerate(keys):
        status[key] = CONFIRMED if survives[row] else UNCERTAIN
        if survives[row]:
            continue
        for other in np.flatnonzero((costs <= costs[row]).all(axis=1)):
            if other == row:
                continue
            low, high = _minus(measured[keys[other]], measured[key], noise).interval()
            if (low if sign > 0 else -high) > 0:
                status[key] = LUCK
    return status


def _rival(
    key: str,
    measured: Mapping[str, AnyMeasured],
    labels: Mapping[str, str],
    objectives: tuple[Objective, ...],
    quality: str,
) -> str | None:
    """The best uniform assignment that costs no more in any other objective."""
    others = [i for i, o in enumerate(objectives) if o.name != quality]
    column = next(i for i, o in enumerate(objectives) if o.name == quality)
    own = _costs(measured[key].means, objectives)
    able = [
        (_costs(measured[k].means, objectives)[column], k)
        for k in labels
        if k in measured
        and (_costs(measured[k].means, objectives)[others] <= own[others] * (1 + 1e-9)).all()
    ]
    return min(able)[1] if able else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
