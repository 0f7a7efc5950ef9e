"""Final trainings: cut off and gone on with bit for bit, measured once, told whole."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hqsearch.errors import RunFailed
from hqsearch.evaluator import FinalTask
from hqsearch.evaluator.per_sample import unpack_correct
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.space import Space, derive_space
from hqsearch.qat import final
from hqsearch.qat.final import WEIGHTS, final_task, trained, workload_of
from hqsearch.qat.structural_part import Part
from hqsearch.quant import quantizer_of
from hqsearch.training import evaluate


@pytest.fixture(scope="module")
def space(prepared: Part) -> Space:
    from hqsearch.definition import load_space

    definition = prepared.study.definition
    return derive_space(load_space(definition.space, definition), prepared.layers)


@pytest.fixture(scope="module")
def candidate(space: Space) -> Candidate:
    return space.random(np.random.default_rng(3))


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def test_a_training_that_is_cut_off_goes_on_bit_for_bit(
    prepared: Part, space: Space, candidate: Candidate, tmp_path: Path, monkeypatch: Any
) -> None:
    task = FinalTask(candidate.key, epochs=2)
    whole = final_task(prepared, space, task, 5, tmp_path / "whole")
    assert whole.weights == digest(tmp_path / "whole")
    assert whole.samples == 22
    assert whole.accuracy is not None

    def dies(path: Path, content: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(final, "write_atomically", dies)
        with pytest.raises(KeyboardInterrupt):
            final_task(prepared, space, task, 5, tmp_path / "cut")
    assert not (tmp_path / "cut" / WEIGHTS).exists()
    again = final_task(prepared, space, task, 5, tmp_path / "cut")
    assert (again.weights, again.accuracy, again.loss) == (
        whole.weights, whole.accuracy, whole.loss,
    )  # fmt: skip
    assert (tmp_path / "cut" / "progress.json").read_text() == '{"done": 2, "total": 2}'
    other = final_task(prepared, space, task, 6, tmp_path / "other")
    assert other.weights != whole.weights


def test_what_is_measured_is_what_was_trained(
    prepared: Part, space: Space, candidate: Candidate, tmp_path: Path
) -> None:
    final_task(prepared, space, FinalTask(candidate.key, 1), 5, tmp_path)
    told = final_task(prepared, space, FinalTask(candidate.key, 1, stage="measure"), 5, tmp_path)
    model = trained(prepared, space, candidate, tmp_path / WEIGHTS)
    expected = evaluate(model, prepared.samples("test"))
    assert (told.accuracy, told.loss, told.samples) == (expected.accuracy, expected.loss, 11)
    assert told.correct is not None
    assert np.array_equal(unpack_correct(told.correct, 11), expected.correct)
    choices = space.assignment(candidate)
    layers = dict(model.named_modules())
    for path, choice in choices.items():
        quantizer = quantizer_of(layers[path])
        assert (str(quantizer.choice) if quantizer else "fp32") == choice
    storage = prepared.costs(space).storage(choices)
    assert told.values is not None
    assert told.values["storage"] == storage.kib
    assert told.average_bits == storage.average_bits
    assert [row.layer for row in told.layers] == [layer.path for layer in prepared.layers]
    assert told.about is not None
    assert told.about["input"] == {
        "timesteps": 2, "channels": 2, "size": 16, "encoding": "log2", "bits": 4, "step": 1.0,
        "signed": False,
    }  # fmt: skip
    assert told.about["data"]["simulated"] is True
    assert told.about["model"]["name"] == "spikformer"
    assert len(told.about["classes"]) == 11
    assert workload_of(prepared).layers.keys() == choices.keys()


def test_merged_trainings_learn_from_validation_and_have_no_accuracy_there(
    prepared: Part, space: Space, candidate: Candidate, tmp_path: Path
) -> None:
    told = final_task(prepared, space, FinalTask(candidate.key, 1, merge=True), 5, tmp_path / "m")
    plain = final_task(prepared, space, FinalTask(candidate.key, 1), 5, tmp_path / "p")
    assert (told.accuracy, told.loss, told.samples) == (None, None, None)
    assert told.weights != plain.weights


def test_it_is_trained_by_the_study_s_own_settings(
    prepared: Part, space: Space, candidate: Candidate, tmp_path: Path, monkeypatch: Any
) -> None:
    told: dict[str, Any] = {}

    def train(model: Any, samples: Any, schedule: Any, segment: Any, **given: Any) -> None:
        told.update(given, schedule=schedule)

    monkeypatch.setattr(final, "train", train)
    (tmp_path / WEIGHTS).parent.mkdir(exist_ok=True)
    final_task(prepared, space, FinalTask(candidate.key, 7), 5, tmp_path)
    options = prepared.study.options
    assert told["schedule"] == options.schedule(7, options.learning_rate, 5)
    assert told["task"] is prepared.study.task
    assert told["teacher"] is None


def test_weights_that_are_gone_or_of_another_candidate_are_refused(
    prepared: Part, space: Space, candidate: Candidate, tmp_path: Path
) -> None:
    measure = FinalTask(candidate.key, 1, stage="measure")
    with pytest.raises(RunFailed, match="is gone; hqsearch train makes it again"):
        final_task(prepared, space, measure, 5, tmp_path)
    final_task(prepared, space, FinalTask(candidate.key, 1), 5, tmp_path)
    other = space.baselines()["fp32"]
    with pytest.raises(RunFailed, match="weights of another network"):
        trained(prepared, space, other, tmp_path / WEIGHTS)
    with torch.no_grad():
        assert trained(prepared, space, candidate, tmp_path / WEIGHTS).training is False
