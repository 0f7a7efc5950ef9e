"""The kept model of a trial as a network again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hqsearch.analysis.overview import require_study
from hqsearch.definition import study_name
from hqsearch.errors import InputError
from hqsearch.problem.objective import Objective
from hqsearch.store.log import LogReader, storage_url
from hqsearch.store.records import TrialRow
from hqsearch.study.asked import recorded_definition
from hqsearch.study.models import KeptModel, loaded, read_kept, require_trainable, untrained
from hqsearch.study.opening import Request, make_evaluator_for, study_folder
from hqsearch.study.running import read_study

if TYPE_CHECKING:
    from hqsearch.export.trained import TrainedModel


def kept_model(request: Request, trial: int) -> TrainedModel:
    """The network of a trial that was trained finally, on the CPU.

    Raises:
        InputError: there is no such study or trial, it was not trained (with the command that
            does, or why it cannot be), or what was kept is not there any more.
    """
    kept = find_kept(request, trial)
    attributes, _, _ = read_study(request)
    definition = recorded_definition(attributes, request)
    folder = study_folder(definition.name, request.studies_dir)
    return loaded(kept, make_evaluator_for(definition, folder, request))


def find_kept(request: Request, trial: int) -> KeptModel:
    """The files of a trial's model.

    Raises:
        InputError: as :func:`kept_model`.
    """
    require_study(study_name(request.study), request.studies_dir, request.storage)
    attributes, runs, trials = read_study(request)
    name = str(attributes["study"]["name"])
    folder = study_folder(name, request.studies_dir)
    reader = LogReader(storage_url(request.storage, folder), study_name(request.study))
    try:
        models = reader.models()
    finally:
        reader.close()
    if trial in models:
        return read_kept(name, folder, models[trial])
    record = next((t for t in trials if t.number == trial), None)
    if record is None:
        raise InputError(f"study {name!r} has no trial {trial}; it has {len(trials)}")
    objectives = tuple(Objective(**o) for o in attributes["study"]["objectives"])
    row = TrialRow.of(record, objectives)
    require_trainable(row, next(r for r in runs if r.ordinal == row.run), objectives, name)
    raise untrained(trial, request, name, models)
