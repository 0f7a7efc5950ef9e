"""QSD-Transformer through ``short-qat``: in parts and folded, parent to candidate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hqsearch.evaluators.short_qat import ShortQat

from hqsearch.definition import embedded, load_study
from hqsearch.errors import UnknownName
from hqsearch.evaluator import Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.testing import prepare_here

SMALL = {
    "data.train": 33,
    "data.validation": 22,
    "data.test": 11,
    "data.size": 16,
    "model.timesteps": 2,
    "model.embed_dims": [8, 8, 16, 16],
    "model.heads": 2,
    "evaluation.parent_epochs": 1,
    "evaluation.epochs": 1,
    "evaluation.batch_size": 11,
    "evaluation.distillation": "fine-grained",
}


def make(folder: Path, **overrides: Any) -> ShortQat:
    given = {**SMALL, **{k.replace("__", "."): v for k, v in overrides.items()}}
    definition = load_study(embedded("studies")["gesture-qsd"], given)
    evaluator = make_evaluator(Setup(definition, folder))
    assert isinstance(evaluator, ShortQat)
    return evaluator


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a study whose frames several networks share."""
    return tmp_path_factory.mktemp("qsd")


def test_a_candidate_in_parts_is_trained_with_its_parent_as_teacher(folder: Path) -> None:
    evaluator = make(folder)
    evaluator.check()
    prepare_here(evaluator)
    space = evaluator.space
    assert any(name.startswith("blocks3.0.attention.q.point1+") for name in space.names)
    assert len(space.names) == 30  # of 54 layers
    done = evaluator.evaluate(space.baseline("4u"), 0)
    assert 0 < done.values["energy"] < evaluator.reference()["energy"]
    blocks = {f"{b}.attention.{x}" for b in ("blocks3.0", "blocks4.0") for x in "qkv"}
    assert set(done.details["entropy"]) == blocks
    assert max(done.details["entropy"].values()) > 0


def test_a_folded_network_has_the_accuracy_of_its_parent_in_parts(folder: Path) -> None:
    evaluator = make(folder, model__fold=True, evaluation__epochs=0)
    evaluator.check()
    prepare_here(evaluator)
    layers = {layer.path: layer.shape for layer in evaluator.layers()}
    assert layers["blocks3.0.attention.q"] == (16, 16, 3, 3)
    assert not any("point1" in path for path in layers)
    about = json.loads(
        (next(iter(evaluator.parts.values())).parent_folder / "parent.json").read_text()
    )
    untouched = evaluator.evaluate(evaluator.space.baseline("fp32"), 0)
    assert untouched.values["accuracy"] == about["accuracy"]
    inputs = {row["layer"]: row["input"] for row in untouched.details["layers"]}
    assert inputs["blocks3.0.attention.proj"] == "integer"


@pytest.mark.parametrize(
    "change, text",
    [
        ({"model__neuron": "interger"}, "did you mean 'integer'"),
        ({"model__level": 4}, "did you mean 'levels'"),
        ({"model__name": "qsd-15"}, "did you mean 'qsd-15m'"),
    ],
)
def test_names_that_are_nearly_right_are_told(
    change: dict[str, Any], text: str, tmp_path: Path
) -> None:
    with pytest.raises(UnknownName, match=text):
        make(tmp_path, **change).check()
