"""The verdict: what the front has to set against each uniform baseline, and how surely.

For each baseline the front member that saves most energy and storage and is *more accurate*, or *as
accurate* (less so by no more than the study's margin), with 95 %; where none saves, the one that
gains accuracy at no more cost; else what cannot be told, with a bound and what would tell. The
bounds hold for whatever member is picked (:mod:`hqsearch.analysis.bounds`). Uniform assignments
that are on the front are no finds of the search and stand for nothing.

Provisional while it rests on search accuracies: one training each, on the split searched on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from hqsearch.analysis.bounds import (
    Needed,
    lower_bound,
    needed,
    needed_splits,
    single_training,
)
from hqsearch.analysis.paired import accuracy_difference
from hqsearch.analysis.replicates import Estimate
from hqsearch.analysis.rules import RULES, Terms
from hqsearch.analysis.words import one_line
from hqsearch.store.fronts import measured_here
from hqsearch.store.records import TrialRow

#: Objectives of which less is better and whose saving is told.
COSTS = ("energy", "storage")
#: Share below which a saving is none.
LEAST = 0.005


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the front has to set against one baseline or control."""

    baseline: str
    trial: int
    outcome: str
    """``saves``, ``gains``, ``not distinguishable``, ``saves nothing`` or ``failed``."""
    member: int | None = None
    savings: dict[str, float] | None = None
    """Share of the baseline's cost that the member saves, by objective."""
    accuracy_difference: float | None = None
    standard_error: float | None = None
    paired: bool | None = None
    interval: tuple[float, float] | None = None
    """Of the accuracy difference, 95 %, of this member alone; only where it was confirmed."""
    label: str = ""
    """What it is called: ``uniform 4u``, or a control's name."""
    accuracy: str | None = None
    """``more`` or ``as`` accurate, of a member that saves."""
    bound: float | None = None
    """What the accuracy difference exceeds with 95 %, for whatever member is picked."""
    margin: float | None = None
    """Below 0 by no more than this is as accurate."""
    comparisons: int | None = None
    """Of how many differences this one was picked."""
    samples: int | None = None
    needed_samples: int | None = None
    """With which it could be told whether the member is as accurate."""
    needed_seeds: int | None = None
    needed_unit: str = "seeds"
    """What ``needed_seeds`` counts: ``seeds``, ``parents``, or ``splits``."""
    reason: str = ""
    """Of a failure."""
    rules: int = RULES

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def sentence(self) -> str:
        """The verdict in words."""
        head = f"against {self.label or f'uniform {self.baseline}'}:"
        if self.outcome == "failed":
            return (
                f"{head} not known, for its evaluation failed (trial {self.trial}, {self.reason})"
            )
        if self.member is None:
            near = "as accurate" if self.margin is None else f"within {_margin(self.margin)} of it"
            return f"{head} the search found nothing that costs less and is measured {near}"
        saved = " and ".join(f"{s:.0%} {n}" for n, s in (self.savings or {}).items() if s >= LEAST)
        gap, trial = f"{_points(self.accuracy_difference or 0.0)} points", f"trial {self.member}"
        least = "" if self._exact else f", at least {_points(self.bound or 0.0)} (95 %)"
        if self.outcome == "gains":
            return f"{head} {gap} more accurate at no more cost{least}, {trial}".replace("+", "", 1)
        if self.accuracy == "more":
            return f"{head} saves {saved} and is more accurate ({gap}{least}, {trial})"
        worst = "" if self._exact else f", {self._worst} (95 %)"
        if self.accuracy == "as":
            return f"{head} saves {saved} and is as accurate ({gap}{worst}, {trial})"
        return f"{head} saves {saved}; {gap}{worst}, {trial}"

    @property
    def _exact(self) -> bool:
        return self.standard_error == 0

    @property
    def _worst(self) -> str:
        return f"at most {100 * max(0.0, -(self.bound or 0.0)):.1f} points worse"


def sentences(verdicts: Sequence[Verdict]) -> list[str]:
    """Every verdict in words, then what would tell those that cannot be told."""
    lines = [verdict.sentence() for verdict in verdicts]
    open_ = [v for v in verdicts if v.outcome != "failed" and v.needed_samples is not None]
    for samples, margin in dict.fromkeys((v.samples, v.margin or 0.0) for v in open_):
        alike = [v for v in open_ if (v.samples, v.margin or 0.0) == (samples, margin)]
        members = sorted({v.member for v in alike if v.member is not None})
        named = ", ".join(map(str, members))
        which = f"trial {named} is" if len(members) == 1 else f"trials {named} are"
        lines.append(
            f"whether {which} as accurate (within {_margin(margin)}) cannot be told with "
            f"{samples:,} samples: {_needed(alike)} would"
        )
    return lines


def _needed(verdicts: Sequence[Verdict]) -> str:
    """Samples, and trainings where one of each is not enough, that would tell all of them."""
    many = f"about {_range([v.needed_samples or 0 for v in verdicts])}"
    unit, counts = verdicts[0].needed_unit, [v.needed_seeds or 1 for v in verdicts]
    if unit == "splits":
        return f"{many} in {_range(counts)} splits"
    return f"{many} and {_range(counts)} {unit} of each" if max(counts) > 1 else many


def _range(counts: Sequence[int]) -> str:
    least, most = min(counts), max(counts)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _margin(margin: float) -> str:
    return f"{100 * margin:g} point{'' if round(100 * margin, 9) == 1 else 's'}"


def _points(difference: float) -> str:
    text = f"{100 * difference:+.1f}"
    return "+0.0" if text == "-0.0" else text


@dataclass(frozen=True, slots=True)
class Contender:
    """A member that costs no more than a baseline, and how much more accurate it is."""

    number: int
    savings: dict[str, float]
    gap: Estimate
    paired: bool = True
    samples: int = 0
    seeds: int = 1
    unit: str = "seeds"
    """What ``seeds`` counts: ``seeds``, ``parents``, or ``splits`` that share ``samples``."""
    overlap: float = 0.0
    """Of splits: test over training samples."""

    def needed(self, comparisons: int, margin: float) -> Needed | None:
        """What would tell whether it is as accurate."""
        if self.unit == "splits":
            return needed_splits(
                self.gap, comparisons, margin, self.samples, self.seeds, self.overlap
            )
        found = needed(self.gap, comparisons, margin, self.samples, self.seeds)
        return found if found is None else replace(found, unit=self.unit)


def judged(
    baseline: Verdict, contenders: Iterable[Contender], margin: float, comparisons: int
) -> Verdict:
    """The verdict against one baseline.

    Args:
        baseline: its name, label and trial.
        contenders: members that cost no more of anything.
        margin: within which accuracies are alike (fraction).
        comparisons: differences that this and the other verdicts pick from.
    """
    saving, gaining, open_ = [], [], []
    for one in contenders:
        bound, saved = lower_bound(one.gap, comparisons), sum(one.savings.values())
        if max(one.savings.values()) < LEAST:
            gaining += [(bound, -one.number, one)] if bound > 0 else []
        elif bound >= -margin:
            saving.append((saved, -one.number, one))
        elif one.gap.mean >= -margin:
            open_.append((saved, -one.number, one))
    baseline = replace(baseline, margin=margin, comparisons=comparisons)
    for outcome, found in (("saves", saving), ("gains", gaining), ("not distinguishable", open_)):
        if found:
            one = max(found, key=lambda entry: entry[:2])[2]
            return _told(baseline, outcome, one)
    return replace(baseline, outcome="saves nothing")


def _told(baseline: Verdict, outcome: str, one: Contender) -> Verdict:
    assert baseline.margin is not None
    assert baseline.comparisons is not None
    bound, exact = lower_bound(one.gap, baseline.comparisons), one.gap.standard_error == 0
    better = one.gap.mean > 0 if exact else bound > 0
    more = None
    if outcome == "not distinguishable":
        more = one.needed(baseline.comparisons, baseline.margin)
    return replace(
        baseline,
        outcome=outcome,
        member=one.number,
        savings=one.savings,
        accuracy_difference=one.gap.mean,
        standard_error=one.gap.standard_error,
        paired=one.paired,
        accuracy=("more" if better else "as") if outcome == "saves" else None,
        bound=bound,
        samples=one.samples or None,
        needed_samples=more.samples if more else None,
        needed_seeds=more.seeds if more else None,
        needed_unit=more.unit if more else "seeds",
    )


def savings(mine: dict[str, float], theirs: dict[str, float]) -> dict[str, float]:
    """Shares saved by cost; empty where there is more of any."""
    found = {c: 1.0 - mine[c] / theirs[c] for c in COSTS if c in mine and theirs.get(c)}
    return found if found and min(found.values()) >= 0 else {}


def verdicts(
    front: Sequence[TrialRow], trials: Sequence[TrialRow], terms: Terms | None = None
) -> list[Verdict]:
    """One provisional verdict per uniform baseline that the log holds, failed ones last.

    Args:
        front: of the study.
        trials: all that its searches evaluated; the front was picked from them.
        terms: of the study.
    """
    terms = terms or Terms()
    baselines: dict[str, TrialRow] = {}
    for trial in trials:
        if trial.kind == "baseline" and trial.values:
            baselines.setdefault(trial.origin, trial)
    uniform = {t.key for t in baselines.values()}
    members = [t for t in front if t.key not in uniform]
    comparisons = _comparisons(list(baselines.values()), trials, uniform)
    found = []
    for origin, baseline in baselines.items():
        named = Verdict(origin, baseline.number, "", label=f"uniform {origin}")
        contenders = [
            one for member in members if (one := _contender(member, baseline)) is not None
        ]
        found.append(judged(named, contenders, terms.margin, comparisons))
    return [*found, *failed_baselines(trials)]


def _comparisons(
    baselines: Sequence[TrialRow], trials: Sequence[TrialRow], uniform: set[str]
) -> int:
    """Differences that a search could have come up with: whatever it found that costs no more."""
    evaluated: dict[tuple[str, ...], TrialRow] = {}
    for trial in measured_here(trials):
        if trial.values and trial.kind not in ("replicate", "baseline"):
            evaluated.setdefault(tuple(trial.choices.values()), trial)
    others = [t.values or {} for t in evaluated.values() if t.key not in uniform]
    return sum(bool(savings(values, b.values or {})) for b in baselines for values in others)


def _contender(member: TrialRow, baseline: TrialRow) -> Contender | None:
    mine, theirs = member.values or {}, baseline.values or {}
    saved = savings(mine, theirs)
    if not saved:
        return None
    details = member.details
    gap = accuracy_difference(mine["accuracy"], details, theirs["accuracy"], baseline.details)
    samples = details.validation_samples or 0
    return Contender(member.number, saved, single_training(gap), gap.paired, samples)


def failed_baselines(trials: Sequence[TrialRow]) -> list[Verdict]:
    """One for each uniform baseline that failed and was never evaluated otherwise."""
    measured = {t.origin for t in trials if t.kind == "baseline" and t.values}
    failed: dict[str, TrialRow] = {}
    for trial in trials:
        if trial.kind == "baseline" and trial.state == "FAIL" and trial.origin not in measured:
            failed.setdefault(trial.origin, trial)
    return [
        Verdict(
            origin,
            t.number,
            "failed",
            label=f"uniform {origin}",
            reason=f"{t.failure}: {one_line(t.reason)}",
        )
        for origin, t in failed.items()
    ]


def verdict_text(
    front: Sequence[TrialRow], trials: Sequence[TrialRow], terms: Terms | None = None
) -> str:
    """The verdict against every baseline, as lines for a terminal."""
    terms = terms or Terms()
    if not any("accuracy" in (t.values or {}) for t in front):
        measured = next((n for t in front for n in t.details.standard_errors or ()), None)
        if measured is not None:
            return (
                f"Verdict: none, for its bounds are those of accuracies, and the study measures "
                f"{measured}; hqsearch confirm compares every member with the uniform assignments"
            )
        if any(t.state == "COMPLETE" for t in trials):
            return "Verdict: none, for nothing that the study measures is an accuracy"
        return "Verdict: none, for no trial has completed"
    if terms.hopeless:
        return f"Verdict: none, {terms.hopeless}"
    found = verdicts(front, trials, terms)
    if not found:
        return "Verdict: none yet, for no uniform baseline has been evaluated"
    noise = any(t.details.accuracy_se for t in front)
    head = f"Verdict ({terms.told}"
    if noise:
        head += "; provisional: search accuracies flatter the best of many; hqsearch confirm"
    lines = [*sentences(found), *_below_parent(trials, terms)]
    return "\n".join([f"{head}):", *(f"  {line}" for line in lines)])


def _below_parent(trials: Sequence[TrialRow], terms: Terms) -> list[str]:
    """Says so where uniform fp32, which savings are held against, is worse than its own parent."""
    uniform = [
        (t.values or {})["accuracy"]
        for t in trials
        if t.kind == "baseline" and t.origin == "fp32" and "accuracy" in (t.values or {})
    ]
    if not uniform or terms.parent is None or terms.parent[0] - uniform[0] <= terms.margin:
        return []
    return [
        f"uniform fp32 has {100 * uniform[0]:.1f} %, the fp32 parent that trainings start from "
        f"{100 * terms.parent[0]:.1f} %: a training as short as the search's costs the rest"
    ]


def finite(value: float) -> float | None:
    """A number that JSON can hold."""
    return value if math.isfinite(value) else None
