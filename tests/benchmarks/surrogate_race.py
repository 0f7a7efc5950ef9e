"""Races strategies where the truth is known: share of the attainable hypervolume, and own time.

``python tests/benchmarks/surrogate_race.py [--seeds 10] [--noise 0 0.8] [--gp-seeds 2]
[--only NAME …] [--recorded] [--models] [--timing]``. Every strategy is driven directly, one
evaluation at a time, with the evaluator's seed equal to its own. Shares are of the *noiseless*
volume of all evaluated candidates, and (``front``) of those alone that look non-dominated as
measured.

``--recorded`` races on real trainings instead of the synthetic space: the 625 assignments of
``--study recorded``. A run sees one of the two trainings of each; the truth is their mean, and
``front`` is worth what its other training says, so that luck in one does not count.

``--models`` compares surrogates on equal data: the additive one, its parts, a Gaussian process on
Hamming distance and a random forest (needs scikit-learn). ``--timing`` prints the
assisted strategy's own time per proposal by the number of trials.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hqsearch.evaluators.recorded import Recorded
from hqsearch.evaluators.synthetic import Synthetic, attainable, costs_of, volume

from hqsearch.analysis.yardstick import make_yardstick
from hqsearch.definition import embedded, load_study
from hqsearch.evaluator import Evaluator, Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.evaluator.tasks import ScoresResult, ScoresTask, checked_answer
from hqsearch.problem.budgets import Budgets
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.pareto import hypervolume, non_dominated
from hqsearch.strategies import Problem, Result, Signal, StrategyTask, TaskResult, strategy_class
from hqsearch.strategies.nsga2.assistant import Assistant
from hqsearch.strategies.scoring import scores_of
from hqsearch.surrogate import Design, fit

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: Share of the attainable hypervolume that candidates have, and what was picked with a seed.
Share = Callable[[Sequence[Candidate], int | None], float]
#: Fits (codes, values, standard errors); returns what predicts.
Contestant = Callable[[Codes, Floats, Floats], Callable[[Codes], Floats]]
SYNTHETIC, RECORDED = (48, 100), (40, 200)
CELLS = 800
FIELD: dict[str, tuple[str, dict[str, Any]]] = {
    "random": ("random", {}),
    "nsga2, plain": ("nsga2", {"assist": False}),
    "nsga2, assisted": ("nsga2", {"assist": True}),
    "nsga2, assisted, prior": ("nsga2", {"assist": True, "prior": True}),
    "nsga2, assisted, steady": ("nsga2", {"assist": True, "mode": "steady"}),
    "sensitivity": ("sensitivity", {}),
    "optuna-nsga2": ("optuna-nsga2", {}),
    "optuna-tpe": ("optuna-tpe", {}),
    "optuna-gp": ("optuna-gp", {}),
}


def make(folder: Path, noise: float) -> Synthetic:
    study = load_study(embedded("studies")["synthetic"], {"evaluation.noise": noise})
    found = make_evaluator(Setup(study, folder))
    assert isinstance(found, Synthetic)
    return found


def recorded(folder: Path) -> tuple[Recorded, Share]:
    """The recorded trainings, and the share of their whole hypervolume."""
    found = make_evaluator(Setup(load_study(embedded("studies")["recorded"]), folder))
    assert isinstance(found, Recorded)
    count = len(found.table.origin["seeds"])

    def truth(candidates: Sequence[Candidate], seeds: Sequence[int]) -> Floats:
        rows = [[list(found.evaluate(c, s).values.values()) for s in seeds] for c in candidates]
        return np.asarray(np.mean(rows, axis=1))

    every = range(count)
    baselines = list(found.space.baselines().values())
    yard = make_yardstick(truth(baselines, every), found.objectives, found.reference())
    whole = found.space.decode(np.indices(found.space.cardinalities).reshape(4, -1).T)

    def volume_of(candidates: Sequence[Candidate], picked: int | None = None) -> float:
        others = every if picked is None else [s for s in every if s != picked % count]
        values = truth(candidates, others)
        return hypervolume(yard.scaled(values, found.objectives), np.ones(3))

    most = volume_of(whole)
    return found, lambda candidates, picked: volume_of(candidates, picked) / most


def problem_of(evaluator: Evaluator) -> Problem:
    return Problem(
        evaluator.space,
        evaluator.objectives,
        evaluator.cheap,
        evaluator.metrics,
        Budgets((), evaluator.space, evaluator.metrics, evaluator.cheap),
        tuple(evaluator.space.baselines().values()),
        reference=evaluator.reference(),
        tasks=evaluator.strategy_tasks,
    )


def run(
    evaluator: Evaluator,
    name: str,
    options: dict[str, Any],
    seed: int,
    checks: Sequence[int],
    share: Share,
) -> Floats:
    """Shares at the checks (all, front each) and seconds per proposal ``[2 checks + 1]``."""
    problem, kind = problem_of(evaluator), strategy_class(name)
    strategy = kind(problem, kind.Options.model_validate(options), seed)
    results: list[Result] = []
    spent = 0.0

    def measure(candidate: Candidate, what: str) -> Result:
        done = evaluator.evaluate(candidate, seed)
        noise = done.details["accuracy_se"]
        results.append(
            Result(len(results), candidate, what, tuple(done.values.values()), noise=noise)
        )
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
            given = evaluator.strategy_task(proposed.task, seed, Path())
            answer = checked_answer(proposed.task.kind, given)
            strategy.observe_task(TaskResult(0, proposed, answer))
            continue
        result = measure(proposed, "search")
        began = time.perf_counter()
        strategy.observe(result)
        spent += time.perf_counter() - began
    seen = problem.costs(results)
    row = []
    for check in checks:
        looks = np.flatnonzero(non_dominated(seen[:check]))
        row.append(share([r.candidate for r in results[:check]], None))
        row.append(share([results[i].candidate for i in looks], seed))
    return np.array([*row, spent / max(len(results) - len(problem.baselines), 1)])


def race(folder: Path, args: argparse.Namespace) -> None:
    if args.recorded:
        evaluator, share = recorded(folder)
        print("625 recorded assignments; medians [lowest, highest]")
        compete(evaluator, RECORDED, share, args)
        return
    whole = volume(attainable(make(folder, 0.0), CELLS))
    print(f"attainable with {CELLS} cells: {whole:.4f} of the box")
    for noise in args.noise:
        synthetic = make(folder, noise)

        def known(
            candidates: Sequence[Candidate],
            picked: int | None = None,
            synthetic: Synthetic = synthetic,
        ) -> float:
            return volume(costs_of(synthetic, synthetic.space.encode(candidates))) / whole

        print(f"\nnoise {noise} points; medians [lowest, highest]")
        compete(synthetic, SYNTHETIC, known, args)


def compete(
    evaluator: Evaluator, checks: tuple[int, int], share: Share, args: argparse.Namespace
) -> None:
    early, late = (f"at {check}" for check in checks)
    print(f"{'strategy':26s} {early:>22s} {'front':>6s} {late:>22s} {'front':>6s}  s each")
    for label, (name, options) in FIELD.items():
        seeds = args.gp_seeds if name == "optuna-gp" else args.seeds
        if seeds < 1 or (args.only and label not in args.only):
            continue
        rows = np.array([run(evaluator, name, options, s, checks, share) for s in range(seeds)])
        (a, b, c, d, e), low, high = np.median(rows, axis=0), rows.min(axis=0), rows.max(axis=0)
        print(
            f"{label:26s} {a:.3f} [{low[0]:.3f}, {high[0]:.3f}] {b:7.3f} "
            f"{c:.3f} [{low[2]:.3f}, {high[2]:.3f}] {d:7.3f} {e:7.3f}  ({seeds} seeds)",
            flush=True,
        )


def models(folder: Path, args: argparse.Namespace) -> None:
    """Error (points) on candidates that are worth having, after n mixed ones."""
    for noise in args.noise:
        evaluator = make(folder, noise)
        space = evaluator.space
        given = evaluator.strategy_task(ScoresTask(), 0, Path())
        answer = checked_answer("scores", given)
        assert isinstance(answer, ScoresResult)
        scored = scores_of(answer, space)
        contestants: dict[str, Contestant] = {
            "plain mean": constant,
            "additive": additive(Design(space)),
            "additive, prior": additive(Design(space, {"": scored})),
            "Hamming process": hamming_process,
            "random forest": random_forest,
        }
        print(f"\nnoise {noise} points: root mean square error, points")
        print(f"{'model':20s}" + "".join(f"{n:>8d}" for n in (24, 48, 100, 200)))
        for label, contestant in contestants.items():
            print(f"{label:20s}", end="")
            for count in (24, 48, 100, 200):
                wrong = []
                for seed in range(min(args.seeds, 5)):
                    generator = np.random.default_rng(seed)
                    mixes = generator.dirichlet(np.full(5, 0.7), count)
                    codes = np.array([generator.choice(5, 18, p=mix) for mix in mixes])
                    errors = np.full(count, noise / 100)
                    measured = evaluator.accuracy_codes(codes)
                    measured += errors * generator.standard_normal(count)
                    asked = generator.choice(5, (300, 18), p=[0.3, 0.2, 0.3, 0.2, 0.0])
                    gap = contestant(codes, measured, errors)(asked)
                    gap = gap - evaluator.accuracy_codes(asked)
                    wrong.append(100 * float(np.sqrt(np.mean(gap**2))))
                print(f"{np.median(wrong):8.3f}", end="", flush=True)
            print()


def constant(codes: Codes, values: Floats, errors: Floats) -> Callable[[Codes], Floats]:
    centre = float(values.mean())
    return lambda asked: np.full(len(asked), centre)


def additive(design: Design) -> Contestant:
    return lambda codes, values, errors: fit(design, codes, values, errors).mean


def random_forest(codes: Codes, values: Floats, errors: Floats) -> Callable[[Codes], Floats]:
    from sklearn.ensemble import RandomForestRegressor

    grown = RandomForestRegressor(200, random_state=0).fit(one_hot(codes), values)
    return lambda asked: np.asarray(grown.predict(one_hot(asked)))


def hamming_process(codes: Codes, values: Floats, errors: Floats) -> Callable[[Codes], Floats]:
    """A Gaussian process with covariance exp(−Hamming distance / length); evidence on a grid."""

    def covariance(left: Codes, right: Codes, length: float) -> Floats:
        distance = (left[:, None] != right[None]).sum(axis=2)
        return np.asarray(np.exp(-distance / length))

    spread, centre = float(values.var()), float(values.mean())
    best, chosen = -np.inf, (0.0, np.empty(0))
    for length in (2.0, 4.0, 8.0, 16.0, 32.0, 64.0):
        for scale in (0.5, 1.0, 3.0, 10.0):
            matrix = scale * spread * covariance(codes, codes, length)
            matrix += np.diag(errors**2 + 1e-6 * spread)
            sign, log = np.linalg.slogdet(matrix)
            weights = np.linalg.solve(matrix, values - centre)
            evidence = -0.5 * float((values - centre) @ weights) - 0.5 * float(log)
            if sign > 0 and evidence > best:
                best, chosen = evidence, (length, scale * spread * weights)
    length, weights = chosen
    return lambda asked: centre + covariance(asked, codes, length) @ weights


def one_hot(codes: Codes) -> Floats:
    return np.asarray(np.eye(5)[codes].reshape(len(codes), -1))


def timing(folder: Path) -> None:
    evaluator = make(folder, 0.8)
    problem = problem_of(evaluator)
    print(f"\n{'trials':>7s} {'proposals':>10s} {'s each':>8s}")
    for trials in (48, 200, 1000):
        generator = np.random.default_rng(0)
        results: dict[Candidate, Result] = {}
        while len(results) < trials:
            mix = generator.dirichlet(np.full(5, 0.5))
            candidate = evaluator.space.decode(generator.choice(5, 18, p=mix))[0]
            values = tuple(evaluator.evaluate(candidate, 0).values.values())
            results[candidate] = Result(len(results), candidate, "search", values, noise=0.008)
        held = list(results.values())
        for count in (1, 4):
            assistant = Assistant(problem)
            for again in ("first call", "next call"):
                began = time.perf_counter()
                found = assistant.propose(held, [], results, count, np.random.default_rng(1))
                each = (time.perf_counter() - began) / len(found)
                print(f"{trials:7d} {count:10d} {each:8.3f}  {again}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--gp-seeds", type=int, default=0, help="of optuna-gp, which takes minutes")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.8])
    parser.add_argument("--recorded", action="store_true", help="race on recorded trainings")
    parser.add_argument("--only", nargs="+", choices=sorted(FIELD))
    parser.add_argument("--models", action="store_true")
    parser.add_argument("--timing", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.models:
            models(Path(folder), args)
        if args.timing:
            timing(Path(folder))
        if not (args.models or args.timing):
            race(Path(folder), args)


if __name__ == "__main__":
    main()
