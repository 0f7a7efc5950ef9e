"""Studies by name: run, read, resume, compare, confirm; and what is refused."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hqsearch
from hqsearch.analysis.overview import studies_overview
from hqsearch.cli import cli
from hqsearch.errors import (
    DefinitionError,
    InputError,
    PluginError,
    StorageError,
    StudyMismatch,
    UnknownName,
)


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    cli([*words, "--json"], standalone_mode=False)
    return json.loads(capsys.readouterr().out)


def test_answers_are_those_of_the_command_line(
    toy_study: hqsearch.Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--study", "toy", "--studies-dir", str(tmp_path))
    assert toy_study.front().as_json() == printed(capsys, "front", *words)
    assert toy_study.trials().as_json() == printed(capsys, "trials", *words)
    assert toy_study.status().as_json() == printed(capsys, "status", *words)
    assert toy_study.choose().as_json() == printed(capsys, "choose", *words)
    assert toy_study.check().as_json() == printed(capsys, "check", *words)


def test_a_run_is_silent_and_says_what_it_came_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = hqsearch.Study("toy", studies_dir=tmp_path)
    run = study.run("random", evaluations=np.int64(10), seed=3)
    assert capsys.readouterr() == ("", "")
    assert (run.strategy, run.seed, run.finished, run.ordinal) == ("random", 3, 10, 0)
    assert "random, seed 3, 10 of 10 evaluations" in repr(run)
    assert [t.number for t in study.trials()] == list(range(10))


def test_a_listener_is_told_and_progress_goes_to_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Heard(hqsearch.Listener):
        states = 0

        def changed(self, state: Any) -> None:
            self.states += 1

    study, heard = hqsearch.Study("toy", studies_dir=tmp_path), Heard()
    study.run("random", evaluations=10, listener=heard)
    assert heard.states > 0
    study.run("random", evaluations=12, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "evaluations: 12/12" in err


def test_constraints_and_options_are_those_of_the_run(tmp_path: Path) -> None:
    study = hqsearch.Study("toy", studies_dir=tmp_path)
    limits = {"energy": "<= 0.3 fp32"}
    run = study.run(evaluations=20, constraints=limits, options={"population": 6})
    assert [(b.metric, b.text) for b in run.budgets] == [("energy", "<= 0.3 fp32")]
    assert "under energy <= 0.3 fp32" in repr(study.front())
    again = hqsearch.Study("toy", studies_dir=tmp_path, constraints=limits)
    assert again.run(evaluations=20, options={"population": 6}).ordinal == 0


def test_resume_and_compare_and_confirm(tmp_path: Path) -> None:
    study = hqsearch.Study("toy", studies_dir=tmp_path)
    compared = study.compare(["random", "nsga2:population=6"], seeds=2, evaluations=14)
    assert {e.variant.label for e in compared.summary.entries} == {"random", "nsga2:population=6"}
    assert "nsga2:population=6" in repr(compared)
    assert compared.verdict
    compared.save(tmp_path / "compared.json")
    told = json.loads(json.dumps(compared.as_json()))
    assert json.loads((tmp_path / "compared.json").read_text()) == told
    with pytest.raises(StorageError, match="nothing to resume"):
        study.resume()
    confirmed = study.confirm(seeds=1)
    assert confirmed.verdict.startswith("Verdict (confirmed")
    assert "against uniform 2u" in repr(confirmed)
    assert study.choose().confirmed
    assert "confirmed" in study.front().as_json()[0]


def test_inside_a_running_event_loop_and_twice_in_one_process(tmp_path: Path) -> None:
    async def work() -> int:
        study = hqsearch.Study("toy", studies_dir=tmp_path)
        study.run("random", evaluations=8)
        study.run("random", evaluations=10)
        return len(study.trials())

    assert asyncio.run(work()) == 10


def test_check_finds_every_problem_at_once(study_file: Callable[..., Path]) -> None:
    file = study_file(
        extra='[constraints]\nenergy = "less"\n[strategy.nsga]\n[strategy.nsga2]\npopulatio = 3\n'
    )
    found = hqsearch.Study(file, studies_dir=file.parent).check(executor="in-process", workers=2)
    assert not found.ok
    told = "\n".join(found.problems)
    for words in (
        "did you mean 'nsga2'",
        "populatio",
        "expected '<= NUMBER UNIT'",
        "workers 2",
    ):
        assert words in told
    assert len(found.problems) == 4
    assert "4 problems" in repr(found)
    assert not (file.parent / "mine").exists()


def test_check_says_what_there_is(tmp_path: Path) -> None:
    found = hqsearch.Study("toy", studies_dir=tmp_path).check()
    assert found.ok
    assert (found.candidates, found.evaluations, len(found.layers)) == (5**8, 400, 8)
    assert found.layers[0].choices == ("2u", "4u", "2l", "4l", "fp32")
    assert list(tmp_path.iterdir()) == []
    assert "no problems found" in repr(found)


def test_check_compares_with_the_log(toy_study: hqsearch.Study) -> None:
    assert toy_study.check().findings.recorded
    found = toy_study.check(settings={"evaluation.noise": 0.1})
    assert "evaluation.noise: 0.0 in the study, 0.1 asked for" in found.problems[0]


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda s: s.run("nsag2"), UnknownName, "did you mean 'nsga2'"),
        (lambda s: s.run(3), DefinitionError, "strategy: expected a name"),
        (lambda s: s.run(evaluations=0), DefinitionError, "evaluations: at least 1"),
        (lambda s: s.run(evaluations=2.5), DefinitionError, "evaluations: expected a whole"),
        (lambda s: s.run(seed=True), DefinitionError, "seed: expected a whole number"),
        (lambda s: s.run(workers=0), InputError, "workers=0: at least 1 is needed"),
        (lambda s: s.run(device="gpu"), DefinitionError, "expected one of auto, cpu, cuda"),
        (lambda s: s.run(executor="rey"), DefinitionError, "expected one of auto, in-process"),
        (lambda s: s.run(options={"populaton": 3}), UnknownName, "did you mean 'population'"),
        (lambda s: s.run(options=[3]), DefinitionError, "options: expected a dictionary"),
        (lambda s: s.run(settings=["a"]), DefinitionError, "settings: expected a dictionary"),
        (lambda s: s.run(settings={3: 1}), DefinitionError, "a key of settings: expected a text"),
        (lambda s: s.compare([3]), DefinitionError, "a strategy: expected a name"),
        (lambda s: s.plot(3), DefinitionError, "kind: expected the name of a picture"),
        (lambda s: s.plot("front", 3), DefinitionError, "another study: expected"),
        (lambda s: s.plot("weights", trial="a"), DefinitionError, "trial: expected a whole"),
        (lambda s: s.run(listener=3), DefinitionError, "made from hqsearch.Listener"),
        (lambda s: s.resume(listener=3), DefinitionError, "made from hqsearch.Listener"),
        (lambda s: s.run(settings={"evaluatons": 3}), UnknownName, "did you mean 'evaluations'"),
        (lambda s: s.run(constraints={"energi": "<= 1 uJ"}), UnknownName, "mean 'energy'"),
        (lambda s: s.compare([]), InputError, "^strategies: name at least one"),
        (lambda s: s.compare("nsga2"), DefinitionError, "strategies: expected a list"),
        (lambda s: s.compare(["nsga2"], clock="sun"), DefinitionError, "expected one of wall"),
        (lambda s: s.confirm(seeds=0), DefinitionError, "seeds: at least 1"),
        (lambda s: s.front(), StorageError, "has not been run"),
        (lambda s: s.trial(3), StorageError, "has not been run"),
        (lambda s: s.trial("3"), DefinitionError, "trial: expected a whole number .given: '3'"),
        (lambda s: s.trial(True), DefinitionError, "trial: expected a whole number"),
        (lambda s: s.trial(None), DefinitionError, "trial: a whole number is needed"),
        (lambda s: s.keep_weights(None), DefinitionError, "trial: a whole number is needed"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_created(
    tmp_path: Path, call: Callable[[Any], Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        call(hqsearch.Study("toy", studies_dir=tmp_path / "studies"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"study": 3}, "study: expected a name or a TOML file"),
        ({"study": "toy", "studies_dir": 3}, "studies_dir: expected a folder"),
        ({"study": "toy", "settings": ["a=1"]}, "settings: expected a dictionary"),
        ({"study": "toy", "storage": Path("x")}, "storage: expected a URL"),
        ({"study": "a/b", "choices": ["2u"]}, "a name is needed, not a path"),
        ({"study": "a", "choices": "2u"}, "choices: expected a list"),
        ({"study": "a", "choices": ["2u"], "space": "toy"}, "either space or choices"),
        ({"study": "a", "model": 3}, "model must be a function"),
        ({"study": "a", "options": {"x": 1}}, "options are those of a model"),
    ],
)
def test_wrong_types_are_refused_when_it_is_made(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        hqsearch.Study(**keys)


def test_an_unknown_keyword_is_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="chioces"):
        hqsearch.Study("toy", chioces=["2u"])  # type: ignore[call-arg]


def test_unknown_studies_and_evaluators(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'toy'"):
        hqsearch.Study("tyo", studies_dir=tmp_path).front()
    with pytest.raises(UnknownName, match="did you mean 'toy'"):
        hqsearch.Study("a", space="toy", evaluator="tyo", studies_dir=tmp_path).run(evaluations=9)
    with pytest.raises(PluginError, match="an evaluator is a name"):
        hqsearch.Study("a", space="toy", evaluator=3, studies_dir=tmp_path).run(evaluations=9)


def test_a_study_without_a_definition_file_goes_on_from_its_log(tmp_path: Path) -> None:
    """As the command line does: nothing but its name is needed."""
    space = {"choices": ["2u", "4u", "fp32"], "layers": [{"match": "head", "pin": "fp32"}]}
    made = hqsearch.Study("small", space=space, evaluator="toy", studies_dir=tmp_path, title="T")
    made.run("random", evaluations=8)
    named = hqsearch.Study("small", studies_dir=tmp_path)
    assert named.run("random", evaluations=10).finished == 10
    assert named.front().title == "T"
    (row,) = [r for r in studies_overview(tmp_path) if r["name"] == "small"]
    assert row["title"] == "T"
    assert all(set(t.choices.values()) <= {"2u", "4u", "fp32"} for t in named.trials())
    assert named.check().candidates == made.check().candidates
    with pytest.raises(UnknownName, match="unknown key"):
        named.run(settings={"evaluation.sceonds": 1})


def test_to_pandas(toy_study: hqsearch.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    table = toy_study.trials().to_pandas()
    assert list(table["number"]) == list(range(40))
    assert {"accuracy", "energy", "storage", "block.fc1"} <= set(table.columns)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="pip install pandas"):
        toy_study.front().to_pandas()


def test_bad_selections_are_refused(toy_study: hqsearch.Study) -> None:
    trials = toy_study.trials()
    assert len(trials.select("state = COMPLETE", limit=np.int64(2))) == 2
    for keys, told in (
        ({"limit": "a"}, "limit: expected a whole number"),
        ({"limit": -1}, "limit: at least 0"),
        ({"sort": 3}, "sort: expected a column"),
    ):
        with pytest.raises(DefinitionError, match=told):
            trials.select(**keys)
    with pytest.raises(DefinitionError, match="a condition: expected a text"):
        trials.select(3)


def test_errors_name_options_as_python_has_them(toy_study: hqsearch.Study, tmp_path: Path) -> None:
    with pytest.raises(StudyMismatch, match="another studies_dir, or fresh=True to move"):
        toy_study.run(settings={"evaluation.noise": 0.1})
    command = ["run", "--study", "toy", "--studies-dir", str(tmp_path), "--strategy", "random"]
    with pytest.raises(StudyMismatch, match="another --studies-dir, or --fresh to move"):
        cli([*command, "--set", "evaluation.noise=0.1"], standalone_mode=False)
    with pytest.raises(InputError, match=r"^path=x\.gif"):
        toy_study.plot(path="x.gif")
    for call in (lambda: toy_study.plot(path=3), lambda: toy_study.front().plot(None)):
        with pytest.raises(DefinitionError, match="path: "):
            call()


def test_one_trial_layer_by_layer(toy_study: hqsearch.Study) -> None:
    trial = toy_study.trial(7)
    assert trial == toy_study.trials()[7]
    assert trial.values is not None
    assert sum(layer["energy"] for layer in trial.layers) == pytest.approx(trial.values["energy"])
    assert repr(trial).startswith("trial 7: accuracy ")
    assert trial.details["failure"] == ""
    with pytest.raises(InputError, match="has no trial 99"):
        toy_study.trial(99)


def test_text_in_brackets_is_text_everywhere(
    study_file: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    title = "DVS [/b] [red]128[/red] <script>alert(1)</script>"
    file = study_file(title=title)
    study = hqsearch.Study(file, studies_dir=file.parent)
    study.run("random", evaluations=8, progress=True)
    for shown in (study.check(), study.status(), study.front(), study.trials(), study.trial(0)):
        assert "<script>" not in shown._repr_html_()
    assert title in repr(study.status())
    assert "&lt;script&gt;" in study.status()._repr_html_()
    capsys.readouterr()
    words = ["--studies-dir", str(file.parent)]
    for command in ("status", "front", "check"):
        cli([command, "--study", str(file), *words], standalone_mode=False)
    assert title in capsys.readouterr().out
    cli(["studies", *words], standalone_mode=False)
    assert "[/b]" in capsys.readouterr().out
