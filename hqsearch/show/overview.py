"""Studies and their progress, for ``studies``, ``status`` and ``show``."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from hqsearch.definition import embedded
from hqsearch.errors import HqsearchError, StorageError, UnknownName
from hqsearch.problem.objective import Objective
from hqsearch.show.confirmation import study_verdict
from hqsearch.show.tables import number, value_text
from hqsearch.store.log import LogReader, storage_url
from hqsearch.store.records import TrialRow
from hqsearch.store.results import Results


def require_study(name: str, studies_dir: Path, storage: str | None) -> Path:
    """The folder of a study that has state; otherwise an error that says what there is."""
    folder = studies_dir.resolve() / name
    if storage is not None:
        return folder
    if not (folder / "study.db").exists():
        with_state = sorted(p.parent.name for p in studies_dir.glob("*/study.db"))
        defined = {*embedded("studies"), *(p.stem for p in studies_dir.glob("*.toml"))}
        if name in defined:
            raise StorageError(
                f"study {name!r} has not been run in {studies_dir}: "
                f"hqsearch run --study {name} --strategy nsga2"
            )
        raise UnknownName("study", name, [*with_state, *defined], str(studies_dir))
    return folder


def studies_overview(studies_dir: Path) -> list[dict[str, Any]]:
    """Every definition that can be named, and what was run of it."""
    definitions = embedded("studies")
    definitions.update({p.stem: p for p in sorted(studies_dir.glob("*.toml"))})
    rows: list[dict[str, Any]] = []
    for name, path in definitions.items():
        try:
            title = str(tomllib.loads(path.read_text()).get("title", ""))
        except (OSError, ValueError) as error:
            title = f"cannot be read: {error}"
        rows.append({"name": name, "title": title, "definition": str(path), "runs": []})
    known = {row["name"]: row for row in rows}
    for database in sorted(studies_dir.glob("*/study.db")):
        name = database.parent.name
        row = known.get(name)
        if row is None:
            row = {"name": name, "title": "", "definition": "", "runs": []}
            rows.append(row)
        try:
            reader = LogReader(storage_url(None, database.parent.resolve()), name)
            results = Results(database.parent.resolve(), reader)
            reader.close()
        except HqsearchError as error:
            row["runs"] = [{"error": str(error)}]
            continue
        row["runs"] = _runs(results)
        results.close()
    return rows


def studies_table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(header_style="bold")
    for column in ("study", "title", "runs"):
        table.add_column(column, overflow="fold")
    for row in rows:
        runs = [
            run["error"]
            if "error" in run
            else f"{_name(run)}: {run['finished']}/{run['evaluations']}"
            for run in row["runs"]
        ]
        table.add_row(row["name"], row["title"], "\n".join(runs) or "–")
    return table


def status_of(results: Results) -> dict[str, Any]:
    """Progress, failures by kind and time left of a study."""
    every = results.trials()
    runs = _runs(results, every)
    front = results.front()
    # Replicates belong to no search: neither its progress nor its time left.
    trials = [t for t in every if t.kind != "replicate"]
    replicates = Counter(t.state for t in every if t.kind == "replicate")
    costs = [t.seconds for t in trials if t.seconds and t.copy_of is None]
    searches = [r for r in runs if r["searches"]]
    waiting = sum(max(r["evaluations"] - r["finished"], 0) for r in searches if not r["ended"])
    driver = results.driver
    per_trial = sum(costs) / len(costs) if costs else None
    return {
        "study": results.study.get("name"),
        "title": results.study.get("title"),
        "driver": driver,
        "runs": runs,
        "trials": dict(Counter(t.state for t in trials)),
        "copies": sum(t.copy_of is not None for t in trials),
        "stopped": dict(sorted(Counter(t.stopped_at for t in trials if t.stopped_at).items())),
        "failures": dict(Counter(t.failure for t in every if t.failure)),
        "front": len(front),
        "replicates": dict(replicates),
        "seconds_per_evaluation": per_trial,
        "evaluations_left": waiting,
        "worker_seconds_left": per_trial * waiting if per_trial else None,
        "budgets": [f"{b.metric} {b.text}" for b in results.budgets],
        "notes": [*results.study.get("notes", []), *(n for r in results.runs for n in r.notes)],
        "verdict": study_verdict(front, every, results.objectives).splitlines(),
    }


def status_text(facts: dict[str, Any]) -> str:
    lines = [f"{facts['study']}: {facts['title']}", *facts["notes"]]
    driver = facts["driver"]
    lines.append(f"driver: {driver}" if driver else "driver: none is running")
    for run in facts["runs"]:
        stops = ", early stopping" if run["early_stopping"] else ""
        unit = ("evaluations" if run["searches"] else "replicates") + stops
        lines.append(
            f"run {run['ordinal']}: {_name(run)}, {run['finished']} of {run['evaluations']} {unit}"
            + (", nothing left to propose" if run["ended"] else "")
        )
    states = ", ".join(f"{n} {state}" for state, n in sorted(facts["trials"].items()))
    lines.append(f"trials: {states or 'none'}; {facts['copies']} copies; front {facts['front']}")
    if facts["stopped"]:
        places = ", ".join(f"{n} at epoch {epoch}" for epoch, n in facts["stopped"].items())
        lines.append(f"stopped early: {places}")
    failures = ", ".join(f"{n} {kind}" for kind, n in sorted(facts["failures"].items()))
    lines.append(f"failures: {failures or 'none'}")
    lines += [f"budget: {b}" for b in facts["budgets"]]
    left = facts["worker_seconds_left"]
    if left:
        lines.append(
            f"left: {facts['evaluations_left']} evaluations of "
            f"{facts['seconds_per_evaluation']:.1f} s, {left / 60:.1f} minutes of one worker"
        )
    lines += facts["verdict"]
    return "\n".join(lines)


def trial_text(trial: TrialRow, objectives: Sequence[Objective]) -> str:
    """One trial's facts, above its layers."""
    who = f"uniform {trial.origin}" if trial.kind == "baseline" else trial.kind
    lines = [f"trial {trial.number}: {trial.state}, {who}, run {trial.run} ({trial.strategy})"]
    if trial.kind != "baseline" and trial.origin:
        lines.append(f"origin: {trial.origin}")
    if trial.copy_of is not None:
        lines.append(f"copy of trial {trial.copy_of}")
    for objective in objectives:
        value = (trial.values or {}).get(objective.name)
        unit = "" if objective.unit == "fraction" else f" {objective.unit}"
        text = (
            f"{objective.name}: {value_text(objective, value)}{unit if value is not None else ''}"
        )
        error = trial.details.get("accuracy_se")
        if objective.name == "accuracy" and error:
            text += f" ± {100 * error:.1f} (standard error{_samples(trial)})"
        lines.append(text)
    lines.append(f"average bits: {number(trial.average_bits)}")
    lines.append(f"seed {trial.seed}, {number(trial.seconds)} s, {trial.attempts} attempt(s)")
    for rung in trial.details.get("rungs", []):
        worth = ", ".join(
            f"{o.name} {value_text(o, rung['values'].get(o.name))}" for o in objectives
        )
        end = ": stopped here" if rung["epoch"] == trial.stopped_at else ""
        lines.append(f"after epoch {rung['epoch']}: {worth}{end}")
    if trial.violation > 0:
        lines.append(f"beyond its budgets by {trial.violation:.1%}: not on the front")
    if trial.failure:
        lines.append(f"failed ({trial.failure}): {trial.reason}")
    return "\n".join(lines)


def _name(run: dict[str, Any]) -> str:
    return f"{run['strategy']} seed {run['seed']}" if run["searches"] else "confirmation"


def _samples(trial: TrialRow) -> str:
    """How many samples of which split an accuracy rests on."""
    for split in ("validation", "test"):
        count = trial.details.get(f"{split}_samples")
        if count:
            return f", {count} {split} samples"
    return ""


def _runs(results: Results, trials: Sequence[TrialRow] | None = None) -> list[dict[str, Any]]:
    finished = Counter(
        t.run
        for t in (trials if trials is not None else results.trials())
        if t.state in ("COMPLETE", "PRUNED", "FAIL")
    )
    return [
        {
            "ordinal": run.ordinal,
            "strategy": run.strategy,
            "searches": run.searches,
            "seed": run.seed,
            "evaluations": run.evaluations,
            "finished": finished[run.ordinal],
            "ended": run.exhausted,
            "early_stopping": run.options.get("search"),
        }
        for run in results.runs
    ]
