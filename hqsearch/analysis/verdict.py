"""The verdict: does the front beat each uniform baseline?

For each baseline in the log: the front member that saves most energy and storage at an
accuracy that is better beyond the paired standard error; else one that cannot be
distinguished; else nothing. Provisional while it rests on search accuracies, which flatter
the best of many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hqsearch.analysis.paired import Difference, accuracy_difference
from hqsearch.store.records import TrialRow

#: Objectives of which less is better and whose saving is told.
COSTS = ("energy", "storage")
#: Share below which a saving is none.
LEAST = 0.005


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the front has to set against one baseline."""

    baseline: str
    trial: int
    outcome: str
    """``saves``, ``not distinguishable`` or ``saves nothing``."""
    member: int | None = None
    savings: dict[str, float] | None = None
    """Share of the baseline's cost that the member saves, by objective."""
    accuracy_difference: float | None = None
    standard_error: float | None = None
    paired: bool | None = None
    interval: tuple[float, float] | None = None
    """Of the accuracy difference, 95 %; only where it was confirmed."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def sentence(self) -> str:
        """The verdict in words."""
        if self.member is None or self.savings is None:
            return (
                f"against uniform {self.baseline}: the front saves nothing without losing accuracy"
            )
        parts = " and ".join(f"{s:.0%} {name}" for name, s in self.savings.items() if s >= LEAST)
        gap = 100 * (self.accuracy_difference or 0.0)
        error = 100 * (self.standard_error or 0.0)
        points = f"{gap:+.1f} ± {error:.1f} points, trial {self.member}"
        if self.interval is not None:
            low, high = (100 * end for end in self.interval)
            points = f"{gap:+.1f} points, 95 % {low:+.1f} to {high:+.1f}, trial {self.member}"
        if self.outcome == "saves":
            return (
                f"against uniform {self.baseline}: saves {parts} and is no less accurate ({points})"
            )
        return (
            f"against uniform {self.baseline}: saves {parts} at an accuracy that is not "
            f"distinguishable ({points})"
        )


def verdicts(front: Sequence[TrialRow], trials: Sequence[TrialRow]) -> list[Verdict]:
    """One verdict per uniform baseline that the log holds."""
    found: dict[str, Verdict] = {}
    for baseline in trials:
        if baseline.kind == "baseline" and baseline.values and baseline.origin not in found:
            found[baseline.origin] = _against(baseline, front)
    return list(found.values())


def _against(baseline: TrialRow, front: Sequence[TrialRow]) -> Verdict:
    better: list[tuple[float, TrialRow, dict[str, float], Difference]] = []
    similar: list[tuple[float, TrialRow, dict[str, float], Difference]] = []
    for member in front:
        savings = _savings(baseline, member)
        if member.key == baseline.key or not savings:
            continue
        assert member.values is not None
        assert baseline.values is not None
        difference = accuracy_difference(
            member.values["accuracy"],
            member.details,
            baseline.values["accuracy"],
            baseline.details,
        )
        entry = (sum(savings.values()), member, savings, difference)
        if difference.better:
            better.append(entry)
        elif not difference.worse:
            similar.append(entry)
    for outcome, entries in (("saves", better), ("not distinguishable", similar)):
        if entries:
            _, member, savings, difference = max(entries, key=lambda e: (e[0], -e[1].number))
            return Verdict(
                baseline.origin,
                baseline.number,
                outcome,
                member.number,
                savings,
                difference.mean,
                difference.standard_error,
                difference.paired,
            )
    return Verdict(baseline.origin, baseline.number, "saves nothing")


def _savings(baseline: TrialRow, member: TrialRow) -> dict[str, float]:
    """Savings by cost; empty where the member costs more of any, or less of none."""
    mine, theirs = member.values or {}, baseline.values or {}
    savings = {c: 1.0 - mine[c] / theirs[c] for c in COSTS if c in mine and theirs.get(c)}
    if not savings or min(savings.values()) < 0 or max(savings.values()) < LEAST:
        return {}
    return savings


def failed_baselines(trials: Sequence[TrialRow]) -> list[str]:
    """A sentence for each uniform baseline that failed and was never evaluated otherwise."""
    measured = {t.origin for t in trials if t.kind == "baseline" and t.values}
    failed: dict[str, TrialRow] = {}
    for trial in trials:
        if trial.kind == "baseline" and trial.state == "FAIL" and trial.origin not in measured:
            failed.setdefault(trial.origin, trial)
    return [
        f"against uniform {origin}: not known, for its evaluation failed (trial {t.number}, "
        f"{t.failure}: {short(t.reason)})"
        for origin, t in failed.items()
    ]


def short(reason: str) -> str:
    """A reason's first line, and not too much of it."""
    line = next(iter(reason.splitlines()), "")
    return line if len(line) <= 100 else f"{line[:99]}…"


def verdict_text(front: Sequence[TrialRow], trials: Sequence[TrialRow]) -> str:
    """The verdict against every baseline, as lines for a terminal."""
    if not any("accuracy" in (t.values or {}) for t in front):
        return "Verdict: none, for the study has no accuracy or no completed trial"
    found, failed = verdicts(front, trials), failed_baselines(trials)
    if not found and not failed:
        return "Verdict: none yet, for no uniform baseline has been evaluated"
    noise = any(t.details.accuracy_se for t in front)
    head = "Verdict"
    if noise:
        head += " (provisional: search accuracies flatter the best of many; hqsearch confirm)"
    return "\n".join(
        [f"{head}:", *(f"  {line}" for line in [*(v.sentence() for v in found), *failed])]
    )
