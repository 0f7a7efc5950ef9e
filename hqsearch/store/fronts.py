"""Fronts of recorded trials: at the objectives' resolution, by the means of the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hqsearch.problem.budgets import Budget
from hqsearch.problem.objective import Objective, first_cost
from hqsearch.problem.resolution import representatives
from hqsearch.store.modelled import FEWEST, MOST, Modelled, modelled
from hqsearch.store.records import IMPORTED, TrialRow


def front_of(
    trials: Sequence[TrialRow],
    objectives: tuple[Objective, ...],
    budgets: Sequence[Budget] = (),
) -> list[TrialRow]:
    """The non-dominated, feasible, completed candidates, each once, by their first trial.

    At the objectives' resolution: of those that it does not tell apart there is one. By the means
    of the model where an objective is modelled and the model has skill.

    Sorted by the first minimized objective, cheapest first. What was measured here stands for a
    candidate before what was imported, of which there are no means.
    """
    evaluated = _evaluated(trials)
    feasible = [t for t in evaluated if _within(t, budgets)]
    if not feasible:
        return []
    names, means = [o.name for o in objectives], means_of(evaluated, objectives)
    values = [
        by_means([(t.values or {})[n] for n in names], means.get(t.number), objectives)
        for t in feasible
    ]
    marked = representatives(values, objectives)
    chosen = [t for t, keep in zip(feasible, marked, strict=True) if keep]
    cost = first_cost(objectives)
    by = cost.name if cost is not None else names[0]
    return sorted(chosen, key=lambda t: ((t.values or {})[by], t.number))


def by_means(
    values: Sequence[float], modelled: Modelled | None, objectives: Sequence[Objective]
) -> list[float]:
    """The values that fronts, choices and hypervolumes go by.

    Args:
        values: as measured, in the order of the objectives.
        modelled: what the model makes of the candidate; None where it is not asked.
    """
    if modelled is None:
        return list(values)
    pairs = zip(objectives, values, strict=True)
    return [modelled.mean if objective.modelled else value for objective, value in pairs]


def means_by_key(
    trials: Sequence[TrialRow], objectives: tuple[Objective, ...]
) -> dict[str, Modelled]:
    """As :func:`means_of`, by the candidate's text key."""
    means = means_of(trials, objectives)
    return {t.key: means[t.number] for t in trials if t.number in means} if means else {}


def means_of(trials: Sequence[TrialRow], objectives: tuple[Objective, ...]) -> dict[int, Modelled]:
    """What the model makes of the modelled objective, by trial; empty where it has no skill."""
    name = next((o.name for o in objectives if o.modelled), None)
    evaluated = measured_here(_evaluated(trials))
    if name is None or not FEWEST <= len(evaluated) <= MOST:
        return {}
    if not all('"accuracy_se"' in t.details_json for t in evaluated):
        return {}
    measured = [
        (tuple(t.choices.items()), (t.values or {})[name], float(t.details.accuracy_se or 0.0))
        for t in evaluated
    ]
    return {evaluated[place].number: found for place, found in modelled(measured).items()}


def _evaluated(trials: Sequence[TrialRow]) -> list[TrialRow]:
    """Completed candidates of searches, each by its first trial."""
    first: dict[tuple[str, ...], TrialRow] = {}
    for trial in sorted(trials, key=lambda t: t.kind == IMPORTED):
        if trial.state == "COMPLETE" and trial.kind != "replicate" and trial.values:
            # Of one study, so in one order; their keys would take longer than all the rest.
            first.setdefault(tuple(trial.choices.values()), trial)
    return list(first.values())


def measured_here(trials: Iterable[TrialRow]) -> list[TrialRow]:
    """Without what was imported: all that verdicts, confirmations and choices rest on."""
    return [t for t in trials if t.kind != IMPORTED]


def own_front_of(
    front: Sequence[TrialRow],
    trials: Sequence[TrialRow],
    objectives: tuple[Objective, ...],
    budgets: Sequence[Budget] = (),
) -> list[TrialRow]:
    """The front of what was measured here; ``front`` itself where nothing was imported."""
    own = measured_here(trials)
    return list(front) if len(own) == len(trials) else front_of(own, objectives, budgets)


def _within(trial: TrialRow, budgets: Sequence[Budget]) -> bool:
    measured: dict[str, float | None] = {**(trial.values or {}), "average_bits": trial.average_bits}
    if any(measured.get(b.metric) is None for b in budgets):
        measured = dict(trial.details.measured or {})  # a budget on what is no objective
    limited = [(measured.get(b.metric), b.limit) for b in budgets]
    return all(value is not None and value <= limit for value, limit in limited)
