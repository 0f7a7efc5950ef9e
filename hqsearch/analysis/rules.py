"""By which rules a study's front and verdict are made.

Rules are numbered, and a study records those that it was made under. Rules 1 are those of 0.1 and
0.2: the front tells every difference. Rules 2 give it a resolution.
"""

from __future__ import annotations

from collections.abc import Sequence

from hqsearch.problem.budgets import Budget
from hqsearch.problem.objective import Objective
from hqsearch.problem.resolution import plain, resolution_text
from hqsearch.store.records import TrialRow, front_of

#: Of studies that are made now.
RULES = 2


def resolution_note(
    front: Sequence[TrialRow],
    trials: Sequence[TrialRow],
    objectives: tuple[Objective, ...],
    budgets: Sequence[Budget] = (),
) -> str:
    """How many members a front lost to its resolution; empty where it lost none.

    Args:
        front: at the objectives' resolution.
        trials: every one of the study.
    """
    told = resolution_text(objectives)
    every = len(front_of(trials, plain(objectives), budgets)) if told else len(front)
    lost = every - len(front)
    if lost <= 0:
        return ""
    if len(front) == 1:
        return (
            f"Resolution ({told}): all {every} members lie within it, and one is left, the most "
            "accurate; --raw shows the others"
        )
    members = "1 member is" if lost == 1 else f"{lost} members are"
    return f"Resolution ({told}): {members} not told from another; --raw shows them"
