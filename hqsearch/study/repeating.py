"""One evaluation again, with its weights kept: what was measured must come out again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hqsearch.analysis.pictures.facts import Facts, study_facts
from hqsearch.analysis.pictures.weights import weights_file
from hqsearch.errors import InputError, RunFailed
from hqsearch.search.events import Listener, guarded
from hqsearch.store.records import TrialRow
from hqsearch.study.asked import recorded_definition
from hqsearch.study.opening import Request, make_evaluator_for, require_recorded_recipe
from hqsearch.study.running import device_of

#: Differences in standard errors up to which another machine's arithmetic is taken for the reason.
LARGEST = 2.0


def keep_weights(request: Request, trial: int, listener: Listener | None = None) -> Path:
    """Make sure that a trial's weights are in the study's folder; its evaluation is done again.

    The log is only read. What comes out is compared with the accuracy that the log holds; equal
    arithmetic (machine, versions, threads) gives the very same.

    Returns:
        The file, ``weights/<trial>.safetensors`` in the study's folder.

    Raises:
        InputError: no such trial, one that was not evaluated to the end, or an evaluator that
            keeps no weights.
        RunFailed: it came to another accuracy than the log holds.
    """
    facts = study_facts(request.study, request.studies_dir, request.storage)
    path = weights_file(facts.folder, trial)
    row = _original(facts, facts.trial(trial))
    if path.exists():
        return path
    definition = recorded_definition(facts.attributes, request)
    require_recorded_recipe(definition, facts.attributes)
    request = replace(request, device=device_of(request, facts.attributes))
    evaluator = make_evaluator_for(definition, facts.folder, request)
    if not evaluator.keeps_weights:
        raise InputError(
            f"study {facts.name!r}: evaluator {definition.evaluator!r} trains no network whose "
            "weights could be drawn"
        )
    guarded(listener).note(f"trial {trial} is evaluated again, for its weights were not kept")
    fresh = path.with_name(f".{trial}.safetensors")
    candidate = evaluator.space.candidate(row.choices)
    found = evaluator.evaluate_keeping(candidate, row.seed, fresh)
    name = facts.quality.name
    logged, now = (row.values or {})[name], found.values[name]
    error = row.details.error_of(name) or 0.0
    if abs(now - logged) > LARGEST * error:
        fresh.unlink(missing_ok=True)
        raise RunFailed(
            f"trial {trial} came to {name} {now:.6g} when it was done again; the log has "
            f"{logged:.6g}. Data, parent or versions are others than they were"
        )
    same = "as logged" if now == logged else f"the log has {logged:.6g}, measured elsewhere"
    guarded(listener).note(f"{name} {now:.6g}: {same}")
    fresh.replace(path)
    return path


def _original(facts: Facts, row: TrialRow) -> TrialRow:
    """The trial that was trained.

    Raises:
        InputError: it was not evaluated to the end, or is a replicate on the test split.
    """
    while row.copy_of is not None:
        row = facts.trial(row.copy_of)
    if row.state != "COMPLETE" or row.values is None:
        raise InputError(f"trial {row.number} is {row.state}: only completed ones have weights")
    if row.imported:
        raise InputError(f"trial {row.number} was measured elsewhere: it has no weights here")
    if row.kind == "replicate":
        raise InputError(
            f"trial {row.number} is a replicate of a confirmation; name the front's own trial"
        )
    return row
