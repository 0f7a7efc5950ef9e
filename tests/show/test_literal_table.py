"""Texts are shown as they are, and numbers whole, at any width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from hqsearch.show.literal_table import LiteralTable
from hqsearch.show.overview import studies_table

MARKUP = ["[/128] of 1", "[bold]x[/bold]", "[", "[[x]]", ":smile: a[1]", "[link=x]", "\\[y]"]


def table(text: str = "x") -> LiteralTable:
    made = LiteralTable(title=f"T {text}", show_footer=True)
    made.add_column("trial", justify="right")
    made.add_column(f"energy\n{text}", "1,234,567", no_wrap=True)
    made.add_column("layers", overflow="fold")
    made.add_row("12", "62.1 %", text)
    made.add_row("1234567", "1.457", "", style="bold")
    return made


def printed(what: object, width: int) -> str:
    told_to = io.StringIO()
    Console(width=width, file=told_to).print(what)  # with rich's own markup and emoji
    return told_to.getvalue()


@pytest.mark.parametrize("text", MARKUP)
@pytest.mark.parametrize("width", [80, 30])
def test_brackets_are_text(text: str, width: int) -> None:
    shown = printed(table(text), width)
    assert shown.count(text) >= 3
    rows = [{"name": text, "title": text, "runs": [{"error": text}]}]
    assert printed(studies_table(rows), 80).count(text) == 3


@pytest.mark.parametrize("width", [10, 20, 29, 40, 80, 200])
def test_numbers_are_whole(width: int) -> None:
    shown = printed(table(), width)
    for number in ("62.1 %", "1.457", "1234567", "1,234,567"):
        assert number in shown
    assert ("trial: 12" in shown) == (width < 30)
