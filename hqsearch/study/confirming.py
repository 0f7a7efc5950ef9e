"""``hqsearch confirm``: the front and the uniform assignments again, with fresh seeds.

What a search calls its front are the best of many noisy measurements. A confirmation trains
the front's candidates and the uniform baselines anew, with several seeds that no search has
used, and measures them on the test split, which no search has seen. These trials are
*replicates*: they belong to a run of their own, count towards no number of evaluations, are
never answers to a proposal, and no strategy is told of them.

Logged and recovered like a search, by the same :mod:`hqsearch.search.pump`: the same command goes
on after an interruption. What it comes to is in :mod:`hqsearch.analysis.confirmation`.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from hqsearch.atomic import full_disk_told
from hqsearch.definition import StudyDefinition, located_definition
from hqsearch.errors import InputError
from hqsearch.evaluator import Evaluator
from hqsearch.evaluator.registry import evaluator_class, evaluator_names
from hqsearch.evaluator.tasks import SCORES, ScoresResult, ScoresTask, answer_from_json
from hqsearch.executors.task import Confirm, StrategyWork, Task, TaskOutcome
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import Objective
from hqsearch.problem.space import Space
from hqsearch.search.events import Listener, guarded
from hqsearch.search.failures import Failures, require_some
from hqsearch.search.pump import Pump, ResultFiles
from hqsearch.store.log import StudyLog
from hqsearch.store.records import (
    CONFIRM,
    Outcome,
    Proposal,
    RunRecord,
    TrialRecord,
    TrialRow,
    front_of,
    measured_here,
)
from hqsearch.study.controls import Searched
from hqsearch.study.controls import controls as controls_of
from hqsearch.study.given import require_test_split
from hqsearch.study.opening import (
    OpenStudy,
    Request,
    make_evaluator_for,
    open_study,
    require_recorded_recipe,
    versions,
)
from hqsearch.study.opening import study_folder as folder_of
from hqsearch.study.running import device_of, read_study
from hqsearch.wording import option

#: Sets the seeds of confirmations apart from whatever else is derived from a study's seed.
_STREAM = 0x636F6E66


@dataclass(frozen=True)
class Confirmed:
    """What a confirmation did."""

    study: str
    candidates: int
    replicates: int
    failed: int
    recovered: int


def fresh_seeds(seed: int, count: int) -> list[int]:
    """``count`` seeds, the same ones every time, none of them ``seed`` itself.

    More of them begin with the same ones.
    """
    drawn = np.random.SeedSequence([seed, _STREAM]).generate_state(count + 8) % 2**31
    distinct = dict.fromkeys(int(s) for s in drawn if int(s) != seed)
    return list(itertools.islice(distinct, count))


@full_disk_told()
def confirm(
    request: Request,
    seeds: int,
    epochs: int | Literal["final"] | None,
    listener: Listener | None = None,
    controls: bool = True,
) -> Confirmed:
    """Retrain the front, the uniform assignments of a study, and what no search proposed.

    Args:
        request: its study, and where it runs; strategy, seed and overrides mean nothing here.
        seeds: trainings of each candidate.
        epochs: of each; those of the search by default, ``final``: as many as ``train`` takes.
        listener: is told how far it is.
        controls: whether to train them (:mod:`hqsearch.study.controls`).

    Raises:
        InputError: there is no front yet, or the evaluator cannot confirm; nothing was started.
        RunFailed: every replicate failed.
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
    searched = searched_in(runs, trials, objectives)
    chosen = candidates(searched, evaluator.space)
    if not chosen:
        raise InputError(f"study {definition.name!r} has no completed trial to confirm yet")
    with ExitStack() as stack:
        opened = stack.enter_context(open_study(definition, request, evaluator, listener))
        log = opened.open_log()
        stack.callback(log.close)
        if controls:
            for key, name in controls_of(searched, evaluator, _Scores(opened, log)).items():
                # A uniform assignment keeps its name; a member that a control is, is the control.
                if not chosen.get(key, "").startswith("uniform "):
                    chosen[key] = name
        wanted = [
            (key, origin, seed)
            for seed in fresh_seeds(int(evaluator.options.seed), seeds)
            for key, origin in chosen.items()
        ]
        work = _Confirmation(opened, log, length, wanted, listener)
        work.finish_all()
        again = f"a confirmation with more {option('seeds')} tries again"
        require_some(work.trials, len(wanted), "replicates", again)
        own = [t for t in work.trials if t.proposal.key in chosen]
        failed = sum(t.state == "FAIL" for t in own)
        return Confirmed(definition.name, len(chosen), len(own), failed, work.recovered)


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


class _Confirmation:
    """The replicates of one run, brought to an end."""

    def __init__(
        self,
        opened: OpenStudy,
        log: StudyLog,
        epochs: int | None,
        wanted: Sequence[tuple[str, str, int]],
        listener: Listener,
    ) -> None:
        self._opened, self._epochs, self._listener = opened, epochs, listener
        records, runs = log.trials(), log.runs()
        options = {"epochs": epochs}
        known = [r for r in runs if r.strategy == CONFIRM and r.options == options]
        ordinal = known[-1].ordinal if known else len(runs)
        self.trials = [t for t in records if t.proposal.run == ordinal]
        there = {(t.proposal.key, t.proposal.seed) for t in self.trials}
        missing = [w for w in wanted if (w[0], w[2]) not in there]
        total = len(self.trials) + len(missing)
        searched = [r for r in runs if r.searches]
        self._run = RunRecord(
            ordinal=ordinal,
            strategy=CONFIRM,
            seed=int(opened.evaluator.options.seed),
            options=options,
            evaluations=total,
            start=known[-1].start if known else len(records),
            budgets=searched[-1].budgets if searched else (),
            versions=versions(),
        )
        if not known or known[-1].evaluations != total:
            log.add_run(self._run)
        self._missing = deque(missing)
        files = ResultFiles(opened.folder / "results", log.attributes()["study"]["token"])
        self._pump = Pump(log, opened.evaluator, opened.executor, files, self._work)
        self._failures = Failures(self.trials)

    @property
    def recovered(self) -> int:
        """Results that were taken over from files."""
        return self._pump.recovered

    def finish_all(self) -> None:
        """Train what is missing."""
        for trial in [t for t in self.trials if not t.finished]:
            left = self._pump.recover(trial)
            if left is not None:
                self._end(trial, left)
        self._tell()
        while True:
            self._fill()
            if not self._pump.in_flight:
                break
            finished = self._pump.next_finished()
            if finished is not None:
                record, outcome = finished
                assert isinstance(record, TrialRecord)
                self._end(record, outcome)
                self._tell()

    def _fill(self) -> None:
        """Submit while there is room: what was cut off first, then what is missing."""
        while self._pump.has_room and not self._failures.hopeless:
            if self._pump.submit_queued():
                continue
            if not self._missing:
                return
            key, origin, seed = self._missing.popleft()
            slot = len(self.trials)
            proposal = Proposal(
                self._run.ordinal, slot, CONFIRM, "replicate", key, seed, slot, origin=origin
            )
            self.trials.append(self._pump.start_trial(proposal))

    def _tell(self) -> None:
        done = sum(t.finished for t in self.trials)
        self._listener.prepared("replicates", done, self._run.evaluations)

    def _end(self, trial: TrialRecord, outcome: TaskOutcome) -> None:
        details = outcome.details.with_facts({**self._opened.facts, "epochs": self._epochs})
        logged = Outcome(
            order=trial.proposal.slot,
            seconds=round(outcome.seconds, 3),
            failure=outcome.failure,
            reason=outcome.reason,
            attempts=outcome.attempts,
            details=details,
        )
        state, values = "FAIL", None
        if not outcome.failure:
            state = "COMPLETE"
            values = [outcome.values[o.name] for o in self._opened.objectives]
        finished = self._pump.finish_trial(trial, state, values, logged)
        self.trials[trial.proposal.slot] = finished
        self._failures.add(finished)

    def _work(self, trial: TrialRecord) -> Confirm:
        return Confirm(trial.proposal.key, self._epochs)
