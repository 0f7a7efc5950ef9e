"""Front, choice and hypervolume go by the same accuracies: the model's, where it has skill."""

from __future__ import annotations

import json

import numpy as np
import pytest

import hqsearch
from hqsearch.analysis.yardstick import Charge, course_of, make_yardstick
from hqsearch.problem.objective import ACCURACY, ENERGY
from hqsearch.store.fronts import by_means
from hqsearch.store.modelled import Modelled
from hqsearch.store.records import Proposal, TrialRecord

NOISE = {"evaluation.noise": 0.01}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> hqsearch.Study:
    made = hqsearch.Study("toy", studies_dir=tmp_path_factory.mktemp("means"), settings=NOISE)
    made.run("nsga2", evaluations=30)
    return made


def test_choose_goes_by_the_means_of_the_front(study: hqsearch.Study) -> None:
    front = study.front()
    assert front.means
    chosen = study.choose()
    mean = front.means[chosen.trial.number]
    assert chosen.values["accuracy"] == mean.mean
    assert chosen.values["energy"] == (chosen.trial.values or {})["energy"]
    told = json.loads(json.dumps(chosen.as_json()))
    assert told["modelled"] is True
    assert told["measured"] == chosen.trial.values
    assert told["standard_error"] == mean.deviation
    assert "the mean of the accuracy model" in chosen.certainty
    assert "provisional" in chosen.certainty
    # A limit is met, or missed, by what the front goes by.
    limit = mean.mean - 1e-6
    assert study.choose(accuracy=f">= {limit:.6f}").values["accuracy"] >= limit
    best = max(front.means[t.number].mean for t in front)
    with pytest.raises(hqsearch.errors.LimitsNotMet):
        study.choose(accuracy=f">= {best + 0.001:.6f}")


def test_a_confirmed_choice_goes_by_what_was_confirmed(study: hqsearch.Study) -> None:
    study.confirm(seeds=2, controls=False)
    chosen = study.choose()
    assert chosen.confirmed
    assert chosen.as_json()["modelled"] is False


def test_compare_tells_volumes_by_means_and_as_measured(study: hqsearch.Study) -> None:
    told = study.compare(["nsga2", "random"], 1, evaluations=20).as_json()
    assert told["modelled"] is True
    assert set(told["raw"]["hypervolume"]) == {"nsga2", "random"}
    by_mean = {s["label"]: s["hypervolume"]["median"] for s in told["strategies"]}
    measured = {k: v["median"] for k, v in told["raw"]["hypervolume"].items()}
    assert by_mean != measured
    assert all(abs(by_mean[k] - measured[k]) < 0.05 for k in by_mean)


def test_a_course_goes_by_means() -> None:
    objectives = (ACCURACY, ENERGY)
    yard = make_yardstick(np.array([[0.5, 1.0], [0.9, 4.0]]), objectives, {"energy": 8.0})
    trial = TrialRecord(0, 0, "COMPLETE", Proposal(0, 0, "s", "search", "a=2u", 0, 0), (0.9, 2.0))
    means = {"a=2u": Modelled(0.8, 0.01)}
    measured = course_of([Charge(trial, 1.0)], yard, objectives).hypervolume[-1]
    modelled = course_of([Charge(trial, 1.0)], yard, objectives, means).hypervolume[-1]
    assert modelled < measured
    assert by_means([0.9, 2.0], means["a=2u"], objectives) == [0.8, 2.0]
    assert by_means([0.9, 2.0], None, objectives) == [0.9, 2.0]
