"""The members of a confirmed front that carry its claims, and what each is held against.

Long trainings from several parents of a whole front take days. So ``confirm --claims`` trains at
most :data:`MOST` members, picked by a rule that no result of theirs can change: the cheapest, the
knee and the most accurate as the search measured them, then those that the verdicts of the
confirmation name, the one that saves most first; and of each the strongest control at no more cost,
as that confirmation found it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hqsearch.analysis.confirmation import ConfirmedFront, Member, confirmation_of
from hqsearch.analysis.confirmed_verdict import confirmed_verdicts
from hqsearch.analysis.rules import Terms
from hqsearch.errors import InputError
from hqsearch.store.records import CONFIRM, RunRecord
from hqsearch.study.controls import Searched

#: Members of a study that are trained so.
MOST = 5
#: Key of a confirmation's options that says that it is of claims alone.
CLAIMS: Final = "claims"


def claims(
    searched: Searched, runs: Sequence[RunRecord], terms: Terms, name: str
) -> dict[str, str]:
    """Keys of the members that carry claims and of their controls, with where each comes from.

    Args:
        searched: the study.
        runs: all of its runs.
        terms: of its verdicts.
        name: of the study.

    Raises:
        InputError: there is no confirmation of the whole front to pick by.
    """
    parts = {r.ordinal for r in runs if r.strategy == CONFIRM and CLAIMS in r.options}
    whole = [t for t in searched.trials if t.run not in parts]
    confirmation = confirmation_of(searched.front, whole, searched.objectives)
    if confirmation is None or not any(m.label for m in confirmation.members):
        raise InputError(
            "--claims picks by a confirmation of the whole front, and there is none yet: "
            f"hqsearch confirm --study {name}"
        )
    labels = {m.label: m for m in confirmation.members if m.label}
    chosen: dict[str, str] = {}
    for member in _carriers(searched, confirmation, terms):
        if member.rival:
            control = labels[member.rival]
            chosen[control.key] = control.label
        chosen[member.key] = f"front, trial {member.trial}"
    return dict(sorted(chosen.items(), key=lambda entry: entry[1].startswith("front")))


def _carriers(searched: Searched, confirmation: ConfirmedFront, terms: Terms) -> list[Member]:
    members = {m.trial: m for m in confirmation.members if m.on_front and not m.label}
    told = [v for v in confirmed_verdicts(confirmation, terms) if v.member is not None]
    told.sort(key=lambda v: (v.outcome not in ("saves", "gains"), -sum((v.savings or {}).values())))
    named = [t.number for t in searched.claimed] + [v.member for v in told if v.member is not None]
    return [members[n] for n in dict.fromkeys(named) if n in members][:MOST]
