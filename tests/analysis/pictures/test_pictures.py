"""The data in every picture are the data in the log."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hqsearch
from hqsearch.analysis.pictures.bits import bit_map
from hqsearch.analysis.pictures.breakdown import REST, breakdown_picture
from hqsearch.analysis.pictures.calibration import calibration_picture
from hqsearch.analysis.pictures.facts import Facts, NothingToDraw, spread_over, study_facts
from hqsearch.analysis.pictures.front import front_picture
from hqsearch.analysis.pictures.hypervolume import hypervolume_picture
from hqsearch.analysis.pictures.probabilities import probabilities_picture
from hqsearch.analysis.pictures.rates import rates_picture
from hqsearch.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pictures")
    study = hqsearch.Study("toy", studies_dir=made)
    study.run("nsga2", evaluations=30, settings={"strategy.nsga2.population": 10})
    study.run("gumbel", evaluations=8, options={"epochs": 3, "warmup": 1, "targets": [0.1]})
    return made


@pytest.fixture(scope="module")
def facts(folder: Path) -> Facts:
    return study_facts("toy", folder)


@pytest.fixture(scope="module")
def log(folder: Path) -> dict[int, dict[str, Any]]:
    """Values, result and choices of every trial, straight from Optuna's tables."""
    with closing(sqlite3.connect(folder / "toy/study.db")) as db:
        trials: dict[int, dict[str, Any]] = {}
        for ident, number in db.execute("SELECT trial_id, number FROM trials"):
            own = dict(
                db.execute(
                    "SELECT key, value_json FROM trial_user_attributes WHERE trial_id = ?", (ident,)
                ).fetchall()
            )
            values = [
                row[0]
                for row in db.execute(
                    "SELECT value FROM trial_values WHERE trial_id = ? ORDER BY objective", (ident,)
                )
            ]
            trials[number] = {
                "values": values,
                "proposal": json.loads(own["proposal"]),
                "result": json.loads(own["result"]),
            }
    return trials


def test_points_of_the_front_are_in_the_log(facts: Facts, log: dict[int, Any]) -> None:
    picture = front_picture([facts])
    seen = set()
    for point in picture.points:
        logged = log[point.trial]
        assert list(point.values.values()) == logged["values"]
        key = ";".join(f"{name}={choice}" for name, choice in point.choices.items())
        assert key == logged["proposal"]["key"]
        seen.add(key)
    assert seen == {t["proposal"]["key"] for t in log.values()}
    members = {p.trial for p in picture.members}
    front = hqsearch.Study("toy", studies_dir=facts.folder.parent).front()
    assert members == {t.number for t in front}
    assert [c.name for c in picture.costs] == ["energy", "storage"]
    controls = {p.strategy for p in picture.points if p.control}
    assert controls == {f"uniform {c}" for c in ("2u", "4u", "2l", "4l", "fp32")}


def test_the_bit_map_is_the_fronts_choices(facts: Facts, log: dict[int, Any]) -> None:
    picture = bit_map(facts, columns=5)
    assert len(picture.columns) == 5 < picture.members == len(facts.front)
    for place, column in enumerate(picture.columns):
        key = ";".join(
            f"{name}={row[place]}"
            for name, row in zip(picture.dimensions, picture.choices, strict=True)
        )
        assert key == log[column.trial]["proposal"]["key"]


def test_parts_add_up_to_what_was_measured(facts: Facts, log: dict[int, Any]) -> None:
    picture = breakdown_picture(facts)
    assert {"uniform fp32", "uniform 4u"} <= {a.label for a in picture.assignments}
    for assignment in picture.assignments:
        _, energy, storage = log[assignment.trial]["values"]
        assert sum(assignment.energy.values()) == pytest.approx(energy, rel=1e-12)
        assert sum(assignment.storage.values()) == pytest.approx(storage, rel=1e-12)
        layers = log[assignment.trial]["result"]["details"]["layers"]
        query = next(row["energy"] for row in layers if row["layer"] == "block.q")
        assert assignment.energy["attention: query"] == query
        assert REST not in assignment.energy  # the toy's layers are all of it


def test_probabilities_are_those_of_the_artifact(facts: Facts) -> None:
    picture = probabilities_picture(facts)
    task = next(t for t in facts.tasks if t.index == picture.index)
    told = json.loads((facts.folder / task.folder / "history.json").read_text())
    assert picture.epochs == (1, 2, 3)
    for place, name in enumerate(picture.dimensions):
        rows = [epoch["probabilities"][place] for epoch in told["epochs"]]
        np.testing.assert_array_equal(picture.probabilities[name], rows)


def test_hypervolume_grows_by_evaluations_and_seconds(facts: Facts) -> None:
    picture = hypervolume_picture(facts)
    assert [(r.strategy, r.seed) for r in picture.runs] == [("nsga2", 0), ("gumbel", 0)]
    for run in picture.runs:
        assert (np.diff(run.hypervolume) >= 0).all()
        assert (np.diff(run.seconds) >= 0).all()
        assert 0.0 < run.hypervolume[-1] < 1.0
    assert len(picture.runs[0].hypervolume) == 30
    assert picture.baselines == 5
    supernet = sum(t.seconds for t in facts.tasks)
    assert picture.runs[1].seconds[-1] >= supernet > 0


def test_predictions_are_of_what_was_measured(facts: Facts, log: dict[int, Any]) -> None:
    picture = calibration_picture(facts)
    assert picture.measured == tuple(log[n]["values"][0] for n in picture.trials)
    assert picture.candidates == len(picture.trials) == len(facts.completed)
    wrong = np.array(picture.predicted) - picture.measured
    centre = np.mean(picture.measured)
    spread = np.sum((np.array(picture.measured) - centre) ** 2)
    assert picture.skill == pytest.approx(1 - np.sum(wrong**2) / spread)
    assert picture.skill > 0.5  # the toy is nearly additive
    assert picture.estimated == ()  # nor does its energy depend on firing rates


def test_without_rates_and_scores_there_is_nothing_to_draw(facts: Facts) -> None:
    with pytest.raises(NothingToDraw, match=r"no firing rates.*--strategy sensitivity"):
        rates_picture(facts)


def test_studies_of_other_objectives_do_not_go_into_one_picture(
    facts: Facts, tmp_path: Path
) -> None:
    other = hqsearch.Study("toy", studies_dir=tmp_path, objectives=["accuracy", "energy"],
                           space="toy", evaluator="toy")  # fmt: skip
    other.run("random", evaluations=6)
    with pytest.raises(InputError, match=r"only 'toy' has storage \(KiB, min\)"):
        front_picture([facts, study_facts("toy", tmp_path)])


def test_of_many_both_ends_are_kept(facts: Facts) -> None:
    rows = spread_over(facts.trials, 4)
    assert [r.number for r in rows] == [0, 12, 25, 37] or len(rows) == 4
    assert rows[0] is facts.trials[0]
    assert rows[-1] is facts.trials[-1]
    assert spread_over(facts.trials[:3], 4) == list(facts.trials[:3])
