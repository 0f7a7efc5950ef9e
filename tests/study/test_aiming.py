"""Runs that are to refine a range of a cost: what they find there, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hqsearch.api import Study
from hqsearch.cli import cli
from hqsearch.errors import BudgetError, InputError, UnknownName
from hqsearch.store.records import TrialRecord
from hqsearch.strategies.nsga2.strategy import ASSISTED
from hqsearch.study.running import Request, read_study

NAME = "synthetic-2"
RANGE = {"energy": "0.05 .. 0.1 fp32"}


def trials(folder: Path, run: int = 0) -> list[TrialRecord]:
    _, _, found = read_study(Request(NAME, "", studies_dir=folder))
    return [t for t in found if t.proposal.run == run and t.proposal.kind == "search"]


def inside(found: list[TrialRecord], low: float, high: float) -> float:
    """Share of the trials."""
    energies = np.array([t.values[1] for t in found if t.values])
    return float(((low <= energies) & (energies <= high)).mean())


def test_nsga2_looks_where_it_is_asked_to(tmp_path: Path) -> None:
    aimed = Study(NAME, studies_dir=tmp_path / "aimed")
    run = aimed.run("nsga2", evaluations=28, between=RANGE)
    assert any("what is gained elsewhere counts 10 %" in note for note in run.notes)
    plain = Study(NAME, studies_dir=tmp_path / "plain")
    plain.run("nsga2", evaluations=28)
    full = next(b for b in plain.trials() if b.choices and set(b.choices.values()) == {"fp32"})
    low, high = 0.05 * full.values["energy"], 0.1 * full.values["energy"]
    there = inside(trials(tmp_path / "aimed"), low, high)
    assert there > inside(trials(tmp_path / "plain"), low, high) + 0.1
    for trial in trials(tmp_path / "aimed"):
        place = ASSISTED.fullmatch(trial.proposal.origin)
        # Of a whole batch, with its first one.
        assert (trial.proposal.promise is not None) == bool(place and place[1] == "1")
    # A run of its own, that goes on and resumes by its range.
    aimed.run("nsga2", evaluations=29)
    _, runs, _ = read_study(Request(NAME, "", studies_dir=tmp_path / "aimed"))
    assert [r.options.get("between") for r in runs] == [RANGE, None]


def test_sensitivity_sweeps_the_range(tmp_path: Path) -> None:
    study = Study(NAME, studies_dir=tmp_path)
    study.run("sensitivity", evaluations=13, between=RANGE, time_limit="1h")
    full = max(t.values["energy"] for t in study.trials() if t.values)
    found = trials(tmp_path)
    assert all(t.values and t.values[1] <= 0.11 * full for t in found)
    cut = study.run("sensitivity", evaluations=15, between=RANGE, time_limit=1e-9)
    assert cut.out_of_time
    assert study.resume().finished == 15
    assert all(t.values and t.values[1] <= 0.11 * full for t in trials(tmp_path))


def test_what_nobody_can_heed_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    study = Study(NAME, studies_dir=tmp_path)
    with pytest.raises(InputError, match="random as it is asked for does not look at ranges"):
        study.run("random", between=RANGE)
    with pytest.raises(InputError, match="nsga2 as it is asked for"):
        study.run("nsga2", between=RANGE, options={"assist": False})
    with pytest.raises(UnknownName, match="cost"):
        study.run("nsga2", between={"accuracy": "0.8 .. 0.9"})
    assert not list(tmp_path.iterdir())
    with pytest.raises(BudgetError, match="no candidate lies there"):
        study.run("nsga2", between={"energy": "2 .. 3 fp32"})
    assert not (tmp_path / NAME / "study.db").exists()


def test_the_command_line_reads_ranges(tmp_path: Path) -> None:
    words = ["run", "--study", NAME, "--strategy", "sensitivity", "--evaluations", "8"]
    words += ["--studies-dir", str(tmp_path), "--between", "energy 0.05 .. 0.1 fp32"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert "what is gained elsewhere counts 10 %" in done.stderr
    told = CliRunner().invoke(cli, ["status", "--study", NAME, "--studies-dir", str(tmp_path)])
    assert "between energy 0.05 .. 0.1 fp32" in told.stdout
    with pytest.raises(InputError, match="expected 'NUMBER UNIT"):
        CliRunner().invoke(cli, [*words[:-1], "energy"], catch_exceptions=False)
