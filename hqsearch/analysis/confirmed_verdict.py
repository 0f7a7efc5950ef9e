"""The verdict on a study: on its confirmation, where there is one, else on its search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hqsearch.analysis.bounds import TRAINING_NOISE, lower_bound
from hqsearch.analysis.confirmation import CONTROLS, LUCK, ConfirmedFront, Member, confirmation_of
from hqsearch.analysis.rules import Terms
from hqsearch.analysis.verdict import (
    Contender,
    Verdict,
    failed_baselines,
    judged,
    savings,
    sentences,
    short,
    verdict_text,
)
from hqsearch.problem.objective import Objective
from hqsearch.store.records import TrialRow


def confirmed_verdicts(confirmation: ConfirmedFront, terms: Terms | None = None) -> list[Verdict]:
    """One verdict per confirmed baseline and control.

    By front members that are none of them and whose place did not rest on luck.
    """
    terms = terms or Terms()
    able = [m for m in confirmation.members if m.on_front and m.status != LUCK and not m.label]
    judges = [m for m in confirmation.members if m.label]
    contenders = {
        judge.key: [one for m in able if (one := _contender(confirmation, m, judge)) is not None]
        for judge in judges
    }
    comparisons = sum(map(len, contenders.values()))
    found = []
    for judge in judges:
        named = Verdict(judge.label.removeprefix("uniform "), judge.trial, "", label=judge.label)
        verdict = judged(named, contenders[judge.key], terms.margin, comparisons)
        member = next((m for m in able if m.trial == verdict.member), None)
        if member is not None:
            low, high = confirmation.difference(member, judge).interval()
            verdict = replace(verdict, interval=(max(low, -1.0), min(high, 1.0)))
        found.append(verdict)
    return found


def _contender(confirmation: ConfirmedFront, member: Member, judge: Member) -> Contender | None:
    saved = savings(member.confirmed, judge.confirmed)
    if not saved:
        return None
    gap = confirmation.difference(member, judge)
    if not math.isfinite(gap.standard_error):
        return None  # no training of both had the same seed
    samples = confirmation.all_samples or 0
    if confirmation.divisions > 1:
        trained = confirmation.training_samples
        overlap = (confirmation.samples or 0) / trained if trained else 1.0
        count, unit = confirmation.divisions, "splits"
        return Contender(member.trial, saved, gap, True, samples, count, unit, overlap)
    parents = len(confirmation.parents)
    if parents > 1:
        return Contender(member.trial, saved, gap, True, samples, parents, "parents")
    return Contender(member.trial, saved, gap, True, samples, len(member.seeds))


def control_lines(confirmation: ConfirmedFront) -> list[str]:
    """What the search buys over the strongest control at no more cost: its best member."""
    able = [m for m in confirmation.members if m.on_front and m.status != LUCK and not m.label]
    labels = {m.label: m for m in confirmation.members if m.label}
    bounds = []
    for member in able:
        if member.rival:
            gap = confirmation.difference(member, labels[member.rival])
            bounds.append((lower_bound(gap, len(able)), -member.trial, member, gap))
    if not bounds:
        return []
    low, _, member, gap = max(bounds, key=lambda entry: entry[:2])
    told = f"{100 * gap.mean:+.1f} points from {member.rival} at no more cost"
    if gap.standard_error == 0:
        lines = [f"the search against the strongest controls: trial {member.trial}, {told}"]
    elif low > 0:
        lines = [
            f"the search against the strongest controls: trial {member.trial} is more accurate, "
            f"{told}, at least {100 * low:+.1f} (95 %)"
        ]
    else:
        lines = [
            "the search against the strongest controls: no member is shown to be more accurate; "
            f"nearest trial {member.trial}, {told}, at most {-100 * low:.1f} points worse (95 %)"
        ]
    if not any(m.control for m in confirmation.members):
        lines.append("no control but uniform assignments on offer was confirmed; hqsearch confirm")
    return lines


def study_verdict(
    front: Sequence[TrialRow],
    trials: Sequence[TrialRow],
    objectives: tuple[Objective, ...],
    study: Mapping[str, Any] | None = None,
) -> str:
    """The verdict on a study: on its confirmation, where there is one, else provisional.

    Args:
        front: of the study.
        trials: every one.
        objectives: of the study.
        study: what its log holds of it: margin, rules, parent.
    """
    terms = Terms() if study is None else Terms.of(study)
    confirmation = confirmation_of(front, trials, objectives)
    if (
        confirmation is None
        or confirmation.quality != "accuracy"
        or not any(m.label for m in confirmation.members)
    ):
        return verdict_text(front, trials, terms)
    if confirmation.missing and all(m.label for m in confirmation.members):
        # A confirmation that has just begun, or that the front has moved on from since.
        return "\n".join([verdict_text(front, trials, terms), *_gaps(confirmation)])
    if terms.hopeless:
        return f"Verdict: none, {terms.hopeless}"
    lines = [f"Verdict (confirmed: {basis(confirmation)}; {terms.told}):"]
    told = [*confirmed_verdicts(confirmation, terms), *failed_baselines(trials)]
    lines += [f"  {line}" for line in sentences(told)]
    lines += [f"  {line}" for line in _failed_replicates(confirmation, trials)]
    lines += [f"  {line}" for line in control_lines(confirmation)]
    lines += _gaps(confirmation)
    return "\n".join(lines)


def _failed_replicates(confirmation: ConfirmedFront, trials: Sequence[TrialRow]) -> list[str]:
    """A sentence for each uniform baseline of which no replicate succeeded."""
    confirmed = {member.key for member in confirmation.members}
    replicates = [t for t in trials if t.kind == "replicate"]
    last = max((t.run for t in replicates), default=-1)
    failed: dict[str, TrialRow] = {}
    for trial in replicates:
        if trial.run == last and trial.state == "FAIL" and trial.key not in confirmed:
            failed.setdefault(trial.origin, trial)
    return [
        f"against {origin}: not confirmed, for its replicates failed (trial {t.number}, "
        f"{t.failure}: {short(t.reason)})"
        for origin, t in failed.items()
        if origin.startswith(CONTROLS)
    ]


def basis(confirmation: ConfirmedFront) -> str:
    """What confirmed means rest on: seeds, samples, epochs."""
    text = confirmation.trained
    if confirmation.all_samples:
        text += f", {confirmation.all_samples} test samples"
    return text + (f", {confirmation.epochs} epochs" if confirmation.epochs else "")


def _gaps(confirmation: ConfirmedFront) -> list[str]:
    """What a reader must know about what is missing."""
    lines = []
    if confirmation.missing:
        numbers = ", ".join(map(str, sorted(confirmation.missing)))
        lines.append(f"not in this confirmation: trial {numbers}; hqsearch confirm trains them too")
    if confirmation.failed:
        lines.append(f"{confirmation.failed} replicates failed; hqsearch trials says why")
    if confirmation.seeds == 1 and confirmation.noise is None:
        noise = f"{100 * TRAINING_NOISE:g} points"
        lines.append(f"one seed: trainings are taken to vary by {noise}; more --seeds measure it")
    return lines
