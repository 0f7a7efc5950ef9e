"""Asking and telling a strategy, live and in replay; the log wins over what is proposed now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hqsearch.evaluator import Evaluator, ScoresTask
from hqsearch.problem.budgets import Budgets
from hqsearch.problem.candidate import Candidate
from hqsearch.search.plan import SearchPlan
from hqsearch.search.proposing import Proposed, Proposer
from hqsearch.store.records import Outcome, Proposal, RunRecord, TaskRecord, TrialRecord
from hqsearch.strategies import Problem, Signal, Strategy, StrategyTask

TASK = StrategyTask(ScoresTask(), "one pass")


class Scripted(Strategy):
    """Proposes a script; writes down what it is told."""

    name = "scripted"

    def __init__(self, problem: Problem, script: list[Candidate | StrategyTask]) -> None:
        super().__init__(problem, None, 0)
        self.script = list(script)
        self.heard: list[Any] = []

    def next(self) -> Candidate | StrategyTask | Signal:
        return self.script.pop(0) if self.script else Signal.DONE

    def next_recorded(self, candidate: Candidate, origin: str) -> Candidate | StrategyTask | Signal:
        self.heard.append(("spared", origin))
        return self.next()

    def overruled(self, proposed: Any, recorded: Candidate) -> None:
        self.heard.append(("overruled", proposed, recorded))

    def observe(self, result: Any) -> None:
        self.heard.append(result)

    def observe_task(self, result: Any) -> None:
        self.heard.append(result)

    def origin(self, candidate: Candidate) -> str:
        return "a script"


@pytest.fixture
def plan(toy: Evaluator, tmp_path: Path) -> SearchPlan:
    budgets = Budgets((), toy.space, toy.metrics, toy.cheap)
    baselines = dict(list(toy.space.baselines().items())[:1])
    run = RunRecord(0, "scripted", 0, {}, 10, 0, (), {})
    return SearchPlan(run, 10, baselines, toy.objectives, budgets, 0, tmp_path, "token", [])


def proposer(toy: Evaluator, plan: SearchPlan, *script: Any) -> tuple[Proposer, Scripted]:
    problem = Problem(toy.space, toy.objectives, toy.cheap, toy.metrics, plan.budgets)
    strategy = Scripted(problem, list(script))
    return Proposer(plan, strategy), strategy


def trial(candidate: Candidate, number: int = 1, state: str = "COMPLETE", run: int = 0) -> Any:
    proposal = Proposal(run, 1, "scripted", "search", candidate.key, 0, 0, origin="then")
    outcome = None if state == "RUNNING" else Outcome(0)
    return TrialRecord(number, number, state, proposal, (0.5, 1.0, 1.0), outcome)


def two(toy: Evaluator) -> tuple[Candidate, Candidate]:
    uniform = toy.space.baselines()
    return uniform["2u"], uniform["4l"]


def test_baselines_come_first(toy: Evaluator, plan: SearchPlan) -> None:
    one, _ = two(toy)
    asking, strategy = proposer(toy, plan, one, TASK)
    choice, candidate = next(iter(plan.baselines.items()))
    assert asking.next(0) == Proposed(candidate, "baseline", choice)
    assert asking.next(1) == Proposed(one, "search", "a script")
    assert asking.next(2) == TASK
    assert asking.next(2) is Signal.DONE
    assert strategy.heard == []


def test_what_is_proposed_again_is_no_mismatch(toy: Evaluator, plan: SearchPlan) -> None:
    one, other = two(toy)
    asking, strategy = proposer(toy, plan, TASK, one, other)
    asking.repeat(TaskRecord(0, 0, 1, 0, "scores", {}, "one pass", 5), 1, last=False)
    asking.repeat(trial(one), 1, last=False)
    asking.repeat(trial(other), 2, last=True)
    assert asking.mismatches == 0
    # The last one is found anew: only that shows another version of a library.
    assert strategy.heard == [("spared", "then")]


def test_the_log_wins(toy: Evaluator, plan: SearchPlan) -> None:
    one, other = two(toy)
    asking, strategy = proposer(toy, plan, one, TASK)
    asking.repeat(trial(other), 1, last=True)
    asking.repeat(trial(other), 2, last=True)
    assert asking.mismatches == 2
    assert strategy.heard == [("overruled", one, other), ("overruled", TASK, other)]


def test_another_task_is_a_mismatch(toy: Evaluator, plan: SearchPlan) -> None:
    asking, strategy = proposer(toy, plan, TASK)
    asking.repeat(TaskRecord(0, 0, 1, 0, "scores", {}, "another", 5), 1, last=True)
    assert asking.mismatches == 1
    assert strategy.heard == []


def test_results_and_tasks_are_told_and_counted(toy: Evaluator, plan: SearchPlan) -> None:
    one, _ = two(toy)
    asking, strategy = proposer(toy, plan)
    asking.tell(trial(one))
    asking.tell(TaskRecord(0, 3, 1, 0, "scores", {}, "one pass", 5, "FAIL", failure="died"))
    assert asking.told == 2
    result, of_task = strategy.heard
    assert (result.candidate, result.values) == (one, (0.5, 1.0, 1.0))
    assert (of_task.index, of_task.task, of_task.answer, of_task.failure) == (
        3,
        TASK,
        None,
        "died",
    )


def test_the_first_complete_trial_answers(toy: Evaluator, plan: SearchPlan) -> None:
    one, other = two(toy)
    first, second = trial(one, 4), trial(one, 9)
    failed, running = trial(other, 5, "FAIL"), trial(other, 6, "RUNNING")
    asking, _ = proposer(toy, replace(plan, trials=[second, failed, running, first]))
    assert asking.answer(one) == first
    assert asking.answer(other) is None
    asking.keep_answer(failed)
    assert asking.answer(other) is None
    done = trial(other, 6)
    asking.keep_answer(done)
    asking.keep_answer(trial(other, 8))
    assert asking.answer(other) == done


def test_who_was_stopped_answers_runs_that_stop_alike(toy: Evaluator, plan: SearchPlan) -> None:
    one, other = two(toy)
    stopped = [trial(one, 1, "PRUNED", run=3), trial(other, 2, "PRUNED", run=4)]
    asking, _ = proposer(toy, replace(plan, trials=stopped, alike=frozenset({3})))
    assert asking.answer(one) == stopped[0]
    assert asking.answer(other) is None
    # What was trained to the end says more, whichever came first.
    complete = trial(one, 7)
    asking, _ = proposer(toy, replace(plan, trials=[*stopped, complete], alike=frozenset({3, 4})))
    assert asking.answer(one) == complete
