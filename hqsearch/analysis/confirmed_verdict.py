"""The verdict on a study: on its confirmation, where there is one, else on its search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hqsearch.analysis.bounds import TRAINING_NOISE, lower_bound
from hqsearch.analysis.confirmation import CONTROLS, LUCK, ConfirmedFront, Member, confirmation_of
from hqsearch.analysis.replicates import Estimate
from hqsearch.analysis.rules import Terms
from hqsearch.analysis.verdict import (
    Contender,
    Verdict,
    failed_baselines,
    judged,
    savings,
    sentences,
    verdict_text,
)
from hqsearch.analysis.words import one_line
from hqsearch.problem.objective import Objective
from hqsearch.store.records import TrialRow


def confirmed_verdicts(
    confirmation: ConfirmedFront, terms: Terms | None = None, picked_from: int = 0
) -> list[Verdict]:
    """One verdict per confirmed baseline and control.

    By front members that are none of them and whose place did not rest on luck.

    Args:
        confirmation: of a front.
        terms: of the study's verdicts.
        picked_from: differences that the members were picked from, where those were more.
    """
    terms = terms or Terms()
    able = _able(confirmation)
    judges = [m for m in confirmation.members if m.label]
    contenders = {
        judge.key: [one for m in able if (one := _contender(confirmation, m, judge)) is not None]
        for judge in judges
    }
    comparisons = max(picked_from, sum(map(len, contenders.values())))
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


def _able(confirmation: ConfirmedFront) -> list[Member]:
    """Members of the front that are no controls and whose place did not rest on luck."""
    return [m for m in confirmation.members if m.on_front and m.status != LUCK and not m.label]


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


@dataclass(frozen=True, slots=True)
class Strongest:
    """The member that does best against the strongest control at no more cost."""

    member: Member
    gap: Estimate
    bound: float
    """What the difference exceeds with 95 %, whatever member is picked."""


def strongest(confirmation: ConfirmedFront, picked_from: int = 0) -> Strongest | None:
    """That member; None where no control costs as little as any.

    Args:
        confirmation: of a front.
        picked_from: members that those were picked from, where they were more.
    """
    able = _able(confirmation)
    labels = {m.label: m for m in confirmation.members if m.label}
    many = max(picked_from, len(able))
    gaps = [(m, confirmation.difference(m, labels[m.rival])) for m in able if m.rival]
    found = [Strongest(m, gap, lower_bound(gap, many)) for m, gap in gaps]
    return max(found, key=lambda one: (one.bound, -one.member.trial), default=None)


def control_lines(confirmation: ConfirmedFront, picked_from: int = 0) -> list[str]:
    """What the search buys over the strongest control at no more cost: its best member."""
    best = strongest(confirmation, picked_from)
    if best is None:
        return []
    told = f"{100 * best.gap.mean:+.1f} points from {best.member.rival} at no more cost"
    head = "the search against the strongest controls:"
    if best.gap.standard_error == 0:
        lines = [f"{head} trial {best.member.trial}, {told}"]
    elif best.bound > 0:
        lines = [
            f"{head} trial {best.member.trial} is more accurate, {told}, at least "
            f"{100 * best.bound:+.1f} (95 %)"
        ]
    else:
        lines = [
            f"{head} no member is shown to be more accurate; nearest trial {best.member.trial}, "
            f"{told}, at most {-100 * best.bound:.1f} points worse (95 %)"
        ]
    if not any(m.control for m in confirmation.members):
        lines.append("no control but uniform assignments on offer was confirmed; hqsearch confirm")
    return lines


def claims_lines(whole: ConfirmedFront, claimed: ConfirmedFront | None, terms: Terms) -> list[str]:
    """What the members that carry claims came to when they were trained for that.

    They were picked by the confirmation of the whole front, on the same test samples, so bounds
    hold for as many differences as were looked at there.

    Args:
        whole: that confirmation.
        claimed: the trainings of claims; nothing is told where there are none.
        terms: of the study's verdicts.
    """
    if claimed is None:
        return []
    lines = [f"Claims (confirmed: {basis(claimed)}; picked from the whole front, and so bounded):"]
    looked = max((v.comparisons or 0 for v in confirmed_verdicts(whole, terms)), default=0)
    found = [v for v in confirmed_verdicts(claimed, terms, looked) if v.member is not None]
    lines += [f"  {line}" for line in sentences(found)]
    lines += [f"  {line}" for line in control_lines(claimed, len(_able(whole)))[:1]]
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
    claimed = confirmation_of(front, trials, objectives, of_claims=True)
    lines += claims_lines(confirmation, claimed, terms)
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
        f"{t.failure}: {one_line(t.reason)})"
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
        lines.append(f"not confirmed: trial {numbers}; hqsearch confirm measures them too")
    if confirmation.failed:
        lines.append(f"{confirmation.failed} replicates failed; hqsearch trials says why")
    if confirmation.seeds == 1 and confirmation.noise is None:
        noise = f"{100 * TRAINING_NOISE:g} points"
        lines.append(f"one seed: trainings are taken to vary by {noise}; more --seeds measure it")
    return lines
