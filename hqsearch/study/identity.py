"""What tells one run of a study from another, and how it is gone on with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hqsearch.definition import SearchOptions, StudyDefinition
from hqsearch.search.stalling import PATIENCE
from hqsearch.store.records import RunRecord
from hqsearch.strategies import StrategyOptions, strategy_class
from hqsearch.wording import option


def run_identity(
    definition: StudyDefinition,
    options: StrategyOptions,
    history: tuple[int, ...] | None,
    first: int | None = None,
    between: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What, with strategy and seed, tells one run of a study from another.

    ``history`` are the runs that it may learn from, ``first`` how many trials of each, and
    ``between`` ranges of costs in which the front is to be refined.
    """
    identity: dict[str, Any] = {
        "strategy": options.model_dump(mode="json"),
        "constraints": dict(definition.constraints),
    }
    if definition.search != SearchOptions():
        identity["search"] = definition.search.model_dump(mode="json")
    if history is not None:
        identity["history"] = list(history)
    if first is not None:
        identity["first"] = first
    if between:
        identity["between"] = dict(sorted(between.items()))
    return identity


def of_its_time(run: RunRecord) -> dict[str, Any]:
    """What tells a run from others, with what options were before there was a choice."""
    before = strategy_class(run.strategy).Options.BEFORE
    return {**run.options, "strategy": {**before, **run.options["strategy"]}}


def same_run(
    runs: Sequence[RunRecord], definition: StudyDefinition, strategy: str, identity: dict[str, Any]
) -> RunRecord | None:
    """The run that is to be gone on with, as far as is asked for now; None where there is none."""
    for run in reversed(runs):
        if (run.strategy, run.seed) != (strategy, definition.seed):
            continue
        if of_its_time(run) in (identity, _by_earlier_defaults(run, identity)):
            return replace(run, evaluations=definition.evaluations)
    return None


def to_go_on(run: RunRecord) -> str:
    """How a run that has stalled is gone on with."""
    return f"running {run.strategy} with its options and {option('seed', run.seed)}, without " + (
        f"{option('until')} or with more patience ({option('until', f'stalled:{2 * PATIENCE}')}),"
    )


def _by_earlier_defaults(run: RunRecord, identity: dict[str, Any]) -> dict[str, Any]:
    """``identity`` as a release until 0.2 that logged ``run`` would have had it.

    Where an option has the default of today, the one of then stands; whoever gives another value
    asks for another run.
    """
    options = strategy_class(run.strategy).Options
    earlier = {**options.BEFORE, **options.CHANGED}
    if not run.versions.get("hqsearch", "").startswith(("0.1.", "0.2.")):
        return identity
    today = options().model_dump(mode="json")
    asked = {k: earlier.get(k, v) if v == today[k] else v for k, v in identity["strategy"].items()}
    return {**identity, "strategy": asked}
