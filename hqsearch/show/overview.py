"""Studies, a study's progress and one trial as tables and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hqsearch.problem.objective import Objective, difference_text
from hqsearch.show.disk import disk_text
from hqsearch.show.literal_table import LiteralTable
from hqsearch.show.models import models_lines
from hqsearch.show.tables import shown_state
from hqsearch.show.text import number, value_text
from hqsearch.store.model_record import ModelRecord
from hqsearch.store.records import IMPORT, TrialRow


def studies_table(rows: Sequence[dict[str, Any]]) -> LiteralTable:
    table = LiteralTable(header_style="bold")
    for column in ("study", "title", "runs"):
        table.add_column(column, overflow="fold")
    for row in rows:
        runs = [
            run["error"]
            if "error" in run
            else f"{_name(run)}: {run['finished']}/{run['evaluations']}"
            for run in row["runs"]
        ]
        table.add_row(row["name"], row["title"] or "–", "\n".join(runs) or "–")
    return table


def status_text(facts: dict[str, Any]) -> str:
    title = f": {facts['title']}" if facts["title"] else ""
    lines = [f"{facts['study']}{title}", *facts["notes"]]
    driver = facts["driver"]
    lines.append(f"driver: {driver}" if driver else "driver: none is running")
    for run in facts["runs"]:
        stops = ", early stopping" if run["early_stopping"] else ""
        unit = ("evaluations" if run["searches"] else _unit(run)) + stops
        lines.append(
            f"run {run['ordinal']}: {_name(run)}, {run['finished']} of {run['evaluations']} {unit}"
            + "".join(f", between {k} {v}" for k, v in run.get("between", {}).items())
            + _ending(run)
        )
    states = ", ".join(
        f"{n} {shown_state(state, bool(driver))}" for state, n in sorted(facts["trials"].items())
    )
    imported = f"; {facts['imported']} imported" if facts["imported"] else ""
    lines.append(
        f"trials: {states or 'none'}; {facts['copies']} copies{imported}; front {facts['front']}"
    )
    if facts["stopped"]:
        places = ", ".join(f"{n} at epoch {epoch}" for epoch, n in facts["stopped"].items())
        lines.append(f"stopped early: {places}")
    failures = ", ".join(f"{n} {kind}" for kind, n in sorted(facts["failures"].items()))
    lines.append(f"failures: {failures or 'none'}")
    lines += [f"budget: {b}" for b in facts["budgets"]]
    lines += models_lines([ModelRecord.from_json(model) for model in facts["models"]])
    left = facts["worker_seconds_left"]
    if left:
        lines.append(
            f"left: {facts['evaluations_left']} evaluations of "
            f"{facts['seconds_per_evaluation']:.1f} s, {left / 60:.1f} minutes of one worker"
        )
    lines.append(f"on disk: {disk_text(facts['disk'])}")
    lines += facts["verdict"]
    return "\n".join(lines)


def trial_text(trial: TrialRow, objectives: Sequence[Objective]) -> str:
    """One trial's facts, above its layers."""
    who = f"uniform {trial.origin}" if trial.kind == "baseline" else trial.kind
    lines = [f"trial {trial.number}: {trial.state}, {who}, run {trial.run} ({trial.strategy})"]
    if trial.imported:
        lines.append(f"measured elsewhere: {trial.origin}; no verdict or choice rests on it")
    elif trial.kind != "baseline" and trial.origin:
        lines.append(f"origin: {trial.origin}")
    if trial.copy_of is not None:
        lines.append(f"copy of trial {trial.copy_of}")
    for objective in objectives:
        value = (trial.values or {}).get(objective.name)
        unit = "" if objective.unit == "fraction" else f" {objective.unit}"
        text = (
            f"{objective.name}: {value_text(objective, value)}{unit if value is not None else ''}"
        )
        error = trial.details.error_of(objective.name)
        if error:
            shown = difference_text(objective, error)
            text += f" ± {shown} (standard error{_samples(trial)})"
        lines.append(text)
    lines.append(f"average bits: {number(trial.average_bits)}")
    if trial.imported:
        lines.append(f"seed {trial.seed}" if trial.seed >= 0 else "seed not told")
    else:
        lines.append(f"seed {trial.seed}, {number(trial.seconds)} s, {trial.attempts} attempt(s)")
    if trial.details.entropy:
        lines.append(_entropy_text(trial.details.entropy))
    for rung in trial.details.rungs or ():
        worth = ", ".join(f"{o.name} {value_text(o, rung.values.get(o.name))}" for o in objectives)
        end = ": stopped here" if rung.epoch == trial.stopped_at else ""
        lines.append(f"after epoch {rung.epoch}: {worth}{end}")
    if trial.violation > 0:
        lines.append(f"beyond its budgets by {trial.violation:.1%}: not on the front")
    if trial.failure:
        lines.append(f"failed ({trial.failure}): {trial.reason}")
    return "\n".join(lines)


def _entropy_text(entropy: Mapping[str, float]) -> str:
    """Bits that a value of q, k and v has, block by block."""
    blocks: dict[str, list[str]] = {}
    for path, bits in entropy.items():
        block, _, name = path.rpartition(".")
        blocks.setdefault(block, []).append(f"{name} {bits:.2f}")
    told = "; ".join(f"{block} {', '.join(names)}" for block, names in blocks.items())
    return f"entropy of firing (bits): {told}"


def _ending(run: dict[str, Any]) -> str:
    if run.get("stalled"):
        return f", stalled: {run['stalled']}"
    return ", nothing left to propose" if run["ended"] else ""


def _name(run: dict[str, Any]) -> str:
    if run["searches"]:
        return f"{run['strategy']} seed {run['seed']}"
    return "import" if run["strategy"] == IMPORT else "confirmation"


def _unit(run: dict[str, Any]) -> str:
    return "rows" if run["strategy"] == IMPORT else "replicates"


def _samples(trial: TrialRow) -> str:
    """How many samples of which split an accuracy rests on."""
    details = trial.details
    counts = {"validation": details.validation_samples, "test": details.test_samples}
    for split, count in counts.items():
        if count:
            return f", {count} {split} samples"
    return ""
