"""A candidate measured from its parent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hqsearch.definition import SpaceDefinition
from hqsearch.problem.space import Space, derive_space
from hqsearch.qat.short_training import ShortTraining, measure
from hqsearch.qat.structural_part import Part
from hqsearch.qat.study import QatStudy
from hqsearch.training import Segment

MakeStudy = Callable[..., QatStudy]


@pytest.fixture(scope="module")
def space(prepared: Part) -> Space:
    return derive_space(SpaceDefinition(choices=("2u", "4u", "fp32")), prepared.layers)


def test_the_fp32_candidate_without_training_is_the_parent(prepared: Part, space: Space) -> None:
    done = measure(prepared, space, space.baseline("fp32"), ShortTraining(0, 0))
    assert done.details["training_loss"] == []
    assert done.details["average_bits"] == 32.0
    assert done.values["energy"] == pytest.approx(done.details["energy_estimate"])
    assert [row["layer"] for row in done.details["layers"]] == [p.path for p in prepared.layers]


def test_the_split_names_what_was_measured(prepared: Part, space: Space) -> None:
    candidate = space.baseline("4u")
    on_test = measure(prepared, space, candidate, ShortTraining(0, 1, "test")).details
    assert on_test["test_samples"] == 11
    assert on_test["rate_samples"] == 22  # rates are those of the validation split
    assert "validation_samples" not in on_test
    assert "validation_loss" not in on_test


@pytest.mark.parametrize("choice", ["2u", "4u", "fp32"])
def test_a_training_that_diverges_has_no_values(
    prepared: Part, make_study: MakeStudy, space: Space, choice: str
) -> None:
    changes = {"evaluation.learning_rate": 1e30, "evaluation.batch_size": 4}
    part = Part(make_study(prepared.study.folder, changes))
    with pytest.raises(FloatingPointError, match=r"not finite|loss is|left the range"):
        measure(part, space, space.baseline(choice), ShortTraining(0, 3))


def test_seed_and_segment_are_those_asked_for(prepared: Part, space: Space, tmp_path: Path) -> None:
    candidate = space.baseline("2u")
    whole = measure(prepared, space, candidate, ShortTraining(3, 2))
    other = measure(prepared, space, candidate, ShortTraining(4, 2))
    assert whole.details["training_loss"] != other.details["training_loss"]
    stop = ShortTraining(3, 2, segment=Segment(until_epoch=1, checkpoint=tmp_path))
    stopped = measure(prepared, space, candidate, stop)
    assert any(tmp_path.iterdir())
    assert stopped.details["training_loss"] == whole.details["training_loss"][:1]
    resumed = ShortTraining(3, 2, segment=Segment(resume_from=tmp_path))
    assert measure(prepared, space, candidate, resumed).details == whole.details
    assert torch.get_num_threads() == prepared.study.options.threads
