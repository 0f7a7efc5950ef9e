"""A very small gesture study, and its parent prepared once for all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from hqsearch.definition import embedded, load_study
from hqsearch.evaluator import PrepareContext, Resources
from hqsearch.qat.options import QatOptions
from hqsearch.qat.parent import prepare_parts, train_parent
from hqsearch.qat.structural_part import Part
from hqsearch.qat.study import QatStudy

SMALL = {
    "data.train": 22,
    "data.validation": 22,
    "data.test": 11,
    "data.size": 16,
    "model.timesteps": 2,
    "model.embed_dim": 16,
    "model.depth": 1,
    "model.heads": 2,
    "evaluation.parent_epochs": 2,
    "evaluation.batch_size": 11,
}

MakeStudy = Callable[..., QatStudy]
Prepare = Callable[[Part], dict[str, Any]]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from two, and a busy machine makes them wait."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def make_study() -> MakeStudy:
    """``make_study(folder, {"evaluation.epochs": 3})``: the small study's shared things."""

    def make(folder: Path, changes: dict[str, Any] | None = None) -> QatStudy:
        definition = load_study(embedded("studies")["gesture"], {**SMALL, **(changes or {})})
        options = QatOptions.model_validate(definition.evaluation)
        return QatStudy(definition, folder, "cpu", options)

    return make


@pytest.fixture(scope="session")
def prepare() -> Prepare:
    """Prepare a part here; returns its ``made`` identities, ``told`` lines, ``trained`` keys."""

    def run(part: Part) -> dict[str, Any]:
        told: list[str] = []
        trained: list[str] = []

        def run_task(payload: dict[str, Any], *_: Any) -> dict[str, Any]:
            trained.append(payload["parent"])
            train_parent(part)
            return {}

        context = PrepareContext(lambda *_: None, told.append, 1, run_task)
        made = prepare_parts([part], context, Resources())[0]
        return {"made": made, "told": told, "trained": trained}

    return run


@pytest.fixture(scope="session")
def prepared(
    tmp_path_factory: pytest.TempPathFactory, make_study: MakeStudy, prepare: Prepare
) -> Part:
    """The only part of the small study, its parent trained; for reading alone."""
    part = Part(make_study(tmp_path_factory.mktemp("prepared")))
    prepare(part)
    return part
