"""``hqsearch confirm``: what is trained again, with fresh seeds, and measured on test.

What a search calls its front are the best of many noisy measurements. A confirmation trains
the front's candidates and the uniform baselines anew, with several seeds that no search has
used, and measures them on the test split, which no search has seen. These trials are
*replicates*: they belong to a run of their own, count towards no number of evaluations, are
never answers to a proposal, and no strategy is told of them.

By default all start from the study's own parent, as the search's trainings did; with ``parents``
from others that are trained for it, with ``splits`` from parents of other divisions of the
recordings as well. How they are trained: :mod:`hqsearch.study.replicating`; the same command goes
on after an interruption. What it comes to is in :mod:`hqsearch.analysis.confirmation`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from hqsearch.analysis.confirmation import ConfirmedFront
from hqsearch.analysis.rules import Terms
from hqsearch.atomic import full_disk_told
from hqsearch.definition import StudyDefinition, located_definition
from hqsearch.errors import InputError
from hqsearch.evaluator import Evaluator, FreshParent
from hqsearch.evaluator.registry import evaluator_class, evaluator_names
from hqsearch.evaluator.tasks import SCORES, ScoresResult, ScoresTask, answer_from_json
from hqsearch.executors.task import StrategyWork, Task
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import Objective
from hqsearch.problem.space import Space
from hqsearch.search.events import Listener, guarded
from hqsearch.search.failures import require_some
from hqsearch.store.fronts import front_of, measured_here
from hqsearch.store.log import StudyLog
from hqsearch.store.records import CLAIMS, CONFIRM, IMPORTED, RunRecord, TrialRecord, TrialRow
from hqsearch.study.claims import claims, confirmed_whole
from hqsearch.study.controls import Searched
from hqsearch.study.controls import controls as controls_of
from hqsearch.study.expecting import duration
from hqsearch.study.given import require_test_split
from hqsearch.study.opening import (
    OpenStudy,
    Request,
    make_evaluator_for,
    open_study,
    require_recorded_recipe,
)
from hqsearch.study.opening import study_folder as folder_of
from hqsearch.study.replicating import Replicate, Replicating
from hqsearch.study.running import device_of, read_study
from hqsearch.wording import option

#: Set the seeds of confirmations and their parents apart from whatever else is derived from a
#: study's seed.
_STREAM, _PARENTS = 0x636F6E66, 0x70617265

#: What a confirmation trains: all, with controls (:mod:`hqsearch.study.controls`); the front and
#: the uniform assignments; or the members that carry claims (:mod:`hqsearch.study.claims`).
Among = Literal["all", "front", "claims"]


@dataclass(frozen=True)
class Confirmed:
    """What a confirmation did."""

    study: str
    candidates: int
    replicates: int
    failed: int
    recovered: int
    parents: int = 0


@dataclass(frozen=True)
class Starts:
    """What the trainings of a confirmation start from.

    Attributes:
        parents: to train anew; None: the study's own parent, with ``splits`` one of each.
        splits: divisions of the recordings into train and test, each with parents of its own;
            None: the study's own division alone.
    """

    parents: int | None = None
    splits: int | None = None

    @property
    def fresh(self) -> str:
        """What is drawn anew besides seeds: ``parents``, ``splits``, or nothing."""
        if self.splits is not None:
            return "splits"
        return "" if self.parents is None else "parents"

    def trainings(self, seed: int, seeds: int) -> list[tuple[int, FreshParent | None]]:
        """Seed of each training of a candidate, and the parent that it starts from."""
        if not self.fresh:
            return [(own, None) for own in fresh_seeds(seed, seeds)]
        found: list[tuple[int, FreshParent | None]] = []
        for division in range(self.splits or 1):
            of = (division,) if division else ()
            drawn = fresh_seeds(seed, self.parents or 1, _PARENTS, *of)
            for parent in (FreshParent(division, s) for s in drawn):
                found += [(own, parent) for own in fresh_seeds(seed, seeds, *of)]
        return found


def among(controls: bool, only_claims: bool) -> Among:
    """What two switches of a person ask for.

    Raises:
        InputError: they contradict each other.
    """
    if only_claims and not controls:
        raise InputError(
            f"{option('claims', True)} trains the strongest controls, {option('controls', False)} "
            "none: give one of the two"
        )
    return CLAIMS if only_claims else "all" if controls else "front"


def fresh_seeds(seed: int, count: int, *of: int) -> list[int]:
    """``count`` seeds, the same ones every time, none of them ``seed`` itself.

    More of them begin with the same ones.

    Args:
        of: what they are for, where not for trainings on the study's own recordings.
    """
    drawn = np.random.SeedSequence([seed, _STREAM, *of]).generate_state(count + 8) % 2**31
    distinct = dict.fromkeys(int(s) for s in drawn if int(s) != seed)
    return list(itertools.islice(distinct, count))


@full_disk_told()
def confirm(
    request: Request,
    seeds: int,
    epochs: int | Literal["final"] | None,
    listener: Listener | None = None,
    which: Among = "all",
    starts: Starts | None = None,
) -> Confirmed:
    """Retrain the front, the uniform assignments of a study, and what no search proposed.

    Args:
        request: its study, and where it runs; strategy, seed and overrides mean nothing here.
        seeds: trainings of each candidate, from each parent.
        epochs: of each; those of the search by default, ``final``: as many as ``train`` takes.
        listener: is told how far it is.
        which: what is trained.
        starts: what trainings start from; the study's own parent by default.

    Raises:
        InputError: there is no front yet, or the evaluator cannot confirm; nothing was started.
        RunFailed: every parent or every replicate failed.
        DiskFull: no space left; everything finished is saved.
    """
    listener = guarded(listener)
    attributes, runs, trials = read_study(request)
    definition = located_definition(attributes, request.study, request.studies_dir)
    require_recorded_recipe(definition, attributes)
    _require(definition)
    objectives = tuple(Objective(**o) for o in attributes["study"]["objectives"])
    request = replace(request, device=device_of(request, attributes))
    evaluator = make_evaluator_for(
        definition, folder_of(definition.name, request.studies_dir), request
    )
    length = _final_epochs(evaluator) if epochs == "final" else epochs
    evaluator.require_confirmable(length)
    starts = starts or Starts()
    if starts.fresh:
        evaluator.require_fresh_parents(starts.splits or 1)
    searched = searched_in(runs, trials, objectives)
    if which == CLAIMS:
        whole = confirmed_whole(searched, definition.name)
        _require_other(whole, length, starts)
        chosen = claims(searched, whole, Terms.of(attributes["study"]))
    else:
        chosen = candidates(searched, evaluator.space)
    if not chosen:
        raise InputError(f"study {definition.name!r} has no completed trial to confirm yet")
    with ExitStack() as stack:
        opened = stack.enter_context(open_study(definition, request, evaluator, listener))
        log = opened.open_log()
        stack.callback(log.close)
        if which == "all":
            for key, name in controls_of(searched, evaluator, _Scores(opened, log)).items():
                # A uniform assignment keeps its name; a member that a control is, is the control.
                if not chosen.get(key, "").startswith("uniform "):
                    chosen[key] = name
        trainings = starts.trainings(int(evaluator.options.seed), seeds)
        wanted = [
            Replicate(key, origin, seed, parent)
            for seed, parent in trainings
            for key, origin in chosen.items()
        ]
        listener.note(_plan(len(chosen), len(wanted), trials, opened.executor.capacity, length))
        options: dict[str, Any] = {"epochs": length}
        options |= {"fresh": starts.fresh} if starts.fresh else {}
        options |= {CLAIMS: True} if which == CLAIMS else {}
        work = Replicating(opened, log, options, length, wanted, listener)
        work.finish_all()
        again = f"a confirmation with more {option('seeds')} tries again"
        require_some(work.trials, len(wanted), "replicates", again)
        own = [t for t in work.trials if t.proposal.key in chosen]
        failed = sum(t.state == "FAIL" for t in own)
        trained = len({p for _, p in trainings if p is not None})
        return Confirmed(definition.name, len(chosen), len(own), failed, work.recovered, trained)


def _require_other(whole: ConfirmedFront, epochs: int | None, starts: Starts) -> None:
    """Refuse trainings of claims that are those of the whole front once more, seed by seed.

    Raises:
        InputError: it says what to ask for.
    """
    if not starts.fresh and not whole.parents and epochs == whole.epochs:
        raise InputError(
            f"{option('claims', True)} with the epochs, the parent and the seeds of the "
            "confirmation of the whole front gives the same numbers again: give other "
            f"{option('epochs')}, or {option('parents')}"
        )


def _plan(
    chosen: int, wanted: int, trials: Sequence[TrialRecord], at_once: int, epochs: int | None
) -> str:
    """What is about to be trained, and how long it takes where the search has measured that."""
    text = f"about to: {wanted} trainings of {chosen} candidates, {at_once} at a time"
    measured = [
        t.outcome.seconds
        for t in trials
        if t.outcome is not None and t.state == "COMPLETE" and t.proposal.copy_of is None
        if t.proposal.kind not in ("replicate", IMPORTED)
    ]
    if measured and epochs is None:
        each = sum(measured) / len(measured)
        text += f": {duration(each * wanted / at_once)} at {duration(each)} each, as in the search"
    return f"{text}; what the log holds of them is not done again"


def _final_epochs(evaluator: Evaluator) -> int:
    """How long a final training is, which has the schedule of a confirmation.

    Raises:
        InputError: the evaluator has no final trainings.
    """
    epochs = getattr(evaluator.options, "final_epochs", None)
    if epochs is None:
        name = evaluator.setup.definition.evaluator
        raise InputError(
            f"--epochs final: evaluator {name!r} has no final training; give a number of epochs, "
            "or leave it out"
        )
    return int(epochs)


def searched_in(
    runs: Sequence[RunRecord], trials: Sequence[TrialRecord], objectives: tuple[Objective, ...]
) -> Searched:
    """What the searches of a study measured here: all that is confirmed comes of it."""
    rows = measured_here(TrialRow.of(t, objectives) for t in trials)
    own = [r for r in runs if r.searches]
    front = front_of(rows, objectives, own[-1].budgets if own else ())
    return Searched(own, rows, front, objectives)


class _Scores:
    """Scores of structural parts: of the log where they are there, else made now."""

    def __init__(self, opened: OpenStudy, log: StudyLog) -> None:
        self._opened, self._known = opened, dict[str, ScoresResult | None]()
        for record in log.tasks():
            task, answer = record.task, record.answer
            if isinstance(task, ScoresTask) and isinstance(answer, ScoresResult):
                self._known.setdefault(task.structure, answer)

    def __call__(self, structure: str) -> ScoresResult | None:
        evaluator = self._opened.evaluator
        if structure not in self._known and SCORES in evaluator.strategy_tasks:
            work = StrategyWork(ScoresTask(structure), f"tasks/{CONFIRM}-scores")
            resources = evaluator.task_resources(SCORES)
            seed = int(evaluator.options.seed)
            outcome = self._opened.executor.run(Task(-1, work, seed, resources))
            answer = None if outcome.failure else answer_from_json(SCORES, outcome.answer)
            found = answer if isinstance(answer, ScoresResult) else None
            self._known[structure] = found
        return self._known.get(structure)


def candidates(searched: Searched, space: Space) -> dict[str, str]:
    """Keys of what is to be confirmed, with where each comes from: uniform ones first.

    A search evaluates the uniform assignments of the first structural part alone. Those of
    another part come in here, where a front member of that part is to be judged.
    """
    found = {
        t.key: f"uniform {t.origin}"
        for t in searched.trials
        if t.kind == "baseline" and t.state == "COMPLETE" and t.copy_of is None
    }
    # Only parts that no search's baselines are of: most studies have one part.
    evaluated = {space.structural_key(Candidate.from_key(key)) for key in found}
    reached = {space.structural_key(Candidate.of(member.choices)) for member in searched.front}
    for part in space.parts:
        if part in reached - evaluated:
            for choice, baseline in space.parts[part].baselines().items():
                found[baseline.key] = f"uniform {choice}, {part}"
    for member in searched.front:
        found.setdefault(member.key, f"front, trial {member.number}")
    return found


def _require(definition: StudyDefinition) -> None:
    require_test_split(definition)
    if evaluator_class(definition.evaluator, definition.folder).can_confirm:
        return
    able = [n for n in evaluator_names() if evaluator_class(n, definition.folder).can_confirm]
    raise InputError(
        f"evaluator {definition.evaluator!r} cannot retrain with another seed; evaluators that "
        f"can: {', '.join(able)}"
    )
