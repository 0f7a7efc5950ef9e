"""How good the differentiable search is where the truth is known, and what its parts are worth.

Run: ``python tests/benchmarks/supernet_toy.py [--seeds 5] [--rows figure,toy,linear]``

``figure``: the toy study, 10 energy targets. The product's limits: a regret of at most 2 % of
the accuracy range in 90 % of runs, no derived cost above its target, the expected cost within
5 % of it. ``toy`` and ``linear`` are ablations, the latter on a regression with trained weights
(``linear_relaxation.py``), 8 storage targets, regret in % of the range of losses.

Regret is that of the most probable candidate, against the best of all under the same target.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from hqsearch.evaluators._toy_relaxation import ToyRelaxation
from hqsearch.evaluators.toy import Toy
from linear_relaxation import BITS, LAYERS, LinearProblem, LinearRelaxation

from hqsearch.definition import embedded, load_study
from hqsearch.evaluator import Setup, SupernetResult, SupernetTask
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.problem.candidate import Candidate
from hqsearch.supernet import train
from hqsearch.supernet.gumbel_softmax import sample, seeded

Options = dict[str, Any]
VARIANTS: dict[str, Options] = {
    "as shipped": {},
    "temperature linear": {"schedule": "linear"},
    "temperature constant 5": {"schedule": "constant", "temperature": (5.0, 5.0)},
    "temperature constant 0.5": {"schedule": "constant"},
    "temperature 5 to 0.1": {"temperature": (5.0, 0.1)},
    "temperature 1 to 0.1": {"temperature": (1.0, 0.1)},
    "hard samples": {"hard": True},
    "hard, 1 to 0.1": {"hard": True, "temperature": (1.0, 0.1)},
    "no warm-up": {"warmup": 0},
    "warm-up 6 of 15": {"warmup": 6},
    "augmented Lagrangian (5, 0.1, 0)": {"gains": (5.0, 0.1, 0.0)},
    "dual ascent (0, 0.1, 0)": {"gains": (0.0, 0.1, 0.0)},
    "logit learning rate 0.05": {"logit_learning_rate": 0.05},
    "logit learning rate 0.2": {"logit_learning_rate": 0.2},
    "hard, no warm-up": {"hard": True, "warmup": 0},
    "hard, constant 1": {"hard": True, "schedule": "constant", "temperature": (1.0, 1.0)},
    "fixed β 0.1": {"fixed": 0.1},
    "fixed β 1": {"fixed": 1.0},
}


@dataclass(frozen=True)
class Case:
    """A problem with the costs and the qualities (regret's scale, larger is better) of all."""

    evaluator: Any
    relaxation: Callable[[int], Any]
    metric: str
    costs: np.ndarray
    quality: np.ndarray
    of: Callable[[Candidate], float]
    targets: np.ndarray
    options: Options = field(default_factory=dict)
    """Where they differ from those shipped: the regression has a scale of its own."""


def toy_case() -> Case:
    toy = make_evaluator(Setup(load_study(embedded("studies")["toy"]), Path()))
    assert isinstance(toy, Toy)
    space = toy.space
    codes = np.indices(tuple(space.cardinalities)).reshape(len(space.dimensions), -1).T
    costs = toy.cheap_codes(codes)[:, 0] / toy.reference()["energy"]

    def quality(candidate: Candidate) -> float:
        return float(toy.accuracy_codes(space.encode([candidate]))[0])

    targets = np.geomspace(costs.min(), costs.max(), 12)[1:-1]
    return Case(
        toy, lambda seed: ToyRelaxation(toy), "energy", costs, toy.accuracy_codes(codes), quality,
        targets,
    )  # fmt: skip


def linear_case() -> Case:
    problem = LinearProblem()
    names = problem.space.names
    every = [
        Candidate(tuple(zip(names, values, strict=True)))
        for values in itertools.product(BITS, repeat=LAYERS)
    ]
    costs = problem.cheap(every)[:, 0] / problem.reference()["storage"]
    quality = np.array([-problem.loss(c) for c in every])
    return Case(
        problem, lambda seed: LinearRelaxation(problem, seed), "storage", costs, quality,
        lambda c: -problem.loss(c), np.geomspace(costs.min(), costs.max(), 10)[1:-1],
        {"learning_rate": 0.01},
    )  # fmt: skip


class Unrolled(train.SupernetTraining):
    """Second order: logits look one weight step ahead (DARTS, eq. 6, differentiated exactly)."""

    def loss_gradient(self, epoch: int, step: int, batch: Any, temperature: float) -> Any:
        relaxation = self.relaxation
        assert isinstance(relaxation, LinearRelaxation)
        mixture = sample(
            self.logits, relaxation.choices, temperature, self.options.hard,
            seeded(self.seed, epoch, step, 1),
        )  # fmt: skip
        training = next(itertools.islice(relaxation.weight_batches(epoch), step, None))
        ahead = relaxation.loss_at(relaxation.weights, mixture, training)
        (slope,) = torch.autograd.grad(ahead, relaxation.weights, create_graph=True)
        # A plain gradient step of the size that the loss allows; Adam's has no second order.
        stepped = relaxation.weights - 0.02 * slope
        loss = relaxation.loss_at(stepped, mixture, batch)
        (gradient,) = torch.autograd.grad(loss, self.logits)
        return float(loss.detach()), gradient


def runs(case: Case, options: Options, seeds: int) -> np.ndarray:
    """Rows of regret (% of range), derived / target, expected / target, seconds."""
    rows = []
    options = {**case.options, **options}
    fixed = options.pop("fixed", None)
    span = case.quality.max() - case.quality.min()
    for target, seed in itertools.product(case.targets.tolist(), range(seeds)):
        limit = {case.metric: target}
        absolute = {case.metric: target * case.evaluator.reference()[case.metric]}
        objective = {"target": limit} if fixed is None else {"beta": {case.metric: fixed}}
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            found = run(case, {**options, **objective}, seed, Path(folder), absolute, fixed)
        seconds = time.perf_counter() - began
        first = found.candidates[0]
        best = case.quality[case.costs <= target].max()
        regret = (best - case.of(Candidate.from_key(first.key))) / span
        reference = case.evaluator.reference()[case.metric]
        derived = first.costs[case.metric] / reference
        expected = found.expected[case.metric]
        rows.append((100 * regret, derived / target, expected / target, seconds))
    return np.array(rows)


def run(
    case: Case, payload: Options, seed: int, folder: Path, limits: dict[str, float], fixed: Any
) -> SupernetResult:
    """A supernet; where β is fixed, the target binds the derivation alone."""
    task = SupernetTask.from_json(payload)
    if fixed is not None:
        # As a budget it would get a multiplier, too.
        with mock.patch.object(train, "derive", _limited(limits)):
            return train.run_supernet(case.relaxation(seed), task, seed, folder, case.evaluator)
    return train.run_supernet(case.relaxation(seed), task, seed, folder, case.evaluator)


def _limited(limits: dict[str, float]) -> Callable[..., Any]:
    original = train.derive

    def call(table: Any, space: Any, cheap: Any, metrics: Any, own: Any, count: int) -> Any:
        return original(table, space, cheap, metrics, limits, count)

    return call


def line(name: str, rows: np.ndarray) -> str:
    regret, derived, expected, seconds = rows.T
    return (
        f"{name:<34} {100 * (regret <= 2.0).mean():6.0f} {regret.mean():7.2f} {regret.max():7.2f} "
        f"{100 * (derived <= 1.0).mean():7.0f} {100 * (abs(expected - 1) <= 0.05).mean():7.0f} "
        f"{seconds.mean():7.2f}"
    )


def heading(title: str, seeds: int, case: Case) -> str:
    return (
        f"\n{title}: {len(case.targets)} targets x {seeds} seeds\n"
        f"{'':<34} {'<= 2 %':>6} {'mean':>7} {'worst':>7} {'derived':>7} {'expec-':>7} {'':>7}\n"
        f"{'':<34} {'% runs':>6} {'regret':>7} {'regret':>7} {'<= tgt':>7} {'ted ±5':>7} "
        f"{'s/run':>7}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--ablation-seeds", type=int, default=2)
    parser.add_argument("--rows", default="figure,toy,linear")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    wanted = asked.rows.split(",")
    if "figure" in wanted:
        case = toy_case()
        print(heading("Toy, as shipped", asked.seeds, case))
        by_target = runs(case, {}, asked.seeds)
        per = by_target.reshape(len(case.targets), asked.seeds, -1)
        for target, rows in zip(case.targets, per, strict=True):
            print(line(f"energy <= {target:.3f} fp32", rows))
        print(line("all", by_target), flush=True)
    seeds = asked.ablation_seeds
    for name, make in (("toy", toy_case), ("linear", linear_case)):
        if name not in wanted:
            continue
        case = make()
        print(heading(f"Ablation, {name}", seeds, case))
        for variant, options in VARIANTS.items():
            print(line(variant, runs(case, options, seeds)), flush=True)
        if name == "linear":
            with mock.patch.object(train, "SupernetTraining", Unrolled):
                print(line("second order (unrolled)", runs(case, {}, seeds)), flush=True)


if __name__ == "__main__":
    main()
