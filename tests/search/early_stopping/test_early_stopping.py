"""Runs that stop candidates early: what is logged, told and shown; cut anywhere, one table."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hqsearch.analysis.overview import status_of
from hqsearch.errors import RunFailed
from hqsearch.evaluator import Evaluator, OtherTask
from hqsearch.executors.in_process import InProcessExecutor
from hqsearch.executors.task import Evaluate, Task, TaskOutcome, perform
from hqsearch.problem.candidate import Candidate
from hqsearch.show.overview import status_text
from hqsearch.show.tables import trials_lines
from hqsearch.store.log import LogReader, StudyLog, storage_url
from hqsearch.store.records import TrialRecord
from hqsearch.store.results import Results
from hqsearch.strategies import Result, Signal, Strategy, StrategyTask, TaskResult
from hqsearch.study import identity, opening
from hqsearch.study import running as launch

HALVING = {
    "evaluation.epochs": 8,
    "search.early_stopping": "halving",
    "strategy.nsga2.assist": False,
}
#: Writes down every epoch that it trains, and leaves results in files.
COUNTING = """
from hqsearch.evaluators.toy import Toy

class Counting(Toy):
    costly = True

    def evaluate(self, candidate, seed, budget=None, resume_from=None, checkpoint=None):
        # A worker that was killed may leave its folder without a file in it.
        file = resume_from / "toy.json" if resume_from else None
        left = file.read_text() if file and file.exists() else '"epoch": 0'
        done = int(left.split('"epoch": ')[1].rstrip("}"))
        with (self.setup.folder / "trained").open("a") as log:
            log.write(f"{candidate.key} {done} {budget or self.full_budget}\\n")
        return super().evaluate(candidate, seed, budget, resume_from, checkpoint)
"""


def read(folder: Path, study: str = "toy") -> list[TrialRecord]:
    reader = LogReader(storage_url(None, folder.resolve() / study), study)
    found = reader.trials()
    reader.close()
    return found


def table(folder: Path, study: str = "toy") -> list[tuple[Any, ...]]:
    """Everything of a trial that must not depend on how often or where it was run."""
    return [
        (
            t.number,
            t.state,
            t.proposal,
            t.values,
            [(r.epoch, r.values) for r in t.rungs],
            t.outcome and (t.outcome.order, t.outcome.stopped_at),
        )
        for t in read(folder, study)
    ]


def decisions(folder: Path, study: str = "toy") -> dict[str, Any]:
    reader = LogReader(storage_url(None, folder.resolve() / study), study)
    found = {k: v for k, v in reader.attributes().items() if k.startswith("rung:")}
    reader.close()
    return found


@pytest.fixture
def counting(tmp_path: Path, study_file: Callable[..., Path]) -> str:
    (tmp_path / "counting.py").write_text(COUNTING)
    return str(study_file("counting", evaluator="counting.py:Counting"))


def test_who_looks_worse_is_stopped_at_a_rung(tmp_path: Path, launched: Any) -> None:
    assert launched.run(tmp_path, overrides=HALVING).finished == 20
    trials = read(tmp_path)
    assert {t.state for t in trials} == {"COMPLETE", "PRUNED"}
    for trial in trials:
        assert trial.outcome is not None
        epochs = [r.epoch for r in trial.rungs]
        if trial.proposal.kind == "baseline":
            assert (trial.state, epochs) == ("COMPLETE", [])
        elif trial.state == "COMPLETE":
            assert epochs == [1, 2, 4]
        else:
            assert trial.values is None
            assert trial.outcome.stopped_at == epochs[-1]
            assert (trial.outcome.details.measured or {})["accuracy"] == trial.rungs[-1].values[0]
    # A generation of six: three go on, then two, then one.
    second = [t for t in trials if t.proposal.cohort == 1]
    assert Counter(len(t.rungs) for t in second) == {1: 3, 2: 1, 3: 2}
    assert [t.state for t in second].count("COMPLETE") == 1
    assert not list((tmp_path / "toy" / "rungs").iterdir())
    results = Results(
        tmp_path / "toy", LogReader(storage_url(None, (tmp_path / "toy").resolve()), "toy")
    )
    assert all(t.state == "COMPLETE" for t in results.front())


def test_optuna_sees_accuracies_as_intermediate_values(tmp_path: Path, launched: Any) -> None:
    import optuna

    launched.run(tmp_path, overrides=HALVING, evaluations=12)
    url = storage_url(None, (tmp_path / "toy").resolve())
    trials = optuna.load_study(study_name="toy", storage=url).get_trials()
    for seen, trial in zip(trials, read(tmp_path), strict=True):
        assert seen.intermediate_values == {r.epoch: r.values[0] for r in trial.rungs}
        assert (seen.state.name, seen.values is None) == (trial.state, trial.state == "PRUNED")


def test_a_decision_is_logged_before_it_takes_effect(
    tmp_path: Path, launched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = StudyLog.finish

    def finish(self: StudyLog, trial: TrialRecord, state: str, *rest: Any) -> TrialRecord:
        if state == "PRUNED":
            place = f"rung:0:{trial.proposal.cohort}:{len(trial.rungs) - 1}"
            decision = self.attributes()[place]
            assert trial.number in decision["ranked"][decision["promoted"] :]
        return original(self, trial, state, *rest)

    monkeypatch.setattr(StudyLog, "finish", finish)
    launched.run(tmp_path, overrides=HALVING)


@pytest.mark.parametrize("strategy", ["nsga2", "random", "optuna-tpe"])
def test_cut_at_any_write_the_same_table_comes_out(
    tmp_path: Path, launched: Any, cut_driver: Any, counting: str, strategy: str
) -> None:
    overrides = {**HALVING, "search.cohort": 6}
    asked = {
        "overrides": overrides, "strategy": strategy, "evaluations": 13,
        "executor": "in-process", "workers": 1,
    }  # fmt: skip
    launched.run(tmp_path / "whole", counting, **asked)

    def again() -> None:
        assert launched.run(tmp_path / "cut", counting, **asked).mismatches == 0

    assert cut_driver(again) > 15
    assert table(tmp_path / "cut", "counting") == table(tmp_path / "whole", "counting")
    assert decisions(tmp_path / "cut", "counting") == decisions(tmp_path / "whole", "counting")
    # What a worker had measured was taken over, and nobody was trained twice.
    trained = (tmp_path / "cut" / "counting" / "trained").read_text().splitlines()
    whole = (tmp_path / "whole" / "counting" / "trained").read_text().splitlines()
    assert sorted(trained) == sorted(whole)


class Asking(Strategy):
    """A task, a cohort from its answer, another task, and so on; it never says that it waits
    while there is a task to ask for."""

    name = "asking"

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._queue: list[Candidate] = []
        self._asked = self._answered = 0

    def next(self) -> Candidate | StrategyTask | Signal:
        if self._queue:
            return self._queue.pop(0)
        if self._asked < 3 and self._asked == self._answered:
            self._asked += 1
            return StrategyTask(OtherTask("draw"), f"task {self._asked}")
        return Signal.WAIT if self._asked > self._answered else Signal.DONE

    def observe_task(self, result: TaskResult) -> None:
        assert result.answer is not None
        self._answered += 1
        generator = np.random.default_rng(result.answer.extra["seed"])
        self._queue += [self.problem.space.random(generator) for _ in range(4)]

    def observe(self, result: Result) -> None:
        assert result.values is not None or result.stopped_at is not None


def test_tasks_of_a_strategy_and_cohorts_are_replayed_together(
    tmp_path: Path,
    launched: Any,
    cut_driver: Any,
    study_file: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "asked.py").write_text(
        "from hqsearch.evaluators.toy import Toy\n"
        "class Asked(Toy):\n"
        "    strategy_tasks = frozenset({'draw'})\n"
        "    def strategy_task(self, task, seed, folder):\n"
        "        return {'seed': seed}\n"
    )
    path = str(study_file("asked", evaluator="asked.py:Asked"))
    known = launch.strategy_class
    for module in (launch, identity):
        monkeypatch.setattr(
            module, "strategy_class", lambda name: Asking if name == "asking" else known(name)
        )
    asked = {"overrides": {**HALVING, "search.cohort": 5}, "strategy": "asking"}
    assert launched.run(tmp_path / "whole", path, **asked).exhausted

    def again() -> None:
        assert launched.run(tmp_path / "cut", path, **asked).mismatches == 0

    assert cut_driver(again) > 10
    assert table(tmp_path / "cut", "asked") == table(tmp_path / "whole", "asked")
    assert len(table(tmp_path / "cut", "asked")) == 17


def test_recorded_decisions_are_not_made_again(
    tmp_path: Path, launched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched.run(tmp_path / "whole", overrides=HALVING)
    original = StudyLog.put_decision

    def cut(self: StudyLog, decision: Any) -> None:
        original(self, decision)
        raise KeyboardInterrupt

    for _ in range(3):
        monkeypatch.setattr(StudyLog, "put_decision", cut)
        with pytest.raises(KeyboardInterrupt):
            launched.run(tmp_path / "cut", overrides=HALVING)
    monkeypatch.setattr(StudyLog, "put_decision", original)
    before = decisions(tmp_path / "cut")
    launched.run(tmp_path / "cut", action=launch.resume)  # with the stored [search]
    after = decisions(tmp_path / "cut")
    assert {k: after[k] for k in before} == before
    assert table(tmp_path / "cut") == table(tmp_path / "whole")


class ThreeWorkers(InProcessExecutor):
    """Three evaluations in flight, which come back out of order."""

    def __init__(self, evaluator: Evaluator) -> None:
        super().__init__(evaluator)
        self.capacity = 3

    def next_finished(self, timeout: float) -> tuple[Task, TaskOutcome] | None:
        in_order = sorted(self._queue, key=lambda task: (task.number * 37 % 11, task.number))
        self._queue.clear()
        self._queue.extend(in_order)
        return super().next_finished(timeout)


@pytest.mark.parametrize(
    ("strategy", "more"),
    [
        ("nsga2", {}),
        ("nsga2", {"strategy.nsga2.mode": "steady"}),
        ("random", {}),
        ("optuna-tpe", {"strategy.optuna-tpe.startup": 6, "search.cohort": 5}),
    ],
)
def test_the_table_depends_on_no_worker(
    tmp_path: Path,
    launched: Any,
    monkeypatch: pytest.MonkeyPatch,
    strategy: str,
    more: dict[str, Any],
) -> None:
    asked = {"overrides": {**HALVING, **more}, "strategy": strategy, "evaluations": 24}
    launched.run(tmp_path / "one", **asked)
    monkeypatch.setattr(opening, "InProcessExecutor", ThreeWorkers)
    launched.run(tmp_path / "three", **asked)
    assert table(tmp_path / "three") == table(tmp_path / "one")


def test_without_a_checkpoint_the_way_is_longer_and_the_table_the_same(
    tmp_path: Path, launched: Any, counting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"overrides": HALVING, "executor": "in-process", "workers": 1, "evaluations": 12}
    launched.run(tmp_path / "whole", counting, **asked)
    original = StudyLog.put_decision

    def lose(self: StudyLog, decision: Any) -> None:
        shutil.rmtree(tmp_path / "lost" / "counting" / "rungs", ignore_errors=True)
        original(self, decision)

    monkeypatch.setattr(StudyLog, "put_decision", lose)
    launched.run(tmp_path / "lost", counting, **asked)
    assert table(tmp_path / "lost", "counting") == table(tmp_path / "whole", "counting")

    def epochs(folder: str) -> int:
        lines = (tmp_path / folder / "counting" / "trained").read_text().splitlines()
        return sum(int(line.split()[2]) - int(line.split()[1]) for line in lines)

    assert epochs("lost") > epochs("whole")


def test_a_damaged_checkpoint_is_thrown_away(toy: Evaluator, tmp_path: Path) -> None:
    class Strict(type(toy)):  # type: ignore[misc]
        def evaluate(self, *given: Any, resume_from: Path | None = None, **more: Any) -> Any:
            if resume_from is not None and (resume_from / "damaged").exists():
                raise RunFailed("the checkpoint is damaged")
            return super().evaluate(*given, resume_from=resume_from, **more)

    evaluator = Strict(toy.setup)
    folder = toy.setup.folder / "rungs" / "0"
    folder.mkdir(parents=True)
    (folder / "damaged").touch()
    candidate = toy.space.baseline("4u")
    outcome = perform(evaluator, Task(0, Evaluate(candidate.key, None, "rungs/0")))
    assert outcome.values == toy.evaluate(candidate, 0).values
    assert not (folder / "damaged").exists()


def test_failures_and_budget_violators_do_not_go_on(
    tmp_path: Path, launched: Any, study_file: Callable[..., Path]
) -> None:
    (tmp_path / "flaky.py").write_text(
        "from hqsearch.evaluators.toy import Toy\n"
        "class Flaky(Toy):\n"
        "    def evaluate(self, candidate, seed, budget=None, *rest, **more):\n"
        "        done = super().evaluate(candidate, seed, budget, *rest, **more)\n"
        "        if candidate['stem'] == '2u' and budget != 1:\n"
        "            raise ValueError('the stem does not like 2u')\n"
        "        if candidate['conv'] == '2l':\n"
        "            done.values['energy'] *= 100\n"
        "        return done\n"
    )
    path = str(study_file("flaky", evaluator="flaky.py:Flaky"))
    overrides = {**HALVING, "constraints.energy": "<= 1 fp32", "strategy.nsga2.population": 10}
    launched.run(tmp_path, path, overrides=overrides, evaluations=60)
    trials = [t for t in read(tmp_path, "flaky") if t.proposal.kind == "search"]
    failed = [t for t in trials if t.state == "FAIL"]
    assert failed
    assert all(len(t.rungs) == 1 for t in failed)  # the second rung is where it breaks
    found = decisions(tmp_path, "flaky")
    beyond = {t.number for t in trials if t.rungs and t.rungs[0].violation > 0}
    assert beyond
    for decision in found.values():
        ranks = [number in beyond for number in decision["ranked"]]
        assert ranks == sorted(ranks)
    assert any(t.state == "COMPLETE" for t in trials)


def test_other_runs_copy_what_was_stopped_only_if_they_stop_in_the_same_way(
    tmp_path: Path, launched: Any
) -> None:
    launched.run(tmp_path, overrides=HALVING, strategy="random", evaluations=25)
    before = {t.proposal.key: t for t in read(tmp_path)}
    stopped = {k for k, t in before.items() if t.state == "PRUNED"}
    assert stopped

    class Same(launch.strategy_class("random")):  # type: ignore[misc]
        """Proposes what the first run did, in the same order."""

        name = "same"

        def next(self) -> Any:
            keys = [k for k, t in before.items() if t.proposal.kind == "search"]
            self._at = getattr(self, "_at", -1) + 1
            return before[keys[self._at]].proposal.candidate

    known = launch.strategy_class
    with pytest.MonkeyPatch.context() as patch:
        for module in (launch, identity):
            patch.setattr(
                module, "strategy_class", lambda name: Same if name == "same" else known(name)
            )
        launched.run(tmp_path, overrides=HALVING, strategy="same", evaluations=25)
        copies = [t for t in read(tmp_path) if t.proposal.run == 1]
        assert len(copies) == 25
        for copy in copies:
            original = before[copy.proposal.key]
            assert copy.proposal.copy_of == original.number
            assert (copy.state, copy.values) == (original.state, original.values)
            if copy.state == "PRUNED":
                assert copy.rungs == original.rungs
        assert launched.run(tmp_path, overrides=HALVING, strategy="same").mismatches == 0

        full = {k: v for k, v in HALVING.items() if not k.startswith("search")}
        launched.run(tmp_path, overrides=full, strategy="same", evaluations=25)
        later = [t for t in read(tmp_path) if t.proposal.run == 2]
        # A budget decides, too, who is stopped.
        budget = {**HALVING, "constraints.energy": "<= 0.9 fp32"}
        launched.run(tmp_path, overrides=budget, strategy="same", evaluations=25)
        others = [t for t in read(tmp_path) if t.proposal.run == 3]
    for trial in later:
        assert trial.state == "COMPLETE"
        assert (trial.proposal.copy_of is None) == (trial.proposal.key in stopped)
    pruned = {t.number for t in before.values() if t.state == "PRUNED"}
    assert not any(t.proposal.copy_of in pruned for t in others)


def test_a_run_can_be_extended(tmp_path: Path, launched: Any) -> None:
    for count in (3, 9, 9, 30):
        finished = launched.run(tmp_path, overrides=HALVING, evaluations=count)
        assert (finished.finished, finished.mismatches) == (count, 0)
    assert finished.run.ordinal == 0
    assert all(t.finished for t in read(tmp_path))


def test_a_small_space_ends_when_exhausted(
    tmp_path: Path, launched: Any, study_file: Callable[..., Path]
) -> None:
    (tmp_path / "tiny.toml").write_text(
        'choices = ["2u", "4u"]\n[[layers]]\nmatch = "*"\npin = "4u"\n'
        '[[layers]]\nmatch = "block.[qkv]"\nchoices = ["2u", "4u"]\n'
    )
    path = str(study_file("small", space="tiny.toml"))
    for strategy in ("nsga2", "random"):
        folder = tmp_path / strategy
        done = launched.run(folder, path, strategy=strategy, overrides=HALVING, evaluations=50)
        assert done.exhausted
        assert done.finished <= 8
        assert all(t.finished for t in read(folder, "small"))


def test_it_is_shown(tmp_path: Path, launched: Any) -> None:
    launched.run(tmp_path, overrides=HALVING)
    reader = LogReader(storage_url(None, (tmp_path / "toy").resolve()), "toy")
    results = Results(tmp_path / "toy", reader)
    reader.close()
    rows = results.trials()
    stopped = [r for r in rows if r.state == "PRUNED"]
    first = stopped[0]
    assert f"stopped at epoch {first.stopped_at}" in trials_lines(rows, results.objectives)
    shown = json.loads(json.dumps(first.as_json()))
    assert shown["details"]["stopped_at"] == first.stopped_at
    assert shown["values"] is None
    assert shown["details"]["rungs"][-1]["epoch"] == first.stopped_at
    assert shown["details"]["rungs"][-1]["values"]["accuracy"] > 0
    facts = status_of(results)
    assert facts["trials"]["PRUNED"] == len(stopped)
    assert sum(facts["stopped"].values()) == len(stopped)
    assert "stopped early: " in status_text(facts)
    results.close()


def command(study: str, folder: Path, executor: str, workers: int, count: int) -> list[str]:
    given = {**HALVING, "search.cohort": 4, "evaluation.seconds": 0.02}
    settings = [word for key, value in given.items() for word in ("--set", f"{key}={value}")]
    return [
        sys.executable, "-m", "hqsearch", "run", "--study", study, "--strategy", "random",
        "--evaluations", str(count), "--studies-dir", str(folder), "--executor", executor,
        "--workers", str(workers), *settings,
    ]  # fmt: skip


def kill_when_trained(words: list[str], trained: Path, count: int) -> None:
    """Start a driver and kill it when ``count`` trainings have begun."""
    driver = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and driver.poll() is None:
        if trained.exists() and len(trained.read_text().splitlines()) >= count:
            break
        time.sleep(0.01)
    os.kill(driver.pid, signal.SIGKILL)
    assert driver.wait() == -signal.SIGKILL


@pytest.mark.parametrize(("executor", "workers", "kills"), [("in-process", 1, 2), ("ray", 2, 1)])
def test_killed_drivers_lose_only_what_was_in_flight(
    tmp_path: Path, launched: Any, counting: str, executor: str, workers: int, kills: int
) -> None:
    overrides = {**HALVING, "search.cohort": 4, "evaluation.seconds": 0.02}
    asked = {"overrides": overrides, "strategy": "random", "evaluations": 14}
    launched.run(tmp_path / "whole", counting, executor="in-process", workers=1, **asked)
    folder = tmp_path / "killed"
    trained = folder / "counting" / "trained"
    words = command(counting, folder, executor, workers, 14)
    for kill in range(kills):
        kill_when_trained(words, trained, 8 + 6 * kill)
        time.sleep(3 if executor == "ray" else 0)  # Ray's workers notice that the driver is gone
    subprocess.run(words, check=True, capture_output=True)
    ended = [t.outcome for t in read(folder, "counting") if t.state == "FAIL"]
    assert [(o.failure, o.reason) for o in ended if o is not None] == []
    assert table(folder, "counting") == table(tmp_path / "whole", "counting")
    assert decisions(folder, "counting") == decisions(tmp_path / "whole", "counting")
    whole = Counter((tmp_path / "whole" / "counting" / "trained").read_text().splitlines())
    again = Counter(trained.read_text().splitlines()) - whole
    assert sum(again.values()) <= kills * workers
