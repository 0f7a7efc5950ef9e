"""``hqsearch train``: the final training of one candidate, whose weights are kept.

A task per seed, on the executor like any other: a longer training from the same parent, with a
checkpoint every epoch. The seed that is best on validation is kept (with the validation split
merged into training there is one seed, and nothing to choose by); it alone is measured on the
test split, once. What a driver leaves when it dies is found by the same command: whole trainings
by their result files, others by their checkpoints, both bit for bit.

The log is told last, when the files are whole: :mod:`hqsearch.study.models`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hqsearch.analysis.overview import require_study
from hqsearch.analysis.proportion import score_interval, wilson_interval
from hqsearch.atomic import full_disk_told
from hqsearch.definition import study_name
from hqsearch.errors import InputError, RunFailed
from hqsearch.evaluator import Evaluator, FinalResult, FinalTask
from hqsearch.evaluator.registry import evaluator_class, evaluator_names
from hqsearch.evaluator.tasks import FINAL
from hqsearch.executors.task import StrategyWork, Task, TaskOutcome, read_result
from hqsearch.problem.objective import ACCURACY, Objective
from hqsearch.search.events import Listener, every_second, guarded
from hqsearch.search.pump import WAIT
from hqsearch.store.log import StudyLog
from hqsearch.store.model_record import ModelRecord
from hqsearch.store.records import TrialRow
from hqsearch.study.asked import recorded_definition
from hqsearch.study.given import require_test_split
from hqsearch.study.models import (
    MANIFEST_FORMAT,
    KeptModel,
    is_kept,
    keep,
    model_place,
    read_kept,
    require_trainable,
)
from hqsearch.study.opening import (
    OpenStudy,
    Request,
    make_evaluator_for,
    open_study,
    require_recorded_recipe,
    study_folder,
    versions,
)
from hqsearch.study.running import device_of, read_study
from hqsearch.wording import option

#: Sets the seeds of final trainings apart from whatever else is derived from a study's seed.
_STREAM = 0x66696E61


@dataclass(frozen=True)
class Wanted:
    """A final training that is asked for.

    Attributes:
        row: the trial.
        epochs: length of the schedule.
        merge: learn from the validation split, too.
        seeds: to train.
    """

    row: TrialRow
    epochs: int
    merge: bool
    seeds: tuple[int, ...]

    @property
    def work_folder(self) -> str:
        """Below the study's folder, until the model is kept; of this candidate and schedule."""
        told = json.dumps([self.row.key, self.epochs, self.merge])
        return f"tasks/final-{self.row.number}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"

    def task(self, stage: Any) -> FinalTask:
        return FinalTask(self.row.key, self.epochs, self.merge, stage)

    def same(self, record: ModelRecord) -> bool:
        """Whether a model came of the same training."""
        asked = (self.epochs, self.merge, self.seeds)
        return asked == (record.epochs, record.merged, record.seeds)


def final_seeds(seed: int, count: int) -> tuple[int, ...]:
    """``count`` seeds, the same ones every time; more of them begin with the same ones."""
    drawn = np.random.SeedSequence([seed, _STREAM]).generate_state(count + 8) % 2**31
    return tuple(itertools.islice(dict.fromkeys(int(s) for s in drawn), count))


def train_member(
    request: Request,
    trial: int,
    seeds: int,
    epochs: int | None,
    merge: bool,
    listener: Listener | None = None,
) -> tuple[KeptModel, Evaluator]:
    """Train a candidate to keep it; what is kept already and is the same is not trained again.

    Args:
        request: its study, and where it runs; strategy, seed and overrides mean nothing here.
        trial: number of a completed, feasible one.
        seeds: trainings, of which the best on validation is kept.
        epochs: of each; ``evaluation.final_epochs`` by default.
        merge: learn from the validation split, too.
        listener: is told how far it is.

    Raises:
        InputError: there is no such trial, it cannot be trained, or there is no test split.
        RunFailed: every training failed.
    """
    listener = guarded(listener)
    require_study(study_name(request.study), request.studies_dir, request.storage)
    attributes, runs, trials = read_study(request)
    definition = recorded_definition(attributes, request)
    require_recorded_recipe(definition, attributes)
    objectives = tuple(Objective(**o) for o in attributes["study"]["objectives"])
    record = next((t for t in trials if t.number == trial), None)
    if record is None:
        raise InputError(f"study {definition.name!r} has no trial {trial}; it has {len(trials)}")
    row = TrialRow.of(record, objectives)
    run = next(r for r in runs if r.ordinal == row.run)
    require_trainable(row, run, objectives, definition.name)
    _require_accuracy(objectives, definition.name)
    if merge and seeds > 1:
        raise InputError(
            f"with {option('merge', True)} the validation split is learned from, and no split is "
            f"left to choose one of {seeds} seeds by; give {option('merge')} or {option('seeds')}"
        )
    _require_final(definition.evaluator, definition.folder)
    require_test_split(definition)
    request = replace(request, device=device_of(request, attributes))
    folder = study_folder(definition.name, request.studies_dir)
    evaluator = make_evaluator_for(definition, folder, request)
    wanted = Wanted(
        row,
        int(evaluator.options.final_epochs) if epochs is None else epochs,
        merge,
        final_seeds(int(evaluator.options.seed), seeds),
    )
    with ExitStack() as stack:
        opened = stack.enter_context(open_study(definition, request, evaluator, listener))
        log = opened.open_log()
        stack.callback(log.close)
        before = log.models().get(trial)
        if before is not None and wanted.same(before) and is_kept(folder, before):
            listener.note(f"note: trial {trial} is trained so already; nothing was done")
            return read_kept(definition.name, folder, before), evaluator
        if before is not None:
            listener.note(
                f"note: an earlier model of trial {trial} is replaced ({100 * before.accuracy:.1f} "
                f"% on test after {before.epochs} epochs). To take the best of several test "
                "accuracies flatters it: the manifest counts them"
            )
        training = _Training(opened, log, wanted, listener)
        with full_disk_told():
            record_kept = training.finish(before.trainings + 1 if before else 1)
        return read_kept(definition.name, folder, record_kept), evaluator


def _require_accuracy(objectives: Sequence[Objective], name: str) -> None:
    measured = next((o for o in objectives if not o.cheap), ACCURACY)
    if measured.name != ACCURACY.name:
        raise InputError(
            f"study {name!r} measures {measured.name}, and what hqsearch train keeps is told by an "
            "accuracy on test; hqsearch confirm measures candidates on test, and hqsearch plot "
            "weights --trial N keeps the weights of one"
        )


def _require_final(evaluator: str, folder: Path) -> None:
    if FINAL in evaluator_class(evaluator, folder).strategy_tasks:
        return
    able = [n for n in evaluator_names() if FINAL in evaluator_class(n, folder).strategy_tasks]
    raise InputError(
        f"evaluator {evaluator!r} trains no network that could be kept; evaluators that do: "
        f"{', '.join(able)}"
    )


class _Training:
    """The tasks of one final training, brought to an end."""

    def __init__(
        self, opened: OpenStudy, log: StudyLog, wanted: Wanted, listener: Listener
    ) -> None:
        self._opened, self._log, self._wanted, self._listener = opened, log, wanted, listener
        self._attributes = log.attributes()
        self._token = str(self._attributes["study"]["token"])

    def finish(self, trainings: int) -> ModelRecord:
        """Train every seed, measure the best one, keep it, tell the log.

        Raises:
            RunFailed: every training failed, or the measurement did.
        """
        wanted = self._wanted
        tasks = [self._task(seed, "train") for seed in wanted.seeds]
        outcomes = dict(zip(wanted.seeds, self._perform(tasks), strict=True))
        done = {s: _answer(o) for s, o in outcomes.items() if not o.failure}
        for seed, outcome in outcomes.items():
            if outcome.failure:
                self._listener.note(f"note: seed {seed} failed: {outcome.reason}")
        if not done:
            first = next(iter(outcomes.values()))
            raise RunFailed(f"the final training failed: {first.reason} ({first.failure})")
        # Of equals the first: never the one that happened to finish first.
        best = max(done, key=lambda s: (done[s].accuracy or 0.0, -(done[s].loss or 0.0)))
        (outcome,) = self._perform([self._task(best, "measure")])
        if outcome.failure:
            raise RunFailed(f"the measurement on test failed: {outcome.reason}")
        measured = _answer(outcome)
        assert measured.samples is not None
        assert measured.accuracy is not None
        if measured.correct is not None:
            right = round(measured.accuracy * measured.samples)
            interval = wilson_interval(right, measured.samples)
        else:
            interval = score_interval(measured.accuracy, measured.accuracy_se or 0.0)
        manifest = self._manifest(outcomes, done, best, measured, interval, trainings)
        folder = self._opened.folder
        weights = self._folder(best) / str(measured.file)
        digest = keep(folder, wanted.row.number, weights, manifest)
        record = ModelRecord(
            trial=wanted.row.number, folder=model_place(wanted.row.number), manifest=digest,
            weights=str(measured.weights), accuracy=measured.accuracy, low=interval[0],
            high=interval[1], samples=measured.samples, epochs=wanted.epochs,
            merged=wanted.merge, seeds=wanted.seeds, seed=best, trainings=trainings,
        )  # fmt: skip
        self._log.put_model(record)
        shutil.rmtree(folder / wanted.work_folder, ignore_errors=True)
        return record

    def _folder(self, seed: int) -> Path:
        return self._opened.folder / self._wanted.work_folder / str(seed)

    def _task(self, seed: int, stage: str) -> Task:
        wanted, evaluator = self._wanted, self._opened.evaluator
        work = StrategyWork(wanted.task(stage), f"{wanted.work_folder}/{seed}")
        file = self._folder(seed) / f"{stage}-outcome.json"
        number = -2 - wanted.seeds.index(seed)
        return Task(number, work, seed, evaluator.task_resources(FINAL), file, self._token)

    def _perform(self, tasks: Sequence[Task]) -> list[TaskOutcome]:
        """Outcomes of the tasks, in their order; those of an earlier driver are taken over."""
        outcomes: dict[int, TaskOutcome] = {}
        for task in tasks:
            assert task.result_file is not None
            left = read_result(task.result_file, task)
            if left is not None and not left.failure and self._weights_are(task, left):
                outcomes[task.number] = left
        waiting = [t for t in tasks if t.number not in outcomes]
        executor, in_flight = self._opened.executor, 0
        with every_second(self._tell):
            while waiting or in_flight:
                while waiting and in_flight < executor.capacity:
                    executor.submit(waiting.pop(0))
                    in_flight += 1
                finished = executor.next_finished(WAIT)
                if finished is not None:
                    outcomes[finished[0].number] = finished[1]
                    in_flight -= 1
        return [outcomes[task.number] for task in tasks]

    def _weights_are(self, task: Task, left: TaskOutcome) -> bool:
        answer = _answer(left)
        path = self._folder(task.seed) / str(answer.file)
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == answer.weights

    def _tell(self) -> None:
        done = sum(self._epochs(seed) for seed in self._wanted.seeds)
        total = self._wanted.epochs * len(self._wanted.seeds)
        self._listener.prepared("final training", done, total)

    def _epochs(self, seed: int) -> int:
        """That the training of a seed has behind it, as far as this machine sees."""
        if (self._folder(seed) / "train-outcome.json").exists():
            return self._wanted.epochs
        try:
            return int(json.loads((self._folder(seed) / "progress.json").read_text())["done"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def _manifest(
        self,
        outcomes: Mapping[int, TaskOutcome],
        done: Mapping[int, FinalResult],
        best: int,
        measured: FinalResult,
        interval: tuple[float, float],
        trainings: int,
    ) -> dict[str, Any]:
        wanted, attributes = self._wanted, self._attributes
        about = dict(measured.about or {})
        definition = self._opened.definition
        return {
            "format": MANIFEST_FORMAT,
            "study": definition.name,
            "title": definition.title,
            "trial": wanted.row.number,
            "choices": wanted.row.choices,
            "accuracy": {
                "test": measured.accuracy,
                "interval": list(interval),
                "samples": measured.samples,
                "correct": measured.correct,
                "validation": done[best].accuracy,
                "searched": (wanted.row.values or {}).get("accuracy"),
                "measured_on_test": trainings,
            },
            "values": measured.values,
            "average_bits": measured.average_bits,
            "layers": [row.to_json() for row in measured.layers],
            "training": {
                "epochs": wanted.epochs,
                "merged": wanted.merge,
                "seed": best,
                "seeds": list(_trained(outcomes, done)),
                "settings": attributes["fingerprint"].get("evaluation", {}),
                "device": attributes["fingerprint"]["device"],
            },
            "recipe": attributes["fingerprint"].get("recipe", 1),
            "fingerprints": dict(self._opened.prepared),
            "hardware": definition.hardware.profile,
            "versions": versions(),
            "weights": measured.weights,
            **about,
        }


def _trained(
    outcomes: Mapping[int, TaskOutcome], done: Mapping[int, FinalResult]
) -> Iterator[dict[str, Any]]:
    """A row for each seed."""
    for seed, outcome in outcomes.items():
        row: dict[str, Any] = {"seed": seed}
        if seed in done:
            row |= {"validation": done[seed].accuracy, "validation_loss": done[seed].loss}
        else:
            row |= {"failure": outcome.failure, "reason": outcome.reason}
        yield row


def _answer(outcome: TaskOutcome) -> FinalResult:
    return FinalResult.from_json(outcome.answer)
