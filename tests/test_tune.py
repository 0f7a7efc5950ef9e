"""The Ray Tune searcher: alone, and in small real experiments."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import Searcher

from hqsearch.definition import SpaceDefinition
from hqsearch.errors import InputError, StudyMismatch, UnknownName
from hqsearch.problem.objective import ACCURACY, ENERGY, Objective
from hqsearch.problem.space import Space, derive_space
from hqsearch.search.events import Listener
from hqsearch.strategies.random import RandomSearch
from hqsearch.tune import HqsearchSearcher, study_trainable

COST = Objective("cost", "", "min")
#: Plain NSGA-II: the surrogate has tests of its own.
PLAIN = {"population": 6, "assist": False}


class Layer:
    def __init__(self, path: str) -> None:
        self.path, self.weights = path, 10


@pytest.fixture
def space() -> Space:
    definition = SpaceDefinition(choices=("2u", "4u", "fp32"))
    return derive_space(definition, [Layer(name) for name in "abcd"])


def toy(tmp_path: Path, **arguments: Any) -> HqsearchSearcher:
    return HqsearchSearcher.from_study("toy", studies_dir=tmp_path, **arguments)


def answer(config: dict[str, Any]) -> dict[str, float]:
    """A made-up accuracy and cost of choices."""
    bits = [{"2u": 2, "4u": 4, "2l": 2, "4l": 3, "fp32": 32}[c] for c in config["choices"].values()]
    return {"accuracy": 1 - sum(1 / b for b in bits) / len(bits), "cost": float(sum(bits))}


def drive(searcher: HqsearchSearcher, first: int, last: int) -> list[dict[str, Any]]:
    """Suggest and complete trials ``first`` to ``last`` with three in flight."""
    suggested: list[dict[str, Any]] = []
    flying: list[tuple[str, dict[str, Any]]] = []
    number = first
    while number < last or flying:
        config = searcher.suggest(f"t{number}") if number < last and len(flying) < 3 else None
        if isinstance(config, dict):
            suggested.append(config["choices"])
            flying.append((f"t{number}", config))
            number += 1
        else:
            assert flying, "waits, but nothing is in flight"
            trial, done = flying.pop(len(flying) // 2)
            searcher.on_trial_complete(trial, {**answer(done), "training_iteration": 1})
    return suggested


def test_baselines_come_first_then_the_strategy(space: Space) -> None:
    searcher = HqsearchSearcher(space, [ACCURACY, COST], options=PLAIN)
    suggested = drive(searcher, 0, 30)
    uniform = [c.choices for c in space.baselines().values()]
    assert suggested[: len(uniform)] == uniform
    assert len({tuple(c.values()) for c in suggested}) == 30


def test_without_baselines(space: Space) -> None:
    searcher = HqsearchSearcher(space, [ACCURACY, COST], "random", baselines=False)
    uniform = [c.choices for c in space.baselines().values()]
    assert drive(searcher, 0, 3) != uniform


def test_a_strategy_that_has_nothing_left_finishes(space: Space) -> None:
    searcher = HqsearchSearcher(space, [ACCURACY, COST], "random")
    drive(searcher, 0, space.size)
    assert searcher.suggest("more") == Searcher.FINISHED


@pytest.mark.parametrize("strategy", ["nsga2", "random", "optuna-tpe"])
@pytest.mark.parametrize("cut", [0, 2, 17])
def test_a_restored_searcher_goes_on_as_if_never_cut(
    space: Space, tmp_path: Path, strategy: str, cut: int
) -> None:
    options = PLAIN if strategy == "nsga2" else {}

    def make() -> HqsearchSearcher:
        return HqsearchSearcher(space, [ACCURACY, COST], strategy, options=options, seed=3)

    whole = make()
    expected = drive(whole, 0, cut) + drive(whole, cut, 30)
    before = make()
    start = drive(before, 0, cut)
    before.save(str(tmp_path / "state"))
    json.loads((tmp_path / "state").read_text())
    after = make()
    after.restore(str(tmp_path / "state"))
    assert start + drive(after, cut, 30) == expected
    copied = pickle.loads(pickle.dumps(before))  # noqa: S301 - as Tune does
    assert start + drive(copied, cut, 30) == expected


def test_trials_in_flight_at_a_save_may_complete_after_it(space: Space, tmp_path: Path) -> None:
    first = HqsearchSearcher(space, [ACCURACY, COST], options=PLAIN)
    config = first.suggest("early")
    first.save(str(tmp_path / "state"))
    first.suggest("late")
    second = HqsearchSearcher(space, [ACCURACY, COST], options=PLAIN)
    second.restore(str(tmp_path / "state"))
    assert isinstance(config, dict)
    second.on_trial_complete("late", {"accuracy": 0.5, "cost": 1.0})  # not known: ignored
    second.on_trial_complete("early", answer(config))
    assert [event[:2] for event in second._state()["events"]] == [
        ["early", "suggested"],
        ["early", "completed"],
    ]


def test_a_searcher_made_otherwise_is_refused(space: Space, tmp_path: Path) -> None:
    HqsearchSearcher(space, [ACCURACY, COST], seed=1).save(str(tmp_path / "state"))
    other = HqsearchSearcher(space, [ACCURACY, COST], seed=2)
    with pytest.raises(StudyMismatch, match="seed"):
        other.restore(str(tmp_path / "state"))


def results_of(searcher: HqsearchSearcher, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen: list[Any] = []
    monkeypatch.setattr(RandomSearch, "observe", lambda self, result: seen.append(result))
    return seen


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (None, False),
        ({"accuracy": 0.9, "cost": 1.0}, True),
        ({"accuracy": float("nan"), "cost": 1.0, "training_iteration": 4}, False),
        ({"accuracy": 0.9, "cost": 1.0, "training_iteration": 3}, False),
    ],
    ids=["no result", "error", "nan", "stopped early"],
)
def test_failures_and_early_stops_give_no_values(
    space: Space, monkeypatch: pytest.MonkeyPatch, result: Any, error: bool
) -> None:
    searcher = HqsearchSearcher(space, [ACCURACY, COST], "random", iterations=4)
    seen = results_of(searcher, monkeypatch)
    searcher.suggest("t")
    searcher.on_trial_complete("t", result, error=error)
    assert [r.values for r in seen] == [None]


def test_a_whole_trial_gives_its_values(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    searcher = HqsearchSearcher(space, [ACCURACY, COST], "random", iterations=4)
    seen = results_of(searcher, monkeypatch)
    searcher.suggest("t")
    searcher.on_trial_complete("t", {"accuracy": 0.9, "cost": 1.0, "training_iteration": 4})
    assert seen[0].values == (0.9, 1.0)
    assert seen[0].kind == "baseline"


def test_the_cost_model_fills_in_what_is_cheap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searcher = toy(tmp_path, strategy="random")
    seen = results_of(searcher, monkeypatch)
    searcher.suggest("t")
    searcher.on_trial_complete("t", {"accuracy": 0.9})
    metrics = searcher.problem.cheap([searcher.problem.baselines[0]])[0]
    assert seen[0].values == (0.9, metrics[0], metrics[1])


def test_a_missing_objective_is_named(space: Space) -> None:
    searcher = HqsearchSearcher(space, [ACCURACY, COST], "random")
    searcher.suggest("t")
    with pytest.raises(InputError, match="reported no cost"):
        searcher.on_trial_complete("t", {"accuracy": 0.9})


def test_what_is_to_be_known_of_constraints_is_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    notes: list[str] = []

    class Notes(Listener):
        def note(self, text: str) -> None:
            notes.append(text)

    idle = {"constraints.energy": "<= 2 fp32"}
    toy(tmp_path, overrides=idle, listener=Notes())
    assert [note for note in notes if note.startswith("note: ") and "energy" in note]
    toy(tmp_path, overrides=idle)
    assert capfd.readouterr().err == ""


def test_constraints_of_the_study_hold(tmp_path: Path) -> None:
    limit = {"constraints.energy": "<= 0.2 fp32"}
    searcher = toy(tmp_path, strategy="nsga2", options=PLAIN, overrides=limit, baselines=False)
    budgets = searcher.problem.budgets
    for number in range(20):
        config = searcher.suggest(f"t{number}")
        assert isinstance(config, dict)
        candidate = searcher.problem.space.candidate(config["choices"])
        assert budgets.violations(searcher.problem.cheap([candidate]))[0] == 0
        searcher.on_trial_complete(f"t{number}", {"accuracy": 0.5})


def test_bad_arguments_are_refused(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName, match="nsga2"):
        HqsearchSearcher(space, [ACCURACY, COST], "nsga3")
    with pytest.raises(UnknownName, match="population"):
        HqsearchSearcher(space, [ACCURACY, COST], options={"popualtion": 4})
    with pytest.raises(InputError, match="two objectives"):
        HqsearchSearcher(space, [ACCURACY])
    with pytest.raises(InputError, match="not given"):
        HqsearchSearcher(space, [ACCURACY, ENERGY], metrics=["energy"])
    monkeypatch.setattr(RandomSearch, "tasks_needed", frozenset({"supernet"}))
    with pytest.raises(InputError, match="supernet"):
        HqsearchSearcher(space, [ACCURACY, COST], "random")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=0,
        include_dashboard=False,
        object_store_memory=100 * 1024**2,
        logging_level="ERROR",
        log_to_driver=False,
        configure_logging=False,
    )
    yield
    ray.shutdown()


@pytest.mark.filterwarnings("ignore")
def test_a_tune_experiment_on_the_toy(cluster: None, tmp_path: Path) -> None:
    tuner = tune.Tuner(
        study_trainable("toy", studies_dir=tmp_path / "studies"),
        tune_config=tune.TuneConfig(
            search_alg=toy(tmp_path / "studies", options=PLAIN),
            num_samples=12,
            max_concurrent_trials=2,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(name="toy", storage_path=str(tmp_path / "tune"), verbose=0),
    )
    results = tuner.fit()
    assert len(results) == 12
    assert not results.errors
    assert len({json.dumps(r.config["choices"]) for r in results}) == 12
    for result in results:
        assert {"accuracy", "energy", "storage"} <= set(result.metrics)
    (saved,) = (tmp_path / "tune" / "toy").glob("hqsearch-searcher-*.json")
    events = json.loads(saved.read_text())["events"]
    assert sum(what == "completed" for _, what, *_ in events) > 0


@pytest.mark.filterwarnings("ignore")
def test_asha_beside_it(cluster: None, tmp_path: Path) -> None:
    def curve(config: dict[str, Any]) -> None:
        whole = answer(config)
        for epoch in range(1, 5):
            tune.report({**whole, "accuracy": whole["accuracy"] * (0.6 + 0.1 * epoch)})

    searcher = toy(tmp_path / "studies", options=PLAIN, iterations=4)
    tuner = tune.Tuner(
        curve,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=ASHAScheduler(
                metric="accuracy", mode="max", max_t=4, grace_period=1, reduction_factor=2
            ),
            num_samples=12,
            max_concurrent_trials=2,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(name="asha", storage_path=str(tmp_path / "tune"), verbose=0),
    )
    results = tuner.fit()
    assert not results.errors
    lengths = sorted(r.metrics["training_iteration"] for r in results)
    assert len(lengths) == 12
    assert lengths[0] < 4
    assert lengths[-1] == 4


def test_every_epoch_is_reported_from_the_checkpoint_of_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "epochs.py").write_text(
        "from hqsearch.evaluators.toy import Toy\n"
        "class Epochs(Toy):\n"
        "    full_budget = 3\n"
        "    def evaluate(self, candidate, seed, budget=None, resume_from=None, checkpoint=None):\n"
        "        done = int((resume_from / 'epoch').read_text()) if resume_from else 0\n"
        "        assert done == budget - 1\n"
        "        if checkpoint: (checkpoint / 'epoch').write_text(str(budget))\n"
        "        found = super().evaluate(candidate, seed)\n"
        "        found.values['accuracy'] *= budget / 3\n"
        "        return found\n"
    )
    (tmp_path / "epochs.toml").write_text(
        'space = "toy"\nevaluator = "epochs.py:Epochs"\n'
        '[[objective]]\nname = "accuracy"\n[[objective]]\nname = "energy"\n'
    )
    reports: list[dict[str, float]] = []
    monkeypatch.setattr(tune, "report", reports.append)
    study = str(tmp_path / "epochs.toml")
    searcher = HqsearchSearcher.from_study(study, "random", studies_dir=tmp_path)
    config = searcher.suggest("t")
    assert isinstance(config, dict)
    study_trainable(study, every_epoch=True, studies_dir=tmp_path)(config)
    last = reports[-1]["accuracy"]
    assert [r["accuracy"] for r in reports] == pytest.approx([last / 3, 2 * last / 3, last])
