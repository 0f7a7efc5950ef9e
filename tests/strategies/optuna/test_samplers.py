from __future__ import annotations

import dataclasses

import optuna
import pytest
from optuna.trial import TrialState

from hqsearch.problem.candidate import Candidate
from hqsearch.strategies import Problem, Result, Signal, Strategy, strategy_class, strategy_names
from hqsearch.strategies.optuna.mirror import OptunaStrategy
from hqsearch.testing import StrategyContract

NAMES = [name for name in strategy_names() if name.startswith("optuna-")]


def make(name: str, problem: Problem, seed: int = 0, **options: object) -> OptunaStrategy:
    kind = strategy_class(name)
    made = kind(problem, kind.Options.model_validate(options), seed)
    assert isinstance(made, OptunaStrategy)
    return made


class OptunaContract(StrategyContract):
    name: str

    def make(self, problem: Problem, seed: int) -> Strategy:
        return make(self.name, problem, seed)


class TestNsga2(OptunaContract):
    name = "optuna-nsga2"


class TestNsga3(OptunaContract):
    name = "optuna-nsga3"


class TestQmc(OptunaContract):
    name = "optuna-qmc"


class TestRandom(OptunaContract):
    name = "optuna-random"


class TestTpe(OptunaContract):
    name = "optuna-tpe"


class TestGp(OptunaContract):
    """The contract before the model is fitted, and a few proposals of the model."""

    name = "optuna-gp"

    def make(self, problem: Problem, seed: int) -> Strategy:
        return make(self.name, problem, seed, startup=1000)

    def test_the_model_is_deterministic_and_respects_budgets(self) -> None:
        problem = self.problem(layers=4, budget=8.0)

        class Fitted(TestGp):
            def make(self, problem: Problem, seed: int) -> Strategy:
                return make("optuna-gp", problem, seed, startup=4)

        proposed = Fitted().drive(problem, 0, 2)
        assert proposed == Fitted().drive(problem, 0, 2)
        assert proposed != self.drive(problem, 0, 2)
        assert len({*proposed, *problem.baselines}) == 2 + len(problem.baselines)
        assert (problem.cheap(proposed) <= 8.0).all()


CONTRACT = TestRandom()


def mirror_of(strategy: OptunaStrategy) -> list[optuna.trial.FrozenTrial]:
    return strategy._mirror.get_trials()


def test_every_sampler_has_its_contract_test() -> None:
    tested = {kind.name for kind in OptunaContract.__subclasses__()}
    assert tested == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_mirror_holds_what_is_in_flight(name: str) -> None:
    problem = CONTRACT.problem()
    strategy = make(name, problem)
    proposed = [strategy.next() for _ in range(3)]
    trials = mirror_of(strategy)
    assert [t.state for t in trials] == [TrialState.RUNNING] * 6
    assert [Candidate.of(t.params) for t in trials] == [*problem.baselines, *proposed]


@pytest.mark.parametrize("name", NAMES)
def test_results_are_told_minimized_with_their_violation(name: str) -> None:
    problem = CONTRACT.problem(budget=10.0)
    strategy = make(name, problem)
    for slot, candidate in enumerate(problem.baselines):
        strategy.observe(Result(slot, candidate, "baseline", (0.9, 12.0), violation=0.2))
    proposed = strategy.next()
    assert isinstance(proposed, Candidate)
    strategy.observe(Result(len(problem.baselines), proposed, "search", None))
    *baselines, failed = mirror_of(strategy)
    assert failed.state is TrialState.FAIL
    assert all(t.values == [-0.9, 12.0] for t in baselines)
    assert all(t.constraints == {"budgets": 0.2} for t in baselines)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_log_holds_wins_over_what_is_recomputed(name: str) -> None:
    problem = CONTRACT.problem()
    strategy = make(name, problem)
    other = make(name, problem, seed=7).next()
    assert isinstance(other, Candidate)
    assert strategy.next() != other
    slot = len(problem.baselines)
    strategy.observe(Result(slot, other, "search", CONTRACT.measure(problem, other)))
    states = {t.state: Candidate.of(t.params) for t in mirror_of(strategy)[slot:]}
    assert states[TrialState.COMPLETE] == other
    assert TrialState.FAIL in states
    for _ in range(30):
        assert strategy.next() != other


@pytest.mark.parametrize("name", ["optuna-nsga2", "optuna-nsga3"])
def test_baselines_are_part_of_the_first_population(name: str) -> None:
    problem = CONTRACT.problem()
    strategy = make(name, problem, population=5)
    found = [
        Result(slot, c, "baseline", CONTRACT.measure(problem, c))
        for slot, c in enumerate(problem.baselines)
    ]
    for result in found:
        strategy.observe(result)
    for slot in range(3, 8):
        candidate = strategy.next()
        assert isinstance(candidate, Candidate)
        values = CONTRACT.measure(problem, candidate)
        strategy.observe(Result(slot, candidate, "search", values))
    key = f"{type(strategy.sampler(0)).__name__}:generation"
    assert [t.system_attrs[key] for t in mirror_of(strategy)] == [0] * 5 + [1] * 3


@pytest.mark.parametrize("name", ["optuna-tpe", "optuna-gp"])
def test_history_is_learned_from_where_asked_for(name: str) -> None:
    problem = CONTRACT.problem(budget=10.0)
    best, worst = problem.space.baseline("2u"), problem.space.baseline("fp32")
    middle = problem.space.decode([0, 1, 0, 1, 0, 1])[0]
    history = (
        Result(0, best, "baseline", (0.5, 6.0)),
        Result(1, worst, "baseline", (0.9, 20.0)),
        Result(2, middle, "search", None),
        Result(3, middle, "search", (0.7, 9.0)),
        Result(0, best, "baseline", (0.5, 6.0)),
    )
    problem = dataclasses.replace(problem, baselines=(), history=history)
    assert mirror_of(make(name, problem)) == []
    trials = mirror_of(make(name, problem, history=True))
    assert [(Candidate.of(t.params), t.values) for t in trials] == [
        (best, [-0.5, 6.0]),
        (worst, [-0.9, 20.0]),
        (middle, [-0.7, 9.0]),
    ]
    assert [t.constraints["budgets"] for t in trials] == [0.0, 1.0, 0.0]


def test_candidates_of_the_history_are_not_proposed_again_where_it_is_learned_from() -> None:
    problem = CONTRACT.problem(layers=2)
    held = tuple(
        Result(slot, problem.space.decode([slot // 3, slot % 3])[0], "search", (0.5, 1.0))
        for slot in range(5)
    )
    problem = dataclasses.replace(problem, baselines=(), history=held)

    def proposed(**options: object) -> set[Candidate]:
        strategy = make("optuna-tpe", problem, **options)
        found = []
        while not isinstance(candidate := strategy.next(), Signal):
            found.append(candidate)
        return set(found)

    assert len(proposed()) == 9
    assert len(proposed(history=True)) == 4
    assert not proposed(history=True) & {r.candidate for r in held}


def test_a_sampler_that_repeats_itself_is_given_an_unseen_neighbour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = CONTRACT.problem()
    strategy = make("optuna-random", problem)
    monkeypatch.setattr(
        optuna.samplers.RandomSampler, "sample_independent", lambda *_: "2u", raising=True
    )
    cheapest = problem.space.baseline("2u")
    proposed = [strategy.next() for _ in range(12)]
    assert len(set(proposed)) == 12
    for candidate in proposed:
        assert isinstance(candidate, Candidate)
        assert sum(a != b for a, b in zip(candidate.items, cheapest.items, strict=True)) <= 2


def test_making_one_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    for name in NAMES:
        make(name, CONTRACT.problem()).next()
    assert capsys.readouterr() == ("", "")


def test_notes_tell_of_weak_dominance_and_of_slow_proposals() -> None:
    problem = CONTRACT.problem()
    many = dataclasses.replace(problem, objectives=problem.objectives * 2)
    assert "optuna-nsga3" in make("optuna-nsga2", many).notes()[0]
    assert make("optuna-nsga2", problem).notes() == []
    assert make("optuna-nsga3", many).notes() == []
    assert "seconds" in make("optuna-gp", problem).notes()[0]
