"""What every evaluator promises, as tests to subclass."""

from __future__ import annotations

import math
from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from hqsearch.evaluator import Evaluation, Evaluator, PrepareContext
from hqsearch.executors.task import Prepare, Task, perform
from hqsearch.problem.additive import AdditiveTables
from hqsearch.problem.candidate import Candidate


def prepare_here(evaluator: Evaluator) -> dict[str, str]:
    """Prepare an evaluator in this process, silently."""

    def run_task(payload: dict[str, Any], resources: Any, poll: Any) -> dict[str, Any]:
        return perform(evaluator, Task(-1, Prepare(payload), 0, resources)).answer

    return evaluator.prepare(PrepareContext(lambda *_: None, lambda _: None, 2, run_task))


class EvaluatorContract:
    """What every evaluator promises; see :class:`hqsearch.evaluator.Evaluator`."""

    @abstractmethod
    def make(self, folder: Path) -> Evaluator:
        """A new evaluator whose artifacts go to ``folder``; called twice with the same one."""

    def prepared(self, tmp_path: Path) -> Evaluator:
        evaluator = self.make(tmp_path)
        evaluator.check()
        prepare_here(evaluator)
        return evaluator

    def candidates(self, evaluator: Evaluator) -> list[Candidate]:
        """The baselines, and a random candidate of every structural part."""
        generator = np.random.default_rng(0)
        drawn = [part.random(generator) for part in evaluator.space.parts.values()]
        return [*evaluator.space.baselines().values(), *drawn]

    def test_declares_objectives_and_metrics(self, tmp_path: Path) -> None:
        evaluator = self.make(tmp_path)
        names = [o.name for o in evaluator.objectives]
        assert len(set(names)) == len(names) >= 2
        assert {o.name for o in evaluator.objectives if o.cheap} <= set(evaluator.metrics)

    def test_construction_and_check_write_nothing(self, tmp_path: Path) -> None:
        folder = tmp_path / "absent"
        evaluator = self.make(folder)
        evaluator.check()
        assert evaluator.space.dimensions
        assert not folder.exists()

    def test_cheap_is_finite_and_rowwise(self, tmp_path: Path) -> None:
        evaluator = self.prepared(tmp_path)
        candidates = self.candidates(evaluator)
        together = evaluator.cheap(candidates)
        assert together.shape == (len(candidates), len(evaluator.metrics))
        assert np.isfinite(together).all()
        alone = np.vstack([evaluator.cheap([c]) for c in candidates])
        np.testing.assert_allclose(together, alone, rtol=1e-12)

    def test_what_does_not_fit_is_declared_exactly(self, tmp_path: Path) -> None:
        evaluator = self.prepared(tmp_path)
        overflows = evaluator.overflows()
        assert set(overflows) <= set(evaluator.space.parts)
        tables = AdditiveTables(evaluator.space, evaluator.cheap, overflows=overflows)
        assert tables.additive or not overflows

    def test_reference_is_dearest(self, tmp_path: Path) -> None:
        evaluator = self.prepared(tmp_path)
        """Of the first structural part, which it is the reference of."""
        space = evaluator.space
        first = next(iter(space.parts))
        candidates = [c for c in self.candidates(evaluator) if space.structural_key(c) == first]
        reference = np.array([evaluator.reference()[m] for m in evaluator.metrics])
        assert (evaluator.cheap(candidates) <= reference * (1 + 1e-9)).all()

    def test_preparing_again_changes_nothing(self, tmp_path: Path) -> None:
        first = self.make(tmp_path)
        before = prepare_here(first)
        second = self.make(tmp_path)
        assert prepare_here(second) == before
        candidates = self.candidates(first)
        np.testing.assert_array_equal(first.cheap(candidates), second.cheap(candidates))

    def test_evaluation_is_complete_and_deterministic(self, tmp_path: Path) -> None:
        evaluator = self.prepared(tmp_path)
        candidate = self.candidates(evaluator)[-1]
        first = evaluator.evaluate(candidate, seed=3)
        again = self.make(tmp_path).evaluate(candidate, seed=3)
        assert set(first.values) >= {o.name for o in evaluator.objectives}
        assert all(math.isfinite(v) for v in first.values.values())
        assert first.values == again.values
        assert first.details == again.details

    def test_a_confirmation_is_complete_and_deterministic(self, tmp_path: Path) -> None:
        evaluator = self.prepared(tmp_path)
        if not evaluator.can_confirm:
            return
        candidate = self.candidates(evaluator)[-1]
        first = evaluator.confirm(candidate, seed=3)
        again = self.make(tmp_path).confirm(candidate, seed=3)
        assert set(first.values) >= {o.name for o in evaluator.objectives}
        assert all(math.isfinite(v) for v in first.values.values())
        assert (first.values, first.details) == (again.values, again.details)

    def test_controls_beyond_the_space_are_confirmed(self, tmp_path: Path) -> None:
        evaluator = self.prepared(tmp_path)
        if not (evaluator.can_confirm and evaluator.can_widen):
            return
        offered = {v for d in evaluator.space.dimensions for v in d.values}
        odd = next(c for c in ("3u", "5u", "6u") if c not in offered)
        first = self.candidates(evaluator)[-1]
        weights = {d.name for d in evaluator.space.dimensions if d.kind == "weights"}
        candidate = Candidate.of({n: odd if n in weights else v for n, v in first.choices.items()})
        wider = evaluator.holding([candidate])
        confirmed = wider.confirm(candidate, seed=3)
        assert set(confirmed.values) >= {o.name for o in evaluator.objectives}
        assert all(math.isfinite(v) for v in confirmed.values.values())
        # The evaluator itself is as it was.
        assert evaluator.holding([first]) is evaluator
        assert evaluator.cheap([first]).tolist() == wider.cheap([first]).tolist()

    def test_stopping_and_going_on_is_bit_for_bit_the_same(self, tmp_path: Path) -> None:
        evaluator = self.prepared(tmp_path)
        if evaluator.full_budget < 2:
            return
        candidate = self.candidates(evaluator)[-1]
        whole = evaluator.evaluate(candidate, seed=5)
        at = tmp_path / "rung"
        stopped: Evaluation = evaluator.evaluate(candidate, seed=5, budget=1, checkpoint=at)
        assert any(at.iterdir())
        resumed = evaluator.evaluate(candidate, seed=5, resume_from=at)
        assert resumed.values == whole.values
        nothing = tmp_path / "nothing"
        nothing.mkdir()  # cut off before a checkpoint was finished: from the start, then
        afresh = evaluator.evaluate(candidate, seed=5, budget=1, resume_from=nothing)
        assert afresh.values == stopped.values
