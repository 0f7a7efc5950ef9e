"""The verdict on a study: on its confirmation, where there is one, else on its search."""

from __future__ import annotations

from collections.abc import Sequence

from hqsearch.analysis.confirmation import LUCK, Confirmation, Member, confirmation_of
from hqsearch.analysis.verdict import COSTS, LEAST, Verdict, failed_baselines, short, verdict_text
from hqsearch.problem.objective import Objective
from hqsearch.store.records import TrialRow


def confirmed_verdicts(confirmation: Confirmation) -> list[Verdict]:
    """One verdict per confirmed baseline, by front members whose place did not rest on luck.

    More accurate is what is so with 95 %; not distinguishable what is no more than a standard
    error below, for with few seeds an interval of 95 % holds much that is clearly worse.
    """
    able = [m for m in confirmation.members if m.on_front and m.status != LUCK]
    return [
        _verdict(confirmation, baseline, able)
        for baseline in confirmation.members
        if baseline.label
    ]


def _verdict(confirmation: Confirmation, baseline: Member, able: Sequence[Member]) -> Verdict:
    name = baseline.label.removeprefix("uniform ")
    better, similar = [], []
    for member in able:
        savings = _savings(member, baseline)
        if member.key == baseline.key or not savings:
            continue
        gap = confirmation.difference(member, baseline)
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
    confirmation = confirmation_of(front, trials, objectives)
    if (
        confirmation is None
        or confirmation.quality != "accuracy"
        or not any(m.label for m in confirmation.members)
    ):
        return verdict_text(front, trials)
    if confirmation.missing and all(m.label for m in confirmation.members):
        # A confirmation that has just begun, or that the front has moved on from since.
        return "\n".join([verdict_text(front, trials), *_gaps(confirmation)])
    lines = [f"Verdict (confirmed: {basis(confirmation)}):"]
    lines += [f"  {v.sentence()}" for v in confirmed_verdicts(confirmation)]
    lines += [f"  {line}" for line in failed_baselines(trials)]
    lines += [f"  {line}" for line in _failed_replicates(confirmation, trials)]
    lines += _gaps(confirmation)
    return "\n".join(lines)


def _failed_replicates(confirmation: Confirmation, trials: Sequence[TrialRow]) -> list[str]:
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
        if origin.startswith("uniform ")
    ]


def basis(confirmation: Confirmation) -> str:
    """What confirmed means rest on: seeds, samples, epochs."""
    many = "seeds" if confirmation.seeds > 1 else "seed"
    text = f"{confirmation.seeds} fresh {many} a candidate"
    if confirmation.samples:
        text += f", {confirmation.samples} test samples"
    return text + (f", {confirmation.epochs} epochs" if confirmation.epochs else "")


def _gaps(confirmation: Confirmation) -> list[str]:
    """What a reader must know about what is missing."""
    lines = []
    if confirmation.missing:
        numbers = ", ".join(map(str, sorted(confirmation.missing)))
        lines.append(f"not confirmed: trial {numbers}; hqsearch confirm measures them too")
    if confirmation.failed:
        lines.append(f"{confirmation.failed} replicates failed; hqsearch trials says why")
    if confirmation.seeds == 1:
        lines.append("one seed: how much a training varies is not in these errors")
    return lines
