"""What the supernets of a run learned: final probabilities, and how they came about.

The final probabilities stand in the log, with the tasks of the run; their evolution in each
task's ``history.json``, named in the log by its SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hqsearch.errors import InputError, RunFailed
from hqsearch.show.front_plot import FORMATS
from hqsearch.show.overview import require_study
from hqsearch.store.log import LogReader, storage_url
from hqsearch.store.records import TaskRecord

_COLORS = ("#1f5fa8", "#d9702b", "#3a9a5b", "#8a4fa8", "#7a7f87", "#c23b4e", "#b39a1f", "#2aa5a5")
_COLUMNS = 4

#: An expected cost above this part of its target has missed it.
MISSED = 1.05


@dataclass(frozen=True)
class Learned:
    """The supernets of a study's last run of a strategy.

    Attributes:
        study: its name.
        folder: of the study.
        tasks: the run's tasks, in order.
        derived: task label → numbers of the trials that came from it.
    """

    study: str
    folder: Path
    tasks: tuple[TaskRecord, ...]
    derived: Mapping[str, tuple[int, ...]]

    def as_json(self) -> list[dict[str, Any]]:
        """One object per supernet."""
        return [
            {
                "task": task.index,
                "run": task.run,
                "label": task.label,
                "state": task.state,
                "failure": task.failure,
                "reason": task.reason,
                "seconds": task.seconds,
                "trials": list(self.derived.get(task.label, ())),
                **{
                    key: (task.details or {}).get(key)
                    for key in ("probabilities", "expected", "limits", "multipliers", "candidates")
                },
            }
            for task in self.tasks
        ]


def learned(study: str, studies_dir: Path, storage: str | None, strategy: str) -> Learned:
    """Read the last run of ``strategy`` that trained supernets.

    Raises:
        InputError: the study has no such run, or it trained none.
    """
    name = Path(study).stem if study.endswith(".toml") else study
    folder = require_study(name, studies_dir, storage)
    reader = LogReader(storage_url(storage, folder), name)
    try:
        runs, tasks, trials = reader.runs(), reader.tasks(), reader.trials()
    finally:
        reader.close()
    if not any(run.strategy == strategy for run in runs):
        known = ", ".join(sorted({run.strategy for run in runs})) or "none"
        raise InputError(f"study {name!r} has no run of strategy {strategy!r}; it has: {known}")
    own = {run.ordinal for run in runs if run.strategy == strategy}
    kept = [t for t in tasks if t.run in own and t.kind == "supernet"]
    if not kept:
        raise InputError(
            f"strategy {strategy!r} trained no supernets in study {name!r}; those of gumbel are "
            f"shown: hqsearch show --study {name} --strategy gumbel"
        )
    last = max(task.run for task in kept)
    derived: dict[str, list[int]] = {}
    for trial in trials:
        if trial.proposal.run == last and trial.proposal.kind == "search":
            derived.setdefault(trial.proposal.origin, []).append(trial.number)
    return Learned(
        name,
        folder,
        tuple(t for t in kept if t.run == last),
        {label: tuple(numbers) for label, numbers in derived.items()},
    )


def learned_tables(found: Learned) -> RenderableType:
    """One table per supernet: a row per dimension, a column per choice, the likeliest in bold."""
    parts: list[RenderableType] = []
    for task in found.tasks:
        if task.details is None:
            text = f"{task.label}: {task.state.lower()} {task.failure} {task.reason}".rstrip()
            parts.append(Text(text))
            continue
        numbers = ", ".join(str(n) for n in found.derived.get(task.label, ())) or "none"
        expected = task.details["expected"].items()
        shares = ", ".join(f"{metric} {share:.3g}" for metric, share in expected)
        parts.append(_table(task))
        missed = [
            metric
            for metric, share in task.payload["target"].items()
            if task.details["expected"][metric] > MISSED * share
        ]
        if missed:
            shares += f"; target missed: {', '.join(missed)} (candidates keep to it exactly)"
        told = f"expected, of fp32: {shares}\ntrials: {numbers}; {task.seconds:.0f} s\n"
        parts.append(Text(told))
    return Group(*parts)


def _table(task: TaskRecord) -> Table:
    rows: dict[str, dict[str, float]] = (task.details or {})["probabilities"]
    table = Table(
        title=f"Supernet {task.index}: {task.label}",
        title_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    values = list(dict.fromkeys(v for row in rows.values() for v in row))
    table.add_column("dimension", no_wrap=True)
    for value in values:
        table.add_column(value, justify="right", no_wrap=True)
    for name, row in rows.items():
        best = max(row, key=lambda v: row[v])
        cells = [
            "" if v not in row else f"[bold]{row[v]:.2f}[/bold]" if v == best else f"{row[v]:.2f}"
            for v in values
        ]
        table.add_row(name, *cells)
    return table


def history(found: Learned, index: int | None) -> tuple[TaskRecord, dict[str, Any]]:
    """The history of one supernet of the run; the middle one where none is named.

    Raises:
        InputError: there is no such supernet, or it was not finished.
        RunFailed: the file is missing, or not the one that the log names.
    """
    done = [t for t in found.tasks if t.details is not None]
    if not done:
        raise InputError(f"study {found.study!r} has no finished supernet")
    if index is None:
        task = done[(len(done) - 1) // 2]
    else:
        known = ", ".join(str(t.index) for t in done)
        named = [t for t in done if t.index == index]
        if not named:
            raise InputError(f"--task {index}: the finished supernets are {known}")
        task = named[0]
    assert task.details is not None
    about = task.details["history"]
    path = found.folder / task.folder / about["file"]
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunFailed(f"{path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != about["sha256"]:
        raise RunFailed(f"{path} is not the file that the log names; it was changed since")
    return task, json.loads(content)


def plot_history(found: Learned, index: int | None, path: Path) -> None:
    """Draw selection probabilities over epochs, one panel per dimension.

    Raises:
        InputError: the file's ending is none of ``FORMATS``, or there is nothing to draw.
        RunFailed: the history is missing, or not the one that the log names.
    """
    if path.suffix not in FORMATS:
        raise InputError(f"--plot {path}: the file must end in {', '.join(FORMATS)}")
    task, told = history(found, index)
    from matplotlib.figure import Figure

    dimensions: dict[str, list[str]] = told["dimensions"]
    epochs = [e["epoch"] for e in told["epochs"]]
    shown = list(dict.fromkeys(v for values in dimensions.values() for v in values))
    colors = {v: _COLORS[i % len(_COLORS)] for i, v in enumerate(shown)}
    columns = min(_COLUMNS, len(dimensions))
    rows = math.ceil(len(dimensions) / columns)
    figure = Figure(figsize=(3.0 * columns, 1.9 * rows + 0.7), layout="constrained")
    figure.suptitle(f"{found.study}, {task.label}: selection probabilities by epoch", fontsize=11)
    handles: dict[str, Any] = {}
    for place, (name, values) in enumerate(dimensions.items()):
        axes = figure.add_subplot(rows, columns, place + 1)
        for column, value in enumerate(values):
            line = [e["probabilities"][place][column] for e in told["epochs"]]
            (handles[value],) = axes.plot(epochs, line, color=colors[value], lw=1.4)
        axes.set_title(name, fontsize=8)
        axes.set_ylim(-0.03, 1.03)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.25, linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        [handles[v] for v in shown], shown, loc="outside lower center", ncols=len(shown),
        frameon=False, fontsize=8,
    )  # fmt: skip
    figure.savefig(path, dpi=130)
