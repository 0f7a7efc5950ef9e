"""Everything that pictures of a study are made from, read from its log once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hqsearch.analysis.choosing import choose
from hqsearch.analysis.confirmation import ConfirmedFront, confirmation_of
from hqsearch.analysis.confirmed_verdict import study_verdict
from hqsearch.analysis.overview import require_study, require_whole
from hqsearch.analysis.rules import resolution_note
from hqsearch.definition import study_name
from hqsearch.errors import InputError
from hqsearch.evaluator.details import LayerRow
from hqsearch.problem.budgets import Budget
from hqsearch.problem.objective import Objective
from hqsearch.problem.space import Dimension, Space
from hqsearch.store.fronts import front_of, own_front_of
from hqsearch.store.log import LogReader, storage_url
from hqsearch.store.records import RunRecord, TaskRecord, TrialRecord, TrialRow


class NothingToDraw(InputError):
    """A study that has not got what a picture shows; the message says what gives it."""


@dataclass(frozen=True)
class Facts:
    """A study as its log has it.

    Attributes:
        name: of the study.
        folder: of its state.
        attributes: of the log: definition, fingerprint, what was prepared.
        runs: in order.
        tasks: the strategies' own.
        trials: every one with names for everything, in order, replicates included.
        budgets: that the front is under, of the last run as a rule.
        records: the same trials as they were logged.
    """

    name: str
    folder: Path
    attributes: dict[str, Any]
    runs: Sequence[RunRecord]
    tasks: Sequence[TaskRecord]
    trials: Sequence[TrialRow]
    budgets: Sequence[Budget] = ()
    records: Sequence[TrialRecord] = ()

    @property
    def title(self) -> str:
        return str(self.attributes["study"].get("title") or self.name)

    @property
    def notes(self) -> tuple[str, ...]:
        """What every report of this study must say."""
        return tuple(self.attributes["study"].get("notes", ()))

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        return objectives_in(self.attributes)

    @property
    def quality(self) -> Objective:
        """What is measured by training, accuracy as a rule."""
        return next((o for o in self.objectives if not o.cheap), self.objectives[0])

    @property
    def costs(self) -> tuple[Objective, ...]:
        """What is to be small."""
        return tuple(o for o in self.objectives if o.direction == "min" and o != self.quality)

    @cached_property
    def front(self) -> list[TrialRow]:
        """The front, cheapest first."""
        return front_of(self.trials, self.objectives, self.budgets)

    @cached_property
    def completed(self) -> list[TrialRow]:
        """Evaluations of searches that were completed, each candidate by its first trial."""
        first: dict[str, TrialRow] = {}
        for trial in self.trials:
            if trial.state == "COMPLETE" and trial.values and trial.searched:
                first.setdefault(trial.key, trial)
        return list(first.values())

    @cached_property
    def own_front(self) -> list[TrialRow]:
        """The same of what the study has measured itself."""
        return own_front_of(self.front, self.trials, self.objectives, self.budgets)

    @cached_property
    def imported(self) -> list[TrialRow]:
        """What was measured elsewhere and is no evaluation of this study."""
        return [t for t in self.trials if t.imported]

    @cached_property
    def confirmation(self) -> ConfirmedFront | None:
        return confirmation_of(self.own_front, self.trials, self.objectives)

    @cached_property
    def verdict(self) -> str:
        study = self.attributes["study"]
        return study_verdict(self.own_front, self.trials, self.objectives, study)

    @cached_property
    def resolution(self) -> str:
        """How many members the front's resolution left out, in words; empty where none."""
        return resolution_note(self.front, self.trials, self.objectives, self.budgets)

    @cached_property
    def space(self) -> Space:
        """As the fingerprint holds it."""
        dimensions = []
        for name in self.attributes["study"]["dimensions"]:
            kind, values, layers = self.attributes["fingerprint"]["space"][name]
            if kind == "structure":
                dimensions.append(Dimension.structural(name, values))
            else:
                dimensions.append(Dimension(name, "weights", tuple(values), tuple(layers)))
        return Space(tuple(dimensions))

    @cached_property
    def chosen(self) -> dict[str, TrialRow]:
        """Up to three members of the front by what they stand for: cheapest, knee, best."""
        if not self.own_front:
            return {}
        sign = -1.0 if self.quality.direction == "max" else 1.0
        best = min(self.own_front, key=lambda t: sign * (t.values or {})[self.quality.name])
        knee = choose(self.own_front, self.trials, self.objectives).trial
        named = {"cheapest": self.own_front[0], "knee": knee, "best": best}
        return {
            what: trial
            for i, (what, trial) in enumerate(named.items())
            if trial.number not in {t.number for t in list(named.values())[:i]}
        }

    def uniform(self, bits: int | None = None) -> TrialRow | None:
        """The completed baseline of uniform codes of so many bits; of fp32 where none is given."""
        wanted = "fp32" if bits is None else f"{bits}u"
        done = (t for t in self.trials if t.kind == "baseline" and t.values)
        return next((t for t in done if t.origin == wanted), None)

    def trial(self, number: int) -> TrialRow:
        """One trial.

        Raises:
            InputError: there is no such trial.
        """
        found = next((t for t in self.trials if t.number == number), None)
        if found is None:
            raise InputError(f"study {self.name!r} has no trial {number}")
        return found


def study_facts(study: str, studies_dir: Path, storage: str | None = None) -> Facts:
    """Read a study's log.

    Raises:
        InputError: the study does not exist, has not been run, or was cut off while it was made.
    """
    name = study_name(study)
    folder = require_study(name, studies_dir, storage)
    reader = LogReader(storage_url(storage, folder), name)
    try:
        attributes = reader.attributes()
        require_whole(attributes, name)
        runs, tasks, records = reader.runs(), reader.tasks(), reader.trials()
    finally:
        reader.close()
    return facts_of(name, folder, attributes, runs, tasks, records)


def facts_of(
    name: str,
    folder: Path,
    attributes: dict[str, Any],
    runs: Sequence[RunRecord],
    tasks: Sequence[TaskRecord],
    records: Sequence[TrialRecord],
) -> Facts:
    """The facts of a log that was read already."""
    objectives = objectives_in(attributes)
    trials = [TrialRow.of(record, objectives) for record in records]
    budgets = runs[-1].budgets if runs else ()
    return Facts(name, folder, attributes, runs, tasks, trials, budgets, records)


def objectives_in(attributes: Mapping[str, Any]) -> tuple[Objective, ...]:
    """A study's objectives, by the attributes of its log."""
    return tuple(Objective(**o) for o in attributes["study"]["objectives"])


def require_completed(facts: Facts) -> None:
    """Refuse to draw a study that has nothing to show yet.

    Raises:
        NothingToDraw: no evaluation of it was completed; with the number that failed.
    """
    if facts.completed:
        return
    failed = sum(t.state == "FAIL" for t in facts.trials)
    more = f"; {failed} failed, hqsearch trials --study {facts.name} says why" if failed else ""
    raise NothingToDraw(f"study {facts.name!r} has no completed trial yet{more}")


def layer_rows(trial: TrialRow) -> tuple[LayerRow, ...]:
    """What a trial recorded of its layers."""
    return trial.details.layers or ()


def spread_over(rows: Sequence[TrialRow], count: int) -> list[TrialRow]:
    """At most ``count`` of them, evenly spaced, both ends included."""
    if len(rows) <= count:
        return list(rows)
    places = [round(i * (len(rows) - 1) / (count - 1)) for i in range(count)]
    return [rows[place] for place in places]
