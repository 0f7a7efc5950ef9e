"""Where commands print: answers on standard output, everything else on standard error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hqsearch.cli.streams import AnswerConsole, QuietConsole, holds

if TYPE_CHECKING:
    from hqsearch.store.results import Results

# Texts of users are in most of what is printed: nothing in them is markup.
out = AnswerConsole(markup=False, emoji=False)
err = QuietConsole(stderr=True, markup=False, emoji=False)


def emit(data: Any, as_json: bool, table: Callable[[], Any]) -> None:
    """An answer as one JSON document or as a table, which is made only where it is wanted."""
    if as_json:
        emit_json(data)
    else:
        out.print(table(), highlight=False)


def emit_json(data: Any) -> None:
    if isinstance(data, list):
        # One object a line: readable, and quick for ten thousand trials.
        click.echo("[\n" + ",\n".join(_json(row) for row in data) + "\n]")
    else:
        click.echo(_json(data, indent=2))


def _json(data: Any, indent: int | None = None) -> str:
    """One JSON value; escaped where standard output could not show it as it is."""
    text = json.dumps(data, indent=indent, ensure_ascii=False, allow_nan=False)
    return text if holds(text) else json.dumps(data, indent=indent, allow_nan=False)


def print_text(text: str) -> None:
    """Lines for a person, broken by the terminal alone."""
    out.print(text, highlight=False, soft_wrap=True)


def tell_file(what: str, path: Path, more: str = "") -> None:
    err.print(f"{what}: {path}{more}", markup=False, highlight=False)


def print_front(results: Results, as_json: bool, as_csv: bool = False) -> None:
    """The front of a study and the verdict on it, as ``front`` and ``run`` end with it."""
    from hqsearch.analysis.confirmation import confirmation_of
    from hqsearch.analysis.confirmed_verdict import study_verdict
    from hqsearch.show.confirmation import front_marks
    from hqsearch.show.tables import LONG_FRONT, front_table, trials_lines
    from hqsearch.show.tables import as_csv as csv_text

    trials, front = results.trials(), results.front()
    if as_csv:
        click.echo(csv_text(front, results.objectives), nl=False)
        return
    confirmation = confirmation_of(front, trials, results.objectives)
    if as_json:
        rows = [trial.as_json() for trial in front]
        if confirmation is not None:
            members = {m.key: m.as_json() for m in confirmation.members}
            rows = [
                {**row, "confirmed": members.get(trial.key)}
                for row, trial in zip(rows, front, strict=True)
            ]
        emit_json(rows)
        return
    for note in results.study.get("notes", []):
        print_text(note)
    searched = sum(trial.kind != "replicate" for trial in trials)
    title = f"Front of {results.study['name']}: {len(front)} of {searched} trials"
    if results.budgets:
        title += ", under " + ", ".join(f"{b.metric} {b.text}" for b in results.budgets)
    marks = front_marks(confirmation)
    if len(front) > LONG_FRONT and not marks:
        click.echo(f"{title}\n{trials_lines(front, results.objectives)}")
    else:
        out.print(front_table(front, results.objectives, title, marks))
    print_text(study_verdict(front, trials, results.objectives))
