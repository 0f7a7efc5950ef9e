"""Runs on a study whose energy bends: part of the space exceeds the memory for weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hqsearch.definition import load_study
from hqsearch.evaluator import Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.problem.candidate import Candidate
from hqsearch.testing import EvaluatorContract

#: The toy with 6 bits a weight of memory, beyond which a bit costs five times what it does there.
TIGHT = """
import torch
from hqsearch.evaluator import SupernetTask
from hqsearch.evaluators._toy_relaxation import ToyRelaxation
from hqsearch.evaluators.toy import Toy
from hqsearch.problem.overflow import Overflow
from hqsearch.supernet.train import run_supernet

TOP = Overflow(0, 2, 6.0, 40.0)


class Loading(ToyRelaxation):
    def __init__(self, tight, part):
        super().__init__(tight, part)
        self._energy = tight.reference()["energy"]

    def costs(self, mixture):
        total = super().costs(mixture)
        excess = (total[2] * 32.0 - TOP.capacity).clamp(min=0.0)
        return total + torch.tensor([TOP.price / self._energy, 0.0, 0.0]) * excess


class Tight(Toy):
    costly = False

    def overflows(self):
        return {"": TOP}

    def cheap_codes(self, codes):
        total = super().cheap_codes(codes)
        total[:, 0] += TOP.amount(total)
        return total

    def reference(self):
        known = super().reference()
        return {**known, "energy": known["energy"] + TOP.price * (32.0 - TOP.capacity)}

    def strategy_task(self, task, seed, folder):
        if isinstance(task, SupernetTask):
            return run_supernet(Loading(self, task.structure), task, seed, folder, self)
        return super().strategy_task(task, seed, folder)
"""
#: Strategy → what it is told.
CASES = {
    "nsga2": {"strategy.nsga2.assist": True},
    "sensitivity": {},
    "gumbel": {
        "strategy.gumbel.count": 2,
        "strategy.gumbel.epochs": 4,
        "strategy.gumbel.warmup": 1,
        "strategy.gumbel.top": 4,
    },
}
BUDGET = {"constraints.energy": "<= 0.2 fp32"}
EVALUATIONS = 10


@pytest.fixture
def tight(tmp_path: Path, study_file: Callable[..., Path]) -> str:
    (tmp_path / "tight.py").write_text(TIGHT)
    return str(study_file("tight", evaluator="tight.py:Tight"))


class TestTight(EvaluatorContract):
    @pytest.fixture(autouse=True)
    def _study(self, tight: str) -> None:
        self.study = tight

    def make(self, folder: Path) -> Any:
        return make_evaluator(Setup(load_study(Path(self.study)), folder))


@pytest.mark.parametrize(
    "strategy",
    ["nsga2", *(pytest.param(name, marks=pytest.mark.slow) for name in ("sensitivity", "gumbel"))],
)
def test_cutting_a_run_changes_nothing(
    tmp_path: Path, launched: Any, cut_driver: Any, tight: str, strategy: str
) -> None:
    asked: dict[str, Any] = {
        "study": tight,
        "strategy": strategy,
        "overrides": CASES[strategy] | BUDGET,
        "evaluations": EVALUATIONS,
    }
    launched.run(tmp_path / "whole", **asked)
    whole = launched.table(tmp_path / "whole", "tight")
    assert len(whole) == EVALUATIONS

    def start() -> None:
        assert launched.run(tmp_path / "cut", **asked).mismatches == 0

    assert cut_driver(start) > 5
    assert launched.table(tmp_path / "cut", "tight") == whole

    evaluator = make_evaluator(Setup(load_study(Path(tight)), tmp_path))
    limit = 0.2 * evaluator.reference()["energy"]
    searched = whole[len(evaluator.space.baselines()) :]
    energies = np.array([row[3][1] for row in searched])
    assert len(searched) >= 5
    assert (energies <= limit * (1 + 1e-9)).all()


def test_both_sides_of_the_capacity_are_searched(tmp_path: Path, launched: Any, tight: str) -> None:
    overrides = {"strategy.nsga2.assist": True}
    launched.run(tmp_path / "s", study=tight, overrides=overrides, evaluations=30)
    evaluator = make_evaluator(Setup(load_study(Path(tight)), tmp_path))
    keys = [row[2] for row in launched.table(tmp_path / "s", "tight")]
    bits = evaluator.cheap([Candidate.from_key(key) for key in keys])[:, 2]
    assert 0 < (bits <= 6.0).sum() < len(keys)
