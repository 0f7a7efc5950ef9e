"""What the integer code of a trained member executes, beside what the cost model counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from hqsearch.errors import InputError
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import Objective
from hqsearch.store.records import TrialRow
from hqsearch.study.asked import recorded_definition
from hqsearch.study.exporting import find_kept
from hqsearch.study.models import WEIGHTS, loaded
from hqsearch.study.opening import Request, make_evaluator_for, study_folder
from hqsearch.study.running import read_study

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from hqsearch.export.counted import CountedCosts
    from hqsearch.hardware import Profile

#: Samples of the validation split that are run.
SAMPLES: Final = 32


@runtime_checkable
class Countable(Protocol):
    """What an evaluator must offer beyond its contract, so that operations can be counted."""

    @property
    def profile(self) -> Profile: ...
    def stored_frames(self, candidate: Candidate, count: int) -> npt.NDArray[np.uint8]:
        """Samples as the network's encoding stores them, [N, T, C, H, W]."""


def count_operations(request: Request, trial: int, samples: int = SAMPLES) -> CountedCosts:
    """Run a trained member in integers on samples of validation, and compare.

    Raises:
        InputError: there is no such study or trial, it was not trained, or its evaluator has no
            samples to run.
        ExportError: a part of the network has no integer form.
    """
    from hqsearch.export.counted import counted_costs
    from hqsearch.hardware import rates_from_json

    kept = find_kept(request, trial)
    attributes, _, trials = read_study(request)
    definition = recorded_definition(attributes, request)
    folder = study_folder(definition.name, request.studies_dir)
    evaluator = make_evaluator_for(definition, folder, request)
    if not isinstance(evaluator, Countable):
        raise InputError(
            f"study {definition.name!r}: evaluator {definition.evaluator!r} has no samples that "
            "could be run in integers"
        )
    objectives = tuple(Objective(**o) for o in attributes["study"]["objectives"])
    row = TrialRow.of(next(t for t in trials if t.number == trial), objectives)
    recorded = row.details.rates
    candidate = evaluator.space.candidate(kept.manifest["choices"])
    _, workload = evaluator.trained(candidate, kept.folder / WEIGHTS)
    return counted_costs(
        loaded(kept, evaluator).integers(),
        workload,
        evaluator.profile,
        evaluator.stored_frames(candidate, samples),
        None if recorded is None else rates_from_json(recorded),
    )
