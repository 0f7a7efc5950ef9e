"""The members of a confirmed front that carry its claims, and what each is held against.

Long trainings from several parents of a whole front take days. So ``confirm --claims`` trains at
most :data:`MOST` members, picked by a rule that no result of theirs can change: the cheapest, the
knee and the most accurate as the search measured them, then the one that the confirmation puts
against the strongest controls, then those that its verdicts name, who saves most first. Each is
held against the strongest control at no more cost, as that confirmation found it, and against the
uniform assignments and controls that a verdict calls it as accurate as, or more so.
"""

from __future__ import annotations

from collections.abc import Sequence

from hqsearch.analysis.confirmation import ConfirmedFront, Member, confirmation_of
from hqsearch.analysis.confirmed_verdict import confirmed_verdicts, strongest
from hqsearch.analysis.rules import Terms
from hqsearch.analysis.verdict import Verdict
from hqsearch.errors import InputError
from hqsearch.study.controls import Searched
from hqsearch.wording import option

#: Members of a study that are trained so.
MOST = 5


def confirmed_whole(searched: Searched, name: str) -> ConfirmedFront:
    """The confirmation of the whole front, which claims are picked by.

    Raises:
        InputError: there is none, or it lacks members.
    """
    found = confirmation_of(searched.front, searched.trials, searched.objectives)
    again = f"hqsearch confirm --study {name}"
    if found is None or not any(m.label for m in found.members):
        raise InputError(
            f"{option('claims', True)} picks by a confirmation of the whole front, and there is "
            f"none yet: {again}"
        )
    if found.missing:
        numbers = ", ".join(map(str, sorted(found.missing)))
        raise InputError(
            f"{option('claims', True)} picks by a confirmation of the whole front, and the last "
            f"one lacks trial {numbers}: {again}"
        )
    return found


def claims(searched: Searched, confirmation: ConfirmedFront, terms: Terms) -> dict[str, str]:
    """Keys of the members that carry claims and of their controls, with where each comes from.

    Raises:
        InputError: every member of the front is a uniform assignment.
    """
    told = [v for v in confirmed_verdicts(confirmation, terms) if v.member is not None]
    carriers = _carriers(searched, confirmation, told)
    if not carriers:
        raise InputError(
            "every member of the front is a uniform assignment or a control: there is nothing that "
            "the search claims"
        )
    labels = {m.label: m for m in confirmation.members if m.label}
    numbers = {m.trial for m in carriers}
    judges = [v.label for v in told if v.member in numbers and not _open(v)]
    wanted = dict.fromkeys([*(m.rival for m in carriers if m.rival), *judges])
    if not wanted:  # nothing costs as little: the cheapest of all is the nearest
        nearest = min(labels.values(), key=lambda m: _costs(m, confirmation.quality))
        wanted = dict.fromkeys([nearest.label])
    chosen = {labels[label].key: label for label in wanted}
    return chosen | {m.key: f"front, trial {m.trial}" for m in carriers}


def _carriers(
    searched: Searched, confirmation: ConfirmedFront, told: Sequence[Verdict]
) -> list[Member]:
    members = {m.trial: m for m in confirmation.members if m.on_front and not m.label}
    ranked = sorted(told, key=lambda v: (_open(v), -sum((v.savings or {}).values())))
    named = [t.number for t in searched.claimed]
    best = strongest(confirmation)
    named += [best.member.trial] if best is not None else []
    named += [v.member for v in ranked if v.member is not None]
    return [members[n] for n in dict.fromkeys(named) if n in members][:MOST]


def _open(verdict: Verdict) -> bool:
    """Whether it claims nothing: the bound is told, and what would tell more."""
    return verdict.outcome not in ("saves", "gains")


def _costs(member: Member, quality: str) -> list[float]:
    return [value for name, value in member.confirmed.items() if name != quality]
