"""A study's trials as the Optuna dashboard asks for them, read by the log's own quick reader.

Optuna's storage takes ten seconds of processor time for the page of 3,000 trials: half to load
them, object by object, a quarter to find the front in plain Python, the rest to write 30 MB of
JSON, in which every trial repeats the choices of every dimension and the log's own records. Here
finished trials are read once, their JSON is kept, and of their records only what people read.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects
from optuna_dashboard._note import get_note_from_system_attrs
from optuna_dashboard._serializer import (
    serialize_attrs,
    serialize_distribution,
    serialize_frozen_trial,
    serialize_search_space,
)
from optuna_dashboard.artifact._backend import list_study_artifacts

from hqsearch.analysis.pictures.facts import objectives_in
from hqsearch.analysis.words import choice_counts, found_by
from hqsearch.evaluator.details import Details
from hqsearch.show.tables import shown_state
from hqsearch.show.text import number
from hqsearch.store.database import connect_args
from hqsearch.store.fronts import front_of
from hqsearch.store.lock import DriverLock
from hqsearch.store.log import LogReader
from hqsearch.store.records import FINISHED, TrialRecord, TrialRow


class StudyView(RDBStorage):
    """Optuna's storage of one study's log, that nothing is written to.

    Args:
        url: of the log.
        name: of the study.
        folder: of its state, with the driver's lock.
    """

    def __init__(self, url: str, name: str, folder: Path) -> None:
        super().__init__(
            url,
            engine_kwargs={"connect_args": connect_args(url)},
            skip_compatibility_check=True,
            skip_table_creation=True,
        )
        self._url, self._name, self._folder = url, name, folder
        self._guard = threading.Lock()
        self._finished: list[_Shown] = []
        self._parameters: dict[tuple[str, str], str] = {}
        self._distributions: dict[str, BaseDistribution] = {}
        self._choices: dict[str, frozenset[str]] = {}
        reader = LogReader(url, name)
        try:
            self.study_id = reader.study_id
            attributes = reader.attributes()
        finally:
            reader.close()
        self._objectives = objectives_in(attributes)
        for dimension, told in attributes["fingerprint"]["space"].items():
            if told[0] != "pinned":
                values = [str(v).lower() if isinstance(v, bool) else str(v) for v in told[1]]
                self._distributions[dimension] = CategoricalDistribution(values)
                self._choices[dimension] = frozenset(values)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Every trial of the study; the dashboard asks for the others of a server, too."""
        if study_id != self.study_id:
            return super().get_all_trials(study_id, deepcopy, states)
        trials = [shown.trial for shown in self._trials()]
        return trials if states is None else [t for t in trials if t.state in states]

    def detail(self, after: int) -> str:
        """What the dashboard's page asks for, as JSON; trials from number ``after`` on."""
        shown = self._trials()
        reader = LogReader(self._url, self._name)
        try:
            runs = reader.runs()
        finally:
            reader.close()
        study = next(s for s in self.get_all_studies() if s._study_id == self.study_id)
        system = study.system_attrs
        budgets = runs[-1].budgets if runs else ()
        members = {t.number for t in front_of([s.row for s in shown], self._objectives, budgets)}
        space = serialize_search_space(sorted(self._distributions.items()))
        facts = {
            "name": study.study_name,
            "directions": [d.name.lower() for d in study.directions],
            "user_attrs": serialize_attrs(_readable_study(study.user_attrs)),
            "artifacts": list_study_artifacts(system),
            "intersection_search_space": space,
            "union_search_space": space,
            "union_user_attrs": _columns([s.trial for s in shown]),
            "has_intermediate_values": any(s.trial.intermediate_values for s in shown),
            "note": get_note_from_system_attrs(system, None),
            "is_preferential": False,
            "objective_names": system.get("study:metric_names"),
            "feedback_component_type": {"output_type": "note"},
            "plotly_graph_objects": [
                {"id": name, "graph_object": figure}
                for name, figure in sorted(get_plotly_graph_objects(system).items())
            ],
        }
        trials = ",".join(s.text for s in shown[after:])
        best = ",".join(s.text for s in shown if s.row.number in members)
        return f'{json.dumps(facts)[:-1]}, "trials": [{trials}], "best_trials": [{best}]}}'

    def _trials(self) -> list[_Shown]:
        """Every trial in order; what has finished is read once, for it never changes."""
        with self._guard:
            reader = LogReader(self._url, self._name)
            try:
                records = reader.trials(len(self._finished))
            finally:
                reader.close()
            times = self._times(len(self._finished)) if records else {}
            driven = bool(DriverLock.holder(self._folder, self._url, self._name))
            fresh = [self._shown(r, times.get(r.number, (None, None)), driven) for r in records]
            waiting = next((i for i, r in enumerate(records) if not r.finished), len(records))
            self._finished += fresh[:waiting]
            return [*self._finished, *fresh[waiting:]]

    def _times(self, start: int) -> dict[int, tuple[Any, Any]]:
        """When trials began and ended, which only Optuna's table knows."""
        query = sqlalchemy.text(
            "SELECT number, datetime_start, datetime_complete FROM trials "
            "WHERE study_id = :study AND number >= :start"
        ).columns(datetime_start=sqlalchemy.DateTime, datetime_complete=sqlalchemy.DateTime)
        with self.engine.connect() as connection:
            rows = connection.execute(query, {"study": self.study_id, "start": start}).all()
        return {int(number): (begun, ended) for number, begun, ended in rows}

    def _shown(self, record: TrialRecord, times: tuple[Any, Any], driven: bool) -> _Shown:
        row = TrialRow.of(record, self._objectives)
        # A replicate belongs to no search: infeasible is what the dashboard leaves out.
        violation = 1.0 if row.kind == "replicate" else row.violation
        trial = FrozenTrial(
            number=record.number,
            state=TrialState[shown_state(record.state, driven)],
            value=None,
            values=record.values if record.state == "COMPLETE" else None,
            datetime_start=times[0],
            datetime_complete=times[1],
            params=dict(row.choices) if self._offered(row) else {},
            distributions=self._distributions if self._offered(row) else {},
            # Not the row's details, which would be read from its JSON again.
            user_attrs=readable(row, record.outcome.details if record.outcome else Details()),
            system_attrs={"constraints": [violation]} if violation > 0 else {},
            intermediate_values={
                r.epoch: r.values[[o.cheap for o in self._objectives].index(False)]
                for r in record.rungs
            },
            trial_id=record.trial_id,
        )
        params, trial.params = trial.params, {}
        text = json.dumps(serialize_frozen_trial(self.study_id, trial, {}))
        trial.params = params
        chosen = ", ".join(self._parameter(name, value) for name, value in params.items())
        return _Shown(row, trial, text.replace('"params": []', f'"params": [{chosen}]', 1))

    def _offered(self, row: TrialRow) -> bool:
        """Whether its choices are of the space; those of a control need not be."""
        known = self._choices
        return all(v in known.get(n, ()) for n, v in row.choices.items())

    def _parameter(self, name: str, value: str) -> str:
        """A choice as the dashboard has it: with all that could have been chosen."""
        known = self._parameters.get((name, value))
        if known is None:
            distribution = self._distributions[name]
            told = {
                "name": name,
                "param_internal_value": distribution.to_internal_repr(value),
                "param_external_value": value,
                "param_external_pytyp": str(str),
                "distribution": serialize_distribution(distribution),
            }
            known = self._parameters[name, value] = json.dumps(told)
        return known


class _Shown:
    """One trial: as a row, as Optuna's object, and as JSON."""

    __slots__ = ("row", "text", "trial")

    def __init__(self, row: TrialRow, trial: FrozenTrial, text: str) -> None:
        self.row, self.trial, self.text = row, trial, text


def readable(row: TrialRow, details: Details) -> dict[str, Any]:
    """What people read of a trial: numbers can be sorted by in the dashboard's table."""
    told: dict[str, Any] = {
        "found by": found_by(row),
        "layers": choice_counts(row.choices),
        "run": row.run,
    }
    if row.average_bits is not None:
        told["average bits"] = round(row.average_bits, 3)
    if row.seconds is not None and row.state in FINISHED:
        told["seconds"] = round(row.seconds, 3)
    if row.copy_of is not None:
        told["copy of"] = row.copy_of
    if row.failure:
        told["failure"] = f"{row.failure}: {row.reason}"
    if details.error:
        told["standard error"] = round(details.error, 5)
    layers = details.layers or ()
    energies = [f"{r.layer} {number(r.energy, 3)}" for r in layers if r.energy is not None]
    rates = [f"{r.layer} {number(r.rate, 3)}" for r in layers if r.rate is not None]
    told |= {"energy by layer, µJ": ", ".join(energies)} if energies else {}
    told |= {"firing rates": ", ".join(rates)} if rates else {}
    return told


def _readable_study(attributes: dict[str, Any]) -> dict[str, Any]:
    """The study's own facts; runs and tasks are in the note, in words."""
    study, definition = attributes.get("study", {}), attributes.get("definition", {})
    prepared = attributes.get("prepared", {})
    return {
        "title": str(study.get("title", "")),
        "evaluator": str(definition.get("evaluator", "")),
        "made": str(study.get("created", "")),
        "machine": str(study.get("platform", "")),
        **{str(name): str(text) for name, text in prepared.items()},
    }


def _columns(trials: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
    """The user attributes that occur, and whether they are numbers."""
    found: dict[str, bool] = {}
    for trial in trials:
        for name, value in trial.user_attrs.items():
            found[name] = found.get(name, True) and isinstance(value, int | float)
    return [{"key": name, "sortable": sortable} for name, sortable in found.items()]
