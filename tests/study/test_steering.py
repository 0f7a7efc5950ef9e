"""Runs that end early because somebody asked: a time limit, and where the search has stalled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hqsearch.api import Study
from hqsearch.cli import cli
from hqsearch.errors import DefinitionError, InputError, StorageError
from hqsearch.study import running
from hqsearch.study.running import Request, read_study

#: Every batch, whatever it adds, adds no more than this.
PATIENT = "stalled:1"


def study(folder: Path) -> Study:
    settings = {"strategy.nsga2.population": 4, "resolution.energy": 1e9}
    return Study("toy", studies_dir=folder, settings=settings)


def keys(folder: Path) -> list[str]:
    _, _, trials = read_study(Request("toy", "", studies_dir=folder))
    return [t.proposal.key for t in sorted(trials, key=lambda t: t.proposal.slot)]


def recorded(folder: Path) -> Any:
    return read_study(Request("toy", "", studies_dir=folder))[1][0]


def test_a_run_that_has_stalled_is_known_to_have_and_goes_on_when_asked(tmp_path: Path) -> None:
    made = study(tmp_path)
    run = made.run("random", evaluations=30, until=PATIENT)
    assert run.finished == 17  # five baselines, and a batch of twelve
    assert "tolerance" in run.stalled
    assert any("has stalled" in line for line in run.endings())
    assert (recorded(tmp_path).until, recorded(tmp_path).stalled) == (PATIENT, run.stalled)
    again = made.run("random", evaluations=30, until=PATIENT)
    assert (again.finished, again.stalled) == (17, run.stalled)
    with pytest.raises(StorageError, match="run 0 has stalled after 17 of 30 evaluations"):
        made.resume()
    facts = made.status().as_json()
    (row,) = facts["runs"]
    assert (row["ended"], row["stalled"]) == (True, run.stalled)
    assert facts["evaluations_left"] == 0
    gone_on = made.run("random", evaluations=30)
    assert (gone_on.finished, gone_on.stalled) == (30, "")
    assert (recorded(tmp_path).until, recorded(tmp_path).stalled) == ("", "")
    study(tmp_path / "whole").run("random", evaluations=30)
    assert keys(tmp_path) == keys(tmp_path / "whole")


def test_resume_remembers_what_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = study(tmp_path)
    ticks = iter(range(1000))
    monkeypatch.setattr(running.time, "monotonic", lambda: float(next(ticks)))
    cut = made.run("random", evaluations=30, until=PATIENT, time_limit=8)
    assert cut.out_of_time
    assert 0 < cut.finished < 17
    assert "the time limit is over" in cut.endings()[0]
    monkeypatch.undo()
    resumed = made.resume()
    assert resumed.finished == 17
    assert resumed.stalled


def test_what_is_no_time_and_no_end_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    made = study(tmp_path)
    for wrong in ("20", "m", "-3m", 0, "0s", True, "20 monkeys", "3m and 2"):
        with pytest.raises(DefinitionError, match="time_limit"):
            made.run("random", time_limit=wrong)
    with pytest.raises(InputError, match="expected 'stalled'"):
        made.run("random", until="bored")
    halving = {"evaluation.epochs": 4, "search.early_stopping": "halving"}
    with pytest.raises(InputError, match="cannot be used with search"):
        made.run("random", until="stalled", settings=halving)
    assert not list(tmp_path.iterdir())


def test_the_command_line_says_why_it_ended(tmp_path: Path) -> None:
    words = ["run", "--study", "toy", "--strategy", "random", "--evaluations", "30"]
    words += ["--studies-dir", str(tmp_path), "--set", "resolution.energy=1e9"]
    done = CliRunner().invoke(cli, [*words, "--until", PATIENT], catch_exceptions=False)
    assert done.exit_code == 0
    assert "the search has stalled" in done.stderr
    told = CliRunner().invoke(cli, ["status", "--study", "toy", "--studies-dir", str(tmp_path)])
    assert "17 of 30 evaluations, stalled: the last batch added" in told.stdout
