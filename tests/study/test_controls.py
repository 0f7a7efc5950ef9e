"""Controls: what they are, that they cost no more, and that they are no parameters of the space."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest

import hqsearch
from hqsearch.analysis.confirmation import confirmation_of
from hqsearch.errors import InputError
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.space import Dimension, Space
from hqsearch.study.controls import uniform, unoffered

NOISE = {"evaluation.noise": 0.01}


def space(*values: tuple[str, ...]) -> Space:
    return Space(
        tuple(Dimension(f"l{i}", "weights", own, (f"l{i}",)) for i, own in enumerate(values))
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("2u", "4u", "2l", "4l", "fp32"), ["3l", "3u", "5u"]),
        (("4u", "8u"), ["3u", "5u", "6u", "7u"]),
        (("fp32",), []),
    ],
)
def test_widths_between_and_beside(values: tuple[str, ...], expected: list[str]) -> None:
    assert unoffered(space(values)) == expected


def test_a_layer_of_its_own_choices_takes_the_nearest() -> None:
    own = space(("2u", "4u"), ("8u", "fp32"), ("2l", "4l"))
    assert uniform(own, "3u").choices == {"l0": "3u", "l1": "8u", "l2": "4l"} or uniform(
        own, "3u"
    ).choices == {"l0": "3u", "l1": "8u", "l2": "2l"}


def test_a_space_is_widened_by_what_it_lacks() -> None:
    own = space(("2u", "4u"), ("4u",))
    odd = Candidate.of({"l0": "3u", "l1": "4u"})
    assert not own.holds(odd)
    wide = own.widened([odd])
    assert wide.holds(odd)
    assert [d.values for d in wide.dimensions] == [("2u", "4u", "3u"), ("4u",)]
    assert not own.holds(Candidate.of({"l0": "2u"}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with a search, luck, and a confirmation of both."""
    place = tmp_path_factory.mktemp("controls")
    study = hqsearch.Study("toy", studies_dir=place, settings=NOISE)
    study.run("nsga2", evaluations=24)
    study.run("random", evaluations=24)
    study.confirm(seeds=2)
    return place


def test_controls_cost_no_more_and_are_compared_with_by_name(folder: Path) -> None:
    front = hqsearch.Study("toy", studies_dir=folder).front()
    found = front.confirmation
    assert found is not None
    by_label = {m.label: m for m in found.members if m.label}
    made = {label: m for label, m in by_label.items() if m.control}
    assert {"uniform 3u", "uniform 3l"} <= set(made)
    assert any(label.startswith("scores, ") for label in made)
    assert any(label.startswith("random, trial ") for label in made)
    dearest = max(m.confirmed["energy"] for m in found.members if m.on_front and not m.label)
    for label, control in made.items():
        assert control.confirmed["energy"] <= dearest * 1.0001, label
        assert control.rival == ""
    for member in found.members:
        if not member.label and member.rival:
            rival = by_label[member.rival]
            able = [
                m
                for m in by_label.values()
                if all(m.confirmed[c] <= member.confirmed[c] for c in ("energy", "storage"))
            ]
            assert rival.quality.mean == max(m.quality.mean for m in able)
    assert "against the strongest controls" in front.verdict
    assert "against uniform 3u: " in front.verdict
    assert {m["control"] for m in json.loads(json.dumps(found.as_json()))["members"]} == {
        True,
        False,
    }


def test_they_are_no_parameters_of_the_space(folder: Path) -> None:
    study = optuna.load_study(study_name="toy", storage=f"sqlite:///{folder / 'toy' / 'study.db'}")
    stored = {t.number: t.params for t in study.trials if "3u" in t.user_attrs["proposal"]["key"]}
    assert stored
    assert not any(stored.values())
    shown = hqsearch.Study("toy", studies_dir=folder)
    rows = [t for t in shown.trials() if t.number in stored]
    assert {set(t.choices.values()) == {"3u"} for t in rows} == {True}
    # Searches go on, and front, report and tables show what there is.
    before = [t.number for t in shown.front()]
    hqsearch.Study("toy", studies_dir=folder, settings=NOISE).run("nsga2", evaluations=26)
    assert not set(stored) & {t.number for t in shown.front()}
    assert before
    assert shown.report(folder / "page.html").exists()


def test_a_member_that_is_a_control_is_not_the_search_s(folder: Path) -> None:
    front = hqsearch.Study("toy", studies_dir=folder).front()
    found = confirmation_of(front.rows, front.every, front.objectives)
    assert found is not None
    labelled = {m.trial for m in found.members if m.label}
    told = [line for line in front.verdict.splitlines() if "trial" in line and "saves" in line]
    for line in told:
        assert not any(f", trial {number})" in line for number in labelled)


def test_without_controls_and_where_a_choice_is_not_taken(tmp_path: Path) -> None:
    study = hqsearch.Study("toy", studies_dir=tmp_path, settings=NOISE)
    study.run("random", evaluations=12)
    confirmed = study.confirm(seeds=1, controls=False)
    assert not any(m.control for m in confirmed.members)
    assert "no control but uniform assignments on offer was confirmed" in confirmed.verdict
    from hqsearch.definition import embedded, load_study
    from hqsearch.evaluator import Evaluator, Setup
    from hqsearch.evaluator.registry import make_evaluator

    toy = make_evaluator(Setup(load_study(embedded("studies")["toy"]), tmp_path, "cpu"))
    odd = uniform(toy.space, "3u")
    assert toy.holding([odd]).cheap([odd]).shape == (1, 3)
    assert toy.holding([toy.space.baseline("2u")]) is toy

    class Narrow(type(toy)):  # type: ignore[misc]
        can_widen = False

    narrow: Evaluator = Narrow(toy.setup)
    with pytest.raises(InputError, match="its space does not offer"):
        narrow.holding([odd])
