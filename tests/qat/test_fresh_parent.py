"""Parents of a confirmation's own, on a tiny network: other weights, other recordings, no leak."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hqsearch
from hqsearch.definition import embedded, load_study
from hqsearch.errors import InputError
from hqsearch.evaluator import FreshParent, ParentResult, ParentTask, Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.qat.fresh_parent import FreshPart
from hqsearch.study.cleaning import clean
from hqsearch.testing import prepare_here

SMALL = {
    "data.train": 33, "data.validation": 22, "data.test": 11, "data.size": 16,
    "model.timesteps": 2, "model.embed_dim": 16, "model.depth": 1, "model.heads": 2,
    "evaluation.parent_epochs": 2, "evaluation.epochs": 1, "evaluation.batch_size": 11,
}  # fmt: skip


def make(folder: Path, **overrides: Any) -> Any:
    given = {**SMALL, **{k.replace("__", "."): v for k, v in overrides.items()}}
    return make_evaluator(Setup(load_study(embedded("studies")["gesture"], given), folder))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("fresh")
    prepare_here(make(place))
    return place


def trained(evaluator: Any, parent: FreshParent, folder: Path) -> ParentResult:
    answer = evaluator.strategy_task(ParentTask("", parent.division), parent.seed, folder)
    assert isinstance(answer, ParentResult)
    return answer


def test_it_is_another_one_and_the_same_every_time(folder: Path, tmp_path: Path) -> None:
    evaluator, parent = make(folder), FreshParent(0, 77)
    answer = trained(evaluator, parent, tmp_path)
    assert answer.file is not None
    weights = (folder / answer.file).read_bytes()
    assert hashlib.sha256(weights).hexdigest() == answer.weights
    assert (tmp_path / "progress.json").read_text() == '{"done": 2, "total": 2}'
    assert answer.training_seconds is None
    again = trained(make(folder), parent, tmp_path)
    assert again.training_seconds == pytest.approx(again.training_seconds)
    assert (again.file, again.weights) == (answer.file, answer.weights)
    own = next(iter(evaluator.parts.values())).parent().state_dict()
    fresh = FreshPart(next(iter(evaluator.parts.values())), parent).parent().state_dict()
    assert any(not torch.equal(own[name], fresh[name]) for name in own)
    elsewhere = tmp_path / "elsewhere"
    other = make(elsewhere)
    prepare_here(other)
    assert trained(other, parent, tmp_path).weights == answer.weights
    candidate = evaluator.space.baseline("4u")
    first = evaluator.confirm_from(candidate, 5, None, parent)
    assert first.values == make(folder).confirm_from(candidate, 5, None, parent).values
    assert first.details["test_loss"] != evaluator.confirm(candidate, 5).details["test_loss"]
    assert first.details["training_samples"] == 33


def test_no_network_is_tested_on_what_it_learned_from(folder: Path, tmp_path: Path) -> None:
    evaluator = make(folder)
    part = evaluator.parts[""]

    def frames(samples: Any) -> set[bytes]:
        return {np.ascontiguousarray(samples.frames[i]).tobytes() for i in range(len(samples))}

    validation = frames(part.samples("validation"))
    tested: list[set[bytes]] = []
    for division in range(4):
        fresh = FreshPart(part, FreshParent(division, 5))
        learned, measured = frames(fresh.samples("train")), frames(fresh.samples("test"))
        assert not learned & measured
        assert not measured & validation
        assert frames(fresh.samples("validation")) == validation
        assert (len(learned), len(measured)) == (33, 11)
        assert not any(measured & before for before in tested)
        tested.append(measured)
        labels = np.asarray(fresh.samples("test").labels)
        stored = {
            np.ascontiguousarray(s.frames[i]).tobytes(): int(s.labels[i])
            for s in (part.samples("train"), part.samples("test"))
            for i in range(len(s))
        }
        assert [
            stored[np.ascontiguousarray(fresh.samples("test").frames[i]).tobytes()]
            for i in range(11)
        ] == labels.tolist()
    parent = FreshParent(2, 5)
    trained(evaluator, parent, tmp_path)
    done = evaluator.confirm_from(evaluator.space.baseline("2u"), 1, None, parent)
    assert done.details["test_samples"] == 11


def test_what_cannot_be_is_refused(folder: Path, tmp_path: Path) -> None:
    evaluator = make(folder)
    evaluator.require_fresh_parents()
    evaluator.require_fresh_parents(4)
    with pytest.raises(InputError, match="give 4 divisions in which no sample is tested twice"):
        evaluator.require_fresh_parents(5)
    weights = tmp_path / "w.safetensors"
    place = next(iter(folder.glob("parents/*/parent.safetensors")))
    weights.write_bytes(place.read_bytes())
    brought = make(tmp_path, model__weights=str(weights), evaluation__parent_epochs=None or 0)
    with pytest.raises(InputError, match="takes its parent's weights as they were brought"):
        brought.require_fresh_parents()
    tuned = make(tmp_path, model__weights=str(weights), evaluation__parent_epochs=1)
    tuned.require_fresh_parents()


@pytest.mark.slow
def test_a_study_is_confirmed_on_splits(tmp_path: Path) -> None:
    study = hqsearch.Study("gesture", studies_dir=tmp_path, settings=SMALL)
    study.run("random", evaluations=7, executor="in-process")
    told = study.confirm(1, splits=2, controls=False, executor="in-process").as_json()
    assert told["divisions"] == 2
    assert [p["division"] for p in told["parents"]] == [0, 1]
    assert told["components"] is None or told["components"]["divisions"]["number"] == 2
    assert {m["trainings"] for m in told["members"]} == {2}
    folders = {p.parent.name for p in (tmp_path / "gesture").glob("parents/*/parent.json")}
    assert len(folders) == 3
    assert not [
        i.path for i in clean("gesture", tmp_path, None, False).items if "parents" in i.path
    ]
