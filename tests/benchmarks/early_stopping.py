"""What early stopping saves on the toy study with learning curves, as a table.

    python tests/benchmarks/early_stopping.py [--epochs 8] [--noise 0.008] [--seeds 5]

Every pair of rows has the same strategy and seeds and spends at most the same epochs: first
every candidate trained to the end, then with successive halving. ``share`` is the hypervolume of
what was completed, at its exact accuracy, over that of the exact front.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hqsearch.evaluators.toy import Toy, true_front
from rich.console import Console

from hqsearch.definition import embedded, load_study
from hqsearch.evaluator import Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.problem.pareto import hypervolume
from hqsearch.show.live import LiveProgress
from hqsearch.store.log import LogReader, storage_url
from hqsearch.store.records import TrialRecord
from hqsearch.study.running import Request, start

#: Candidates in a cohort, and in a population.
COHORT = 12


def run(
    folder: Path, strategy: str, evaluations: int, settings: dict[str, Any]
) -> list[TrialRecord]:
    request = Request(
        "toy", strategy, evaluations=evaluations, studies_dir=folder, overrides=settings
    )
    with LiveProgress(Console(quiet=True)) as progress:
        start(request, progress)
    reader = LogReader(storage_url(None, folder.resolve() / "toy"), "toy")
    trials = reader.trials()
    reader.close()
    return trials


def epochs_spent(trials: list[TrialRecord], full: int) -> int:
    return sum(t.rungs[-1].epoch if t.state == "PRUNED" else full for t in trials)


def share(trials: list[TrialRecord], toy: Toy, front: np.ndarray) -> float:
    """Hypervolume of the completed ones at their exact accuracy, over the exact front's."""
    codes = toy.space.encode([t.proposal.candidate for t in trials if t.state == "COMPLETE"])
    costs = np.column_stack([-toy.accuracy_codes(codes), toy.cheap_codes(codes)[:, :2]])
    low, high = front.min(axis=0), front.max(axis=0)
    corner = [1.1] * costs.shape[1]
    own, whole = ((x - low) / (high - low) for x in (costs, front))
    return hypervolume(own, corner) / hypervolume(whole, corner)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--noise", type=float, default=0.008, help="of an accuracy, as a fraction")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--evaluations", type=int, default=60, help="fully trained ones")
    parser.add_argument("--strategies", nargs="+", default=["nsga2", "random", "optuna-tpe"])
    asked = parser.parse_args()
    toy = make_evaluator(Setup(load_study(embedded("studies")["toy"]), Path()))
    assert isinstance(toy, Toy)
    front = true_front(toy)
    base = {
        "evaluation.epochs": asked.epochs,
        "evaluation.noise": asked.noise,
        "strategy.nsga2.population": COHORT,
        "strategy.nsga2.assist": False,
    }
    budget = asked.evaluations * asked.epochs
    print(f"{asked.epochs} epochs a candidate, noise {asked.noise}, {asked.seeds} seeds, medians")
    print(f"{'strategy':<12} {'early stopping':<15} epochs  proposed  completed  share   min–max")
    for strategy in asked.strategies:
        for stops in (False, True):
            rows = []
            for seed in range(asked.seeds):
                with tempfile.TemporaryDirectory() as place:
                    settings = {**base, "seed": seed, "search.early_stopping": stops}
                    trials = run(Path(place), strategy, asked.evaluations, settings)
                    # Whole cohorts, while another one fits into what was trained without.
                    while stops and (
                        epochs_spent(trials, asked.epochs)
                        + epochs_spent(trials[-COHORT:], asked.epochs)
                        <= budget
                    ):
                        trials = run(Path(place), strategy, len(trials) + COHORT, settings)
                    rows.append(
                        (
                            epochs_spent(trials, asked.epochs),
                            len(trials),
                            sum(t.state == "COMPLETE" for t in trials),
                            share(trials, toy, front),
                        )
                    )
            epochs, proposed, completed, middle = np.median(np.array(rows), axis=0)
            shares = [r[3] for r in rows]
            print(
                f"{strategy:<12} {'halving' if stops else 'none':<15} {epochs:>6.0f} "
                f"{proposed:>9.0f} {completed:>10.0f} {100 * middle:>5.1f} % "
                f"{100 * min(shares):.1f}–{100 * max(shares):.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
