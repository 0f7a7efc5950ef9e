"""The second synthetic model: the contract, its truth, its noise, its scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hqsearch.evaluators._synthetic_2_front import attainable
from hqsearch.evaluators.synthetic_2 import TABLE_NAMES, Synthetic2, costs_of

from hqsearch.definition import embedded, load_study
from hqsearch.errors import DefinitionError
from hqsearch.evaluator import Evaluator, ScoresResult, ScoresTask, Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.problem.additive import AdditiveTables
from hqsearch.problem.pareto import hypervolume
from hqsearch.testing import EvaluatorContract


def make(folder: Path, **options: Any) -> Synthetic2:
    overrides = {f"evaluation.{key}": value for key, value in options.items()}
    study = load_study(embedded("studies")["synthetic-2"], overrides)
    found = make_evaluator(Setup(study, folder))
    assert isinstance(found, Synthetic2)
    return found


class TestContract(EvaluatorContract):
    def make(self, folder: Path) -> Evaluator:
        return make(folder)


@pytest.mark.parametrize("table", TABLE_NAMES)
def test_costs_are_sums_but_for_what_overflows(table: str, tmp_path: Path) -> None:
    made = make(tmp_path, table=table)
    assert len(made.losses) == (138 if table == "qsd-15m" else 18)
    assert AdditiveTables(made.space, made.cheap, overflows=made.overflows()).additive
    whole = made.cheap([made.space.baseline("fp32")])[0]
    assert whole.tolist() == pytest.approx(list(made.reference().values()))


def test_little_beats_what_is_attainable(tmp_path: Path) -> None:
    made = make(tmp_path, table="gesture-memory")
    front = costs_of(made, attainable(made, 20))
    corner = np.append(-0.7, list(made.reference().values())[:2])
    generator = np.random.default_rng(0)
    found = costs_of(made, generator.integers(0, 7, (200, 18)))
    alone = hypervolume(front, corner)
    assert hypervolume(found, corner) < 0.95 * alone
    assert hypervolume(np.vstack([front, found]), corner) <= 1.001 * alone


def test_noise_belongs_to_instance_candidate_and_seed(tmp_path: Path) -> None:
    made = make(tmp_path)
    codes = np.random.default_rng(0).integers(0, 7, (200, 18))
    candidates = made.space.decode(codes)
    seen = [made.evaluate(c, 1).values["accuracy"] for c in candidates]
    assert np.std(seen - made.accuracy_codes(codes)) == pytest.approx(0.008, rel=0.2)
    assert seen[0] == made.evaluate(candidates[0], 1).values["accuracy"]
    assert seen[0] != made.evaluate(candidates[0], 2).values["accuracy"]
    assert made.losses[0].tolist() != make(tmp_path, instance=1001).losses[0].tolist()


def test_scores_are_losses_with_errors(tmp_path: Path) -> None:
    made = make(tmp_path)
    answer = made.strategy_task(ScoresTask(), 0, tmp_path)
    assert isinstance(answer, ScoresResult)
    assert answer.scores is not None
    scored = np.array([list(own.values()) for own in answer.scores.values()]).ravel()
    losses = np.concatenate(made.losses)
    assert (scored[losses == 0] == 0).all()
    large = losses > 0.01 * losses.max()
    assert 0.2 < np.std(np.log(scored[large] / losses[large])) < 1.5


def test_choices_without_costs_are_refused(tmp_path: Path) -> None:
    study = load_study(embedded("studies")["synthetic-2"], {"space": {"choices": ["8u", "fp32"]}})
    made = make_evaluator(Setup(study, tmp_path))
    with pytest.raises(DefinitionError, match="no costs of 8u; it knows 2u, 3u"):
        made.cheap([made.space.baseline("fp32")])
