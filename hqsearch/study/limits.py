"""Limits that nobody can meet, refused as early as costs are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hqsearch.definition import StudyDefinition
from hqsearch.errors import BudgetError
from hqsearch.evaluator import Ahead, Evaluator
from hqsearch.problem.additive import AdditiveTables
from hqsearch.problem.budgets import Budgets, parse_budgets
from hqsearch.problem.space import Space


def check_limits(
    definition: StudyDefinition,
    evaluator: Evaluator,
    another: Callable[[], Evaluator],
    fractions: Mapping[str, float] | None = None,
) -> list[str]:
    """Refuse limits that nobody meets, before anything is made; tell of those that bind nobody.

    What rests on firing rates is known once there is a trained parent, and is judged by then.

    Args:
        another: makes an evaluator like ``evaluator``, whose prepared costs are read: what it has
            read must not outlive what a preparation makes anew.
        fractions: what a strategy is to reach, by metric, as a part of the fp32 network's.

    Raises:
        DefinitionError: a limit that cannot be read, whatever it comes to.
        BudgetError: no candidate meets one, or all together.
    """
    ones = dict.fromkeys(evaluator.metrics, 1.0)
    parse_budgets(definition.constraints, evaluator.metrics, ones)
    if not definition.constraints and not fractions:
        return []
    prepared = another()
    try:
        reference = prepared.reference()
    except Exception:  # of any kind: it has to be prepared first
        known, overflows = _ahead(evaluator), {}
    else:
        known = Ahead(prepared.metrics, prepared.cheap, reference)
        overflows = dict(prepared.overflows())
    if known is None:
        return []
    asked = {k: v for k, v in definition.constraints.items() if k in known.metrics}
    limits = parse_budgets(asked, known.metrics, known.reference)
    told = Budgets(limits, evaluator.space, known.metrics, known.cheap, overflows).check()
    _require_reached(known, evaluator.space, fractions or {}, overflows)
    return told


def _require_reached(
    known: Ahead, space: Space, fractions: Mapping[str, float], overflows: Mapping[str, Any]
) -> None:
    tables = AdditiveTables(space, known.cheap, overflows=overflows)
    for metric, fraction in fractions.items():
        if metric in known.metrics:
            least, _ = tables.extremes(known.metrics.index(metric))
            least /= known.reference[metric]
            if fraction < least * (1.0 - 1e-9):
                raise BudgetError(
                    f"target {metric} <= {fraction:g} fp32 cannot be met: the cheapest candidate "
                    f"needs {least:.3g}"
                )


def _ahead(evaluator: Evaluator) -> Ahead | None:
    try:
        return evaluator.ahead()
    except Exception:  # what is wrong with data or network is told by whoever checks them
        return None
