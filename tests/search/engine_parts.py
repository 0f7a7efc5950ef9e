"""Log, executor, strategy and display of a few lines each, for tests of the search loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hqsearch.evaluator import Details, OtherTask, Resources
from hqsearch.executors.task import Evaluate, StrategyWork, Task, TaskOutcome, leave_result
from hqsearch.problem.budgets import Budget, Budgets
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import ACCURACY, ENERGY
from hqsearch.problem.space import Dimension, Space
from hqsearch.search.early_stopping.cohorts import Cohorts
from hqsearch.search.events import Listener, SearchState
from hqsearch.search.loop import Search
from hqsearch.search.plan import SearchPlan
from hqsearch.search.stalling import Stalling
from hqsearch.store.records import Decision, Outcome, Proposal, RunRecord, TaskRecord, TrialRecord
from hqsearch.strategies import Result, Signal, StrategyTask, TaskResult

SPACE = Space(tuple(Dimension(n, "weights", ("2u", "4u", "fp32"), (n,)) for n in "abc"))
BASELINES = {"2u": SPACE.decode([0, 0, 0])[0], "fp32": SPACE.decode([2, 2, 2])[0]}
METRICS = ("energy", "average_bits")
OBJECTIVES = (ACCURACY, ENERGY)
DETAILS = {"average_bits": 4, "accuracy_se": 0.25, "cpu_seconds": 0.5, "layers": [{"layer": "a"}]}
SCORES = StrategyTask(OtherTask("scoring", {"depth": 2}), "one pass")


def at(*code: int) -> Candidate:
    return SPACE.decode(code)[0]


def cheap(candidates: Sequence[Candidate]) -> np.ndarray:
    """Energy 1 to 7 and average bits 10 to 16, by the sum of the codes."""
    energy = SPACE.encode(candidates).sum(axis=1, keepdims=True) + 1.0
    return np.hstack([energy, energy + 9.0])


class Cut(BaseException):
    """The driver dies."""


class MemoryLog:
    """What the engine uses of a log; the ``cut``-th write and all later ones never happen."""

    def __init__(self) -> None:
        self.records: list[TrialRecord] = []
        self.tasks: dict[int, TaskRecord] = {}
        self.decisions: list[Decision] = []
        self.writes, self.cut = 0, -1

    def _write(self) -> None:
        if self.writes == self.cut:
            raise Cut
        self.writes += 1

    def create(self, proposal: Proposal) -> TrialRecord:
        return self._add(proposal, "RUNNING", None, None, ())

    def create_copy(
        self, proposal: Proposal, values: Any, outcome: Outcome, rungs: Any = ()
    ) -> TrialRecord:
        return self._add(
            proposal, "COMPLETE" if values is not None else "PRUNED", values, outcome, rungs
        )

    def _add(self, proposal: Proposal, state: str, *rest: Any) -> TrialRecord:
        self._write()
        number = len(self.records)
        self.records.append(TrialRecord(number, 100 + number, state, proposal, *rest))
        return self.records[-1]

    def _put(self, trial: TrialRecord) -> TrialRecord:
        self._write()
        assert not self.records[trial.number].finished
        self.records[trial.number] = trial
        return trial

    def reach(self, trial: TrialRecord, rung: Any) -> TrialRecord:
        return self._put(replace(trial, rungs=(*trial.rungs, rung)))

    def finish(self, trial: TrialRecord, state: str, values: Any, outcome: Outcome) -> TrialRecord:
        return self._put(replace(trial, state=state, values=values, outcome=outcome))

    def put_task(self, task: TaskRecord) -> None:
        self._write()
        self.tasks[task.index] = task

    def put_decision(self, decision: Decision) -> None:
        self._write()
        self.decisions.append(decision)


class Workers:
    """An executor; ``capacity`` tasks at once, of which the ``last`` or the first ends first."""

    def __init__(self, capacity: int = 1, last: bool = False) -> None:
        self.capacity, self.last = capacity, last
        self.submitted: list[Task] = []
        self.waiting: list[Task] = []
        self.broken: dict[str, TaskOutcome | Exception] = {}
        self.leaves_files = True
        self.most = 0

    def submit(self, task: Task) -> None:
        """What an earlier rung or attempt left must be gone, or a resume would take it over."""
        assert task.result_file is None or not task.result_file.exists()
        self.submitted.append(task)
        self.waiting.append(task)
        self.most = max(self.most, len(self.waiting))

    def next_finished(self, timeout: float) -> tuple[Task, TaskOutcome] | None:
        assert 0 < timeout <= 1
        if not self.waiting:
            return None
        task = self.waiting.pop(-1 if self.last else 0)
        outcome = self.perform(task)
        if self.leaves_files:
            leave_result(task, outcome)
        return task, outcome

    def perform(self, task: Task) -> TaskOutcome:
        work = task.work
        if isinstance(work, StrategyWork):
            return TaskOutcome(answer={"scores": 1}, seconds=9.00049)
        assert isinstance(work, Evaluate)
        broken = self.broken.get(work.key)
        if isinstance(broken, Exception):
            raise broken
        if broken is not None:
            return broken
        candidate = Candidate.from_key(work.key)
        code = SPACE.encode([candidate])[0]
        trained = (work.budget or 8) / 8
        return TaskOutcome(
            {
                "accuracy": round(float(code @ [0.2, 0.1, 0.05]) * trained, 6),
                "energy": float(code.sum()) + 2.0,
            },
            Details.from_json(DETAILS),
            seconds=1.00049,
            attempts=2,
        )


class Evaluator:
    """What the engine asks of one."""

    metrics, costly = METRICS, True
    cheap = staticmethod(cheap)

    def resources(self) -> Resources:
        return Resources(2.0)

    def task_resources(self, kind: str) -> Resources:
        return {"scoring": Resources(3.0)}[kind]


class Scripted:
    """A strategy that says what a list holds; a number in it waits for so many results."""

    name, planned_tasks = "scripted", 1

    def __init__(self, *script: Candidate | StrategyTask | int) -> None:
        self.script = list(script)
        self.told: list[Result | TaskResult] = []
        self.trusted: list[tuple[str, str]] = []
        self.overruled_by: list[tuple[Any, str]] = []
        self.promises: dict[Candidate, float] = {}
        self.place = 0

    def next(self) -> Candidate | StrategyTask | Signal:
        while self.place < len(self.script):
            step = self.script[self.place]
            if isinstance(step, int):
                if len(self.told) < step:
                    return Signal.WAIT
                self.place += 1
                continue
            self.place += 1
            return step
        return Signal.DONE

    def next_recorded(self, candidate: Candidate, origin: str) -> Any:
        self.trusted.append((candidate.key, origin))
        return self.next()

    def overruled(self, proposed: Any, recorded: Candidate) -> None:
        self.overruled_by.append((proposed, recorded.key))

    def origin(self, candidate: Candidate) -> str:
        return f"from {candidate.key}"

    def promise(self, candidate: Candidate) -> float | None:
        return self.promises.get(candidate)

    def observe(self, result: Result) -> None:
        self.told.append(result)

    def observe_task(self, result: TaskResult) -> None:
        self.told.append(result)


class Display(Listener):
    """Counts how often it is told, and what was finished the last time."""

    def __init__(self) -> None:
        self.calls, self.finished = 0, -1

    def changed(self, state: SearchState) -> None:
        self.calls, self.finished = self.calls + 1, state.finished


class Study:
    """A log and a folder, and any number of searches on them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, MemoryLog()
        self.workers, self.display = Workers(), Display()
        self.baselines: dict[str, Candidate] = dict(BASELINES)

    def search(
        self,
        strategy: Scripted,
        run: int = 0,
        evaluations: int = 100,
        limit: float | None = None,
        rungs: tuple[int, ...] = (),
        size: int | None = None,
        alike: frozenset[int] = frozenset(),
        over: Callable[[], bool] = lambda: False,
        stalling: Stalling | None = None,
    ) -> Search:
        budgets = [] if limit is None else [Budget("energy", limit, f"<= {limit} uJ")]
        record = RunRecord(run, "scripted", 7, {}, evaluations, 0, (), {})
        cohorts = None
        if rungs:
            decisions = [d for d in self.log.decisions if d.run == run]
            cohorts = Cohorts(run, rungs, 0.5, size, OBJECTIVES, decisions)
        plan = SearchPlan(
            record,
            evaluations,
            self.baselines,
            OBJECTIVES,
            Budgets(budgets, SPACE, METRICS, cheap),
            seed=5,
            results_folder=self.folder / "results",
            token="0123456789abcdef",
            trials=list(self.log.records),
            tasks=list(self.log.tasks.values()),
            facts={"versions": {"numpy": "1"}},
            cohorts=cohorts,
            alike=alike,
            over=over,
            stalling=stalling,
        )
        return Search(
            plan,
            self.log,  # type: ignore[arg-type]
            Evaluator(),  # type: ignore[arg-type]
            strategy,  # type: ignore[arg-type]
            self.workers,  # type: ignore[arg-type]
            self.display,
        )

    def run(self, strategy: Scripted, **options: Any) -> Search:
        search = self.search(strategy, **options)
        search.search()
        return search
