"""How every run's hypervolume grew, by evaluations and by time of one worker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hqsearch.analysis.pictures.facts import Facts, NothingToDraw, require_completed
from hqsearch.analysis.yardstick import Yardstick, charges, course_of, make_yardstick
from hqsearch.errors import RunFailed
from hqsearch.store.fronts import means_by_key


@dataclass(frozen=True)
class RunCourse:
    """One run: after each evaluation, its hypervolume (share of the box) and worker seconds."""

    run: int
    strategy: str
    seed: int
    hypervolume: tuple[float, ...]
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class Hypervolumes:
    """The runs of a study in the box between ``reference`` (0) and ``ideal`` (1).

    ``baselines`` is how many uniform assignments a run begins with.
    """

    title: str
    runs: tuple[RunCourse, ...]
    reference: dict[str, float]
    ideal: dict[str, float]
    baselines: int


def hypervolume_picture(facts: Facts) -> Hypervolumes:
    """The course of every search of a study.

    The box is the one that a comparison has recorded, else it is made from the uniform baselines
    in the log as a comparison would. Volumes are those of the front, by the model's means where
    that is chosen by them.

    Raises:
        NothingToDraw: no trial was completed, or no uniform baseline that spans the box.
    """
    require_completed(facts)
    yardstick, means = _yardstick(facts), means_by_key(facts.trials, facts.objectives)
    courses = []
    for run in facts.runs:
        charged = charges(run, facts.runs, facts.records, facts.tasks, run.evaluations)
        course = course_of(charged, yardstick, facts.objectives, means)
        if run.searches and course.evaluations:
            volumes, seconds = course.hypervolume.tolist(), course.seconds.tolist()
            name = run.strategy
            courses.append(RunCourse(run.ordinal, name, run.seed, tuple(volumes), tuple(seconds)))
    if not courses:
        raise NothingToDraw(f"study {facts.name!r}: no run has finished an evaluation yet")
    baselines = len({t.origin for t in facts.completed if t.kind == "baseline"})
    box = yardstick.reference, yardstick.ideal
    return Hypervolumes(facts.title, tuple(courses), *box, baselines)


def _yardstick(facts: Facts) -> Yardstick:
    recorded = facts.attributes.get("yardstick")
    if recorded is not None:
        return Yardstick.from_json(recorded)
    names = [o.name for o in facts.objectives]
    baselines: dict[str, list[float]] = {}
    for trial in facts.completed:
        if trial.kind == "baseline" and trial.values:
            baselines.setdefault(trial.origin, [trial.values[n] for n in names])
    fp32 = facts.uniform()
    try:
        table = np.array(list(baselines.values()), dtype=np.float64).reshape(-1, len(names))
        return make_yardstick(table, facts.objectives, (fp32.values if fp32 else None) or {})
    except RunFailed as error:
        raise NothingToDraw(f"study {facts.name!r}: {error}") from None
