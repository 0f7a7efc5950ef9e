"""Comparing strategies: isolation, what runs are charged for, going on, what is reported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from hqsearch.analysis.yardstick import (
    Charge,
    Course,
    Yardstick,
    at_seconds,
    by_evaluation,
    by_seconds,
    charges,
    course_of,
    make_yardstick,
)
from hqsearch.cli import cli
from hqsearch.errors import InputError, RunFailed, StudyMismatch, UnknownName
from hqsearch.problem.objective import ACCURACY, ENERGY, STORAGE
from hqsearch.problem.pareto import hypervolume
from hqsearch.show.comparison import comparison_json, comparison_text, verdict_lines
from hqsearch.store.records import Outcome, Proposal, RunRecord, TaskRecord, TrialRecord
from hqsearch.study import comparing as module
from hqsearch.study.comparing import Comparison, compare, parse_variants
from hqsearch.study.running import Request, read_study

OBJECTIVES = (ACCURACY, ENERGY, STORAGE)
SMALL = {"strategy.nsga2.population": 4}


def run(
    folder: Path, strategies: str, seeds: int = 2, evaluations: int = 12, **more: Any
) -> Comparison:
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
    with pytest.raises(InputError, match="needs all of them"):
        run(tmp_path, "nsga2:from=gumbel", seeds=1, evaluations=5, **tiny)


def test_what_cannot_be_compared_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="early_stopping=none"):
        run(tmp_path, "random", **{"evaluation.epochs": 4, "search.early_stopping": "halving"})
    with pytest.raises(UnknownName, match="did you mean 'assist'"):
        run(tmp_path, "random,nsga2:asist=true")
    assert not list(tmp_path.iterdir())
    run(tmp_path, "random", seeds=1, evaluations=6)
    with pytest.raises(StudyMismatch, match=r"evaluation\.noise"):
        run(tmp_path, "random", seeds=1, evaluations=6, **{"evaluation.noise": 0.01})


# What a run is charged for


def trial(
    number: int, run: int, slot: int, key: str, seconds: float = 1.0, **more: Any
) -> TrialRecord:
    copy_of, state = more.pop("copy_of", None), more.pop("state", "COMPLETE")
    proposal = Proposal(run, slot, "s", "search", key, 0, 0, copy_of)
    values = more.pop("values", (0.8, 1.0, 10.0)) if state == "COMPLETE" else None
    outcome = Outcome(more.pop("order", slot), seconds, more.pop("violation", 0.0))
    return TrialRecord(number, number, state, proposal, values, outcome)


def record(ordinal: int, history: list[int]) -> RunRecord:
    return RunRecord(ordinal, "s", 0, {"history": history}, 9, 0, (), {})


def task(run: int, index: int, slot: int, order: int, seconds: float) -> TaskRecord:
    return TaskRecord(run, index, slot, 0, "supernet", {}, "", 0, "COMPLETE", order, seconds)


def test_copies_are_charged_like_their_originals_and_tasks_too() -> None:
    runs = [record(0, []), record(1, [0])]
    trials = [
        trial(0, 0, 0, "a=1", 5.0),
        trial(1, 0, 1, "a=2", 7.0, order=2),
        trial(2, 1, 0, "a=1", 0.0, copy_of=0),
        trial(3, 1, 1, "a=3", 0.0, copy_of=9),
        trial(4, 1, 2, "a=4", 2.0, state="FAIL"),
        trial(9, 7, 0, "a=3", 11.0),
    ]
    tasks = [task(0, 0, 1, 1, 100.0)]
    own = charges(runs[0], runs, trials, tasks, 10)
    assert [(c.trial.proposal.key if c.trial else None, c.seconds) for c in own] == [
        ("a=1", 5.0),
        (None, 100.0),
        ("a=2", 7.0),
    ]
    later = charges(runs[1], runs, trials, tasks, 10)
    assert later[:3] == own
    assert [(c.trial.proposal.key if c.trial else None, c.seconds) for c in later[3:]] == [
        ("a=3", 11.0),  # trained for another run, and charged all the same
        ("a=4", 2.0),  # failed, and charged all the same
    ]
    assert len(charges(runs[1], runs, trials, tasks, 3)) == 4  # three evaluations and a task


def test_a_task_that_was_cut_off_is_charged_for_what_it_had_saved() -> None:
    details = {"cpu_seconds": 8.0, "earlier": {"seconds": 90.0, "cpu_seconds": 70.0}}
    tasks = [replace(task(0, 0, 0, 0, 10.0), details=details)]
    runs = [record(0, [])]
    assert [c.seconds for c in charges(runs[0], runs, [], tasks, 10)] == [100.0]
    assert [c.seconds for c in charges(runs[0], runs, [], tasks, 10, "cpu")] == [78.0]


def test_what_was_looked_up_is_charged_for_what_it_had_taken() -> None:
    looked = Outcome(0, 0.001, details={"training_seconds": 4.5, "cpu_seconds": 0.001})
    trials = [replace(trial(0, 0, 0, "a=1"), outcome=looked)]
    tasks = [replace(task(0, 0, 0, 0, 0.001), details={"training_seconds": 30.0})]
    runs = [record(0, [])]
    for clock in ("wall", "cpu"):
        assert [c.seconds for c in charges(runs[0], runs, trials, tasks, 10, clock)] == [30.0, 4.5]


def test_a_course_is_the_hypervolume_after_every_evaluation() -> None:
    yard = Yardstick(
        {"accuracy": 0.5, "energy": 10.0, "storage": 100.0},
        {"accuracy": 1.0, "energy": 0.0, "storage": 0.0},
        "accuracy",
        "energy",
        (2.0, 4.0, 8.0),
    )
    values = [(0.7, 3.0, 50.0), (0.9, 6.0, 80.0), (0.4, 1.0, 1.0), (0.8, 2.0, 40.0)]
    charged = [Charge(trial(i, 0, i, f"a={i}", values=v), 2.0) for i, v in enumerate(values)]
    charged.insert(2, Charge(None, 30.0))
    charged.append(Charge(trial(9, 0, 9, "a=9", values=(0.99, 1, 1), violation=0.1), 2.0))
    course = course_of(charged, yard, OBJECTIVES)
    expected = []
    for n in range(1, 5):
        costs = [[(1 - a) / 0.5, e / 10, s / 100] for a, e, s in values[:n]]
        expected.append(hypervolume(np.array(costs), np.ones(3)))
    np.testing.assert_allclose(course.hypervolume, [*expected, expected[-1]])
    assert course.seconds.tolist() == [2.0, 4.0, 36.0, 38.0, 40.0]
    assert course.best == (0.8, 0.8, 0.9)


def test_the_reference_point_is_beyond_the_worst_baseline() -> None:
    baselines = np.array([[0.6, 2.0, 100.0], [0.9, 8.0, 400.0]])
    made = make_yardstick(baselines, OBJECTIVES, {"energy": 50.0, "storage": 1600.0})
    assert made.reference == pytest.approx({"accuracy": 0.585, "energy": 52.5, "storage": 1680.0})
    assert made.ideal == {"accuracy": 1.0, "energy": 0.0, "storage": 0.0}
    assert made.budgets == (4.47, 10.0, 22.4)  # 2 µJ to 50 µJ in four equal ratios
    with pytest.raises(RunFailed, match="no uniform baseline"):
        make_yardstick(np.empty((0, 3)), OBJECTIVES, {})


def test_runs_of_different_length_are_summed_up_by_their_last_value() -> None:
    long = Course(np.array([0.1, 0.2, 0.6]), np.array([1.0, 2.0, 3.0]), ())
    short = Course(np.array([0.3]), np.array([4.0]), ())
    rows = by_evaluation([long, short])
    assert rows["evaluations"] == [1, 2, 3]
    assert rows["median"] == pytest.approx([0.2, 0.25, 0.45])
    times = by_seconds([long, short], points=5)
    assert times["seconds"] == [0, 1, 2, 3, 4]
    assert times["median"] == pytest.approx([0.0, 0.05, 0.1, 0.3, 0.45])
    assert at_seconds([long, short], 3.9) == pytest.approx((0.3, 0.15, 0.45))
    assert at_seconds([long, short], 4.0) == pytest.approx((0.45, 0.375, 0.525))


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


def test_the_clock_says_which_seconds_are_charged() -> None:
    """Processor time where it is recorded, for trainings and for a strategy's own tasks."""
    proposal = Proposal(0, 0, "nsga2", "search", "a=2u", 0, 0)
    trial = TrialRecord(
        0, 1, "COMPLETE", proposal, (0.9, 1.0), Outcome(0, seconds=9.0, details={"cpu_seconds": 4})
    )
    task = TaskRecord(
        0, 0, 0, 0, "supernet", {}, "", 0, "COMPLETE", 0, 20.0, details={"cpu_seconds": 8.5}
    )
    run = RunRecord(0, "nsga2", 0, {}, 1, 0, (), {})
    for clock, expected in (("wall", [20.0, 9.0]), ("cpu", [8.5, 4.0])):
        charged = charges(run, [run], [trial], [task], 5, clock)
        assert [c.seconds for c in charged] == expected
