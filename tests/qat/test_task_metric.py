"""A metric of one's own: its name, direction and standard error, from the task to the front."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import hqsearch
from hqsearch.analysis.choosing import choose
from hqsearch.cli import cli
from hqsearch.errors import DefinitionError, InputError, PluginError
from hqsearch.problem.objective import ACCURACY, Objective
from hqsearch.store.fronts import front_of
from hqsearch.training import Task
from hqsearch.training.task import checked_scores, summarized

STUDY = """
title = "How far off"
space = "spikformer"
evaluator = "short-qat"
evaluations = 10
[data]
dataset = "simulated-gestures"
size = 16
train = 33
validation = 22
test = 22
[model]
name = "spikformer"
embed_dim = 16
depth = 1
heads = 2
timesteps = 2
pooled_stages = 3
[evaluation]
parent_epochs = 2
parent_threads = 1
epochs = 1
batch_size = 11
task = "task.py:Distance"
[[objective]]
name = "mae"
[[objective]]
name = "energy"
[[objective]]
name = "storage"
"""
TASK = """
import torch.nn.functional as F
from hqsearch.training import Task

class Distance(Task):
    metric = "mae"
    unit = "classes"
    direction = "min"

    def scores(self, output, target):
        return (output.argmax(1) - target).abs().double()

class Share(Task):
    metric = "closeness"

    def scores(self, output, target):
        return 1.0 / (1.0 + (output.argmax(1) - target).abs())
"""


class F1(Task):
    """Of samples as true positive 0, false positive 1, false negative 2, true negative 3."""

    metric = "f1"

    def scores(self, output: torch.Tensor, target: Any) -> torch.Tensor:
        return 2 * (1 - output.argmax(1)) + (1 - target)

    def summary(self, scores: np.ndarray) -> tuple[float, float]:
        def value(kinds: np.ndarray) -> float:
            true, wrong = (kinds == 0).sum(), ((kinds == 1) | (kinds == 2)).sum()
            return float(2 * true / max(2 * true + wrong, 1))

        n = len(scores)
        left_out = np.array([value(np.delete(scores, i)) for i in range(n)])
        return value(scores), float(
            np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("metric")
    (folder / "task.py").write_text(TASK)
    (folder / "far.toml").write_text(STUDY)
    return folder


@pytest.fixture(scope="module")
def study(folder: Path) -> hqsearch.Study:
    study = hqsearch.Study(str(folder / "far.toml"), studies_dir=folder / "studies")
    study.run("random", evaluations=9, executor="in-process", workers=1)
    return study


def test_its_name_stands_everywhere(study: hqsearch.Study) -> None:
    front, trials = study.front(), study.trials()
    assert trials.objectives[0] == Objective("mae", "classes", "min")
    done = [t for t in trials if t.state == "COMPLETE"]
    assert len(done) == 9
    for trial in done:
        assert trial.values is not None
        assert 0 <= trial.values["mae"] <= 10
        assert trial.details["standard_errors"]["mae"] >= 0
        assert "accuracy_se" not in trial.details
        assert "correct" not in trial.details
    least = min((t.values or {})["mae"] for t in done)
    assert least in {(t.values or {})["mae"] for t in front}
    costs = [(t.values or {})["energy"] for t in front]
    assert costs == sorted(costs)
    assert "mae classes" in str(front)
    assert "accuracy" not in str(front).partition("Verdict")[0]
    assert "the study measures mae" in front.verdict
    page = study.report().read_text()
    assert "mae, classes" in page
    assert "Down is better" in page


def test_choosing_takes_the_least(study: hqsearch.Study, folder: Path) -> None:
    front = study.front()
    least = min((t.values or {})["mae"] for t in front)
    chosen = study.choose(energy="<= 1000 uJ")
    assert chosen.values["mae"] == least
    words = ["choose", "--study", "far", "--studies-dir", str(folder / "studies"), "--json"]
    limit = f"<= {least + 0.01:.4f}"
    told = json.loads(CliRunner().invoke(cli, [*words, "--mae", limit]).stdout)
    assert told["limits"] == {"mae": limit}
    assert json.loads(CliRunner().invoke(cli, [*words, f"--mae={limit}"]).stdout) == told
    with pytest.raises(InputError, match=r"unknown limit 'mea'.*did you mean 'mae'"):
        CliRunner().invoke(
            cli, [*words, "--mea", limit], standalone_mode=False, catch_exceptions=False
        )
    with pytest.raises(InputError, match="expected --METRIC LIMIT"):
        CliRunner().invoke(cli, [*words, "--mae"], standalone_mode=False, catch_exceptions=False)


def test_the_knee_and_the_best_follow_the_direction(study: hqsearch.Study) -> None:
    objectives, row = study.trials().objectives, study.trials()[0].row
    values = {0: (3.0, 1.0), 1: (1.0, 2.0), 2: (0.9, 20.0)}
    front = [
        replace(
            row,
            number=number,
            values={"mae": mae, "energy": energy, "storage": energy},
            choices={**row.choices, "head": str(number)},
        )
        for number, (mae, energy) in values.items()
    ]
    assert choose(front, front, objectives).trial.number == 1
    found = choose(front, front, objectives, {"energy": "<= 30 uJ"})
    assert (found.trial.number, found.cheaper and found.cheaper.trial.number) == (2, 1)
    assert found.better is None
    assert "it is the one with the least mae of them" in found.reason
    assert "standard error of its mae: " in found.certainty
    assert front_of(front, objectives)[0].number == 0


def test_it_is_confirmed_by_its_own_error(study: hqsearch.Study) -> None:
    done = study.confirm(seeds=1, executor="in-process", workers=1)
    assert done.as_json()["objective"] == "mae"
    assert study.front().confirmation is not None
    shown = CliRunner().invoke(
        cli, ["front", "--study", "far", "--studies-dir", str(study.folder.parent)]
    )
    assert "confirmed" in shown.stdout
    with pytest.raises(InputError, match="measures mae, and what hqsearch train keeps"):
        study.train(study.front()[0])


def test_strategies_lower_it(study: hqsearch.Study) -> None:
    asked = ["random", "nsga2"]
    done = study.compare(asked, evaluations=9, seeds=1, executor="in-process", workers=1)
    assert "saves is told at equal accuracy" in str(done)


def test_an_objective_that_the_task_has_not(folder: Path) -> None:
    text = STUDY.replace('name = "mae"', 'name = "accuracy"')
    (folder / "other.toml").write_text(text)
    with pytest.raises(InputError, match=r"unknown objective 'accuracy'.*Known: energy, mae"):
        hqsearch.Study(str(folder / "other.toml"), studies_dir=folder / "none").run(
            "random", evaluations=1
        )
    assert not (folder / "none").exists()


def test_a_share_of_before_goes_on_as_accuracy(folder: Path) -> None:
    from hqsearch.definition import load_study
    from hqsearch.evaluator import Setup
    from hqsearch.evaluator.registry import make_evaluator

    for name, objective in (("accuracy", ACCURACY), ("closeness", None)):
        text = STUDY.replace("Distance", "Share").replace('name = "mae"', f'name = "{name}"')
        (folder / "share.toml").write_text(text)
        evaluator = make_evaluator(Setup(load_study(folder / "share.toml"), folder / "share"))
        own = objective or Objective("closeness", "fraction", "max")
        assert evaluator.objectives[0] == own


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"metric": "energy"}, "the name of something else"),
        ({"metric": "f 1"}, "no name of letters"),
        ({"metric": 3}, "no name of letters"),
        ({"metric": "mae", "direction": "less"}, "expected 'max' or 'min'"),
        ({"metric": "mae", "unit": 3}, "is no text"),
        ({"direction": "min"}, "give another metric its own name"),
        ({"unit": "px"}, "give another metric its own name"),
    ],
)
def test_what_no_metric_can_be(given: dict[str, Any], told: str) -> None:
    task = type("Mine", (Task,), given)()
    with pytest.raises(PluginError, match=told):
        _ = task.objective


def test_scores_and_summaries_are_looked_at() -> None:
    far = type("Far", (Task,), {"metric": "mae", "unit": "px", "direction": "min"})()
    assert checked_scores(torch.tensor([3.0, -1.0]), 2, far).tolist() == [3.0, -1.0]
    assert summarized(far, np.array([1.0, 3.0])) == (2.0, 1.0)
    assert summarized(far, np.array([1.0])) == (1.0, 0.0)
    with pytest.raises(ValueError, match="must be finite"):
        checked_scores(torch.tensor([float("nan")]), 1, far)
    with pytest.raises(ValueError, match="from 0 to 1"):
        checked_scores(torch.tensor([3.0]), 1)
    wrong = type("Wrong", (Task,), {"summary": lambda self, scores: (float("nan"), 0.0)})()
    with pytest.raises(ValueError, match="finite numbers are needed"):
        summarized(wrong, np.ones(3))
    high = type("High", (Task,), {"summary": lambda self, scores: (3.0, 0.0)})()
    with pytest.raises(ValueError, match="a fraction lies from 0 to 1"):
        summarized(high, np.ones(3))


def test_a_metric_that_is_no_mean() -> None:
    output, target = torch.eye(2)[[1, 1, 0, 0, 1]], torch.tensor([1, 0, 1, 0, 1])
    scores = checked_scores(F1().scores(output, target), 5, F1())
    value, error = summarized(F1(), scores)
    assert value == pytest.approx(2 / 3)
    assert 0.1 < error < 0.5
    assert not F1().is_share


def test_accuracy_is_as_it_was() -> None:
    assert Task().objective == ACCURACY
    assert Task().is_share


def test_mixed_up_definitions_are_told(folder: Path) -> None:
    (folder / "bad.toml").write_text(STUDY.replace("task.py:Distance", "task.py:Nothing"))
    with pytest.raises((PluginError, DefinitionError), match="Nothing"):
        hqsearch.Study(str(folder / "bad.toml"), studies_dir=folder / "none").run(
            "random", evaluations=1
        )
