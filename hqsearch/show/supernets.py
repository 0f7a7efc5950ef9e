"""What supernets learned as tables and a figure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.text import Text

from hqsearch.analysis.pictures.probabilities import from_learned
from hqsearch.analysis.supernets import Learned
from hqsearch.evaluator.tasks import SupernetResult, SupernetTask
from hqsearch.show.literal_table import LiteralTable
from hqsearch.show.pictures.drawing import save
from hqsearch.show.pictures.probabilities import draw_probabilities
from hqsearch.store.records import TaskRecord

#: An expected cost above this part of its target has missed it.
MISSED = 1.05


def learned_tables(supernets: Learned) -> RenderableType:
    """One table per supernet: a row per dimension, a column per choice, the likeliest in bold."""
    parts: list[RenderableType] = []
    for task in supernets.tasks:
        answer = task.answer
        if not isinstance(answer, SupernetResult):
            text = f"{task.label}: {task.state.lower()} {task.failure} {task.reason}".rstrip()
            parts.append(Text(text))
            continue
        numbers = ", ".join(str(n) for n in supernets.derived.get(task.label, ())) or "none"
        expected = answer.expected or {}
        shares = ", ".join(f"{metric} {share:.3g}" for metric, share in expected.items())
        parts.append(_table(task, answer.probabilities or {}))
        missed = [
            metric for metric, share in _target(task).items() if expected[metric] > MISSED * share
        ]
        if missed:
            shares += f"; target missed: {', '.join(missed)} (candidates keep to it exactly)"
        told = f"expected, of fp32: {shares}\ntrials: {numbers}; {task.seconds:.0f} s\n"
        parts.append(Text(told))
    return Group(*parts)


def _target(task: TaskRecord) -> Mapping[str, float]:
    asked = task.task
    return asked.target if isinstance(asked, SupernetTask) else {}


def _table(task: TaskRecord, rows: dict[str, dict[str, float]]) -> LiteralTable:
    table = LiteralTable(
        title=f"Supernet {task.index}: {task.label}",
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
            Text("" if v not in row else f"{row[v]:.2f}", style="bold" if v == best else "")
            for v in values
        ]
        table.add_row(name, *cells)
    return table


def plot_history(supernets: Learned, index: int | None, path: Path) -> None:
    """Draw selection probabilities over epochs, one panel per dimension.

    Raises:
        InputError: the file's ending cannot be drawn to, or there is nothing to draw.
        RunFailed: the history is missing, or not the one that the log names.
    """
    save(draw_probabilities(from_learned(supernets, index)), path)
