"""What a confirmation came to: who survives, and the verdict that rests on it.

Means over fresh seeds on the test split, for the present front and the uniform baselines; how
they are compared is in :mod:`hqsearch.analysis.replicates`. A front member that another candidate
dominates beyond the error of their difference had its place by luck.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from hqsearch.analysis.replicates import Estimate, Floats, Measured
from hqsearch.analysis.verdict import COSTS, LEAST, Verdict, verdict_text
from hqsearch.problem.objective import Objective, minimized
from hqsearch.problem.pareto import non_dominated
from hqsearch.show.tables import value_text
from hqsearch.store.records import TrialRow

CONFIRMED, UNCERTAIN, LUCK = "confirmed", "within the error", "rested on luck"
#: How a member's status is marked in a table.
MARKS = {CONFIRMED: "✓", UNCERTAIN: "~", LUCK: "✗"}
MEANING = (
    "✓ not dominated on the confirmed means; ~ dominated, but within the error; "
    "✗ dominated beyond it: its place rested on luck"
)


@dataclass(frozen=True)
class Member:
    """A confirmed candidate.

    Attributes:
        trial: the search trial that stands for it.
        label: ``uniform 4u``, or nothing for a candidate that is no baseline.
        searched: what the search measured, by objective.
        confirmed: means over the replicates, by objective.
        quality: of the measured objective (accuracy), with its error.
        seeds: of the replicates that were completed.
        status: of a front member; empty for a baseline that is not on the front.
        rival: label of the best uniform assignment that costs no more; empty where there is
            none, or where this is a uniform assignment itself.
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

    def as_json(self) -> dict[str, Any]:
        low, high = self.quality.interval()
        data: dict[str, Any] = {
            "trial": self.trial,
            "label": self.label,
            "on_front": self.on_front,
            "status": self.status,
            "seeds": list(self.seeds),
            "searched": self.searched,
            "confirmed": self.confirmed,
            "standard_error": _finite(self.quality.standard_error),
            "interval": [_finite(low), _finite(high)],
            "rival": self.rival or None,
            "choices": self.choices,
        }
        if self.difference is not None:
            low, high = self.difference.interval()
            data["difference"] = {
                "mean": self.difference.mean,
                "standard_error": _finite(self.difference.standard_error),
                "interval": [_finite(low), _finite(high)],
            }
        return data


@dataclass(frozen=True)
class Confirmation:
    """The latest confirmation of a study, as far as the present front goes.

    ``missing`` are trials of front members and baselines without a replicate.
    """

    quality: str
    epochs: int | None
    samples: int | None
    members: tuple[Member, ...]
    missing: tuple[int, ...]
    failed: int
    measured: Mapping[str, Measured] = field(repr=False)

    def of(self, key: str) -> Member | None:
        """The confirmed candidate with this key, if it is one."""
        return next((m for m in self.members if m.key == key), None)

    def difference(self, one: Member, other: Member) -> Estimate:
        """Of the measured objective, paired."""
        return self.measured[one.key].minus(self.measured[other.key])

    @property
    def seeds(self) -> int:
        """Fewest replicates of any member."""
        return min(len(m.seeds) for m in self.members)

    def as_json(self) -> dict[str, Any]:
        return {
            "objective": self.quality,
            "epochs": self.epochs,
            "test_samples": self.samples,
            "seeds": self.seeds,
            "failed": self.failed,
            "missing": list(self.missing),
            "members": [m.as_json() for m in self.members],
        }


def confirmation_of(
    front: Sequence[TrialRow], trials: Sequence[TrialRow], objectives: tuple[Objective, ...]
) -> Confirmation | None:
    """Sum the latest confirmation up; None where there is none."""
    runs = [t for t in trials if t.kind == "replicate"]
    last = max((t.run for t in runs), default=-1)
    replicates: dict[str, dict[int, TrialRow]] = {}
    for trial in runs:
        if trial.run == last and trial.state == "COMPLETE":
            replicates.setdefault(trial.key, {})[trial.seed] = trial
    if not replicates:
        return None
    quality = next((o.name for o in objectives if not o.cheap), objectives[0].name)
    stand = {
        t.key: t
        for t in reversed(trials)
        if t.kind == "baseline" and t.state == "COMPLETE" and t.copy_of is None
    }
    labels = {key: f"uniform {t.origin}" for key, t in stand.items()}
    members_of_front = {t.key: t for t in front}
    stand.update(members_of_front)
    measured = {k: Measured(replicates[k], quality) for k in stand if k in replicates}
    if not measured:
        return None
    status = _statuses(measured, objectives, quality)
    members = []
    for key, own in measured.items():
        rival = _rival(key, measured, labels, objectives, quality) if key not in labels else None
        members.append(
            Member(
                key=key,
                trial=stand[key].number,
                label=labels.get(key, ""),
                choices=stand[key].choices,
                searched=stand[key].values or {},
                confirmed=own.means,
                quality=own.estimate(),
                seeds=tuple(own.trials),
                on_front=key in members_of_front,
                status=status[key] if key in members_of_front else "",
                rival=labels[rival] if rival else "",
                difference=own.minus(measured[rival]) if rival else None,
            )
        )
    by = next((o.name for o in objectives if o.direction == "min"), quality)
    first = next(iter(next(iter(replicates.values())).values()))
    return Confirmation(
        quality=quality,
        epochs=first.details.get("epochs"),
        samples=first.details.get("test_samples"),
        members=tuple(sorted(members, key=lambda m: (m.confirmed[by], m.trial))),
        missing=tuple(t.number for k, t in stand.items() if k not in measured),
        failed=sum(t.run == last and t.state == "FAIL" for t in runs),
        measured=measured,
    )


def _costs(means: Mapping[str, float], objectives: tuple[Objective, ...]) -> Floats:
    costs: Floats = minimized([[means[o.name] for o in objectives]], objectives)[0]
    return costs


def _statuses(
    measured: Mapping[str, Measured], objectives: tuple[Objective, ...], quality: str
) -> dict[str, str]:
    """Who is still not dominated, and whose place rested on luck."""
    keys = list(measured)
    costs = np.array([_costs(measured[k].means, objectives) for k in keys])
    survives = non_dominated(costs)
    sign = next(1.0 if o.direction == "max" else -1.0 for o in objectives if o.name == quality)
    status = {}
    for row, key in enumerate(keys):
        status[key] = CONFIRMED if survives[row] else UNCERTAIN
        if survives[row]:
            continue
        for other in np.flatnonzero((costs <= costs[row]).all(axis=1)):
            if other == row:
                continue
            low, high = measured[keys[other]].minus(measured[key]).interval()
            if (low if sign > 0 else -high) > 0:
                status[key] = LUCK
    return status


def _rival(
    key: str,
    measured: Mapping[str, Measured],
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


def confirmed_verdicts(found: Confirmation) -> list[Verdict]:
    """One verdict per confirmed baseline, by front members whose place did not rest on luck.

    More accurate is what is so with 95 %; not distinguishable what is no more than a standard
    error below, for with few seeds an interval of 95 % holds much that is clearly worse.
    """
    able = [m for m in found.members if m.on_front and m.status != LUCK]
    return [_verdict(found, baseline, able) for baseline in found.members if baseline.label]


def _verdict(found: Confirmation, baseline: Member, able: Sequence[Member]) -> Verdict:
    name = baseline.label.removeprefix("uniform ")
    better, similar = [], []
    for member in able:
        savings = _savings(member, baseline)
        if member.key == baseline.key or not savings:
            continue
        gap = found.difference(member, baseline)
        low, _ = gap.interval()
        entry = (sum(savings.values()), -member.trial, member, savings, gap)
        if low > 0 or (gap.standard_error == 0 and gap.mean >= 0):
            better.append(entry)
        elif gap.mean >= -gap.standard_error:
            similar.append(entry)
    for outcome, entries in (("saves", better), ("not distinguishable", similar)):
        if entries:
            _, _, member, savings, gap = max(entries, key=lambda e: e[:2])
            return Verdict(
                name,
                baseline.trial,
                outcome,
                member.trial,
                savings,
                gap.mean,
                gap.standard_error,
                True,
                gap.interval(),
            )
    return Verdict(name, baseline.trial, "saves nothing")


def _savings(member: Member, baseline: Member) -> dict[str, float]:
    """Savings by cost; empty where the member costs more of any, or less of none."""
    mine, its = member.confirmed, baseline.confirmed
    savings = {c: 1.0 - mine[c] / its[c] for c in COSTS if c in mine and its.get(c)}
    if not savings or min(savings.values()) < 0 or max(savings.values()) < LEAST:
        return {}
    return savings


def study_verdict(
    front: Sequence[TrialRow], trials: Sequence[TrialRow], objectives: tuple[Objective, ...]
) -> str:
    """The verdict on a study: on its confirmation, where there is one, else provisional."""
    found = confirmation_of(front, trials, objectives)
    if found is None or found.quality != "accuracy" or not any(m.label for m in found.members):
        return verdict_text(front, trials)
    if found.missing and all(m.label for m in found.members):
        # A confirmation that has just begun, or that the front has moved on from since.
        return "\n".join([verdict_text(front, trials), *_gaps(found)])
    lines = [f"Verdict (confirmed: {_basis(found)}):"]
    lines += [f"  {v.sentence()}" for v in confirmed_verdicts(found)]
    lines += _gaps(found)
    return "\n".join(lines)


def _basis(found: Confirmation) -> str:
    many = "seeds" if found.seeds > 1 else "seed"
    text = f"{found.seeds} fresh {many} a candidate"
    if found.samples:
        text += f", {found.samples} test samples"
    return text + (f", {found.epochs} epochs" if found.epochs else "")


def _gaps(found: Confirmation) -> list[str]:
    """What a reader must know about what is missing."""
    lines = []
    if found.missing:
        numbers = ", ".join(map(str, sorted(found.missing)))
        lines.append(f"not confirmed: trial {numbers}; hqsearch confirm measures them too")
    if found.failed:
        lines.append(f"{found.failed} replicates failed; hqsearch trials says why")
    if found.seeds == 1:
        lines.append("one seed: how much a training varies is not in these errors")
    return lines


def front_marks(found: Confirmation | None) -> dict[int, str]:
    """Trial → confirmed accuracy and mark, for the table of the front."""
    if found is None or found.quality != "accuracy":
        return {}
    return {
        m.trial: f"{100 * m.quality.mean:.1f} {MARKS[m.status]}" for m in found.members if m.status
    }


def confirmation_table(found: Confirmation, objectives: tuple[Objective, ...], study: str) -> Table:
    """Confirmed candidates, cheapest first."""
    table = Table(
        title=f"Confirmation of {study}: {_basis(found)}",
        title_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("trial  ", justify="right", no_wrap=True)
    measured = next(o for o in objectives if o.name == found.quality)
    costs = [o for o in objectives if o.name != found.quality]
    for name in (found.quality, "± SE", "searched"):
        table.add_column(name, justify="right", no_wrap=True)
    for objective in costs:
        unit = "" if objective.unit == "fraction" else f"\n{objective.unit}"
        table.add_column(f"{objective.name}{unit}", justify="right", no_wrap=True)
    table.add_column("against uniform", no_wrap=True)
    for member in found.members:
        table.add_row(
            f"{member.trial} {MARKS.get(member.status, ' ')}",
            value_text(measured, member.confirmed[found.quality]),
            _in_unit(measured, member.quality.standard_error),
            value_text(measured, member.searched.get(found.quality)),
            *(value_text(o, member.confirmed[o.name]) for o in costs),
            _rival_text(measured, member),
        )
    return table


def _rival_text(objective: Objective, member: Member) -> str:
    if member.difference is None:
        return f"is {member.label}" if member.label else "none as cheap"
    low, high = (_in_unit(objective, v, "+") for v in member.difference.interval())
    mean = _in_unit(objective, member.difference.mean, "+")
    return f"{member.rival.removeprefix('uniform ')} {mean} ({low}…{high})"


def _in_unit(objective: Objective, value: float, sign: str = "") -> str:
    """Fractions in percent points."""
    if not math.isfinite(value):
        return "–"
    return f"{100 * value:{sign}.1f}" if objective.unit == "fraction" else f"{value:{sign}.3g}"


def confirmation_text(found: Confirmation) -> str:
    """What the marks mean, and who did not hold."""
    lines = [
        f"{MEANING}.",
        "Against uniform: difference from the best uniform assignment at no more cost, with its "
        "95 % interval; paired by seed and sample where samples were recorded. Every interval "
        "holds by itself, not all of them together.",
    ]
    luck = [str(m.trial) for m in found.members if m.status == LUCK]
    held = sum(m.status == CONFIRMED for m in found.members)
    front = sum(m.on_front for m in found.members)
    lines.append(f"{held} of {front} front members are confirmed.")
    if luck:
        lines.append(f"Rested on luck: trial {', '.join(luck)}.")
    return "\n".join(lines)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
