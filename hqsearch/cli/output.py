"""Where commands print: answers on standard output, everything else on standard error."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hqsearch.cli.streams import AnswerConsole, QuietConsole, holds

if TYPE_CHECKING:
    from hqsearch.api import Front

#: Of a long answer, printed at a time.
ROWS = 500
_ONE_LINE = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
# Texts of users are in most of what is printed: nothing in them is markup.
out = AnswerConsole(markup=False, emoji=False)
err = QuietConsole(stderr=True, markup=False, emoji=False)


def emit(data: Any, as_json: bool, table: Callable[[], Any]) -> None:
    """An answer as one JSON document or as a table, which is made only where it is wanted."""
    if as_json:
        emit_json(data)
    else:
        answer = table()
        if isinstance(answer, str):
            print_text(answer)
        else:
            out.print(answer, markup=False, highlight=False)


def emit_json(data: Any) -> None:
    if isinstance(data, list):
        # One object a line: readable, and quick for ten thousand trials.
        click.echo("[\n" + ",\n".join(json_text(row) for row in data) + "\n]")
    else:
        click.echo(json_text(data, indent=2))


def emit_json_rows(rows: Iterable[str]) -> None:
    """Objects that are text already, as the list that :func:`emit_json` would print."""
    waiting = iter(rows)
    click.echo("[", nl=False)
    before = ""
    while some := list(itertools.islice(waiting, ROWS)):
        click.echo(before + "\n" + ",\n".join(some), nl=False)
        before = ","
    click.echo("\n]")


def json_text(data: Any, indent: int | None = None) -> str:
    """One JSON value; escaped where standard output could not show it as it is."""
    if indent is None:
        text = _ONE_LINE.encode(data)
    else:
        text = json.dumps(data, indent=indent, ensure_ascii=False, allow_nan=False)
    return text if holds(text) else json.dumps(data, indent=indent, allow_nan=False)


def print_text(text: str) -> None:
    """Lines for a person, broken at words to a terminal's width; whole where there is none.

    What goes on below is indented as its line is, and what is in [brackets] is text.
    """
    from hqsearch.show.text import folded

    width = out.width if out.is_terminal else None
    out.print(folded(text, width), markup=False, highlight=False, soft_wrap=True)


def tell_file(what: str, path: Path, more: str = "") -> None:
    err.print(f"{what}: {path}{more}", markup=False, highlight=False)


def print_front(front: Front, as_json: bool, as_csv: bool = False) -> None:
    """The front of a study and the verdict on it, as ``front`` and ``run`` end with it."""
    from hqsearch.show.confirmation import front_marks
    from hqsearch.show.models import models_lines
    from hqsearch.show.tables import LONG_FRONT, front_table, trials_lines
    from hqsearch.show.tables import as_csv as csv_text

    if as_csv:
        click.echo(csv_text(front.rows, front.objectives), nl=False)
        return
    if as_json:
        emit_json(front.as_json())
        return
    for note in front.notes:
        print_text(note)
    marks = front_marks(front.confirmation, front.objectives)
    if len(front) > LONG_FRONT and not marks:
        click.echo(f"{front.heading()}\n{trials_lines(front.rows, front.objectives)}")
    else:
        out.print(front_table(front.rows, front.objectives, front.heading(), marks, front.means))
    for line in (*front.imported_lines(), *models_lines(front.members_kept())):
        print_text(line)
    if front.means:
        print_text(front.chosen_by)
    if front.resolution:
        print_text(front.resolution)
    print_text(front.verdict)
