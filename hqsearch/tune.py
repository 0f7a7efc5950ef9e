"""For users of Ray Tune: an hqsearch strategy and space in a Tune experiment.

::

    from ray import tune
    from hqsearch.tune import HqsearchSearcher, study_trainable

    tuner = tune.Tuner(
        study_trainable("toy"),     # or your own function of config["choices"]
        tune_config=tune.TuneConfig(
            search_alg=HqsearchSearcher.from_study("toy", "nsga2", seed=0),
            num_samples=100,
            max_concurrent_trials=4,
            reuse_actors=True,
        ),
    )
    results = tuner.fit()

A trial's ``config["choices"]`` maps every dimension to its value, and the trial reports every
objective by name; the cost model fills in the cheap ones that it leaves out. A scheduler that
stops trials on one metric (ASHA) may run beside it: give ``iterations``, what a whole trial
reports, and a trial that was stopped before counts as one that gave no result.

What this does not promise, and ``hqsearch run`` does: exact resume. The searcher saves its
events as JSON and repeats them on restore, so it goes on from its last save exactly; but Tune
saves now and then, and after a crash ``Tuner.restore`` repeats trials that had finished since
and may leave others behind. Nor does it keep the order of results with several workers, share
results with a study's log, or check a measured value against a budget (estimates are).
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ray import tune
from ray.tune.search import Searcher

from hqsearch.atomic import write_atomically
from hqsearch.definition import find_definition, load_study, validate
from hqsearch.errors import InputError, StudyMismatch, UnknownName
from hqsearch.evaluator import Evaluator, PrepareContext, Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.executors.task import evaluator_for, setup_as_json
from hqsearch.problem.additive import Cheap
from hqsearch.problem.budgets import Budgets, parse_budgets
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import Objective
from hqsearch.problem.space import Space
from hqsearch.search.events import Listener, guarded
from hqsearch.store.lock import DriverLock
from hqsearch.strategies import (
    Problem,
    Result,
    Signal,
    Strategy,
    StrategyTask,
    TaskResult,
    strategy_class,
)


class HqsearchSearcher(Searcher):
    """A strategy of hqsearch as a search algorithm of Ray Tune; see the module's docstring."""

    #: Of the state that Tune keeps beside its own: JSON, whatever Tune's searchers are used to.
    CKPT_FILE_TMPL: ClassVar[str] = "hqsearch-searcher-{}.json"

    def __init__(
        self,
        space: Space,
        objectives: Sequence[Objective],
        strategy: str = "nsga2",
        *,
        options: Mapping[str, Any] | None = None,
        seed: int = 0,
        baselines: bool = True,
        iterations: int | None = None,
        cheap: Cheap | None = None,
        metrics: Sequence[str] = (),
        reference: Mapping[str, float] | None = None,
        constraints: Mapping[str, str] | None = None,
        listener: Listener | None = None,
    ) -> None:
        """Make a searcher.

        Args:
            space: what may be chosen; see :func:`hqsearch.problem.space.derive_space`.
            objectives: at least two; a trial reports them by name.
            strategy: ``nsga2``, ``random``, ``optuna-tpe``, …; none that needs tasks of its own.
            options: of the strategy, as in a study's ``[strategy.<name>]``.
            seed: of the strategy.
            baselines: suggest the uniform candidates first.
            iterations: reports of a whole trial; one that ended with fewer was stopped early.
            cheap: candidates → metrics ``[n, len(metrics)]``, in the objectives' units.
            metrics: the columns of ``cheap``.
            reference: metrics of the fp32 network, for constraints relative to it.
            constraints: as in a study: ``{"energy": "<= 0.5 fp32"}``.
            listener: is told what is to be known of the constraints.

        Raises:
            InputError: a strategy or an option that does not exist or cannot be used here.
        """
        kind = strategy_class(strategy)
        if kind.tasks_needed:
            raise InputError(
                f"strategy {strategy!r} needs tasks of its own ({', '.join(kind.tasks_needed)}), "
                f"which a Ray Tune experiment cannot run; use hqsearch run --strategy {strategy}"
            )
        if len(objectives) < 2:
            raise InputError("hqsearch needs at least two objectives; give the cost as one")
        if metrics and cheap is None:
            raise InputError("metrics name the columns of cheap, which is not given")
        super().__init__()
        self._options = validate(kind.Options, dict(options or {}), f"[strategy.{strategy}]")
        self._strategy_name, self._seed, self._iterations = strategy, seed, iterations
        estimate = cheap if cheap is not None else _nothing_cheap
        limits = parse_budgets(constraints or {}, metrics, dict(reference or {}))
        budgets = Budgets(limits, space, metrics, estimate)
        for note in budgets.check():
            guarded(listener).note(f"note: {note}")
        self.problem = Problem(
            space,
            tuple(objectives),
            estimate,
            tuple(metrics),
            budgets,
            tuple(space.baselines().values()) if baselines else (),
            reference=dict(reference or {}),
        )
        self._restart()

    @classmethod
    def from_study(
        cls,
        study: str,
        strategy: str = "nsga2",
        *,
        options: Mapping[str, Any] | None = None,
        seed: int | None = None,
        baselines: bool = True,
        iterations: int | None = None,
        studies_dir: Path | str = "studies",
        overrides: Mapping[str, Any] | None = None,
        device: str = "cpu",
        listener: Listener | None = None,
    ) -> HqsearchSearcher:
        """A searcher on the space, objectives, cost model and constraints of a study.

        What the study needs (data, parent) is made here first, as ``hqsearch run`` does, and
        kept in the same folder; its log is not touched.

        Args:
            study: a name or a TOML file.
            strategy: see the constructor.
            options: instead of those that the study gives for this strategy.
            seed: of the strategy; the study's by default.
            baselines: see the constructor.
            iterations: see the constructor.
            studies_dir: where studies keep their state.
            overrides: ``key.path`` → value, as ``--set`` does.
            device: ``"cpu"`` or ``"cuda"``.
            listener: is told how far the preparation is; ``hqsearch.show.live.LiveProgress``
                prints it.
        """
        evaluator = _study_evaluator(study, studies_dir, overrides, device)
        _prepare(evaluator, guarded(listener))
        definition = evaluator.setup.definition
        offered = {o.name: o for o in evaluator.objectives}
        for objective in definition.objective:
            if objective.name not in offered:
                raise UnknownName("objective", objective.name, offered, f"study {study!r}")
        given = definition.strategy.get(strategy, {})
        return cls(
            evaluator.space,
            [offered[o.name] for o in definition.objective],
            strategy,
            options=given if options is None else options,
            seed=definition.seed if seed is None else seed,
            baselines=baselines,
            iterations=iterations,
            cheap=evaluator.cheap,
            metrics=evaluator.metrics,
            reference=evaluator.reference(),
            constraints=definition.constraints,
            listener=listener,
        )

    # What Tune calls

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        """Take Tune's metric, for its displays; the space and the objectives are set already."""
        if metric:
            self._metric = metric
        if mode:
            self._mode = mode
        return False

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next candidate as ``{"choices": {dimension: value}}``; None: ask again later."""
        proposed = self._propose()
        if isinstance(proposed, Signal):
            return str(Searcher.FINISHED) if proposed is Signal.DONE else None
        candidate, kind = proposed
        self._suggested(trial_id, candidate, kind)
        return {"choices": candidate.choices}

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the strategy; a trial that failed, or was stopped early, gave no result."""
        if trial_id not in self._waiting:
            return  # suggested after the last save, before a restore
        values = None if error or not result else self._values(trial_id, result)
        self._completed(trial_id, values)

    def save(self, checkpoint_path: str) -> None:
        """Write the events so far as JSON."""
        write_atomically(Path(checkpoint_path), json.dumps(self._state()))

    def restore(self, checkpoint_path: str) -> None:
        """Repeat the events of a saved searcher that was made with the same arguments.

        Raises:
            StudyMismatch: it was made with others.
        """
        self._repeat(json.loads(Path(checkpoint_path).read_text()))

    # Tune copies its searchers by pickling them: as arguments and events, not as a strategy.

    def __getstate__(self) -> dict[str, Any]:
        kept = {k: v for k, v in vars(self).items() if k not in ("_strategy", "_waiting")}
        return {**kept, "_events": [], "_saved": self._state()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        saved = state.pop("_saved")
        self.__dict__.update(state)
        self._repeat(saved)

    # Events

    def _restart(self) -> None:
        """A fresh strategy, and no events."""
        kind: type[Strategy] = strategy_class(self._strategy_name)
        self._strategy = kind(self.problem, self._options, self._seed)
        self._events: list[list[Any]] = []
        self._waiting: dict[str, tuple[int, Candidate, str]] = {}
        self._proposals = self._tasks = 0

    def _propose(self) -> tuple[Candidate, str] | Signal:
        if self._proposals < len(self.problem.baselines):
            return self.problem.baselines[self._proposals], "baseline"
        while isinstance(proposed := self._strategy.next(), StrategyTask):
            # One that the strategy can do without, or it would have been refused.
            reason = "a Ray Tune experiment runs no tasks of a strategy's own"
            self._strategy.observe_task(TaskResult(self._tasks, proposed, None, reason))
            self._tasks += 1
        return proposed if isinstance(proposed, Signal) else (proposed, "search")

    def _suggested(self, trial_id: str, candidate: Candidate, kind: str) -> None:
        self._waiting[trial_id] = self._proposals, candidate, kind
        self._events.append([trial_id, "suggested", candidate.key, kind])
        self._proposals += 1

    def _completed(self, trial_id: str, values: tuple[float, ...] | None) -> None:
        slot, candidate, kind = self._waiting.pop(trial_id)
        self._events.append([trial_id, "completed", values])
        violation = 0.0
        if self.problem.budgets.budgets:
            metrics = self.problem.cheap([candidate])
            violation = float(self.problem.budgets.violations(metrics)[0])
        self._strategy.observe(Result(slot, candidate, kind, values, violation))

    def _values(self, trial_id: str, result: Mapping[str, Any]) -> tuple[float, ...] | None:
        """The objectives of a trial, from its report and the cost model."""
        done = result.get("training_iteration", math.inf)
        if self._iterations is not None and done < self._iterations:
            return None
        _, candidate, _ = self._waiting[trial_id]
        estimate = self.problem.cheap([candidate])[0].tolist()
        known = {**dict(zip(self.problem.metrics, estimate, strict=True)), **result}
        names = [o.name for o in self.problem.objectives]
        missing = [name for name in names if name not in known]
        if missing:
            raise InputError(
                f"trial {trial_id} reported no {', '.join(missing)}; report every objective "
                f"({', '.join(names)}) by its name"
            )
        values = tuple(float(known[name]) for name in names)
        return values if all(map(math.isfinite, values)) else None

    def _state(self) -> dict[str, Any]:
        return {"made with": self._identity(), "events": self._events}

    def _identity(self) -> dict[str, Any]:
        """What must be the same for events to be repeated."""
        problem = self.problem
        identity = {
            "space": [[d.name, d.kind, d.values] for d in problem.space.dimensions],
            "objectives": [[o.name, o.direction] for o in problem.objectives],
            "constraints": [[b.metric, b.limit] for b in problem.budgets.budgets],
            "baselines": len(problem.baselines),
            "strategy": [self._strategy_name, self._options.model_dump(mode="json")],
            "seed": self._seed,
            "iterations": self._iterations,
        }
        return dict(json.loads(json.dumps(identity)))

    def _repeat(self, saved: dict[str, Any]) -> None:
        mine = self._identity()
        differing = [key for key, value in mine.items() if saved["made with"].get(key) != value]
        if differing:
            raise StudyMismatch(
                f"the saved searcher was made with other {', '.join(differing)}; "
                "make this one with the same arguments"
            )
        self._restart()
        for trial_id, what, *rest in saved["events"]:
            if what == "suggested":
                self._propose()  # moves the strategy on; what was suggested then wins
                self._suggested(trial_id, Candidate.from_key(rest[0]), rest[1])
            else:
                self._completed(trial_id, None if rest[0] is None else tuple(rest[0]))


def study_trainable(
    study: str,
    *,
    every_epoch: bool = False,
    studies_dir: Path | str = "studies",
    overrides: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> Callable[[dict[str, Any]], None]:
    """A trainable that evaluates ``config["choices"]`` as a study's evaluator does.

    It reports the objectives once, at the end, or with ``every_epoch`` after each epoch of the
    schedule, for a scheduler that stops trials. Make the study's searcher with
    :meth:`HqsearchSearcher.from_study` first: it prepares what evaluations start from.
    """
    evaluator = _study_evaluator(study, studies_dir, overrides, device)
    setup = setup_as_json(evaluator.setup)
    budgets = range(1, evaluator.full_budget + 1) if every_epoch else [evaluator.full_budget]

    def evaluate(config: dict[str, Any]) -> None:
        worker = evaluator_for(setup)
        candidate = worker.space.candidate(config["choices"])
        seed = int(worker.options.seed)
        with tempfile.TemporaryDirectory() as name:
            checkpoint = Path(name) if every_epoch else None
            for budget in budgets:
                start = checkpoint if budget > 1 else None
                found = worker.evaluate(candidate, seed, budget, start, checkpoint)
                tune.report(dict(found.values))

    return evaluate


def _study_evaluator(
    study: str, studies_dir: Path | str, overrides: Mapping[str, Any] | None, device: str
) -> Evaluator:
    folder = Path(studies_dir).resolve()
    definition = load_study(find_definition(study, folder), overrides)
    return make_evaluator(Setup(definition, folder / definition.name, device))


def _prepare(evaluator: Evaluator, listener: Listener) -> None:
    """Make what the study needs, in this process; nobody else may be running the study."""
    evaluator.check()
    folder = evaluator.setup.folder
    folder.mkdir(parents=True, exist_ok=True)
    with DriverLock(folder):
        evaluator.prepare(
            PrepareContext(
                listener.prepared,
                listener.note,
                1,
                lambda payload, *_: evaluator.prepare_task(payload),
            )
        )


def _nothing_cheap(candidates: Sequence[Candidate]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.empty((len(candidates), 0))
