"""The synthetic model: the contract, its truth, its noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hqsearch.evaluators.synthetic import LAYERS, Synthetic, attainable, costs_of, volume

from hqsearch.definition import embedded, load_study
from hqsearch.evaluator import Evaluator, ScoresResult, ScoresTask, Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.testing import EvaluatorContract


def make(folder: Path, **options: Any) -> Synthetic:
    overrides = {f"evaluation.{key}": value for key, value in options.items()}
    found = make_evaluator(Setup(load_study(embedded("studies")["synthetic"], overrides), folder))
    assert isinstance(found, Synthetic)
    return found


class TestContract(EvaluatorContract):
    def make(self, folder: Path) -> Evaluator:
        return make(folder, noise=0.8)


def test_sizes_are_those_published() -> None:
    """Spikformer-2-256 with 11 classes: 18 layers, 2,553,152 weights, 374,344,448 MACs.

    The head's count once per inference, here a sixteenth of it in each timestep.
    """
    assert len(LAYERS) == 18
    assert sum(layer.weights for layer in LAYERS) == 2_553_152
    assert sum(layer.macs for layer in LAYERS[:-1]) + 16 * LAYERS[-1].macs == 374_344_448


def test_nothing_beats_what_is_attainable(tmp_path: Path) -> None:
    evaluator = make(tmp_path)
    truth = attainable(evaluator, 100)
    finer = attainable(evaluator, 200)
    assert volume(truth) <= volume(finer) * 1.001
    assert volume(finer) < volume(truth) * 1.03
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 5, (300, 18))
    both = np.vstack([finer, costs_of(evaluator, codes)])
    assert volume(both) <= volume(finer) * 1.005


def test_noise_belongs_to_candidate_and_seed(tmp_path: Path) -> None:
    quiet, noisy = make(tmp_path), make(tmp_path, noise=0.8)
    generator = np.random.default_rng(0)
    candidates = [quiet.space.random(generator) for _ in range(200)]
    truth = quiet.accuracy_codes(quiet.space.encode(candidates))
    errors = [noisy.evaluate(c, 1).values["accuracy"] for c in candidates] - truth
    assert np.std(errors) == pytest.approx(0.008, rel=0.2)
    assert abs(np.mean(errors)) < 0.002
    one = candidates[0]
    assert noisy.evaluate(one, 1).values != noisy.evaluate(one, 2).values
    assert quiet.evaluate(one, 1).values == quiet.evaluate(one, 2).values


def test_scores_rank_layers_but_not_exactly(tmp_path: Path) -> None:
    noisy = make(tmp_path).strategy_task(ScoresTask(), 0, tmp_path)
    exact = make(tmp_path, score_noise=0.0).strategy_task(ScoresTask(), 0, tmp_path)
    assert isinstance(noisy, ScoresResult)
    assert isinstance(exact, ScoresResult)
    assert exact.scores is not None
    assert exact.scores["head"]["fp32"] == 0.0
    assert exact.scores["head"]["2u"] == pytest.approx(0.019)
    assert noisy.scores != exact.scores
