"""Trials and fronts as a notebook sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from hqsearch.analysis.words import (
    choice_counts,
    described,
    found_by,
    imported_lines,
    one_line,
)
from hqsearch.api.arguments import whole
from hqsearch.api.describing import path_of, require
from hqsearch.api.grid import Grid, Printed
from hqsearch.errors import InputError
from hqsearch.problem.objective import number_text, value_text

if TYPE_CHECKING:
    import pandas

    from hqsearch.analysis.confirmation import ConfirmedFront
    from hqsearch.analysis.pictures.facts import Facts
    from hqsearch.problem.budgets import Budget
    from hqsearch.problem.objective import Objective
    from hqsearch.store.model_record import ModelRecord
    from hqsearch.store.modelled import Modelled
    from hqsearch.store.records import TrialRow
    from hqsearch.store.results import Results


class Trial(Printed):
    """One evaluation of a study.

    Attributes:
        number: from 0, over all runs of the study.
        state: ``COMPLETE``, ``PRUNED``, ``FAIL`` or ``RUNNING``.
        run: ordinal of its run.
        strategy: what proposed it.
        kind: ``search``, ``baseline``, ``replicate``, or ``imported``: measured elsewhere.
        copy_of: trial whose result it took over, if it is a copy.
        choices: dimension → value; of a layer ``4u``, ``2l``, ``fp32``, ….
        values: objective → value: accuracy as a fraction, energy in µJ per inference, storage
            in KiB; None where it has none.
        average_bits: Σ weights·bits / Σ weights, or None.
        seed: of the evaluation.
        seconds: wall time of the evaluation, or None.
        details: everything else that was recorded with it.
        layers: layer, choice, weights, energy, storage, …, of each layer; only of
            :meth:`hqsearch.Study.trial`.
        model: what :meth:`hqsearch.Study.train` made of it, or None; only of
            :meth:`hqsearch.Study.trial`.
    """

    def __init__(
        self,
        row: TrialRow,
        objectives: tuple[Objective, ...],
        layers: Sequence[dict[str, Any]] = (),
        model: ModelRecord | None = None,
    ) -> None:
        self.layers, self.model = tuple(layers), model
        self.row, self.objectives = row, objectives
        self.number, self.state, self.run = row.number, row.state, row.run
        self.strategy, self.kind, self.copy_of = row.strategy, row.kind, row.copy_of
        self.choices: dict[str, str] = dict(row.choices)
        self.values: dict[str, float] | None = dict(row.values) if row.values else None
        self.average_bits, self.seed, self.seconds = row.average_bits, row.seed, row.seconds

    @cached_property
    def details(self) -> dict[str, Any]:
        """Everything else that was recorded with it, by the keys of ``--json``'s ``details``."""
        details: dict[str, Any] = self.as_json()["details"]
        return details

    def as_json(self) -> dict[str, Any]:
        """The object that ``hqsearch trials --json`` prints."""
        return self.row.as_json()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trial) and self.row == other.row

    def __hash__(self) -> int:
        return hash(self.number)

    def _grid(self) -> Grid:
        return Grid(below=(f"trial {self.number}: {described(self.row, self.objectives)}",))


class Trials(Sequence[Trial], Printed):
    """Every trial of a study, in order."""

    def __init__(
        self, study: str, rows: Sequence[TrialRow], objectives: tuple[Objective, ...]
    ) -> None:
        self.study, self.objectives = study, objectives
        self.rows = tuple(rows)

    @cached_property
    def _trials(self) -> tuple[Trial, ...]:
        return tuple(Trial(row, self.objectives) for row in self.rows)

    @overload
    def __getitem__(self, index: int) -> Trial: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Trial]: ...
    def __getitem__(self, index: int | slice) -> Trial | Sequence[Trial]:
        return self._trials[index]

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, *where: str, sort: str | None = None, limit: int | None = None) -> Trials:
        """Some of them: ``select("energy <= 3 uJ", "state = COMPLETE", sort="-accuracy")``.

        Args:
            where: conditions, ``COLUMN OPERATOR VALUE``; a column is an objective, a dimension,
                or number, state, run, strategy, kind, average_bits, seconds, ….
            sort: a column; with ``-`` before it the largest first.
            limit: how many at most.

        Raises:
            UnknownName: a column that there is not.
            DefinitionError: a condition that cannot be read.
        """
        from hqsearch.analysis.selecting import TrialColumns, selected

        for condition in where:
            require(condition, str, "a condition", "a text such as 'energy <= 3 uJ'")
        require(sort, str, "sort", "a column")
        limit = whole(limit, "limit", 0)
        columns = TrialColumns(self.objectives, list(self.rows[0].choices) if self.rows else [])
        return Trials(self.study, selected(self.rows, columns, where, sort, limit), self.objectives)

    def as_json(self) -> list[dict[str, Any]]:
        """The list that the command prints with ``--json``."""
        return [trial.as_json() for trial in self]

    def to_pandas(self) -> pandas.DataFrame:
        """A row a trial: what it is, its values by objective, its choices by dimension.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise InputError(
                "to_pandas needs pandas: pip install pandas; as_json() gives plain lists"
            ) from None
        fixed = ("number", "state", "run", "strategy", "kind", "copy_of", "average_bits")
        records = [
            {
                **{name: getattr(trial, name) for name in fixed},
                "seed": trial.seed,
                "seconds": trial.seconds,
                **{o.name: (trial.values or {}).get(o.name) for o in self.objectives},
                **trial.choices,
            }
            for trial in self
        ]
        return pandas.DataFrame(records)

    def _title(self) -> str:
        return f"{len(self)} trials of {self.study}"

    def _grid(self) -> Grid:
        heads = [_head(o) for o in self.objectives]
        return Grid(
            self._title(),
            ["trial", "state", *heads, "bits", "found by", "layers"],
            [
                [
                    str(row.number),
                    row.state,
                    *(value_text(o, (row.values or {}).get(o.name)) for o in self.objectives),
                    number_text(row.average_bits, 3),
                    found_by(row),
                    f"{row.failure}: {one_line(row.reason)}"
                    if row.failure
                    else choice_counts(row.choices),
                ]
                for row in self.rows
            ],
        )


class Front(Trials):
    """The candidates worth having: the non-dominated, feasible, completed ones, cheapest first.

    Attributes:
        budgets: hard limits that the front is under, of the study's last run.
        notes: what every report of this study must say.
        searched: how many trials the searches of the study have.
        own: rows of the front of what the study has measured itself: verdict, confirmation and
            choice rest on them.
        models: what :meth:`hqsearch.Study.train` made of trials, by number.
    """

    def __init__(
        self, results: Results, budgets: tuple[Budget, ...] | None = None, raw: bool = False
    ) -> None:
        from hqsearch.problem.resolution import plain
        from hqsearch.store.fronts import front_of, own_front_of

        budgets = results.budgets if budgets is None else budgets
        objectives = plain(results.objectives) if raw else results.objectives
        self.every = tuple(results.trials())
        name = str(results.study["name"])
        super().__init__(name, front_of(self.every, objectives, budgets), objectives)
        self.title = str(results.study.get("title") or self.study)
        self.budgets, self.models = budgets, dict(results.models)
        self.notes: tuple[str, ...] = tuple(results.study.get("notes", ()))
        study = {**results.study, "objectives": [asdict(o) for o in objectives]}
        self._place = results.path.parent, {**results.attributes, "study": study}
        self.searched = sum(row.searched for row in self.every)
        self.own = tuple(own_front_of(self.rows, self.every, objectives, budgets))

    @cached_property
    def confirmation(self) -> ConfirmedFront | None:
        """What the latest confirmation came to for these members; None where there is none."""
        from hqsearch.analysis.confirmation import confirmation_of

        return confirmation_of(self.own, self.every, self.objectives)

    @cached_property
    def claims(self) -> ConfirmedFront | None:
        """What the latest ``confirm(claims=True)`` came to; None where there is none."""
        from hqsearch.analysis.confirmation import confirmation_of

        return confirmation_of(self.own, self.every, self.objectives, of_claims=True)

    @cached_property
    def verdict(self) -> str:
        """Does it beat uniform quantization? Provisional until it is confirmed."""
        from hqsearch.analysis.confirmed_verdict import study_verdict

        return study_verdict(self.own, self.every, self.objectives, self._place[1]["study"])

    @cached_property
    def means(self) -> dict[int, Modelled]:
        """Trial → what the model of accuracy makes of it; empty where it was not asked.

        It is asked where accuracies are noisy and it predicts better than chance; the front is then
        chosen by these means, and ``values`` are as they were measured.
        """
        from hqsearch.store.fronts import means_of

        return means_of(self.every, self.objectives)

    @property
    def chosen_by(self) -> str:
        """By what the front was chosen, in a line."""
        if not self.means:
            return ""
        return (
            "Chosen by the means of the accuracy model, which all trainings together give; "
            "accuracy is as it was measured; --raw chooses by that"
        )

    @cached_property
    def resolution(self) -> str:
        """How many members its resolution left out, in words; empty where it left out none."""
        from hqsearch.analysis.rules import resolution_note

        return resolution_note(self.rows, self.every, self.objectives, self.budgets)

    def as_json(self) -> list[dict[str, Any]]:
        """The list that ``hqsearch front --json`` prints."""
        rows = super().as_json()
        if self.models:
            models = {number: model.as_json() for number, model in self.models.items()}
            rows = [{**row, "model": models.get(row["number"])} for row in rows]
        if self.means:
            told = {t: {"mean": m.mean, "deviation": m.deviation} for t, m in self.means.items()}
            rows = [{**row, "modelled": told.get(row["number"])} for row in rows]
        if self.confirmation is None:
            return rows
        members = {member.key: member.as_json() for member in self.confirmation.members}
        return [
            {**row, "confirmed": members.get(trial.key)}
            for row, trial in zip(rows, self.rows, strict=True)
        ]

    def plot(self, path: str | Path) -> None:
        """Draw it (``.png``, ``.svg`` or ``.pdf``).

        Raises:
            InputError: another kind of file, a folder that is not there, or nothing to draw.
        """
        from hqsearch.analysis.pictures.front import front_picture
        from hqsearch.show.pictures.drawing import save
        from hqsearch.show.pictures.front import draw_front

        save(draw_front(front_picture([self._facts])), path_of(path))

    @cached_property
    def _facts(self) -> Facts:
        """What a picture of it is made from."""
        from hqsearch.analysis.pictures.facts import Facts

        return Facts(self.study, *self._place, (), (), self.every, self.budgets)

    def heading(self) -> str:
        """What it is, in a line."""
        text = f"Front of {self.study}: {len(self)} of {self.searched} trials"
        imported = [row for row in self.rows if row.imported]
        if imported:
            text = (
                f"Front of {self.study}: {len(self) - len(imported)} of {self.searched} trials, "
                f"{len(imported)} imported"
            )
        limits = ", ".join(f"{b.metric} {b.text}" for b in self.budgets)
        return f"{text}, under {limits}" if limits else text

    def _title(self) -> str:
        return self.heading()

    def _grid(self) -> Grid:
        from hqsearch.show.models import models_lines

        grid = super()._grid()
        below = [*self.notes, *self.imported_lines(), *models_lines(self.members_kept())]
        below += [self.chosen_by] if self.means else []
        below += [self.resolution] if self.resolution else []
        below += self.verdict.splitlines()
        return Grid(grid.title, grid.heads, grid.rows, below)

    def imported_lines(self) -> list[str]:
        """Which members were measured elsewhere; nothing where none was."""
        return imported_lines(self.rows)

    def members_kept(self) -> list[ModelRecord]:
        """Models of members of the front, in its order."""
        return [self.models[row.number] for row in self.rows if row.number in self.models]


def _head(objective: Objective) -> str:
    return objective.name if objective.unit == "fraction" else f"{objective.name} {objective.unit}"
