from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hqsearch.evaluators._toy_relaxation import ToyRelaxation

from hqsearch.definition import embedded, load_study
from hqsearch.evaluator import Setup
from hqsearch.evaluator.registry import make_evaluator


def one_hot(code: Any, choices: tuple[int, ...]) -> list[torch.Tensor]:
    return [torch.eye(n)[int(k)] for k, n in zip(code, choices, strict=True)]


@pytest.mark.parametrize("rules", [[], [{"match": "block.[qkv]", "tie": True}]])
def test_a_one_hot_mixture_is_its_candidate(
    tmp_path: Path, toy: Any, rules: list[Any], study_file: Any
) -> None:
    if rules:
        space = tmp_path / "rules.toml"
        space.write_text(
            'choices = ["2u", "4u", "2l", "4l", "fp32"]\n'
            '[[layers]]\nmatch = "block.[qkv]"\ntie = true\n'
            '[[layers]]\nmatch = "head"\npin = "4l"\n'
        )
        study = study_file("tied", space=str(space))
        toy = make_evaluator(Setup(load_study(study), tmp_path))
        assert len(toy.space.dimensions) == 5
    relaxation = ToyRelaxation(toy)
    codes = np.random.default_rng(0).integers(
        0, toy.space.cardinalities, (20, len(relaxation.choices))
    )
    reference = np.array([toy.reference()[m] for m in relaxation.metrics])
    for code in codes:
        mixture = one_hot(code, relaxation.choices)
        cheap = toy.cheap_codes(code[None])[0] / reference
        np.testing.assert_allclose(relaxation.costs(mixture).numpy(), cheap, rtol=1e-6)
        accuracy = 0.95 * np.exp(-float(relaxation.loss(mixture, 0, "logits")))
        assert accuracy == pytest.approx(toy.accuracy_codes(code[None])[0], rel=1e-5)


@pytest.mark.parametrize("part", ["timesteps=4", "timesteps=2", "timesteps=1"])
def test_a_one_hot_mixture_is_its_candidate_in_every_part(tmp_path: Path, part: str) -> None:
    toy: Any = make_evaluator(Setup(load_study(embedded("studies")["toy-structure"]), tmp_path))
    relaxation = ToyRelaxation(toy, part)
    space = toy.space.parts[part]
    assert relaxation.choices == (5,) * 8 + (1,)
    reference = np.array([toy.reference()[m] for m in relaxation.metrics])
    codes = np.random.default_rng(0).integers(0, space.cardinalities, (10, 9))
    for candidate, code in zip(space.decode(codes), codes, strict=True):
        mixture = one_hot(code, relaxation.choices)
        cheap = toy.cheap([candidate])[0] / reference
        np.testing.assert_allclose(relaxation.costs(mixture).numpy(), cheap, rtol=1e-6)
        accuracy = 0.95 * np.exp(-float(relaxation.loss(mixture, 0, "logits")))
        assert accuracy == pytest.approx(toy.evaluate(candidate, 0).values["accuracy"], rel=1e-5)


def test_a_mixture_is_the_expectation_over_independent_draws(toy: Any) -> None:
    relaxation = ToyRelaxation(toy)
    generator = np.random.default_rng(1)
    table = [generator.dirichlet(np.ones(n)) for n in relaxation.choices]
    codes = np.stack([generator.choice(5, size=40_000, p=p) for p in table], axis=1)
    mixture = [torch.from_numpy(p).float() for p in table]
    losses = -np.log(toy.accuracy_codes(codes) / 0.95)
    assert float(relaxation.loss(mixture, 0, "logits")) == pytest.approx(losses.mean(), rel=0.01)
    energy = toy.cheap_codes(codes)[:, 0].mean() / toy.reference()["energy"]
    assert float(relaxation.costs(mixture)[0]) == pytest.approx(energy, rel=0.02)


def test_the_toy_itself_needs_no_torch() -> None:
    code = "import sys, hqsearch.evaluators.toy; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_embedded_study_can_train_supernets() -> None:
    definition = load_study(embedded("studies")["toy"])
    assert "supernet" in make_evaluator(Setup(definition, Path())).strategy_tasks
