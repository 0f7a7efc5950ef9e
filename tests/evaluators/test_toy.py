from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hqsearch.evaluators.toy import Toy, true_front

from hqsearch.definition import embedded, load_study
from hqsearch.evaluator import Evaluator, Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.problem.budgets import Budgets
from hqsearch.problem.pareto import hypervolume
from hqsearch.strategies import Problem, Result, Signal, strategy_class
from hqsearch.testing import EvaluatorContract


class TestToyContract(EvaluatorContract):
    def make(self, folder: Path) -> Evaluator:
        return make_evaluator(Setup(load_study(embedded("studies")["toy"]), folder))


class TestToyWithEpochsContract(EvaluatorContract):
    def make(self, folder: Path) -> Evaluator:
        given = {"evaluation.epochs": 6, "evaluation.noise": 0.01}
        return make_evaluator(Setup(load_study(embedded("studies")["toy"], given), folder))


class TestToyWithStructureContract(EvaluatorContract):
    def make(self, folder: Path) -> Evaluator:
        given = {"evaluation.epochs": 3}
        return make_evaluator(
            Setup(load_study(embedded("studies")["toy-structure"], given), folder)
        )


@pytest.fixture
def structured(tmp_path: Path) -> Toy:
    made = make_evaluator(Setup(load_study(embedded("studies")["toy-structure"]), tmp_path))
    assert isinstance(made, Toy)
    return made


def test_four_timesteps_are_the_toy_itself(toy: Toy, structured: Toy) -> None:
    assert structured.reference() == toy.reference()
    for candidate in toy.space.baselines().values():
        same = structured.space.candidate({**candidate.choices, "timesteps": "4"})
        mine, its = structured.evaluate(same, 0), toy.evaluate(candidate, 0)
        assert (mine.values, mine.details) == (its.values, its.details)


def test_fewer_timesteps_cost_less_energy_and_accuracy(structured: Toy) -> None:
    few = [structured.evaluate(part.baseline("4u"), 0) for part in structured.space.parts.values()]
    energy = np.array([e.values["energy"] for e in few])
    assert (energy / energy[0]).tolist() == [1.0, 0.5, 0.25]
    accuracy = [e.values["accuracy"] for e in few]
    assert accuracy == sorted(accuracy, reverse=True)
    assert len({e.values["storage"] for e in few}) == 1
    for evaluation in few:
        rows = evaluation.details["layers"]
        assert sum(r["energy"] for r in rows) == pytest.approx(evaluation.values["energy"])


def test_the_front_by_enumeration(toy: Toy, structured: Toy) -> None:
    """Of 1,171,875 candidates; nothing of the toy's own front is better than all of it."""
    whole, four = true_front(structured), true_front(toy)
    for row in four:
        assert (whole <= row + 1e-12).all(axis=1).any()
    assert whole[:, 1].min() == pytest.approx(four[:, 1].min() / 4)
    assert whole[:, 0].min() == four[:, 0].min()


def learning(epochs: int, folder: Path, **more: float) -> Toy:
    given = {"evaluation.epochs": epochs, **{f"evaluation.{k}": v for k, v in more.items()}}
    made = make_evaluator(Setup(load_study(embedded("studies")["toy"], given), folder))
    assert isinstance(made, Toy)
    return made


def test_learning_curves_rise_to_the_closed_form(toy: Toy, tmp_path: Path) -> None:
    evaluator = learning(8, tmp_path)
    assert evaluator.full_budget == 8
    generator = np.random.default_rng(0)
    for _ in range(20):
        candidate = toy.space.random(generator)
        curve = [evaluator.evaluate(candidate, 0, e).values["accuracy"] for e in range(1, 9)]
        assert curve == sorted(curve)
        assert curve[-1] == toy.evaluate(candidate, 0).values["accuracy"]
        exact = float(toy.accuracy_codes(toy.space.encode([candidate]))[0])
        assert curve[-1] == exact


def test_low_bits_learn_more_slowly_so_that_curves_cross(toy: Toy, tmp_path: Path) -> None:
    evaluator = learning(8, tmp_path)
    generator = np.random.default_rng(0)
    candidates = [toy.space.random(generator) for _ in range(60)]
    early, late = (
        np.array([evaluator.evaluate(c, 0, e).values["accuracy"] for c in candidates])
        for e in (1, 8)
    )
    agree = np.sign(early[:, None] - early) == np.sign(late[:, None] - late)
    assert 0.85 < agree.mean() < 0.995


def test_noise_is_drawn_from_candidate_seed_and_epoch(toy: Toy, tmp_path: Path) -> None:
    evaluator = learning(4, tmp_path, noise=0.01)
    candidate = toy.space.baseline("4u")
    drawn = {evaluator.evaluate(candidate, seed, 4).values["accuracy"] for seed in range(200)}
    exact = toy.evaluate(candidate, 0).values["accuracy"]
    assert len(drawn) > 150  # what would exceed 1 is cut there
    assert abs(np.mean(list(drawn)) - exact) < 0.003
    assert evaluator.evaluate(candidate, 0).details["accuracy_se"] == 0.01


def test_resuming_saves_the_time_of_the_epochs_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("hqsearch.evaluators.toy.time.sleep", slept.append)
    evaluator = learning(4, tmp_path, seconds=1.0)
    first, other = evaluator.space.baseline("4u"), evaluator.space.baseline("2u")
    at = tmp_path / "at"
    evaluator.evaluate(first, 0, 1, checkpoint=at)
    evaluator.evaluate(first, 0, 3, resume_from=at)
    evaluator.evaluate(other, 0, 3, resume_from=at)  # of another candidate: no use
    evaluator.evaluate(first, 0)
    assert slept == [1.0, 2.0, 3.0, 4.0]


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
    corner = [1.1] * front.shape[1]
    whole = hypervolume((front - ideal) / (nadir - ideal), corner)
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
            costs = (problem.costs(results) - ideal) / (nadir - ideal)
            found.append(hypervolume(costs, corner) / whole)
        shares[name] = float(np.median(found))
    assert shares["nsga2"] >= 0.96
    assert 1 - shares["nsga2"] <= (1 - shares["random"]) / 2
