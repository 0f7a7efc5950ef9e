from __future__ import annotations

import json
from pathlib import Path

import pytest

import hqsearch
from hqsearch.errors import DefinitionError, StudyMismatch, UnknownName


def run(folder: Path, settings: dict[str, object], evaluations: int = 12) -> hqsearch.Study:
    study = hqsearch.Study("toy", studies_dir=folder, settings=settings)
    study.run("random", evaluations=evaluations)
    return study


def test_a_study_keeps_the_resolution_and_margin_that_it_was_made_with(tmp_path: Path) -> None:
    study = run(tmp_path, {"resolution.energy": "20 %", "verdict.margin": 2.5})
    front, raw = study.front(), study.front(raw=True)
    assert [o.resolution for o in front.objectives] == [0.0, 0.2, 0.005]
    assert {t.number for t in front} < {t.number for t in raw}
    assert "20 % of energy, 0.5 % of storage" in front.resolution
    assert "raw=True" in str(front)
    assert raw.resolution == ""
    # What is not named is as the study has it.
    hqsearch.Study("toy", studies_dir=tmp_path).run("random", evaluations=13)
    assert len(study.trials()) == 13


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"resolution.energy": 0.1}, "resolution.energy: 0.005"),
        ({"verdict.margin": 3}, "margin: 1"),
    ],
)
def test_another_one_is_refused_and_named(
    tmp_path: Path, settings: dict[str, object], named: str
) -> None:
    run(tmp_path, {})
    before = (tmp_path / "toy" / "study.db").read_bytes()
    with pytest.raises(StudyMismatch, match=named):
        run(tmp_path, settings)
    assert (tmp_path / "toy" / "study.db").read_bytes() == before


@pytest.mark.parametrize(
    ("settings", "error", "named"),
    [
        ({"resolution.enrgy": 0.1}, UnknownName, "energy"),
        ({"resolution.energy": -0.1}, DefinitionError, "at least 0"),
        ({"resolution.energy": "half"}, DefinitionError, "0.5 %"),
        ({"resolution.energy": True}, DefinitionError, "expected a share"),
        ({"verdict.margin": -1}, DefinitionError, "margin"),
        ({"verdict.margin": 100.5}, DefinitionError, "margin"),
        ({"verdict.marign": 1}, UnknownName, "margin"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    tmp_path: Path, settings: dict[str, object], error: type[Exception], named: str
) -> None:
    with pytest.raises(error, match=named):
        run(tmp_path, settings)
    assert not (tmp_path / "toy").exists()


def test_a_resolution_that_swallows_the_front_leaves_one_member_and_says_so(
    tmp_path: Path,
) -> None:
    study = run(tmp_path, {"resolution.energy": 1e9, "resolution.storage": 1e9})
    front = study.front()
    best = max((t.values or {})["accuracy"] for t in study.trials())
    assert [(t.values or {})["accuracy"] for t in front] == [best]
    assert "one is left, trial " in front.resolution
    assert "the most accurate" in front.resolution


def test_studies_of_before_tell_every_difference(tmp_path: Path) -> None:
    study = run(tmp_path, {})
    from hqsearch.store.log import StudyLog, storage_url

    with study._results() as results:
        objectives, facts = results.objectives, dict(results.study)
    url = storage_url(None, tmp_path / "toy")
    from hqsearch.problem.space import Dimension, Space

    space = Space(tuple(Dimension(n, "weights", ("2u",), (n,)) for n in facts["dimensions"]))
    log = StudyLog(url, "toy", space, objectives)
    facts["objectives"] = [
        {k: v for k, v in o.items() if k != "resolution"} for o in facts["objectives"]
    ]
    facts.pop("margin")
    log.set_attribute("study", json.loads(json.dumps(facts)))
    log.close()
    assert {o.resolution for o in study.front().objectives} == {0.0}
    study.run("random", evaluations=14)
    assert study.front().resolution == ""
