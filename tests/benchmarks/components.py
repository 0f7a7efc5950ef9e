"""Do intervals hold that rest on several parents, or on several divisions of the recordings?

``python tests/benchmarks/components.py [--runs 300] [--seed 0]``; one process, about a minute.

Twelve candidates with a known accuracy are confirmed again and again. The accuracy of a training is
the candidate's own, plus what its parent does to every candidate (standard deviation 1.5 points),
what this parent does to this candidate (0.8), and what this training does (0.8). A sample is right
with the probability of logit(accuracy) plus its own difficulty (standard deviation 2, alike for
every candidate). The interval of the difference between two candidates drawn at random is compared
with the truth. *Parents*: every seed with every parent, 300 test samples. *Divisions*: one parent
and one seed each, 100 test samples and 720 to train; a part of what parents do to a candidate
(correlation 0.3) is the same in all divisions, as most training recordings are.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from hqsearch.analysis.components import FromParents, noise_of
from hqsearch.evaluator import FreshParent
from hqsearch.evaluator.per_sample import pack_correct
from hqsearch.store.records import TrialRow

CANDIDATES, COMMON, OWN, TRAINING, DIFFICULTY = 12, 0.015, 0.008, 0.008, 2.0
#: What is shared of a candidate's gain from division to division: variance.
SHARED = 0.3
Floats = npt.NDArray[np.float64]


def row(seed: int, right: npt.NDArray[np.bool_], trained: int) -> TrialRow:
    """A replicate that got these samples right."""
    told = {
        "correct": pack_correct(right), "test_samples": len(right), "training_samples": trained,
    }  # fmt: skip
    return TrialRow(
        seed, "COMPLETE", 1, "confirm", "replicate", None, {"a": "2u"},
        {"accuracy": float(right.mean())}, None, seed, 1.0, 0.0, "", "", 1, "", json.dumps(told),
    )  # fmt: skip


class World:
    """Candidates with a known accuracy."""

    def __init__(self, generator: np.random.Generator) -> None:
        self.generator = generator
        self.truth = 0.88 + 0.02 * generator.standard_normal(CANDIDATES)
        nodes, weights = np.polynomial.hermite_e.hermegauss(41)
        self._levels = np.linspace(-12, 14, 600)
        mean = 1.0 / (1.0 + np.exp(-(self._levels[:, None] + DIFFICULTY * nodes)))
        self._means = mean @ (weights / weights.sum())

    def right(self, accuracies: Floats, difficulty: Floats) -> npt.NDArray[np.bool_]:
        level = np.interp(np.clip(accuracies, 0.02, 0.999), self._means, self._levels)
        chance = 1.0 / (1.0 + np.exp(-(level[..., None] + difficulty)))
        return np.asarray(self.generator.random(chance.shape) < chance)

    def parents(self, parents: int, seeds: int, samples: int) -> list[FromParents]:
        draw = self.generator.standard_normal
        gain = COMMON * draw(parents) + OWN * draw((CANDIDATES, parents))
        accuracy = self.truth[:, None, None] + gain[:, :, None]
        accuracy = accuracy + TRAINING * draw((CANDIDATES, parents, seeds))
        right = self.right(accuracy, DIFFICULTY * draw(samples))
        return [
            _candidate({FreshParent(0, p): dict(enumerate(r)) for p, r in enumerate(own)}, 1000)
            for own in right
        ]

    def divisions(self, divisions: int, samples: int, trained: int) -> list[FromParents]:
        draw = self.generator.standard_normal
        shared = np.sqrt(SHARED) * draw((CANDIDATES, 1))
        own = shared + np.sqrt(1 - SHARED) * draw((CANDIDATES, divisions))
        accuracy = self.truth[:, None] + COMMON * draw(divisions) + OWN * own
        accuracy = accuracy + TRAINING * draw((CANDIDATES, divisions))
        right = [self.right(accuracy[:, d], DIFFICULTY * draw(samples)) for d in range(divisions)]
        return [
            _candidate({FreshParent(d, d): {d: right[d][c]} for d in range(divisions)}, trained)
            for c in range(CANDIDATES)
        ]


def _candidate(
    right: Mapping[FreshParent, Mapping[int, npt.NDArray[np.bool_]]], trained: int
) -> FromParents:
    rows = {p: {s: row(s, r, trained) for s, r in own.items()} for p, own in right.items()}
    return FromParents(rows, "accuracy")


def coverage(kind: tuple[int, ...], runs: int, seed: int) -> tuple[float, float]:
    """How often a 95 % interval holds, and half its width, in points."""
    held, width = [], []
    for number in range(runs):
        world = World(np.random.default_rng([seed, number]))
        made = world.parents(*kind, 300) if len(kind) == 2 else world.divisions(kind[0], 100, 720)
        one, other = world.generator.choice(CANDIDATES, 2, replace=False)
        low, high = made[one].minus(made[other], noise_of(made)).interval()
        held.append(low <= world.truth[one] - world.truth[other] <= high)
        width.append(50 * (high - low))
    return float(np.mean(held)), float(np.mean(width))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    started = time.perf_counter()
    print("| confirmed from | intervals that hold | ± points |")
    print("|---|--:|--:|")
    for name, kind in (
        ("1 parent, 3 seeds", (1, 3)),
        ("2 parents, 3 seeds", (2, 3)), ("3 parents, 1 seed", (3, 1)), ("5 divisions", (5,)),
    ):  # fmt: skip
        held, width = coverage(kind, asked.runs, asked.seed)
        print(f"| {name} | {held:.1%} | {width:.1f} |")
    took = time.perf_counter() - started
    print(f"{asked.runs} runs each, seed {asked.seed}, {took:.0f} s")


if __name__ == "__main__":
    main()
