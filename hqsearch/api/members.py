"""Which trial is meant, however it is said."""

from __future__ import annotations

from hqsearch.api.chosen import Chosen
from hqsearch.api.trials import Trial
from hqsearch.errors import DefinitionError

#: A trial, its number, or what ``choose`` gave.
Member = int | Trial | Chosen


def member_number(member: object) -> int:
    """The number of a trial.

    Raises:
        DefinitionError: it says none.
    """
    if isinstance(member, Chosen):
        return member.trial.number
    if isinstance(member, Trial):
        return member.number
    if isinstance(member, int) and not isinstance(member, bool):
        return member
    raise DefinitionError(
        f"a member is a trial, its number, or what choose() gave, not {member!r}"[:300]
    )
