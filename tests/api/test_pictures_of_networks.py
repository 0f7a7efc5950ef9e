"""Weights of one evaluation that was done again, and a sheet of the data."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from torch import nn

import hqsearch
from hqsearch.analysis.pictures.data import data_picture
from hqsearch.analysis.pictures.facts import study_facts
from hqsearch.analysis.pictures.weights import weights_picture
from hqsearch.errors import InputError, RunFailed

from .conftest import split


@pytest.fixture
def trained(edge: Callable[..., hqsearch.Study], module: nn.Module) -> hqsearch.Study:
    study = edge(module)
    study.run("random", evaluations=3, executor="in-process")
    return study


def test_an_evaluation_is_repeated_and_its_weights_are_kept(trained: hqsearch.Study) -> None:
    path = trained.keep_weights(0)
    assert path == trained.folder / "weights" / "0.safetensors"
    kept = load_file(path)
    assert set(kept) == {f"{when}/{layer}" for when in ("before", "after")
                         for layer in ("conv", "head")}  # fmt: skip
    facts = study_facts("edge", trained.folder.parent)
    picture = weights_picture(facts, 0)
    assert [layer.layer for layer in picture.layers] == ["conv", "head"]
    for layer in picture.layers:
        before, after = kept[f"before/{layer.layer}"], kept[f"after/{layer.layer}"]
        assert sum(layer.before) == sum(layer.after) == before.size
        assert layer.levels == len(np.unique(after))
        assert layer.choice == trained.trial(0).choices[layer.layer]
        # The codes of a channel are four levels at most.
        if layer.choice == "2u":
            assert all(len(np.unique(channel)) <= 4 for channel in after)
    assert trained.plot("weights", trial=0).axes
    assert trained.keep_weights(0) == path  # nothing is done twice
    assert "Weights before and after" in trained.report().read_text()


def test_another_accuracy_than_logged_is_refused(trained: hqsearch.Study) -> None:
    with closing(sqlite3.connect(trained.folder / "study.db")) as db, db:
        db.execute("UPDATE trial_values SET value = 7.5 WHERE objective = 0")
    with pytest.raises(RunFailed, match=r"when it was done again; the log has 7\.5"):
        trained.keep_weights(0)
    assert list((trained.folder / "weights").iterdir()) == []


def test_what_has_no_weights_is_refused(trained: hqsearch.Study) -> None:
    with pytest.raises(InputError, match="no trial 99"):
        trained.keep_weights(99)


def test_the_data_are_shown_as_they_were_given(trained: hqsearch.Study, tmp_path: Path) -> None:
    picture = data_picture(study_facts("edge", trained.folder.parent))
    frames, labels = split(24, 0)
    first = [int(np.flatnonzero(labels == label)[0]) for label in picture.shown]
    np.testing.assert_array_equal(picture.frames, frames[first][:, list(picture.steps)])
    of_train = [f for f in picture.figures if f.split == "train"]
    assert [f.samples for f in of_train] == np.bincount(labels).tolist()
    means = [float(frames[labels == label].mean()) for label in range(3)]
    assert [f.mean for f in of_train] == pytest.approx(means)
    trained.show_data(tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 5_000


def test_a_study_without_data_shows_none(toy_study: hqsearch.Study) -> None:
    with pytest.raises(InputError, match="has prepared no frames"):
        toy_study.show_data()


def test_pictures_are_shown_in_their_colours(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    split = rng.integers(0, 256, (12, 3, 16, 16), dtype=np.uint8), np.arange(12) % 2
    study = hqsearch.Study(
        "colour",
        model="convformer",
        options={"widths": [8, 8, 8], "depth": 1, "heads": 1, "timesteps": 1},
        data=hqsearch.Images(split, split, split),
        choices=["2u", "fp32"],
        settings={"evaluation.parent_epochs": 1, "evaluation.epochs": 1},
        studies_dir=tmp_path,
    )
    study.run("random", evaluations=2, executor="in-process")
    figure = study.show_data()
    shown = np.asarray(figure.axes[0].images[0].get_array())
    assert shown.shape == (2 * 17, 17, 3)
    np.testing.assert_array_equal(shown[:16, :16], split[0][0].transpose(1, 2, 0))
