"""By which rules a study's front and verdict are made.

Rules are numbered, and a study records those that it was made under. Rules 1 are those of 0.1 and
0.2: a front that tells every difference, of accuracies as they were measured; and verdicts at one
standard error, of which most were false on other trainings. Rules 2 give fronts a resolution,
choose them by the means of a model of accuracy where it has skill, and give verdicts bounds that
hold. Studies of before keep their front, and what is said of it is said by the rules of now:
verdicts are made when they are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hqsearch.analysis.proportion import wilson_interval
from hqsearch.definition.study import MARGIN
from hqsearch.problem.budgets import Budget
from hqsearch.problem.objective import ACCURACY, Objective
from hqsearch.problem.resolution import resolution_text
from hqsearch.store.fronts import front_of
from hqsearch.store.records import TrialRow
from hqsearch.wording import option

#: Of studies that are made now.
RULES = 2


@dataclass(frozen=True, slots=True)
class Terms:
    """What a study has fixed beforehand, and what its verdict starts from.

    Attributes:
        margin: within which accuracies are alike (fraction).
        made_under: rules of the study's front.
        parent: accuracy, validation samples and the accuracy of chance, where they are recorded.
    """

    margin: float = MARGIN / 100
    made_under: int = RULES
    parent: tuple[float, int, float] | None = None

    @classmethod
    def of(cls, study: Mapping[str, Any]) -> Terms:
        """By the log's facts of a study."""
        given = study.get("parent")
        parent = (
            (float(given["accuracy"]), int(given["samples"]), float(given["chance"]))
            if given
            else None
        )
        margin = float(study.get("margin", MARGIN)) / 100
        return cls(margin, int(study.get("rules", 1)), parent)

    @property
    def told(self) -> str:
        """By which rules, in words."""
        if self.made_under == RULES:
            return f"rules {RULES}"
        return f"rules {RULES}, on a front of rules {self.made_under}"

    @property
    def hopeless(self) -> str:
        """Why nothing can be said; empty where something can."""
        if self.parent is None:
            return ""
        accuracy, samples, chance = self.parent
        low, _ = wilson_interval(round(accuracy * samples), samples)
        if low > chance:
            return ""
        return (
            f"for the fp32 parent is not above chance ({100 * accuracy:.1f} % of {samples} "
            f"validation samples, the largest class has {100 * chance:.1f} %): what is found from "
            "it says nothing"
        )


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
    without = tuple(replace(o, resolution=0.0) for o in objectives)
    members = front_of(trials, without, budgets) if told else list(front)
    every, lost = len(members), len(members) - len(front)
    if lost <= 0:
        return ""
    if len(front) == 1:
        best = max((t.values or {}).get(ACCURACY.name, 0.0) for t in members)
        left = f"trial {front[0].number}"
        if (front[0].values or {}).get(ACCURACY.name) == best:
            left += ", the most accurate"
        return (
            f"Resolution ({told}): it is so coarse that of {every} members one is left, {left}; "
            f"{option('raw', True)} shows the others"
        )
    gone = "1 member is" if lost == 1 else f"{lost} members are"
    return f"Resolution ({told}): {gone} not told from another; {option('raw', True)} shows them"
