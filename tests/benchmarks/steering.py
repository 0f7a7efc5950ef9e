"""What steering does to ``nsga2`` on instances of ``synthetic-2``: where it stalls, where it looks.

::

    python tests/benchmarks/steering.py stalled --instances 1000 1010
    python tests/benchmarks/steering.py between --instances 1000 1008

*stalled* follows runs of 80 evaluations and says after how many ``--until stalled`` would have
ended them, and which share of the hypervolume there is to find they then had. *between* compares
runs of 24 evaluations with and without a range of energies: the share of what there is to find in
the range, of all, and how many of the searched candidates lie there. One process, no Ray.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from race import Instance

from hqsearch.evaluator.tasks import checked_answer
from hqsearch.problem.interest import Range, parse_ranges
from hqsearch.problem.pareto import hypervolume
from hqsearch.search.stalling import Stalling
from hqsearch.store.records import Outcome, Proposal, TrialRecord
from hqsearch.strategies import (
    Problem,
    Result,
    Signal,
    StrategyTask,
    TaskResult,
    strategy_class,
)

Floats = npt.NDArray[np.float64]
TABLE, NOISE = "gesture-memory", 0.8
LONG, SHORT = 80, 24
RANGE = "0.1 .. 0.2 fp32"


def followed(instance: Instance, problem: Problem, count: int) -> list[TrialRecord]:
    """Trials of a run of nsga2, with what it promised of its batches."""
    made, evaluator = strategy_class("nsga2"), instance.evaluator
    strategy = made(problem, made.Options(), instance.number)
    trials: list[TrialRecord] = []
    waiting = list(problem.baselines)
    while len(trials) < count:
        kind, promise = "baseline" if waiting else "search", None
        proposed = waiting.pop(0) if waiting else strategy.next()
        if isinstance(proposed, Signal):
            break
        if isinstance(proposed, StrategyTask):
            given = evaluator.strategy_task(proposed.task, 0, Path())
            answer = checked_answer(proposed.task.kind, given)
            strategy.observe_task(TaskResult(0, proposed, answer))
            continue
        if kind == "search":
            promise = strategy.promise(proposed)
        done = evaluator.evaluate(proposed, 0)
        slot, values = len(trials), tuple(done.values.values())
        noise = done.details["accuracy_se"]
        strategy.observe(Result(slot, proposed, kind, values, noise=noise))
        own = Proposal(0, slot, "nsga2", kind, proposed.key, 0, slot, promise=promise)
        trials.append(TrialRecord(slot, slot, "COMPLETE", own, values, Outcome(slot)))
    return trials


def share(instance: Instance, trials: list[TrialRecord]) -> float:
    return instance.share([t.proposal.candidate for t in trials])


def stalled(instance: Instance) -> tuple[int, float, float]:
    """Evaluations when it stalls, the share then, and the share of the whole run."""
    trials = followed(instance, instance.problem, LONG)
    population = strategy_class("nsga2").Options().model_dump()["population"]
    stalling = Stalling(instance.evaluator.objectives, population)
    for end, trial in enumerate(trials):
        if stalling.reason(trials[:end], trial.proposal.promise):
            return end, share(instance, trials[:end]), share(instance, trials)
    return len(trials), share(instance, trials), share(instance, trials)


def in_range(instance: Instance, own: Range, trials: list[TrialRecord]) -> tuple[float, ...]:
    """Share of what there is to find in a range of energies; of all; part searched there."""
    evaluator, yard = instance.evaluator, instance.yardstick
    column = [o.name for o in evaluator.objectives].index("energy")
    low, high = (
        (end - yard.ideal["energy"]) / (yard.reference["energy"] - yard.ideal["energy"])
        for end in (own.low, own.high)
    )

    def slab(costs: Floats) -> float:
        cut, corner = costs.copy(), np.ones(costs.shape[1])
        cut[:, column], corner[column] = np.maximum(cut[:, column], low), high
        return hypervolume(cut, corner)

    codes = evaluator.space.encode(t.proposal.candidate for t in trials)
    found = yard.scaled(instance.values(codes), evaluator.objectives)
    energies = np.array([t.values[column] for t in trials if t.values])[len(instance.baselines) :]
    there = ((own.low <= energies) & (energies <= own.high)).mean()
    return slab(found) / slab(np.vstack([instance.front, found])), share(instance, trials), there


def between(instance: Instance) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Without a range, and with one; see :func:`in_range`."""
    reference = instance.evaluator.reference()
    interest = parse_ranges({"energy": RANGE}, ("energy", "storage"), reference)
    found = []
    for problem in (instance.problem, replace(instance.problem, interest=interest)):
        found.append(in_range(instance, interest[0], followed(instance, problem, SHORT)))
    return found[0], found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["stalled", "between"])
    parser.add_argument("--instances", type=int, nargs=2, default=(1000, 1010), metavar="N")
    args = parser.parse_args()
    numbers = range(*args.instances)
    instances = (Instance(TABLE, number, NOISE) for number in numbers)
    if args.what == "stalled":
        rows = np.array([stalled(instance) for instance in instances])
        print("stalled after", *sorted(rows[:, 0].astype(int)))
        print("share then, share after", LONG, np.median(rows[:, 1:], axis=0).round(4))
        return
    pairs = np.array([between(instance) for instance in instances])
    gap = pairs[:, 1] - pairs[:, 0]
    error = gap.std(axis=0, ddof=1) / np.sqrt(len(gap))
    print("share in the range, share of all, part that lies there")
    print("without, with", np.median(pairs, axis=0).round(4).tolist())
    print("difference", gap.mean(axis=0).round(4), "±", error.round(4))


if __name__ == "__main__":
    main()
