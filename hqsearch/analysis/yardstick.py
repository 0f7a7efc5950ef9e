"""What runs are compared by: a fixed reference point, and what each run was charged.

The yardstick is recorded in the study by its first comparison and never changes after, so that
hypervolumes of comparisons on different days compare. A run is charged for every candidate that
it asked for, whether it was trained for this run or answered from the log, with the seconds of
the training; and for its strategy's own tasks (scoring passes, supernets). A run that starts
from another one is charged for that one first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hqsearch.errors import RunFailed
from hqsearch.evaluator.tasks import TaskAnswer
from hqsearch.problem.objective import Objective, minimized
from hqsearch.problem.pareto import hypervolume
from hqsearch.problem.resolution import representatives
from hqsearch.store.fronts import by_means
from hqsearch.store.modelled import Modelled
from hqsearch.store.records import RunRecord, TaskRecord, TrialRecord

Floats = npt.NDArray[np.float64]
#: What is charged: seconds that passed, or of the processor, which on a machine shared with
#: others are those of the work alone (and where a GPU works, less than it took).
Clock = Literal["wall", "cpu"]

#: Beyond the worst baseline, in ranges of the baselines; and beyond fp32 for a known cost.
MARGIN = 0.05
#: Parts of the way, on a logarithmic scale, from the cheapest uniform assignment to fp32.
QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class Yardstick:
    """The fixed box in which hypervolume is measured, and fixed budgets of a cost.

    Attributes:
        reference: objective → value; a candidate that is worse in any of them adds nothing.
        ideal: objective → value that no candidate reaches.
        quality: the objective whose best value under a budget is told, accuracy as a rule.
        cost: the objective that is budgeted, energy as a rule.
        budgets: three limits of it, in its unit.
    """

    reference: dict[str, float]
    ideal: dict[str, float]
    quality: str
    cost: str
    budgets: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Yardstick:
        return cls(**{**data, "budgets": tuple(data["budgets"])})

    def scaled(self, values: Floats, objectives: tuple[Objective, ...]) -> Floats:
        """Values ``[n, m]`` as costs ``[n, m]``: 0 is the ideal, 1 the reference point."""
        low, high = (
            minimized([[point[o.name] for o in objectives]], objectives)[0]
            for point in (self.ideal, self.reference)
        )
        return np.asarray((minimized(values, objectives) - low) / (high - low))


def make_yardstick(
    baselines: Floats, objectives: tuple[Objective, ...], fp32: Mapping[str, float]
) -> Yardstick:
    """The yardstick of a study, from its uniform baselines.

    The reference point is a little beyond what is certainly not worth having: an accuracy
    below the worst baseline's by 5 % of their range, a cost 5 % above fp32's. The ideal is an
    accuracy of 1 and a cost of 0; where an objective has no such end, the best baseline and a
    range beyond it.

    Args:
        baselines: their values ``[n, m]``, one column per objective.
        objectives: of the study.
        fp32: cheap metrics of the network with every layer in fp32.

    Raises:
        RunFailed: no baseline was completed.
    """
    if not len(baselines):
        raise RunFailed("no uniform baseline was completed, so there is nothing to compare with")
    reference, ideal = {}, {}
    for column, objective in enumerate(objectives):
        own = baselines[:, column]
        span = float(np.ptp(own)) or abs(float(own[0])) or 1.0
        worst, best = float(own.min()), float(own.max())
        sign = 1.0
        if objective.direction == "min":
            worst, best, sign = best, worst, -1.0
        reference[objective.name] = worst - sign * MARGIN * span
        ideal[objective.name] = best + sign * span
        if objective.unit == "fraction" and objective.direction == "max":
            ideal[objective.name] = 1.0
        if objective.cheap and objective.direction == "min" and objective.name in fp32:
            dearest = max(worst, float(fp32[objective.name]))
            reference[objective.name] = (1.0 + MARGIN) * dearest
            ideal[objective.name] = 0.0
    quality = next((o.name for o in objectives if not o.cheap), objectives[0].name)
    costs = [o.name for o in objectives if o.name != quality and o.direction == "min"]
    cost = "energy" if "energy" in costs else costs[0] if costs else objectives[-1].name
    column = [o.name for o in objectives].index(cost)
    low = float(baselines[:, column].min())
    high = float(fp32.get(cost, baselines[:, column].max()))
    steps = [low * (high / low) ** q if low > 0 else low + (high - low) * q for q in QUARTILES]
    return Yardstick(reference, ideal, quality, cost, tuple(float(f"{s:.3g}") for s in steps))


@dataclass(frozen=True)
class PartSeconds:
    """What preparing each structural part took, charged where a run first needs it.

    Attributes:
        seconds: structural key → worker seconds. Without the first part's, which all runs share.
        part_of: structural key of a candidate's text key.
    """

    seconds: Mapping[str, float]
    part_of: Callable[[str], str]


NO_PARTS = PartSeconds({}, lambda key: "")


@dataclass(frozen=True, slots=True)
class Charge:
    """One thing that a run is charged for: an evaluation, or what had to be done for some.

    ``trial`` is None for a task of its strategy's own and for preparing a structural part;
    ``seconds`` are those of one worker. ``part`` is the key of a structural part that was prepared.
    """

    trial: TrialRecord | None
    seconds: float
    part: str = ""


def charges(
    run: RunRecord,
    runs: Sequence[RunRecord],
    trials: Sequence[TrialRecord],
    tasks: Sequence[TaskRecord],
    evaluations: int,
    clock: Clock = "wall",
    parts: PartSeconds = NO_PARTS,
) -> list[Charge]:
    """What a run is charged for up to a number of evaluations, in the order of its proposals.

    In that order one worker would do it; the order of results depends on the number of workers
    and on what the log answers at once. Each candidate once; first whatever the runs were
    charged for that this one started from. ``clock`` says which seconds are charged; ``parts``
    what it took before the first candidate of a structural part could be evaluated.
    """
    unpaid = dict(parts.seconds)
    by_number = {t.number: t for t in trials}
    found: list[Charge] = []
    seen: set[str] = set()
    sources = [runs[ordinal] for ordinal in run.options.get("history", ())]
    for one in (*sources, run):
        most = evaluations
        if one is not run:
            most = min(evaluations, run.options.get("first", evaluations))
        own: list[tuple[tuple[int, int, int], TrialRecord | TaskRecord]] = [
            ((t.slot, 0, t.index), t)
            for t in tasks
            if t.run == one.ordinal and t.finished and t.slot < most
        ]
        own += [
            ((t.proposal.slot, 1, 0), t)
            for t in trials
            if t.proposal.run == one.ordinal and t.finished and t.proposal.slot < most
        ]
        for _, record in sorted(own, key=lambda pair: pair[0]):
            if isinstance(record, TaskRecord):
                found.append(Charge(None, _task_seconds(record, clock)))
            elif record.proposal.key not in seen and len(seen) < evaluations:
                seen.add(record.proposal.key)
                if unpaid and (part := parts.part_of(record.proposal.key)) in unpaid:
                    found.append(Charge(None, unpaid.pop(part), part))
                found.append(Charge(record, seconds_of(record, by_number, clock)))
    return found


def seconds_of(
    trial: TrialRecord, by_number: Mapping[int, TrialRecord], clock: Clock = "wall"
) -> float:
    """Of the training behind a trial, whichever run it was done for."""
    while trial.proposal.copy_of is not None and trial.proposal.copy_of in by_number:
        trial = by_number[trial.proposal.copy_of]
    if trial.outcome is None:
        return 0.0
    details = trial.outcome.details
    if details.training_seconds is not None:
        return float(details.training_seconds)
    if clock == "cpu" and details.cpu_seconds is not None:
        return float(details.cpu_seconds)
    return trial.outcome.seconds


def _task_seconds(task: TaskRecord, clock: Clock) -> float:
    """Of the attempt that ended, and of what earlier ones had saved for it."""
    answer = task.answer or TaskAnswer()
    if answer.training_seconds is not None:
        return float(answer.training_seconds)
    earlier = answer.earlier or {}
    if clock == "cpu":
        own = task.seconds if answer.cpu_seconds is None else answer.cpu_seconds
        return float(own) + float(earlier.get("cpu_seconds", 0.0))
    return task.seconds + float(earlier.get("seconds", 0.0))


@dataclass(frozen=True, slots=True)
class Course:
    """How a run fared: after its n-th evaluation, hypervolume and seconds charged so far.

    Attributes:
        hypervolume: ``[n]``, share of the box between reference point and ideal.
        seconds: ``[n]``, of one worker.
        best: best ``quality`` within each of the yardstick's budgets; None where none is.
    """

    hypervolume: Floats
    seconds: Floats
    best: tuple[float | None, ...]

    @property
    def evaluations(self) -> int:
        return len(self.hypervolume)


def course_of(
    charged: Sequence[Charge],
    yardstick: Yardstick,
    objectives: tuple[Objective, ...],
    means: Mapping[str, Modelled] | None = None,
) -> Course:
    """Follow a run's charges; what failed, was stopped or breaks a budget adds no volume.

    The volume is that of the front at the objectives' resolution, so a more accurate candidate
    that takes the place of one a little cheaper may lose what the two differ by.

    Args:
        means: what the model of accuracy makes of candidates, by key: what the study's front is
            chosen by. Without them everything is as measured.
    """
    names = [o.name for o in objectives]
    quality, cost = names.index(yardstick.quality), names.index(yardstick.cost)
    sign = 1.0 if objectives[quality].direction == "max" else -1.0
    corner = np.ones(len(names))
    held = np.empty((0, len(names)))
    best: list[float | None] = [None] * len(yardstick.budgets)
    volumes, seconds = [], []
    volume = spent = 0.0
    for charge in charged:
        spent += charge.seconds
        trial = charge.trial
        if trial is None:
            continue
        values = None
        if trial.state == "COMPLETE" and trial.values is not None:
            values = by_means(trial.values, (means or {}).get(trial.proposal.key), objectives)
        feasible = trial.outcome is None or trial.outcome.violation <= 0
        if values is not None and feasible:
            together = np.vstack([held, values])
            kept = representatives(together, objectives)
            if kept[-1]:
                held = together[kept]
                volume = hypervolume(yardstick.scaled(held, objectives), corner)
            for index, limit in enumerate(yardstick.budgets):
                known = best[index]
                if values[cost] <= limit and (
                    known is None or sign * values[quality] > sign * known
                ):
                    best[index] = values[quality]
        volumes.append(volume)
        seconds.append(spent)
    if seconds:
        seconds[-1] = spent  # what a strategy's last tasks cost counts too
    return Course(np.array(volumes), np.array(seconds), tuple(best))


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median and quartiles (25 %, 75 %)."""
    low, middle, high = np.percentile(np.asarray(values, dtype=np.float64), [25, 50, 75])
    return float(middle), float(low), float(high)


def by_evaluation(courses: Sequence[Course]) -> dict[str, list[float]]:
    """Median and quartiles over runs after each evaluation; a run that ended keeps its last."""
    length = max(c.evaluations for c in courses)
    rows = np.array(
        [
            [c.hypervolume[min(n, c.evaluations - 1)] if c.evaluations else 0.0 for c in courses]
            for n in range(length)
        ]
    ).reshape(length, -1)
    return {"evaluations": list(range(1, length + 1)), **_quartiles(rows)}


def by_seconds(courses: Sequence[Course], points: int = 100) -> dict[str, list[float]]:
    """Median and quartiles over runs at times up to the longest run's end."""
    end = max((float(c.seconds[-1]) for c in courses if c.evaluations), default=0.0)
    grid = np.linspace(0.0, end, points)
    rows = np.column_stack([_at(course, grid) for course in courses])
    return {"seconds": grid.round(3).tolist(), **_quartiles(rows)}


def at_seconds(courses: Sequence[Course], seconds: float) -> tuple[float, float, float]:
    """Median and quartiles over runs of the hypervolume after so many seconds of one worker."""
    return spread([float(_at(course, np.array([seconds]))[0]) for course in courses])


def _at(course: Course, seconds: Floats) -> Floats:
    done = np.searchsorted(course.seconds, seconds, side="right")
    return np.asarray(np.concatenate([[0.0], course.hypervolume])[done])


def _quartiles(rows: Floats) -> dict[str, list[float]]:
    low, middle, high = np.percentile(rows, [25, 50, 75], axis=1).round(6)
    return {"median": middle.tolist(), "q25": low.tolist(), "q75": high.tolist()}
