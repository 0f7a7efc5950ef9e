"""Comparing strategies: isolation, going on, what is reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from hqsearch.analysis.comparison import ComparedStrategies, comparison_json, verdict_lines
from hqsearch.analysis.yardstick import Yardstick
from hqsearch.cli import cli
from hqsearch.errors import InputError, StudyMismatch, UnknownName
from hqsearch.show.comparison import comparison_text
from hqsearch.study import comparing as module
from hqsearch.study.comparing import compare, parse_variants
from hqsearch.study.running import Request, read_study

SMALL = {"strategy.nsga2.population": 4}


def run(
    folder: Path, strategies: str, seeds: int = 2, evaluations: int = 12, **more: Any
) -> ComparedStrategies:
    overrides = {**SMALL, **more}
    request = Request("toy", "", evaluations, studies_dir=folder, overrides=overrides)
    return compare(request, strategies.split(","), seeds)


def keys(folder: Path, ordinal: int) -> list[str]:
    _, _, trials = read_study(Request("toy", "", studies_dir=folder))
    return [t.proposal.key for t in trials if t.proposal.run == ordinal]


def test_variants_are_read() -> None:
    found = parse_variants(["nsga2:assist=false:population=8", "nsga2:from=gumbel", "random"])
    assert [v.label for v in found] == [
        "nsga2:assist=false:population=8",
        "gumbel",  # which another starts from joins, and comes first
        "nsga2:from=gumbel",
        "random",
    ]
    assert found[0].options == {"assist": False, "population": 8}
    assert found[2].source == found[1]
    assert found[2].options == {}
    with pytest.raises(UnknownName, match="did you mean 'random'"):
        parse_variants(["ransom"])
    with pytest.raises(InputError, match="named twice"):
        parse_variants(["random", "random"])
    with pytest.raises(InputError, match="key=value"):
        parse_variants(["nsga2:fast"])


def test_a_run_does_not_profit_from_others(tmp_path: Path) -> None:
    """The assisted strategy learns from whatever history it sees: here it must see none."""
    alone = run(tmp_path / "alone", "nsga2:assist=true", seeds=1, evaluations=20)
    after = run(tmp_path / "after", "random,nsga2:assist=true", seeds=2, evaluations=20)
    entry = next(e for e in after.entries if e.variant.strategy == "nsga2" and e.seed == 0)
    assert entry.run.options["history"] == []
    own = keys(tmp_path / "after", entry.run.ordinal)
    assert own == keys(tmp_path / "alone", alone.entries[0].run.ordinal)
    with_history = run(tmp_path / "alone", "random", seeds=1, evaluations=20)
    assert with_history.entries[0].run.ordinal == 1


def test_a_comparison_costs_the_union_and_repeating_it_nothing(tmp_path: Path) -> None:
    first = run(tmp_path, "nsga2,random")
    _, runs, trials = read_study(Request("toy", "", studies_dir=tmp_path))
    assert len(runs) == 4
    trained = [t.proposal.key for t in trials if t.proposal.copy_of is None]
    assert len(trained) == len(set(trained)) < len(trials) == 48
    again = run(tmp_path, "nsga2,random")
    assert len(read_study(Request("toy", "", studies_dir=tmp_path))[2]) == 48
    drop = {"created": ""}
    assert comparison_json(again) | drop == comparison_json(first) | drop


def test_an_interrupted_comparison_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(tmp_path / "whole", "nsga2,random")
    started = module.start
    calls = 0

    def start(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return started(*arguments)

    monkeypatch.setattr(module, "start", start)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", "nsga2,random")
    gone_on = run(tmp_path / "cut", "nsga2,random")
    assert calls == 5  # two, the one that was cut, and the two that were left
    for one, other in zip(whole.entries, gone_on.entries, strict=True):
        np.testing.assert_array_equal(one.course.hypervolume, other.course.hypervolume)


def test_a_run_with_more_evaluations_is_read_up_to_the_number(tmp_path: Path) -> None:
    short = run(tmp_path / "short", "nsga2", seeds=1, evaluations=12)
    run(tmp_path / "long", "nsga2", seeds=1, evaluations=24)
    read = run(tmp_path / "long", "nsga2", seeds=1, evaluations=12)
    assert read.entries[0].course.evaluations == 12
    np.testing.assert_array_equal(
        read.entries[0].course.hypervolume, short.entries[0].course.hypervolume
    )
    assert read_study(Request("toy", "", studies_dir=tmp_path / "long"))[1][0].evaluations == 24


def test_the_yardstick_is_recorded_once(tmp_path: Path) -> None:
    first = run(tmp_path, "random", seeds=1)
    attributes = read_study(Request("toy", "", studies_dir=tmp_path))[0]
    assert Yardstick.from_json(attributes["yardstick"]) == first.yardstick
    later = run(tmp_path, "random,nsga2", seeds=1, evaluations=30)
    assert later.yardstick == first.yardstick
    assert len(first.yardstick.budgets) == 3
    assert later.union >= max(e.course.hypervolume[-1] for e in later.entries)


def test_one_that_starts_from_another_is_charged_for_it(tmp_path: Path) -> None:
    tiny = {
        "strategy.gumbel.count": 1,
        "strategy.gumbel.epochs": 3,
        "strategy.gumbel.warmup": 1,
    }
    found = run(tmp_path, "nsga2:from=gumbel", seeds=1, evaluations=14, **tiny)
    source, entry = found.entries
    assert source.run.exhausted
    assert entry.run.options["history"] == [source.run.ordinal]
    assert entry.course.evaluations == 14
    own = [c for c in entry.charged if c.trial is None]
    assert len(own) == 1
    assert own[0].seconds > 0
    assert entry.charged[: len(source.charged)] == source.charged
    trained = [c.trial.proposal.key for c in entry.charged if c.trial is not None]
    assert len(trained) == len(set(trained))
    assert "starts from the gumbel run" in comparison_text(found)
    derived = {"strategy.gumbel.top": 3}
    with pytest.raises(InputError, match="took all of them"):
        run(tmp_path, "nsga2:from=gumbel", seeds=1, evaluations=7, **tiny, **derived)


def test_a_start_that_leaves_nothing_is_refused_before_anything_is_spent(
    tmp_path: Path,
) -> None:
    for asked, told in (
        ("nsga2:from=random", "say how many evaluations it has: nsga2:from=random@9"),
        ("nsga2:from=random@5", r"expected from 6 .* to 13: nsga2:from=random@9"),
        ("nsga2:from=random@14", "expected from 6"),
        ("nsga2:from=random@half", "expected from=random@N"),
        ("nsga2:from=ransom@8", "did you mean 'random'"),
    ):
        with pytest.raises(InputError, match=told):
            run(tmp_path, asked, seeds=1, evaluations=14)
    with pytest.raises(InputError, match="give at least 7"):
        run(tmp_path, "nsga2:from=gumbel", seeds=1, evaluations=6)
    assert not list(tmp_path.iterdir())


def test_one_may_start_from_the_first_evaluations_of_another(tmp_path: Path) -> None:
    """Whatever else is compared: what it starts from never has more of them."""
    alone = run(tmp_path / "alone", "nsga2:assist=true:from=random@9", seeds=1, evaluations=14)
    (entry,) = alone.entries
    assert (entry.run.options["first"], entry.course.evaluations) == (9, 14)
    trained = [c.trial for c in entry.charged if c.trial is not None]
    assert [t.proposal.strategy for t in trained] == ["random"] * 9 + ["nsga2"] * 5
    assert "starts from the first 9 evaluations of the random run" in comparison_text(alone)
    both = "random,nsga2:assist=true:from=random@9,nsga2:assist=true:from=random@11"
    found = run(tmp_path / "more", both, seeds=1, evaluations=14)
    assert [e.variant.label for e in found.entries] == both.split(",")
    sources = [e.run.options.get("history") for e in found.entries]
    assert sources == [[], [0], [0]]
    for one in (alone, found):
        again = one.entries[0] if one is alone else one.entries[1]
        assert [c.trial.proposal.key for c in again.charged if c.trial] == [
            t.proposal.key for t in trained
        ]
    before = len(read_study(Request("toy", "", studies_dir=tmp_path / "alone"))[2])
    run(tmp_path / "alone", "nsga2:assist=true:from=random@9", seeds=1, evaluations=14)
    assert len(read_study(Request("toy", "", studies_dir=tmp_path / "alone"))[2]) == before


def test_what_cannot_be_compared_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="trains every candidate to the end"):
        run(tmp_path, "random", **{"evaluation.epochs": 4, "search.early_stopping": "halving"})
    with pytest.raises(UnknownName, match="did you mean 'assist'"):
        run(tmp_path, "random,nsga2:asist=true")
    assert not list(tmp_path.iterdir())
    run(tmp_path, "random", seeds=1, evaluations=6)
    with pytest.raises(StudyMismatch, match=r"evaluation\.noise"):
        run(tmp_path, "random", seeds=1, evaluations=6, **{"evaluation.noise": 0.01})


# What is told


def test_the_verdict_is_honest_about_seeds_and_noise(tmp_path: Path) -> None:
    few = run(tmp_path, "nsga2,random", **{"evaluation.noise": 0.01})
    text = " ".join(verdict_lines(few))
    assert "too few seeds" in text
    assert "hqsearch confirm --study toy" in text
    assert "of 2" in text
    one = run(tmp_path, "random", seeds=1, **{"evaluation.noise": 0.01})
    assert "One seed" in " ".join(verdict_lines(one))
    many = run(tmp_path, "nsga2,random", seeds=4, evaluations=6, **{"evaluation.noise": 0.01})
    assert "Mann–Whitney" in " ".join(verdict_lines(many))


def test_the_command_prints_and_saves(tmp_path: Path) -> None:
    words = ["compare", "--study", "toy", "--strategies", "random,nsga2:population=4"]
    words += ["--seeds", "2", "--evaluations", "10", "--studies-dir", str(tmp_path)]
    files = ["-o", str(tmp_path / "out.json"), "--plot", str(tmp_path / "out.svg")]
    done = CliRunner().invoke(cli, [*words, *files, "--json"], catch_exceptions=False)
    told = json.loads(done.stdout)
    saved = json.loads((tmp_path / "toy" / "comparisons" / "1.json").read_text())
    assert told == saved == json.loads((tmp_path / "out.json").read_text())
    assert [len(s["runs"]) for s in told["strategies"]] == [2, 2]
    assert {s["label"] for s in told["strategies"]} == {"random", "nsga2:population=4"}
    assert (tmp_path / "toy" / "comparisons" / "1.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "out.svg").read_text()
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert "uniform alone" in done.stdout
    assert "Verdict" in done.stdout
    assert (tmp_path / "toy" / "comparisons" / "2.json").is_file()
    with pytest.raises(InputError, match=r"\.png"):
        CliRunner().invoke(cli, [*words, "--plot", "x.txt"], catch_exceptions=False)
