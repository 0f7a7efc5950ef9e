"""What a study optimizes, and how its fronts and verdicts tell values apart.

Resolution and margin are written into a study when it is made and stay: one that is chosen when
the numbers are known proves what it was chosen for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hqsearch.definition import StudyDefinition
from hqsearch.definition.study import MARGIN
from hqsearch.errors import StudyMismatch, UnknownName
from hqsearch.evaluator import Evaluator
from hqsearch.problem.objective import Objective
from hqsearch.wording import option


def objectives_of(definition: StudyDefinition, evaluator: Evaluator) -> tuple[Objective, ...]:
    """The objectives that a definition selects, with the resolution that it asks for.

    Raises:
        UnknownName: the evaluator does not offer one of them, or a resolution is of none of them.
    """
    offered = {o.name: o for o in evaluator.objectives}
    where = f"study {definition.name!r}"
    for objective in definition.objective:
        if objective.name not in offered:
            raise UnknownName("objective", objective.name, offered, where)
    selected = [offered[o.name] for o in definition.objective]
    for name in definition.resolution:
        if name not in {o.name for o in selected}:
            names = [o.name for o in selected]
            raise UnknownName("objective", name, names, f"{where} [resolution]")
    asked = definition.resolution
    return tuple(replace(o, resolution=asked.get(o.name, o.resolution)) for o in selected)


def recorded_objectives(
    definition: StudyDefinition, objectives: tuple[Objective, ...], study: Mapping[str, Any]
) -> tuple[Objective, ...]:
    """The objectives at the resolution that the study was made with.

    Args:
        definition: as it is asked for now; what it does not name is as recorded.
        objectives: that it selects.
        study: the log's facts of the study.

    Raises:
        StudyMismatch: another resolution or margin is asked for than the recorded one.
    """
    kept = {o["name"]: float(o.get("resolution", 0.0)) for o in study["objectives"]}
    told = [
        f"resolution.{name}: {kept[name]:g} in the study, {asked:g} asked for"
        for name, asked in definition.resolution.items()
        if asked != kept.get(name)
    ]
    margin, asked = margin_of(study), definition.verdict.margin
    if asked is not None and asked != margin:
        told.append(f"verdict.margin: {margin:g} in the study, {asked:g} asked for")
    if told:
        raise StudyMismatch(
            f"study {definition.name!r} was made with another: {'; '.join(told)}. It stays as it "
            f"was when the study was made; leave it out, or use another {option('studies_dir')}, "
            f"or {option('fresh', True)} to move the old study aside."
        )
    by_model = {o["name"]: bool(o.get("modelled", False)) for o in study["objectives"]}
    return tuple(replace(o, resolution=kept[o.name], modelled=by_model[o.name]) for o in objectives)


def margin_of(study: Mapping[str, Any]) -> float:
    """Percentage points that the verdict of a study calls as accurate; by its facts in the log."""
    return float(study.get("margin", MARGIN))
