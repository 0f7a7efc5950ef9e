from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hqsearch.evaluators.toy import Toy, true_front

from hqsearch.budgets import Budgets
from hqsearch.definition import embedded, load_study
from hqsearch.evaluator import Evaluator, Setup
from hqsearch.pareto import scaled_hypervolume
from hqsearch.registry import make_evaluator
from hqsearch.strategies import Problem, Result, Signal, strategy_class
from hqsearch.testing import EvaluatorContract


class TestToyContract(EvaluatorContract):
    def make(self, folder: Path) -> Evaluator:
        return make_evaluator(Setup(load_study(embedded("studies")["toy"]), folder))


def test_values_are_those_of_the_tables(toy: Toy) -> None:
    candidate = toy.space.baseline("4u")
    evaluation = toy.evaluate(candidate, 0)
    energy, storage, bits = toy.cheap([candidate])[0]
    assert evaluation.values["energy"] == energy
    assert evaluation.values["storage"] == storage
    assert bits == 4.0
    layers = evaluation.details["layers"]
    assert sum(row["energy"] for row in layers) == pytest.approx(energy)
    assert sum(row["storage"] for row in layers) == pytest.approx(storage)


def test_layers_interact(toy: Toy) -> None:
    """Quantizing two neighbours loses more than the sum of quantizing each alone."""
    full = toy.space.encode([toy.space.baseline("fp32")])[0]
    left, right, both = full.copy(), full.copy(), full.copy()
    left[0] = both[0] = right[1] = both[1] = 0
    a, b, c, d = np.log(toy.accuracy_codes(np.array([full, left, right, both])))
    assert (a - d) > (a - b) + (a - c) + 1e-6


def test_nsga2_reaches_the_front(toy: Toy) -> None:
    """400 evaluations, median of 5 seeds: 96 % of the exact front's hypervolume."""
    front = true_front(toy)
    ideal, nadir = front.min(axis=0), front.max(axis=0)
    whole = scaled_hypervolume(front, ideal, nadir)
    options = load_study(embedded("studies")["toy"]).strategy["nsga2"]
    shares = {}
    for name, given in (("nsga2", options), ("random", {})):
        kind = strategy_class(name)
        found = []
        for seed in range(5):
            problem = Problem(
                toy.space,
                toy.objectives,
                toy.cheap,
                toy.metrics,
                Budgets((), toy.space, toy.metrics, toy.cheap),
                tuple(toy.space.baselines().values()),
            )
            strategy = kind(problem, kind.Options.model_validate(given), seed)
            results: list[Result] = []

            def measure(candidate, what: str, into: list[Result]) -> Result:  # type: ignore[no-untyped-def]
                values = tuple(toy.evaluate(candidate, 0).values.values())
                into.append(Result(len(into), candidate, what, values))
                return into[-1]

            for candidate in problem.baselines:
                strategy.observe(measure(candidate, "baseline", results))
            while len(results) < 400:
                proposed = strategy.next()
                assert not isinstance(proposed, Signal)
                strategy.observe(measure(proposed, "search", results))
            found.append(scaled_hypervolume(problem.costs(results), ideal, nadir) / whole)
        shares[name] = float(np.median(found))
    assert shares["nsga2"] >= 0.96
    assert 1 - shares["nsga2"] <= (1 - shares["random"]) / 2
