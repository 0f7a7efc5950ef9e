"""Races strategies on instances of ``synthetic-2``: share of the hypervolume there is to find.

::

    python tests/benchmarks/race.py                                # every strategy, 20 instances
    python tests/benchmarks/race.py --tables gesture --only nsga2 sensitivity --instances 1000 1020
    python tests/benchmarks/race.py --peers --tables gesture-memory --checks 16 24 --save race.jsonl

One process, no Ray, one evaluation after the other; every strategy is driven directly. A share is
the noiseless hypervolume of everything that a run has evaluated, in the box that ``compare``
measures by, divided by that of the instance's front (``evaluators/_synthetic_2_front.py``) together
with what the run found, so that it is never above 1. Medians, quartiles, and the mean difference
to the first named strategy with its paired standard error. ``--peers`` races those of others, too
(``race_peers.py``; ``pip install -e '.[race]'``). With ``--save`` each result is kept in a file as
soon as there is one, and the same command goes on from there. Settings were chosen on instances 0
to 99; report others.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hqsearch.evaluators._synthetic_2_front import attainable
from hqsearch.evaluators.synthetic_2 import Synthetic2, costs_of
from race_peers import PEERS

from hqsearch.analysis.yardstick import make_yardstick
from hqsearch.definition import ObjectiveDefinition, StudyDefinition
from hqsearch.evaluator import Setup
from hqsearch.evaluator.tasks import checked_answer
from hqsearch.problem.budgets import Budgets
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.pareto import hypervolume, non_dominated
from hqsearch.strategies import (
    Problem,
    Result,
    Signal,
    Strategy,
    StrategyTask,
    TaskResult,
    strategy_class,
)

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

CHECKS = (16, 24, 48)
#: Table → space: five choices, as the prototype had, or the seven of today.
SPACES = {
    "gesture-memory": "spikehq",
    "gesture": "spikformer",
    "spikformer-2-256": "spikformer",
    "qsd-15m": "spikformer",
}


class Instance:
    """One instance, its yardstick and its front."""

    def __init__(self, table: str, number: int, noise: float) -> None:
        definition = StudyDefinition(
            name="race",
            space=SPACES[table],
            evaluator="synthetic-2",
            evaluation={"table": table, "instance": number, "noise": noise},
            objective=tuple(ObjectiveDefinition(name=n) for n in ("accuracy", "energy", "storage")),
            folder=Path(),
        )
        self.evaluator = Synthetic2(Setup(definition, Path()))
        self.number = number
        space = self.evaluator.space
        self.baselines = tuple(space.baselines().values())
        own = self.values(space.encode(self.baselines))
        self.yardstick = make_yardstick(own, self.evaluator.objectives, self.evaluator.reference())

    @cached_property
    def front(self) -> Floats:
        """Scaled costs of what there is to find ``[n, 3]``."""
        return self._scaled(attainable(self.evaluator, 40))

    def values(self, codes: Codes) -> Floats:
        return costs_of(self.evaluator, codes) * [-1.0, 1.0, 1.0]

    def _scaled(self, codes: Codes) -> Floats:
        return self.yardstick.scaled(self.values(codes), self.evaluator.objectives)

    def share(self, candidates: Sequence[Candidate]) -> float:
        """Of the hypervolume there is to find."""
        own = self._scaled(self.evaluator.space.encode(candidates))
        whole = np.vstack([self.front, own])
        return hypervolume(own, np.ones(3)) / hypervolume(whole, np.ones(3))

    @cached_property
    def problem(self) -> Problem:
        made = self.evaluator
        return Problem(
            made.space,
            made.objectives,
            made.cheap,
            made.metrics,
            Budgets((), made.space, made.metrics, made.cheap, made.overflows()),
            self.baselines,
            reference=made.reference(),
            tasks=made.strategy_tasks,
            overflows=made.overflows(),
        )


@dataclass(frozen=True)
class Raced:
    """Shares after each check: of everything evaluated, and of the front as the run saw it."""

    shares: tuple[float, ...]
    fronts: tuple[float, ...]
    seconds: float
    """Own time per proposal."""


def race(instance: Instance, strategy: Strategy, checks: Sequence[int]) -> Raced:
    """Drive one strategy on one instance."""
    evaluator, problem = instance.evaluator, instance.problem
    results: list[Result] = []
    spent = 0.0

    def measure(candidate: Candidate, kind: str) -> Result:
        done = evaluator.evaluate(candidate, 0)
        noise = done.details["accuracy_se"]
        values = tuple(done.values.values())
        results.append(Result(len(results), candidate, kind, values, noise=noise))
        return results[-1]

    for candidate in problem.baselines:
        strategy.observe(measure(candidate, "baseline"))
    while len(results) < checks[-1]:
        began = time.perf_counter()
        proposed = strategy.next()
        spent += time.perf_counter() - began
        if isinstance(proposed, Signal):
            break
        if isinstance(proposed, StrategyTask):
            given = evaluator.strategy_task(proposed.task, 0, Path())
            answer = checked_answer(proposed.task.kind, given)
            strategy.observe_task(TaskResult(0, proposed, answer))
            continue
        result = measure(proposed, "search")
        began = time.perf_counter()
        strategy.observe(result)
        spent += time.perf_counter() - began
    seen = problem.costs(results)
    shares, fronts = [], []
    for check in checks:
        looks = np.flatnonzero(non_dominated(seen[:check]))
        shares.append(instance.share([r.candidate for r in results[:check]]))
        fronts.append(instance.share([results[i].candidate for i in looks]))
    own = max(len(results) - len(problem.baselines), 1)
    return Raced(tuple(shares), tuple(fronts), spent / own)


def parsed(text: str) -> tuple[str, dict[str, Any]]:
    """``nsga2:prior=true`` → strategy and options, as ``compare`` names them."""
    name, *parts = text.split(":")
    options = dict(part.split("=", 1) for part in parts)
    return name, {k: _value(v) for k, v in options.items()}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


class Kept:
    """Results in a file of JSON lines, by what was raced; nowhere without a file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path is not None and path.exists() else []
        self._found = {tuple(row[0]): Raced(*row[1]) for row in map(json.loads, lines)}

    def get(self, *what: Any) -> Raced | None:
        found = self._found.get(what)
        return (
            None
            if found is None
            else Raced(tuple(found.shares), tuple(found.fronts), found.seconds)
        )

    def put(self, raced: Raced, *what: Any) -> None:
        if self._path is not None:
            row = [what, [raced.shares, raced.fronts, raced.seconds]]
            with self._path.open("a") as file:
                file.write(json.dumps(row) + "\n")


def contest(
    table: str,
    names: Sequence[str],
    instances: Sequence[int],
    noise: float,
    checks: Sequence[int] = CHECKS,
    kept: Kept | None = None,
) -> dict[str, list[Raced]]:
    """Every strategy on every instance of a table."""
    found: dict[str, list[Raced]] = {name: [] for name in names}
    kept = kept or Kept(None)
    for number in instances:
        instance = Instance(table, number, noise)
        for name in names:
            what = (table, name, number, noise, "/".join(map(str, checks)))
            raced = kept.get(*what)
            if raced is None:
                raced = race(instance, _made(name, instance.problem, number), checks)
                kept.put(raced, *what)
            found[name].append(raced)
    return found


def _made(text: str, problem: Problem, seed: int) -> Strategy:
    name, options = parsed(text)
    made = PEERS.get(name) or strategy_class(name)
    return made(problem, made.Options.model_validate(options), seed)


def table_of(found: dict[str, list[Raced]], checks: Sequence[int] = CHECKS) -> str:
    """Markdown: median (quartiles); mean difference to the first in thousandths, paired error."""
    head = " | ".join(f"{check} evaluations | to the first" for check in checks)
    lines = [f"| strategy | {head} | s each |", "|---" * (2 * len(checks) + 2) + "|"]
    first = np.array([r.shares for r in next(iter(found.values()))])
    for name, raced in found.items():
        shares = np.array([r.shares for r in raced])
        low, middle, high = np.percentile(shares, [25, 50, 75], axis=0)
        gap = shares - first
        error = gap.std(axis=0, ddof=1) / np.sqrt(len(gap))
        cells = []
        for i in range(len(checks)):
            cells.append(f"{middle[i]:.3f} ({low[i]:.3f}–{high[i]:.3f})")
            same = not gap.any()
            cells.append("–" if same else f"{1e3 * gap[:, i].mean():+.1f} ± {1e3 * error[i]:.1f}")
        seconds = np.mean([r.seconds for r in raced])
        lines.append(f"| {name} | {' | '.join(cells)} | {seconds:.3f} |")
    return "\n".join(lines)


FIELD = (
    "nsga2",
    "sensitivity",
    "nsga2:prior=false",
    "nsga2:assist=false",
    "random",
    "optuna-tpe",
    "optuna-nsga2",
)
#: Of others, and what they are raced against.
PEER_FIELD = (
    "nsga2",
    "sensitivity",
    "hawq-ranking",
    "botorch",
    "botorch-unscored",
    "optuna-tpe",
    "optuna-gp",
    "optuna-nsga2",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", nargs="+", choices=SPACES, default=list(SPACES))
    parser.add_argument("--only", nargs="+", metavar="STRATEGY", default=None)
    parser.add_argument("--peers", action="store_true", help="those of others, too")
    parser.add_argument("--checks", nargs="+", type=int, default=list(CHECKS), metavar="N")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep results, and go on from it")
    parser.add_argument("--instances", type=int, nargs=2, default=(1000, 1020), metavar="N")
    parser.add_argument("--noise", type=float, default=0.8)
    args = parser.parse_args()
    names = args.only or (PEER_FIELD if args.peers else FIELD)
    kept = Kept(args.save)
    for table in args.tables:
        began = time.perf_counter()
        found = contest(table, names, range(*args.instances), args.noise, args.checks, kept)
        spent = time.perf_counter() - began
        print(f"\n{table}, {SPACES[table]}, noise {args.noise} points, {spent:.0f} s")
        print(table_of(found, args.checks), flush=True)


if __name__ == "__main__":
    main()
