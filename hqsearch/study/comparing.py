"""``hqsearch compare``: several strategies, several seeds, one study.

Every (strategy, seed) is a run of its own on the study, with the same objectives and the same
baselines. A candidate that the log holds already is answered from it, so that a comparison
costs the union of what its runs propose, and going on after an interruption costs nothing.

A run must not profit from what other runs found: its strategy sees no history, which is
recorded with the run. The one exception is asked for by name: ``nsga2:from=gumbel`` starts from
gumbel's run of the same seed, and is charged for all of it; ``nsga2:from=sensitivity@12`` starts
from the first 12 evaluations of sensitivity's, baselines included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np

from hqsearch.analysis.comparison import ComparedStrategies, Entry, Variant
from hqsearch.analysis.rules import Terms
from hqsearch.analysis.verdict import verdicts
from hqsearch.analysis.yardstick import (
    Charge,
    Clock,
    PartSeconds,
    Yardstick,
    charges,
    course_of,
    make_yardstick,
    seconds_of,
)
from hqsearch.definition import StudyDefinition, parse_override, validate
from hqsearch.errors import InputError, StudyMissing
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import Objective
from hqsearch.search.events import Listener, guarded
from hqsearch.store.fronts import front_of, means_by_key
from hqsearch.store.lock import DriverLock
from hqsearch.store.log import LogReader, StudyLog, storage_url
from hqsearch.store.records import RunRecord, TaskRecord, TrialRecord, TrialRow
from hqsearch.strategies import strategy_class
from hqsearch.study.asked import definition_of
from hqsearch.study.fingerprint import fingerprint_of, require_same
from hqsearch.study.identity import of_its_time, run_identity
from hqsearch.study.opening import (
    Request,
    make_evaluator_for,
    recorded_study,
    study_folder,
    versions,
)
from hqsearch.study.running import read_study, require_tasks, start
from hqsearch.wording import option, setting

#: Of the study: its yardstick.
ATTRIBUTE = "yardstick"
#: Key of a variant that names the strategy whose run it starts from.
FROM = "from"


def parse_variants(texts: Sequence[str]) -> list[Variant]:
    """Strategies as named on the command line; one that another starts from comes before it.

    Raises:
        UnknownName: there is no such strategy.
        InputError: an option is not ``key=value``, a strategy is named twice, or a number of
            evaluations to start from is none.
    """
    named: list[Variant] = []
    for text in texts:
        strategy, *parts = text.split(":")
        strategy_class(strategy)
        options = dict(_option(text, part) for part in parts)
        source = options.pop(FROM, None)
        if any(v.label == text for v in named):
            raise InputError(f"{option('strategies')}: {text} is named twice")
        origin = first = None
        if source is not None:
            name, first = _start(text, str(source))
            origin = next((v for v in named if v.label == name), None)
            if origin is None:
                (origin,) = parse_variants([name])
                if first is None:
                    named.append(origin)
        named.append(Variant(text, strategy, options, origin, first))
    return named


def _start(text: str, source: str) -> tuple[str, int | None]:
    """The strategy that a run starts from, and how many evaluations of it."""
    name, mark, count = source.partition("@")
    if not mark:
        return name, None
    if not count.isascii() or not count.isdigit():
        raise InputError(
            f"{option('strategies', text)}: expected {FROM}={name}@N with a number of evaluations, "
            f"not {count!r}"
        )
    return name, int(count)


def _option(text: str, part: str) -> tuple[str, Any]:
    if "=" not in part:
        raise InputError(f"{option('strategies', text)}: expected NAME:key=value:…, not {part!r}")
    return parse_override(part)


def compare(
    request: Request,
    strategies: Sequence[str],
    seeds: int,
    listener: Listener | None = None,
    clock: Clock = "wall",
) -> ComparedStrategies:
    """Run what is missing, then read what all of it came to.

    Args:
        request: of every run; its strategy and seed are replaced. The strategy seeds count up
            from the study's.
        strategies: as :func:`parse_variants` reads them.
        seeds: how many.
        listener: is told which run it is, and how far.
        clock: which seconds runs are charged.

    Raises:
        InputError: bad usage or bad input; nothing was created.
    """
    variants = parse_variants(strategies)
    if not variants:
        raise InputError(f"{option('strategies')}: name at least one")
    definition = definition_of(request)
    _check(request, definition, variants)
    chosen = tuple(range(definition.seed, definition.seed + seeds))
    runner = _Runner(
        request, definition.evaluations, guarded(listener), len(chosen) * len(variants)
    )
    ordinals: dict[tuple[str, int], int] = {}
    try:
        for seed in chosen:  # an interrupted comparison has as many seeds of each strategy
            for variant in variants:
                source = None
                if variant.source is not None and variant.first is not None:
                    source = runner.run(variant.source, seed, None, variant.first)
                elif variant.source is not None:
                    source = ordinals[variant.source.label, seed]
                ordinals[variant.label, seed] = runner.run(variant, seed, source)
    except InputError as error:
        if runner.begun:
            error.exit_code = 1
        raise
    yardstick = _yardstick(request, definition)
    return _read(request, definition, variants, chosen, ordinals, yardstick, clock)


def _check(request: Request, definition: StudyDefinition, variants: Sequence[Variant]) -> None:
    """Find what cannot be compared before the first run starts."""
    if definition.search.early_stopping != "none":
        raise InputError(
            "a comparison trains every candidate to the end: what another run has trained is "
            "answered from the log and never stopped early, which would favour later runs; "
            f"use {setting('search.early_stopping', 'none')}"
        )
    folder = study_folder(definition.name, request.studies_dir)
    evaluator = make_evaluator_for(definition, folder, request)
    for variant in variants:
        require_tasks(strategy_class(variant.strategy), evaluator, definition)
        if variant.source is not None:
            require_tasks(strategy_class(variant.source.strategy), evaluator, definition)
            baselines = len(evaluator.space.baselines())
            _require_some_left(variant, variant.source, definition.evaluations, baselines)
        _options(definition_of(_asked(request, variant, definition.seed)), variant)
    attributes = recorded_study(storage_url(request.storage, folder), definition.name, folder)
    if attributes:
        asked = fingerprint_of(evaluator, definition)
        require_same(attributes["fingerprint"], asked, definition.name)


def _require_some_left(variant: Variant, source: Variant, evaluations: int, baselines: int) -> None:
    """Refuse to start from what leaves nothing, or from nothing but the baselines."""
    split = f"{variant.strategy}:{FROM}={source.strategy}@{(baselines + evaluations) // 2}"
    where = option("evaluations", evaluations)
    if evaluations <= baselines + 1:
        raise InputError(
            f"{variant.label}: {where}, of which {baselines} are uniform assignments, cannot be "
            f"shared by two strategies; give at least {baselines + 2}"
        )
    if variant.first is None and not strategy_class(source.strategy).ends:
        raise InputError(
            f"{variant.label}: {source.label} goes on as long as it is let, and would leave "
            f"nothing to what starts from it; say how many evaluations it has: {split}"
        )
    if variant.first is not None and not baselines < variant.first < evaluations:
        raise InputError(
            f"{variant.label}: of {where} the first {variant.first} are {source.label}'s; expected "
            f"from {baselines + 1} (there are {baselines} uniform assignments) to "
            f"{evaluations - 1}: {split}"
        )


def _asked(request: Request, variant: Variant, seed: int) -> Request:
    own = {f"strategy.{variant.strategy}.{key}": v for key, v in variant.options.items()}
    overrides = {**request.overrides, **own}
    return replace(request, strategy=variant.strategy, seed=seed, overrides=overrides, fresh=False)


def _options(definition: StudyDefinition, variant: Variant) -> Any:
    where = f"strategy {variant.label!r}"
    kind = strategy_class(variant.strategy)
    return validate(kind.Options, definition.strategy.get(variant.strategy, {}), where)


class _Runner:
    """Does the runs that are not there yet, one after the other."""

    def __init__(self, request: Request, evaluations: int, listener: Listener, total: int) -> None:
        self._request, self._evaluations = request, evaluations
        self._listener, self._total = listener, total
        self._labels: set[str] = set()
        self.begun = False
        """Whether anything was added to the study."""

    def run(self, variant: Variant, seed: int, source: int | None, first: int | None = None) -> int:
        """Make sure of a run, or of its ``first`` evaluations; returns its ordinal."""
        head = f"{variant.label}, seed {seed}"
        if first is None:
            self._labels.add(head)
            head = f"run {len(self._labels)} of {self._total}: {head}"
        else:
            head = f"{first} evaluations to start from: {head}"
        history = () if source is None else (source,)
        asked = _asked(self._request, variant, seed)
        asked = replace(asked, history=history, first=variant.first)
        definition = definition_of(asked)
        identity = run_identity(definition, _options(definition, variant), history, variant.first)
        wanted = own = first or self._evaluations
        if source is not None:
            own = self._left_after(variant, source)
        told = False
        while True:
            found = self._find(variant.strategy, seed, identity)
            if found is not None:
                run, charged = found
                done = sum(c.trial is not None for c in charged)
                if done >= wanted or run.exhausted:
                    if not told:
                        self._listener.note(f"{head}: is in the log")
                    return run.ordinal
                # Its candidates were partly those that it started from: as many more.
                if source is not None:
                    own = max(own, self._own(run) + self._evaluations - done)
            if not told:
                self._listener.started(head)
                told = True
            start(replace(asked, evaluations=own), self._listener)
            self.begun = True

    def _find(
        self, strategy: str, seed: int, identity: dict[str, Any]
    ) -> tuple[RunRecord, list[Charge]] | None:
        try:
            _, runs, trials = read_study(self._request)
        except StudyMissing:
            return None
        for run in reversed(runs):
            if (run.strategy, run.seed) == (strategy, seed) and of_its_time(run) == identity:
                self._trials = trials
                return run, charges(run, runs, trials, (), self._evaluations)
        return None

    def _own(self, run: RunRecord) -> int:
        return sum(t.finished for t in self._trials if t.proposal.run == run.ordinal)

    def _left_after(self, variant: Variant, source: int) -> int:
        """Own evaluations of a run that starts from another: what is left, and the baselines,
        which both have."""
        _, runs, trials = read_study(self._request)
        most = variant.first or self._evaluations
        charged = charges(runs[source], runs, trials, (), most)
        baselines = sum(
            c.trial is not None and c.trial.proposal.kind == "baseline" for c in charged
        )
        left = self._evaluations - sum(c.trial is not None for c in charged)
        if left < 1:
            raise InputError(
                f"{option('evaluations', self._evaluations)}: the run that {variant.label} starts "
                f"from took all of them; give more, or say how many it has: {FROM}=NAME@N"
            )
        return left + baselines


def _yardstick(request: Request, definition: StudyDefinition) -> Yardstick:
    """The study's; recorded now if this is its first comparison."""
    attributes, _, trials = read_study(request)
    if ATTRIBUTE in attributes:
        return Yardstick.from_json(attributes[ATTRIBUTE])
    objectives = _objectives(attributes)
    folder = study_folder(definition.name, request.studies_dir)
    evaluator = make_evaluator_for(definition, folder, request)
    baselines = np.array([t.values for t in _baselines(trials)]).reshape(-1, len(objectives))
    made = make_yardstick(baselines, objectives, evaluator.reference())
    url = storage_url(request.storage, folder)
    with DriverLock(folder, url, definition.name) as lock:
        log = StudyLog(url, definition.name, evaluator.space, objectives, lock.check)
        try:
            log.set_attribute(ATTRIBUTE, made.as_json())
        finally:
            log.close()
    return made


def _part_seconds(request: Request, definition: StudyDefinition) -> PartSeconds:
    """Of the structural parts after the first one."""
    folder = study_folder(definition.name, request.studies_dir)
    evaluator = make_evaluator_for(definition, folder, request)
    space = evaluator.space
    seconds = {key: evaluator.preparation_seconds(key) for key in list(space.parts)[1:]}
    return PartSeconds(seconds, lambda key: space.structural_key(Candidate.from_key(key)))


def _objectives(attributes: Mapping[str, Any]) -> tuple[Objective, ...]:
    return tuple(Objective(**o) for o in attributes["study"]["objectives"])


def _baselines(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The uniform assignments, each once."""
    first: dict[str, TrialRecord] = {}
    for trial in trials:
        if trial.proposal.kind == "baseline" and trial.state == "COMPLETE":
            first.setdefault(trial.proposal.key, trial)
    return list(first.values())


def _read(
    request: Request,
    definition: StudyDefinition,
    variants: Sequence[Variant],
    seeds: tuple[int, ...],
    ordinals: Mapping[tuple[str, int], int],
    yardstick: Yardstick,
    clock: Clock,
) -> ComparedStrategies:
    attributes, runs, trials = read_study(request)
    objectives = _objectives(attributes)
    tasks, terms = _tasks(request, definition), Terms.of(attributes["study"])
    parts = _part_seconds(request, definition)
    means = means_by_key([TrialRow.of(t, objectives) for t in trials], objectives)
    entries = []
    for variant in variants:
        for seed in seeds:
            run = runs[ordinals[variant.label, seed]]
            charged = charges(run, runs, trials, tasks, definition.evaluations, clock, parts)
            course = course_of(charged, yardstick, objectives, means)
            raw = course_of(charged, yardstick, objectives) if means else None
            rows = [TrialRow.of(c.trial, objectives) for c in charged if c.trial is not None]
            against = verdicts(front_of(rows, objectives, run.budgets), rows, terms)
            entries.append(Entry(variant, seed, run, charged, course, against, raw))
    by_number = {t.number: t for t in trials}
    uniform = [Charge(t, seconds_of(t, by_number, clock)) for t in _baselines(trials)]
    everything = [c for entry in entries for c in entry.charged]
    noisy = any(
        c.trial is not None and c.trial.outcome and c.trial.outcome.details.accuracy_se
        for c in everything
    )
    return ComparedStrategies(
        study=definition.name,
        title=str(attributes["study"].get("title") or definition.name),
        created=datetime.now().isoformat(timespec="seconds"),
        evaluations=definition.evaluations,
        seeds=seeds,
        objectives=objectives,
        yardstick=yardstick,
        variants=tuple(variants),
        entries=tuple(entries),
        uniform=course_of(uniform, yardstick, objectives, means),
        union=float(course_of(everything, yardstick, objectives, means).hypervolume[-1]),
        uniform_raw=course_of(uniform, yardstick, objectives) if means else None,
        union_raw=(
            float(course_of(everything, yardstick, objectives).hypervolume[-1]) if means else None
        ),
        noisy=noisy,
        hopeless=terms.hopeless,
        clock=clock,
        versions=versions(),
    )


def _tasks(request: Request, definition: StudyDefinition) -> list[TaskRecord]:
    folder = study_folder(definition.name, request.studies_dir)
    reader = LogReader(storage_url(request.storage, folder), definition.name)
    try:
        return reader.tasks()
    finally:
        reader.close()
