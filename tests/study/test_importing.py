"""Results from elsewhere: history, marked everywhere, and nothing rests on them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import hqsearch
from hqsearch.cli import cli
from hqsearch.errors import ImportRefused, InputError
from hqsearch.problem.candidate import Candidate
from hqsearch.store.log import StudyLog
from hqsearch.store.records import TrialRow
from hqsearch.study.confirming import candidates, searched_in
from hqsearch.study.doctor import examine
from hqsearch.study.opening import Request, make_evaluator_for
from hqsearch.study.running import read_study

LAYERS = ("stem", "conv", "block.q", "block.k", "block.v", "block.fc1", "block.fc2", "head")
CHOICES = dict.fromkeys(LAYERS, "4u") | {"block.q": "2u", "block.k": "2u"}
#: Better than anything that the toy's search finds.
ROW: dict[str, Any] = {
    "choices": CHOICES,
    "values": {"accuracy": 0.99, "energy": 1.0},
    "standard_errors": {"accuracy": 0.004},
    "source": "lab A, table 3",
    "seed": 3,
}
OTHER = {"choices": CHOICES | {"head": "fp32"}, "values": {"accuracy": 0.995, "energy": 1.2}}
HEAD = ",".join((*LAYERS, "accuracy", "accuracy_se", "energy"))


@pytest.fixture
def study(tmp_path: Path) -> hqsearch.Study:
    study = hqsearch.Study("toy", studies_dir=tmp_path / "studies")
    study.run("random", evaluations=12)
    return study


def table(*lines: str, head: str = HEAD) -> str:
    return "\n".join((head, *lines)) + "\n"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_is_imported_is_marked_and_nothing_rests_on_it(study: hqsearch.Study) -> None:
    before = study.front()
    done = study.import_results([ROW, OTHER])
    assert (done.run, done.trials, done.computed) == (1, (12, 13), ("storage",))
    front = study.front()
    assert {12, 13} <= {t.number for t in front}
    assert front.verdict == before.verdict
    assert [t.number for t in front.own] == [t.number for t in before]
    assert front.searched == before.searched
    assert "imported, and measured elsewhere" in str(front)
    assert "lab A, table 3" in str(front)
    trial = study.trial(12)
    told = trial.as_json()
    assert (told["kind"], told["strategy"], told["seed"]) == ("imported", "import", 3)
    assert told["details"]["origin"] == told["details"]["source"] == "lab A, table 3"
    assert told["details"]["computed"] == ["storage"]
    assert told["details"]["accuracy_se"] == 0.004
    assert trial.values is not None
    assert trial.values["accuracy"] == 0.99
    assert study.trial(13).seed == -1
    assert study.choose(accuracy=">= 50 %").trial.number not in (12, 13)
    status = study.status().as_json()
    assert (status["imported"], status["trials"]) == (2, {"COMPLETE": 12})
    assert "run 1: import, 2 of 2 rows" in str(study.status())
    page = study.report().read_text()
    assert "measured elsewhere" in page
    shown = CliRunner().invoke(
        cli, ["show", "--study", "toy", "--studies-dir", str(study.folder.parent), "--trial", "12"]
    )
    assert "measured elsewhere: lab A, table 3" in shown.stdout
    assert examine("toy", study.folder.parent).healthy


def test_its_own_costs_are_those_of_the_study(study: hqsearch.Study) -> None:
    row = {"choices": study.trial(2).choices, "values": {"accuracy": 0.5}}
    trial = study.trial(study.import_results([row]).trials[0])
    own = study.trial(2)
    assert trial.values is not None
    assert own.values is not None
    assert trial.values["storage"] == own.values["storage"]
    assert trial.average_bits == own.average_bits


def test_nothing_imported_answers_an_evaluation_or_is_confirmed(study: hqsearch.Study) -> None:
    space = make_evaluator_for(
        hqsearch.definition.load_study(hqsearch.definition.embedded("studies")["toy"]),
        study.folder,
        Request("toy", "random", studies_dir=study.folder.parent),
    ).space
    rows = [{"choices": b.choices, "values": {"accuracy": 0.9}} for b in space.baselines().values()]
    study.import_results([ROW, *rows])
    study.run("random", evaluations=8, seed=5)
    again = [t for t in study.trials() if t.run == 2]
    assert all(t.copy_of is None or t.copy_of < 12 for t in again)
    _, runs, trials = read_study(Request("toy", "", studies_dir=study.folder.parent))
    searched = searched_in(runs, trials, study.front().objectives)
    chosen = candidates(searched, space)
    assert ROW["choices"] not in [t.choices for t in searched.trials]
    assert Candidate.of(CHOICES).key not in chosen


def test_runs_that_begin_later_have_it_as_history(study: hqsearch.Study) -> None:
    study.import_results([ROW, OTHER])
    done = study.run("nsga2", evaluations=20, seed=1)
    assert any("starts from 2 candidates that were imported" in note for note in done.notes)
    first = [t for t in study.trials() if t.run == done.ordinal and t.choices == CHOICES]
    assert len(first) == 1
    assert first[0].copy_of is None
    assert first[0].values is not None
    assert first[0].values["accuracy"] < 0.99
    learned = study.run(
        "optuna-tpe", evaluations=12, settings={"strategy.optuna-tpe.history": True}
    )
    assert learned.finished == 12


@pytest.mark.parametrize("strategy", ["nsga2", "optuna-tpe", "random"])
def test_a_run_that_began_before_goes_on_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    settings = {"strategy.nsga2.population": 6, "strategy.nsga2.assist": True}
    settings["strategy.optuna-tpe.history"] = True
    uncut = hqsearch.Study("toy", studies_dir=tmp_path / "uncut", settings=settings)
    uncut.import_results([ROW])
    uncut.run(strategy, evaluations=16)
    cut = hqsearch.Study("toy", studies_dir=tmp_path / "cut", settings=settings)
    cut.import_results([ROW])
    finish, left = StudyLog.finish, iter(range(9))

    def killed(self: StudyLog, *given: Any) -> Any:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return finish(self, *given)

    monkeypatch.setattr(StudyLog, "finish", killed)
    with pytest.raises(KeyboardInterrupt):
        cut.run(strategy, evaluations=16)
    monkeypatch.setattr(StudyLog, "finish", finish)
    cut.import_results([OTHER])
    assert cut.resume().mismatches == 0

    def asked(study: hqsearch.Study) -> list[Any]:
        return [(t.choices, t.values) for t in study.trials() if t.run == 1]

    assert asked(cut) == asked(uncut)


def test_a_study_without_a_log_is_prepared_first(tmp_path: Path) -> None:
    study = hqsearch.Study("toy", studies_dir=tmp_path)
    assert study.import_results([ROW]).trials == (0,)
    assert "none yet" in study.front().verdict or "none, for" in study.front().verdict
    assert study.run("nsga2", evaluations=8).finished == 8


def test_trials_of_another_study_are_a_file(tmp_path: Path) -> None:
    other = hqsearch.Study("toy", studies_dir=tmp_path / "other")
    other.run("random", evaluations=9, seed=8)
    other.run("random", evaluations=7, seed=9)
    copies = sum(t.copy_of is not None for t in other.trials())
    for kind in ("csv", "json"):
        words = ["trials", "--study", "toy", "--studies-dir", str(other.folder.parent), f"--{kind}"]
        file = tmp_path / f"theirs.{kind}"
        file.write_text(CliRunner().invoke(cli, words).stdout)
        into = hqsearch.Study("toy", studies_dir=tmp_path / kind)
        done = into.import_results(file, source=f"the {kind} of others")
        assert (len(done.trials), done.left_out) == (16 - copies, copies)
        theirs = [t.values for t in other.trials() if t.copy_of is None]
        assert [into.trial(number).values for number in done.trials] == theirs


def test_an_import_that_was_cut_off_goes_on(
    study: hqsearch.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, left = StudyLog.create_copy, iter(range(1))

    def killed(self: StudyLog, *given: Any, **more: Any) -> Any:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return create(self, *given, **more)

    monkeypatch.setattr(StudyLog, "create_copy", killed)
    with pytest.raises(KeyboardInterrupt):
        study.import_results([ROW, OTHER])
    monkeypatch.setattr(StudyLog, "create_copy", create)
    assert study.import_results([ROW, OTHER]).trials == (12, 13)
    with pytest.raises(ImportRefused, match="imported already, as run 1"):
        study.import_results([ROW, OTHER])
    with pytest.raises(ImportRefused, match="row 1: trial 12 is this row"):
        study.import_results([ROW])
    assert examine("toy", study.folder.parent).healthy


GOOD = ",".join(["4u"] * 8)
BAD: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "empty": ("r.csv", b"", ("it is empty",)),
    "no rows": ("r.csv", table().encode(), ("there is no result in it",)),
    "latin-1": ("r.csv", table(f"{GOOD},0.9,,1").replace("0.9", "0\xe9").encode("latin-1"),
                ("line 2 is not UTF-8",)),
    "utf-16": ("r.csv", table(f"{GOOD},0.9,,1").encode("utf-16"), ("not UTF-8",)),
    "semicolons": ("r.csv", table(f"{GOOD},0.9,,1").replace(",", ";").encode(),
                   ("unknown column", "there is no column 'stem'")),
    "a layer": ("r.csv", table(f"{GOOD},0.9,,1", head=HEAD.replace("block.q", "blok.q")).encode(),
                ("unknown column 'blok.q'; did you mean 'block.q'?",)),
    "a column twice": ("r.csv", table(head=f"{HEAD},energy").encode(),
                       ("'energy' is there twice",)),
    "many": (
        "r.csv",
        table(
            "9u,4u,4u,4u,4u,4u,4u,4u,93,0.1,nan", f"{GOOD},,0.1,1", f"{GOOD},0.5,-1,inf",
            f"{GOOD},0.5", f"{GOOD},0.9,,1", f"{GOOD},0.9,,1", f"{GOOD},good,,1e999",
        ).encode(),
        (
            "line 2: stem: unknown choice '9u'", "line 2: accuracy is 93, and a fraction",
            "line 2: energy is nan", "line 3: no value of accuracy",
            "line 3: a standard error of accuracy without its value",
            "line 4: standard error of accuracy is -1", "line 4: energy is inf",
            "line 5: 9 cells under 11 columns",
            "line 7: the assignment, seed and source of line 6 again",
            "line 8: accuracy is 'good', and no number", "line 8: energy is inf",
        ),
    ),
    "no JSON": ("r.json", b"{", ("it is no JSON",)),
    "an object": ("r.json", b'{"choices": {}}', ("a list of objects",)),
    "nested": ("r.json", b"[" * 100_000, ("nested too deeply",)),
    "rows of JSON": (
        "r.json",
        json.dumps([
            7, {}, {"choices": [], "values": 1, "valeus": {}},
            {**OTHER, "values": {"acuracy": 0.5, "energy": True}, "seed": -4, "source": "a\nb"},
            {**OTHER, "choices": {**CHOICES, "hed": "4u"}, "standard_errors": {"storage": 1}},
        ]).encode(),
        (
            "row 1: expected an object", "row 2: choices are missing", "row 2: values are missing",
            "row 3: unknown key 'valeus'; did you mean 'values'?", "row 3: choices are a list",
            "row 4: unknown objective 'acuracy'; did you mean 'accuracy'?",
            "row 4: energy is True, and no number", "row 4: seed is -4",
            "row 4: source is 'a\\nb'", "row 5: unknown layer 'hed'; did you mean 'head'?",
            "row 5: a standard error of storage without its value",
        ),
    ),
    "NaN": ("r.json", json.dumps([{**OTHER, "values": {"accuracy": float("nan")}}]).encode(),
            ("accuracy is nan",)),
    "another kind": ("r.xlsx", b"", ("read from a .csv or a .json file",)),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_everything_wrong_is_told_at_once_and_nothing_is_changed(
    study: hqsearch.Study, tmp_path: Path, case: str
) -> None:
    name, content, told = BAD[case]
    (tmp_path / name).write_bytes(content)
    study.trials()  # results.db is made by the first reading command
    before = tree(study.folder)
    with pytest.raises(InputError) as raised:
        study.import_results(tmp_path / name)
    message = str(raised.value)
    assert [text for text in told if text not in message] == []
    assert raised.value.exit_code == 2
    assert tree(study.folder) == before


def test_a_file_with_a_byte_order_mark_is_read(study: hqsearch.Study, tmp_path: Path) -> None:
    file = tmp_path / "r.csv"
    file.write_bytes(
        b"\xef\xbb\xbf" + table(f"{GOOD},0.9,,1", "", f"{GOOD},0.91,,1,").encode()[:-2]
    )
    with pytest.raises(ImportRefused, match="line 4"):
        study.import_results(file)
    file.write_bytes(b"\xef\xbb\xbf" + table(f"{GOOD},0.9,,1", "").encode())
    words = ["import", "--study", "toy", "--studies-dir", str(study.folder.parent), str(file)]
    done = CliRunner().invoke(cli, [*words, "--json", "--source", "them"])
    assert json.loads(done.stdout) == {
        "study": "toy", "run": 1, "trials": [12], "left_out": 0, "computed": ["storage"],
    }  # fmt: skip
    assert study.trial(12).as_json()["details"]["origin"] == "them"


def test_a_row_that_is_in_the_log_is_refused_under_any_source(study: hqsearch.Study) -> None:
    study.import_results([ROW])
    for source in ("lab A, table 3", "lab B"):
        with pytest.raises(ImportRefused, match=r"row 1: trial 12 is this row.*'lab A, table 3'"):
            study.import_results([{**ROW, "source": source}, OTHER])
    # The same candidate, measured elsewhere to another value, is another result.
    again = {**ROW, "source": "lab B", "values": {"accuracy": 0.97, "energy": 1.0}}
    assert len(study.import_results([again]).trials) == 1


def test_a_missing_file_and_a_missing_study_leave_nothing(tmp_path: Path) -> None:
    study = hqsearch.Study("toy", studies_dir=tmp_path / "none")
    with pytest.raises(InputError, match="No such file"):
        study.import_results(tmp_path / "r.csv")
    with pytest.raises(InputError, match="row 1"):
        study.import_results([{**ROW, "values": {}}])
    with pytest.raises(InputError, match="source"):
        study.import_results([ROW], source="a\x00b")
    assert not (tmp_path / "none").exists()


def test_what_was_measured_here_stands_before_what_was_imported(study: hqsearch.Study) -> None:
    own = study.front()[0]
    study.import_results([{"choices": own.choices, "values": dict(own.values or {})}])
    assert study.front()[0].number == own.number
    rows: list[TrialRow] = [t.row for t in study.trials()]
    assert sum(row.imported for row in rows) == 1


def test_a_log_without_imports_is_as_ever(study: hqsearch.Study, tmp_path: Path) -> None:
    shutil.copytree(study.folder, tmp_path / "copy" / "toy")
    copied = hqsearch.Study("toy", studies_dir=tmp_path / "copy")
    assert copied.status().as_json()["imported"] == 0
    assert "imported" not in str(copied.front())
