"""Ranges of interest of a run: refused before anything is made where nobody can heed them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hqsearch.errors import InputError
from hqsearch.evaluator import Evaluator
from hqsearch.problem.budgets import OWN_UNIT, Budgets
from hqsearch.problem.interest import OUTSIDE, Range, check_range, parse_ranges
from hqsearch.problem.objective import Objective
from hqsearch.strategies import Strategy
from hqsearch.wording import option


def check_interest(
    between: Mapping[str, str],
    kind: type[Strategy],
    options: Any,
    objectives: Sequence[Objective],
) -> None:
    """Refuse what cannot be read, and strategies that do not look at it.

    Raises:
        InputError: what is wrong; nothing was made.
    """
    parse_ranges(between, _costs(objectives), dict.fromkeys(_costs(objectives), 1.0))
    if not kind.aims(options):
        raise InputError(
            f"{option('between')}: {kind.name} as it is asked for does not look at ranges; nsga2 "
            "with its model (strategy.nsga2.assist) and sensitivity do, and gumbel takes targets"
        )


def interest_of(
    between: Mapping[str, str],
    evaluator: Evaluator,
    objectives: Sequence[Objective],
    budgets: Budgets,
) -> tuple[Range, ...]:
    """Ranges in the costs' own units, once costs are known.

    Raises:
        BudgetError: no candidate lies in one.
    """
    if not between:
        return ()
    found = parse_ranges(between, _costs(objectives), evaluator.reference())
    for own in found:
        check_range(own, *budgets.extremes(own.metric), budgets.budgets)
    return found


def aimed(interest: Sequence[Range]) -> list[str]:
    """What a run says of its ranges."""
    return [
        f"{own.metric} between {own.low:.4g} and {own.high:.4g} {OWN_UNIT.get(own.metric, '')}: "
        f"what is gained elsewhere counts {100 * OUTSIDE:.0f} %"
        for own in interest
    ]


def _costs(objectives: Sequence[Objective]) -> list[str]:
    return [o.name for o in objectives if o.cheap and o.direction == "min"]
